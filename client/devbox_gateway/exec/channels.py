"""One pods/exec over a WebSocket: five channels on one connection.

Goes in: a session, a pod, an argv. Comes out: pieces of stdout and stderr, and how it ended. v5 of the protocol where the API server has
it, else v4, which can't say that stdin has ended (closing the connection would cut the output off).
Source: https://kubernetes.io/docs/reference/using-api/websockets/ and KEP 4006.
"""

import asyncio
import json
import re
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractContextManager, ExitStack, nullcontext, suppress
from dataclasses import dataclass
from typing import Any, Final

import aiohttp

from devbox_api.judge.shown import one_line
from devbox_gateway.errors import DevboxGatewayError, ExecLostError, InvalidError, NotFoundError
from devbox_gateway.kube.session import NotOpenedError, Session

from .pod import Pod

STDIN, STDOUT, STDERR, ERROR, RESIZE, CLOSE = 0, 1, 2, 3, 4, 255
V5: Final = "v5.channel.k8s.io"
V4: Final = "v4.channel.k8s.io"
PROTOCOLS: tuple[str, ...] = (V5, V4)
"""The first one that the API server has."""
QUIET_SECONDS: Final = 30.0
"""Without a byte: then the other side is asked whether it is there."""
DEAD_SECONDS: Final = 30.0
"""Without an answer to that."""
_ASKED: Final = re.compile(r'\b(?:Get|Post) "[^"]*": ')
"""Within what the API server says of a node that it does not reach: a URL that holds the whole of our script."""
PIECE: Final = 1 << 15
"""Bytes of stdin in one message: the API server reads 32 KiB at a time."""


@dataclass(frozen=True)
class Ended:
    """How the process ended."""

    exit_code: int


class Channels:
    """One running process. Use `open_channels`, and `close()` at the end."""

    def __init__(
        self, socket: "aiohttp.ClientWebSocketResponse[Any]", what: str, in_use: AbstractContextManager[None] | None = None
    ) -> None:
        """`in_use`: for as long as it is open."""
        self._socket, self._what = socket, what
        self._in_use = ExitStack()
        self._in_use.enter_context(in_use or nullcontext())
        self._next: asyncio.Future[aiohttp.WSMessage] | None = None
        self._feeding: asyncio.Future[None] | None = None
        self._failed: asyncio.Future[Exception] = asyncio.get_running_loop().create_future()
        self.can_end_stdin = socket.protocol == V5
        self.sending = False
        """Part of what is fed waits for a reader."""
        self.stdin_ended = False

    async def send(self, data: bytes) -> None:
        """Write to stdin; returns once it is on its way, so that a slow reader slows the writer down."""
        for start in range(0, len(data), PIECE):
            await self._send(bytes((STDIN,)) + data[start : start + PIECE])

    def feed(self, pieces: AsyncIterator[bytes], *, end: bool) -> None:
        """Send them beside all that is read; `end`: then say that nothing more comes. Whoever reads gets an error of `pieces`."""
        self._feeding = asyncio.ensure_future(self._feed(pieces, end))

    async def _feed(self, pieces: AsyncIterator[bytes], end: bool) -> None:
        try:
            async for piece in pieces:
                self.sending = True
                await self.send(piece)
                self.sending = False
            if end:
                await self.end_stdin()
        except ExecLostError:
            pass  # (whoever reads is told so, behind what came before it)
        except Exception as error:  # (the caller's own, of whatever kind)
            self._failed.set_result(error)

    async def stop_feeding(self) -> None:
        """What has not been sent is not."""
        if self._feeding is not None:
            self._feeding.cancel()
            with suppress(asyncio.CancelledError):
                await self._feeding

    def check_end(self) -> None:
        """That `end_stdin` can be said. Raises InvalidError."""
        if not self.can_end_stdin:
            raise InvalidError(
                "attach_stdin", "this API server speaks v4 of the exec protocol, where stdin can't be ended; it needs 1.30"
            )

    async def end_stdin(self) -> None:
        """Say that nothing more comes."""
        self.check_end()
        await self._send(bytes((CLOSE, STDIN)))
        self.stdin_ended = True

    async def resize(self, columns: int, rows: int) -> None:
        """Of a terminal."""
        await self._send(bytes((RESIZE,)) + json.dumps({"Width": columns, "Height": rows}).encode())

    async def _send(self, message: bytes) -> None:
        try:
            await self._socket.send_bytes(message)
        except (aiohttp.ClientError, OSError):
            raise ExecLostError(f"{self._what}: the connection broke while input was sent") from None

    async def pieces(self) -> AsyncIterator[tuple[int, bytes] | Ended]:
        """(channel, bytes) as they come, and at last `Ended`. Raises ExecLostError where it is not known how it ended."""
        while True:
            message = await self._receive()
            if message.type is aiohttp.WSMsgType.BINARY and message.data:
                channel, data = message.data[0], message.data[1:]
                if channel == ERROR:
                    yield _ended(self._what, data)
                    return
                if channel in (STDOUT, STDERR) and data:
                    yield channel, data
            elif message.type is aiohttp.WSMsgType.PING:
                await self._socket.pong(message.data)
            elif message.type in (
                aiohttp.WSMsgType.CLOSE,
                aiohttp.WSMsgType.CLOSING,
                aiohttp.WSMsgType.CLOSED,
                aiohttp.WSMsgType.ERROR,
            ):
                raise ExecLostError(f"{self._what}: the connection broke before its end was known; it may run still")

    async def _receive(self) -> aiohttp.WSMessage:
        """(Only while somebody waits for it is silence counted: a caller that is slow is no connection that is dead.)"""
        for patience, ask in ((QUIET_SECONDS, True), (DEAD_SECONDS, False)):
            if self._next is None:
                self._next = asyncio.ensure_future(self._socket.receive())
            # (It stays where we are cancelled: nothing that came is lost, and no cancellation is.)
            either: set[asyncio.Future[Any]] = {self._next, self._failed}
            done, _ = await asyncio.wait(either, timeout=patience, return_when=asyncio.FIRST_COMPLETED)
            if self._next in done:
                found, self._next = self._next, None
                return found.result()
            if done:
                raise self._failed.result()
            if not ask:
                break
            try:
                await self._socket.ping()
            except (aiohttp.ClientError, OSError):
                break
        raise ExecLostError(f"{self._what}: the API server is silent; it may run still")

    async def close(self) -> None:
        """Leave it. The process is not ended by that."""
        self._in_use.close()
        await self.stop_feeding()
        if self._next is not None:
            self._next.cancel()
            with suppress(asyncio.CancelledError, Exception):
                await self._next
        await self._socket.close()


async def open_channels(
    session: Session,
    pod: str,
    argv: Sequence[str],
    *,
    stdin: bool = True,
    tty: bool = False,
) -> Channels:
    """Start it in container `devbox` of `namespace/name`. Raises the errors of errors.py."""
    namespace, _, name = pod.partition("/")
    query = [("container", "devbox"), ("stdout", "true"), *(("command", part) for part in argv)]
    query += [("tty", "true")] if tty else [("stderr", "true")]
    query += [("stdin", "true")] if stdin else []
    try:
        socket = await session.websocket(f"/api/v1/namespaces/{namespace}/pods/{name}/exec", query, PROTOCOLS)
    except (NotOpenedError, NotFoundError) as error:
        if isinstance(pod, Pod):
            raise await pod.reason(error) from None
        raise
    return Channels(socket, f"exec in pod {name}", pod.in_use() if isinstance(pod, Pod) else None)


def _ended(what: str, data: bytes) -> Ended:
    """Of the last message, a metav1.Status."""
    try:
        status = json.loads(data)
        if status["status"] == "Success":
            return Ended(0)
        message = str(status.get("message") or "")
        if status.get("reason") == "NonZeroExitCode":
            return Ended(next(int(cause["message"]) for cause in status["details"]["causes"] if cause["reason"] == "ExitCode"))
    except (ValueError, KeyError, TypeError, StopIteration):
        raise ExecLostError(f"{what}: its end can't be read") from None
    raise _failure(what, message)


def _failure(what: str, message: str) -> DevboxGatewayError:
    if "executable file not found" in message or "no such file or directory" in message:
        return InvalidError("image", "the devbox's image has no /bin/sh, which commands and files need")
    return ExecLostError(f"{what}: {one_line(_ASKED.sub('', message))}")
