"""The last bytes of what our scripts print: they arrive, or it is known that they did not.

Kubernetes promises neither: when a process ends, the node's side closes the connection, and the API server drops what it has read and not
passed on yet (a slow client of a command that prints hundreds of MiB loses the last MiB or two, and is told "Success"). So a script says on
both streams that they are at their end, and stays until that was heard (scripts.LAST); until then nobody closes anything.

Goes in: the pieces of one exec. Comes out: the same without those words, and at last its exit code.
"""

import re
import secrets
from collections.abc import AsyncIterator
from contextlib import aclosing, suppress
from typing import Final

from devbox_gateway.errors import DevboxGatewayError, ExecLostError
from devbox_gateway.kube.timing import within

from . import scripts
from .channels import STDERR, STDOUT, Channels, Ended

PART_SECONDS: Final = 5.0
"""For a script to end that has heard that all has come."""
_MOST_CODE: Final = 255
KILLED: Final = 128
"""Exit codes from here on are signals': a script that was killed could not say anything."""
_CODE: Final = re.compile(rb"0|[1-9][0-9]{0,2}")
_LONGEST: Final = 3
"""Digits of an exit code."""


class Ending:
    """Of one exec."""

    def __init__(self) -> None:
        self._word = secrets.token_hex(8)
        self._tails = {STDOUT: _Tail(self._word), STDERR: _Tail(self._word)}

    def script(self, script: str) -> str:
        """One that ends with scripts.LAST, for this exec."""
        return f"m={self._word}\n{script}"

    def around(self, script: str) -> str:
        """Any other script."""
        return self.script(f"(\n{script}\n){scripts.LAST}")

    async def pieces(self, channels: Channels) -> AsyncIterator[tuple[int, bytes] | Ended]:
        """Raises ExecLostError where it has ended and not all of its output has come."""
        async with aclosing(channels.pieces()) as pieces:  # type: ignore[type-var]
            async for piece in pieces:
                if isinstance(piece, Ended):
                    if piece.exit_code < KILLED:
                        raise ExecLostError("it has ended, and the last part of what it printed was lost on the way")
                    for channel, tail in self._tails.items():
                        if tail.held:
                            yield channel, tail.held
                    yield piece
                    return
                channel, data = piece
                if shown := self._tails[channel].feed(data):
                    yield channel, shown
                code = self._tails[STDOUT].code
                if code is not None and self._tails[STDERR].code is not None:
                    yield Ended(code)
                    return

    async def heard(self, channels: Channels) -> None:
        """Tell the script, where its stdin is open still, and let it end. (What it was to read and has not, it reads first.)"""
        await channels.stop_feeding()
        with suppress(DevboxGatewayError, TimeoutError):
            await within(PART_SECONDS, _part(channels, f"\n{self._word}\n".encode()))


async def _part(channels: Channels, word: bytes) -> None:
    await channels.send(word)
    async for piece in channels.pieces():
        if isinstance(piece, Ended):
            return


class _Tail:
    """Of one stream: what may be the beginning of the last word is held back."""

    def __init__(self, word: str) -> None:
        self._mark = b"\036" + word.encode() + b" "
        self.held = b""
        self.code: int | None = None

    def feed(self, data: bytes) -> bytes:
        if self.code is not None:
            return b""  # (of what the command left running)
        data = self.held + data
        place = data.find(self._mark)
        if place >= 0:
            code, newline, _ = data[place + len(self._mark) :].partition(b"\n")
            if len(code) > _LONGEST or (newline and not (_CODE.fullmatch(code) and int(code) <= _MOST_CODE)):
                raise ExecLostError("the devbox's /bin/sh is none that commands can be run with")
            if newline:
                self.code = int(code)
                self.held = b""
            else:
                self.held = data[place:]
            return data[:place]
        last = data.rfind(self._mark[:1], max(0, len(data) - len(self._mark)))
        place = last if last >= 0 and self._mark.startswith(data[last:]) else len(data)
        self.held = data[place:]
        return data[:place]
