"""One of our own scripts in a devbox: some input, all of its output, its exit code."""

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass

from devbox_gateway.errors import ExecLostError
from devbox_gateway.kube.session import Session

from . import scripts
from .channels import STDOUT, Ended, open_channels
from .ending import Ending


@dataclass(frozen=True)
class Done:
    """How it ended."""

    exit_code: int
    stdout: bytes
    stderr: str


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
                err += data
            elif sink is not None:
                sink(data)
            else:
                out += data
    finally:
        await channels.close()
    raise ExecLostError(f"exec in pod {pod}: it ended without saying how")
