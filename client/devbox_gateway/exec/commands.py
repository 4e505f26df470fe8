"""`devbox.cmd`: run a command, wait for it, read what it printed.

Goes in: a line for a shell. Comes out: an `AsyncExecutionResult`. A command that is given up (time-out, cancellation) is ended, with its
process group.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Final

from devbox_gateway.errors import APITimeoutError, DevboxGatewayError, ExecLostError
from devbox_gateway.kube.session import Session

from . import scripts
from .channels import STDOUT, Channels, Ended, open_channels
from .executions import AsyncExecution
from .output import AsyncExecutionResult, Stream, TextCallback, check_callback

Pod = Callable[[], Awaitable[str]]
"""Which pod is the devbox's now, as namespace/name."""
GRACE_SECONDS: Final = 5.0
"""Between TERM and KILL."""
END_SECONDS: Final = 15.0
_LONGEST_PID: Final = 16


class AsyncCommands:
    """Of one devbox."""

    def __init__(self, session: Session, pod: Pod, devbox_id: str) -> None:
        self._session, self._pod, self._devbox_id = session, pod, devbox_id

    async def exec(
        self,
        command: str,
        *,
        stdout: TextCallback | None = None,
        stderr: TextCallback | None = None,
        output: TextCallback | None = None,
        stdin: str | bytes | None = None,
        timeout: float | None = None,
    ) -> AsyncExecutionResult:
        """Run it in a login shell in $HOME, and wait for its end. stdin: what it reads; nothing unless given.

        The callbacks (`output` gets both streams) are plain functions, and are given text as it comes. `timeout` (seconds): then the
        command is ended, and APITimeoutError raised. Raises ExecLostError where the devbox or the connection dies under it.
        """
        for name, callback in (("stdout", stdout), ("stderr", stderr), ("output", output)):
            check_callback(name, callback)
        framed = scripts.framed(command)
        given = stdin.encode() if isinstance(stdin, str) else stdin
        out, err = Stream(stdout, output), Stream(stderr, output)
        run = _Run(self._session, await self._pod())
        try:
            code = await asyncio.wait_for(run.until_end(framed, given, out, err), timeout)
        except (asyncio.TimeoutError, TimeoutError):
            await run.end()
            raise APITimeoutError(f"the command did not end within {timeout:g} s and was ended") from None
        except asyncio.CancelledError:
            await asyncio.shield(run.end())
            raise
        return AsyncExecutionResult(code, out, err, self._devbox_id)

    async def exec_async(
        self,
        command: str,
        *,
        stdout: TextCallback | None = None,
        stderr: TextCallback | None = None,
        output: TextCallback | None = None,
        attach_stdin: bool = False,
    ) -> AsyncExecution:
        """Start it in the background, in the same kind of shell; it goes on without this client.

        The callbacks are as for `exec`, and are called while `result()` waits.
        """
        for name, callback in (("stdout", stdout), ("stderr", stderr), ("output", output)):
            check_callback(name, callback)
        execution = AsyncExecution(self._session, await self._pod(), self._devbox_id, (stdout, stderr, output))
        await execution.start(command, attach_stdin)
        return execution


class _Run:
    """One command on its way."""

    def __init__(self, session: Session, pod: str) -> None:
        self._session, self._pod = session, pod
        self._group = b""

    async def until_end(self, framed: bytes, stdin: bytes | None, out: Stream, err: Stream) -> int:
        script = scripts.RUN if stdin is None else scripts.RUN_ATTACHED
        channels = await open_channels(self._session, self._pod, scripts.argv(script))
        feeding = asyncio.ensure_future(_feed(channels, framed, stdin))
        try:
            async for piece in channels.pieces():
                if isinstance(piece, Ended):
                    out.feed(b"", last=True)
                    err.feed(b"", last=True)
                    return piece.exit_code
                channel, data = piece
                if channel == STDOUT:
                    out.feed(self._after_group(data))
                else:
                    err.feed(data)
        except asyncio.CancelledError:
            # (It may have begun, and could not be ended without its group.)
            with suppress(DevboxGatewayError, asyncio.TimeoutError):
                await asyncio.wait_for(self._learn_group(channels), GRACE_SECONDS)
            raise
        finally:
            feeding.cancel()
            with suppress(asyncio.CancelledError, DevboxGatewayError):
                await feeding
            await channels.close()
        raise ExecLostError(f"exec in pod {self._pod}: it ended without saying how")

    async def _learn_group(self, channels: Channels) -> None:
        """Read on until it is known."""
        pieces = channels.pieces()
        while not self._group.endswith(b"\n"):
            piece = await pieces.__anext__()
            if isinstance(piece, Ended):
                return
            if piece[0] == STDOUT:
                self._after_group(piece[1])

    def _after_group(self, data: bytes) -> bytes:
        """Without the first line, which is the process group."""
        if self._group.endswith(b"\n"):
            return data
        first, newline, rest = data.partition(b"\n")
        self._group += first + newline
        if len(self._group) > _LONGEST_PID:
            raise ExecLostError("the devbox's /bin/sh is none that commands can be run with")
        return rest

    async def end(self) -> None:
        """TERM, and KILL a little later, for the whole group; where it can't be reached any more, nothing."""
        if not self._group.strip().isdigit():
            return
        group = self._group.strip().decode()
        with suppress(DevboxGatewayError, asyncio.TimeoutError):
            await asyncio.wait_for(self._signal("TERM", group), END_SECONDS)
            await asyncio.wait_for(self._signal("KILL", group, after=GRACE_SECONDS), END_SECONDS + GRACE_SECONDS)

    async def _signal(self, name: str, group: str, after: float = 0.0) -> None:
        await asyncio.sleep(after)
        channels = await open_channels(self._session, self._pod, scripts.argv(scripts.END, name, group), stdin=False)
        try:
            async for _ in channels.pieces():
                pass
        finally:
            await channels.close()


async def _feed(channels: Channels, framed: bytes, stdin: bytes | None) -> None:
    await channels.send(framed)
    if stdin is not None:
        await channels.send(stdin)
        await channels.end_stdin()
