"""`devbox.cmd.exec_async`: a command in the background, that goes on without its client.

Goes in: the id under which a small script in the devbox keeps its output and its end (scripts.START). Comes out: its state, its result,
ways to write to it and to end it. A connection that breaks is taken up again where it broke.
"""

import asyncio
import re
import secrets
from collections.abc import AsyncIterator
from time import monotonic
from typing import Final

from devbox_gateway.errors import (
    APIConnectionError,
    DevboxGatewayError,
    ExecLostError,
    InvalidError,
    NotFoundError,
    NotReadyError,
)
from devbox_gateway.given import content_of
from devbox_gateway.kube.session import Session

from . import scripts
from .channels import STDOUT, Ended, open_channels
from .ending import Ending
from .output import AsyncExecutionResult, Stream, TextCallback
from .simple import run

NO_SUCH, OVER, RUNNING, NO_STDIN, STDIN_ENDED = 66, 10, 11, 12, 13
"""Exit codes of our scripts."""
REACH_SECONDS: Final = 60.0
"""For which a broken connection is taken up again, since the last byte."""
PAUSE: Final = 1.0
_ID: Final = re.compile("[0-9a-f]{16}")


class AsyncExecution:
    """One command. The callbacks, if there are any, are called while `result()` waits."""

    def __init__(
        self,
        session: Session,
        pod: str,
        devbox_id: str,
        callbacks: tuple[TextCallback | None, ...] = (None, None, None),
        execution_id: str | None = None,
    ) -> None:
        """`execution_id`: of one that was started before. Raises InvalidError."""
        # (It becomes part of a path.)
        if execution_id is not None and not (isinstance(execution_id, str) and _ID.fullmatch(execution_id)):
            raise InvalidError("execution_id", "write the execution_id of what exec_async gave: 16 letters and digits")
        self._session, self._pod = session, pod
        self.devbox_id = devbox_id
        self.execution_id = execution_id or secrets.token_hex(8)
        out, err, both = callbacks
        self._out, self._err = Stream(out, both), Stream(err, both)
        self._code: int | None = None
        self._lock = asyncio.Lock()

    async def start(self, command: str, attached: bool) -> None:
        """Called once, by exec_async."""
        done = await run(
            self._session,
            self._pod,
            scripts.START,
            self.execution_id,
            "attached" if attached else "",
            stdin=_once(scripts.framed(command)),
        )
        if done.exit_code:
            raise ExecLostError(f"the command could not be started: {done.words}")

    async def result(self) -> AsyncExecutionResult:
        """Wait for its end."""
        async with self._lock:
            heard = monotonic()
            while self._code is None:
                before = self._out.size + self._err.size
                try:
                    self._code = await self._follow()
                except (ExecLostError, APIConnectionError, NotReadyError) as error:
                    heard = monotonic() if self._out.size + self._err.size > before else heard
                    if monotonic() - heard > REACH_SECONDS:
                        raise ExecLostError(f"execution {self.execution_id}: {error}") from None
                    await asyncio.sleep(PAUSE)
                except NotFoundError:
                    raise ExecLostError(f"execution {self.execution_id}: its pod {self._pod} is gone") from None
        return AsyncExecutionResult(self._code, self._out, self._err, self.devbox_id, self.execution_id)

    async def _follow(self) -> int:
        arguments = (self.execution_id, str(self._out.size), str(self._err.size))
        ending = Ending()
        channels = await open_channels(self._session, self._pod, scripts.argv(ending.around(scripts.FOLLOW), *arguments))
        try:
            async for piece in ending.pieces(channels):
                if isinstance(piece, Ended):
                    await ending.heard(channels)
                    return piece.exit_code
                channel, data = piece
                (self._out if channel == STDOUT else self._err).feed(data)
        finally:
            await channels.close()
        raise ExecLostError("it ended without saying how")

    async def get_state(self) -> str:
        """`running` or `completed`, whether it ended by itself or was ended."""
        if self._code is not None:
            return "completed"
        return "running" if await self._ask(scripts.STATE, known=(RUNNING, OVER)) == RUNNING else "completed"

    async def send_std_in(self, text: str) -> None:
        """Write to its stdin; it was started with attach_stdin=True."""
        content = content_of("text", text)
        known = (0, OVER, NO_STDIN, STDIN_ENDED)
        _accept(await self._ask(scripts.GIVE, str(len(content)), content=content, known=known))

    async def close_std_in(self) -> None:
        """Say that nothing more comes."""
        _accept(await self._ask(scripts.GIVE_END, known=(0, NO_STDIN)))

    async def kill(self) -> None:
        """End it at once, with all its processes."""
        await self._ask(scripts.KILL)

    async def _ask(self, script: str, *arguments: str, content: bytes | None = None, known: tuple[int, ...] = (0,)) -> int:
        """Its exit code, one of those that are known. Raises ExecLostError: with another one it did not do what it was to do."""
        stdin = None if content is None else _once(content)
        try:
            done = await run(self._session, self._pod, script, self.execution_id, *arguments, stdin=stdin)
        except NotFoundError:
            raise ExecLostError(f"execution {self.execution_id}: its pod {self._pod} is gone") from None
        if done.exit_code == NO_SUCH:
            raise NotFoundError(
                f"execution {self.execution_id} is not there any more: what it printed is kept for an hour after its end"
            )
        if done.exit_code not in known:
            raise ExecLostError(f"execution {self.execution_id}: {done.words}")
        return done.exit_code

    def __repr__(self) -> str:
        return f"AsyncExecution(execution_id={self.execution_id!r})"


def _accept(code: int) -> None:
    if code == OVER:
        raise DevboxGatewayError("the command has ended; nothing reads its stdin")
    if code == NO_STDIN:
        raise InvalidError("attach_stdin", "the command was started without a stdin; start it with attach_stdin=True")
    if code == STDIN_ENDED:
        raise DevboxGatewayError("its stdin was ended before")


async def _once(content: bytes) -> AsyncIterator[bytes]:
    yield content
