"""`devbox.cmd`: run a command, wait for it, read what it printed.

Goes in: a line for a shell. Comes out: an `AsyncExecutionResult`. A command that is given up (time-out, cancellation) is ended, with its
process group.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

from devbox_gateway.errors import APITimeoutError
from devbox_gateway.given import content_of
from devbox_gateway.kube.session import Session
from devbox_gateway.kube.timing import within
from devbox_gateway.polling import seconds_of

from . import scripts
from .executions import AsyncExecution
from .output import AsyncExecutionResult, Stream, TextCallback, check_callback
from .running import Run

Pod = Callable[[], Awaitable[str]]
"""Which pod is the devbox's now, as namespace/name."""


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
        attach_stdin: bool = False,
        timeout: float | None = None,
        polling_config: object = None,
        idempotency_key: str | None = None,
    ) -> AsyncExecutionResult:
        """Run it in a login shell in $HOME, and wait for its end. stdin: what it reads; nothing unless given.

        attach_stdin: stdin stays open behind that, so that a command that reads on waits until it is ended; to send more later, use
        `exec_async`. The callbacks (`output` gets both streams) are plain functions, and are given text as it comes. `timeout` (seconds,
        also as `polling_config`): then the command is ended, and APITimeoutError raised. `idempotency_key` is accepted: a command is
        never sent twice. Raises ExecLostError where the devbox or the connection dies under it.
        """
        for name, callback in (("stdout", stdout), ("stderr", stderr), ("output", output)):
            check_callback(name, callback)
        framed = scripts.framed(command)
        timeout = seconds_of(timeout, polling_config)
        given = None if stdin is None else content_of("stdin", stdin)
        if attach_stdin and given is None:
            given = b""
        out, err = Stream(stdout, output), Stream(stderr, output)
        run = Run(self._session, await self._pod())
        script = scripts.RUN if given is None else scripts.RUN_ATTACHED
        try:
            code = await within(
                timeout,
                run.until_end(script, (), framed, None if given is None else _stdin(given, attach_stdin), out=out, err=err),
            )
        except TimeoutError:
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
        idempotency_key: str | None = None,
    ) -> AsyncExecution:
        """Start it in the background, in the same kind of shell; it goes on without this client.

        The callbacks are as for `exec`, and are called while `result()` waits. attach_stdin: it reads what `send_std_in` sends, until
        `close_std_in`; else its stdin is empty.
        """
        for name, callback in (("stdout", stdout), ("stderr", stderr), ("output", output)):
            check_callback(name, callback)
        execution = AsyncExecution(self._session, await self._pod(), self._devbox_id, (stdout, stderr, output))
        await execution.start(command, attach_stdin)
        return execution

    async def execution(self, execution_id: str) -> AsyncExecution:
        """The one of that id that `exec_async` started, in this process or another. Raises NotFoundError: it is forgotten after an hour.

        Its `result()` has all that it has printed since its beginning.
        """
        found = AsyncExecution(self._session, await self._pod(), self._devbox_id, execution_id=execution_id)
        await found.get_state()
        return found


async def _stdin(given: bytes, stays_open: bool) -> AsyncIterator[bytes]:
    yield given
    if stays_open:
        await asyncio.Event().wait()
