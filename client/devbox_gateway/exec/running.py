"""One command on its way, until its end is known, or until it is ended: for `exec`, and for the command line's terminals.

Goes in: a script of ours, what it reads, where its output goes. Comes out: an exit code. The first line of the script's stdout is its
process group, which signals are sent to.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from typing import Final, Protocol

from devbox_gateway.errors import DevboxGatewayError, ExecLostError
from devbox_gateway.kube.session import Session
from devbox_gateway.kube.timing import within

from . import scripts
from .channels import STDOUT, Channels, Ended, open_channels
from .ending import Ending

GRACE_SECONDS: Final = 5.0
"""Between TERM and KILL, and for the process group to be known."""
END_SECONDS: Final = 20.0
_LONGEST_PID: Final = 16


class Sink(Protocol):
    """Where a stream goes."""

    def feed(self, data: bytes, *, last: bool = False) -> object:
        """More of it."""


class Run:
    """One command."""

    def __init__(self, session: Session, pod: str) -> None:
        self._session, self._pod = session, pod
        self._group = b""
        self._channels: Channels | None = None
        self._begun = asyncio.Event()
        self._tty = False

    async def until_end(
        self,
        script: str,
        arguments: Sequence[str],
        first: bytes,
        stdin: AsyncIterator[bytes] | None,
        *,
        out: Sink,
        err: Sink,
        tty: bool = False,
    ) -> int:
        """Its exit code. `first`: what the script itself reads; `stdin`: what its command does, to its end, unless it has a terminal."""
        self._tty = tty
        # (What a terminal shows last is no file, and nobody there waits for a word.)
        ending = None if tty else Ending()
        argv = scripts.argv(script if ending is None else ending.script(script), *arguments)
        channels = self._channels = await open_channels(self._session, self._pod, argv, tty=tty)
        if tty and stdin is not None:
            stdin = self._after_beginning(stdin)
        try:
            if stdin is not None and not tty:
                channels.check_end()
            channels.feed(_behind(first, stdin), end=stdin is not None and channels.can_end_stdin)
            async for piece in channels.pieces() if ending is None else ending.pieces(channels):
                if isinstance(piece, Ended):
                    out.feed(b"", last=True)
                    err.feed(b"", last=True)
                    if ending is not None:
                        await self._part(channels, ending)
                    return piece.exit_code
                channel, data = piece
                if channel == STDOUT:
                    out.feed(self._after_group(data))
                else:
                    err.feed(data)
        except asyncio.CancelledError:
            # (It may have begun, and could not be ended without its group.)
            with suppress(DevboxGatewayError, TimeoutError):
                await within(GRACE_SECONDS, self._learn_group(channels))
            raise
        finally:
            self._channels = None
            await channels.close()
        raise ExecLostError(f"exec in pod {self._pod}: it ended without saying how")

    async def _part(self, channels: Channels, ending: Ending) -> None:
        """All has come: the script may end. By its stdin, or, where that has been ended or is full, by a signal to it alone."""
        full = channels.sending
        await channels.stop_feeding()
        if channels.stdin_ended or full:
            await self._send(scripts.LET_GO, "TERM")
        else:
            await ending.heard(channels)

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
        if newline:
            self._begun.set()
        if len(self._group) > _LONGEST_PID:
            raise ExecLostError("the devbox's /bin/sh is none that commands can be run with")
        return rest

    async def _after_beginning(self, stdin: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        """(What is typed before that, its terminal would echo in front of the first line.)"""
        await self._begun.wait()
        async for piece in stdin:
            yield piece

    @property
    def group(self) -> str:
        """Empty while it is not known."""
        found = self._group.strip()
        return found.decode() if self._group.endswith(b"\n") and found.isdigit() else ""

    async def resize(self, columns: int, rows: int) -> None:
        """Of its terminal."""
        if self._channels is not None:
            await self._channels.resize(columns, rows)

    async def signal(self, name: str) -> None:
        """One for the whole group, e.g. INT; where it can't be reached any more, nothing."""
        await self._send(scripts.SIGNAL, name)

    async def end(self, name: str = "TERM") -> None:
        """That signal, and KILL where it is not gone after a little while; where it can't be reached any more, nothing."""
        await self._send(scripts.END_IN_TERMINAL if self._tty else scripts.END, name)

    async def _send(self, script: str, name: str) -> None:
        if not self.group:
            return
        with suppress(DevboxGatewayError, TimeoutError):
            await within(END_SECONDS, self._run(scripts.argv(script, name, self.group)))

    async def _run(self, argv: Sequence[str]) -> None:
        channels = await open_channels(self._session, self._pod, argv, stdin=False)
        try:
            async for _ in channels.pieces():
                pass
        finally:
            await channels.close()


async def _behind(first: bytes, stdin: AsyncIterator[bytes] | None) -> AsyncIterator[bytes]:
    if first:
        yield first
    if stdin is not None:
        async for piece in stdin:
            yield piece
