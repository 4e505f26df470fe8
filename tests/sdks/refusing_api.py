"""A server that gives a client the gateway's refusals, byte for byte as the gateway writes them (wire/rendering.py), one after the other.

Goes in: a refusal. Comes out: how many requests a client makes of it. What leads to each refusal is shown elsewhere (unit tests, attacks);
here it is what a client makes of its bytes, however hard it is to come by in a real gateway. By hand, for clients that are no SDKs:
`python -m tests.sdks.refusing_api PORT`, whose paths begin with the refusal's code (http://127.0.0.1:PORT/credential_gone).
"""

import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator

from devbox_api.judge.refusals import Refusal
from devbox_proxy.wire import rendering

CODES = {refusal.code: refusal for refusal in Refusal}


class Refusing:
    """One that listens."""

    def __init__(self) -> None:
        self.says = Refusal.INTERNAL
        self.requests = 0
        """Since it was last set to 0."""
        self.url = ""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection: one request, one refusal, as after most of them."""
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            method, target, _ = head.split(" ", 2)
            lengths = [line.partition(":")[2] for line in head.lower().split("\r\n") if line.startswith("content-length:")]
            await reader.readexactly(int(lengths[0]) if lengths else 0)
            self.requests += 1
            refusal = CODES.get(target.split("/")[1].partition("?")[0], self.says)
            writer.write(rendering.refusal(refusal, f"req_{self.requests}", to_head=method == "HEAD"))
            await writer.drain()
        writer.close()


@contextlib.asynccontextmanager
async def refusing(port: int = 0) -> AsyncIterator[Refusing]:
    """A running one, on loopback."""
    result = Refusing()
    server = await asyncio.start_server(result.serve, "127.0.0.1", port)
    result.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield result
    finally:
        server.close()


async def _by_hand(port: int) -> None:
    async with refusing(port):
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(_by_hand(int(sys.argv[1])))
