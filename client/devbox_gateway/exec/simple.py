"""One of our own scripts in a devbox: some input, all of its output, its exit code."""

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Final

from devbox_api.judge.shown import one_line
from devbox_gateway.errors import ExecLostError
from devbox_gateway.kube.session import Session

from . import scripts
from .channels import STDOUT, Ended, open_channels
from .ending import Ending

MOST_OUT: Final = 64 << 20
MOST_ERR: Final = 64 << 10
"""Bytes that are kept in memory: what runs in a devbox may print for ever."""
_MOST_WORDS: Final = 1000


@dataclass(frozen=True)
class Done:
    """How it ended."""

    exit_code: int
    stdout: bytes
    stderr: str

    @property
    def words(self) -> str:
        """What the devbox says of it, for a sentence of ours: in one line, so that it never reads like a line of our own."""
        said = one_line(self.stderr[:_MOST_WORDS])
        return f"the devbox says: {said}" if said else f"exit code {self.exit_code}"


async def run(
    session: Session,
    pod: str,
    script: str,
    *arguments: str,
    stdin: AsyncIterator[bytes] | None = None,
    sink: Callable[[bytes], object] | None = None,
) -> Done:
    """Run it. `stdin`: must be as long as the script reads. `sink` gets stdout as it comes, in place of the result."""
    ending = Ending()
    channels = await open_channels(session, pod, scripts.argv(ending.around(script), *arguments))
    out, err = bytearray(), bytearray()
    try:
        if stdin is not None:
            channels.feed(stdin, end=False)
        async for found in ending.pieces(channels):
            if isinstance(found, Ended):
                await ending.heard(channels)
                return Done(found.exit_code, bytes(out), err.decode("utf-8", "replace"))
            channel, data = found
            if channel != STDOUT:
                err += data[: MOST_ERR - len(err)]
            elif sink is not None:
                sink(data)
            elif len(out) + len(data) <= MOST_OUT:
                out += data
            else:
                raise ExecLostError(f"exec in pod {pod}: it prints more than {MOST_OUT >> 20} MiB")
    finally:
        await channels.close()
    raise ExecLostError(f"exec in pod {pod}: it ended without saying how")
