"""`python -m tests.attacks.control`: the healthy client of I7, with an API of its own, in a process that nothing else slows down.

Goes in: on standard input, one JSON line with where the gateway is, the certificate files and a token. Comes out: a line per request,
its latency in seconds or the word for what went wrong. 50 requests a second until it is killed.
"""

import asyncio
import json
import ssl
import sys
from pathlib import Path
from typing import Any, Final

import uvloop
from tests.support.gateway_process import HOST, server_tls
from tests.support.raw_client import RawClient
from tests.support.recorder import recorder

RATE: Final = 50.0
SECONDS: Final = 10.0


async def _connection(order: dict[str, Any], trust: ssl.SSLContext, request: bytes) -> None:
    loop = asyncio.get_running_loop()
    address = (order["host"], order["port"])
    async with await RawClient.connect(address, source=order["source"], tls=trust, server_hostname=HOST) as client:
        while True:
            started = loop.time()
            client.received.clear()
            client.arrivals.clear()
            await client.send(request)
            if not await client.until(lambda client: client.received.endswith(b"ok") or client.ended is not None, SECONDS):
                raise TimeoutError
            if client.ended or not client.received.startswith(b"HTTP/1.1 200 "):
                raise ConnectionError(client.received[9:12].decode("latin-1") or f"closed: {client.ended}")
            sys.stdout.write(f"{loop.time() - started:.4f}\n")
            sys.stdout.flush()
            await asyncio.sleep(max(0.0, 1 / RATE - (loop.time() - started)))


async def main() -> None:
    """For ever."""
    order = json.loads(sys.stdin.readline())
    folder = Path(order["folder"])
    trust = ssl.create_default_context(cafile=str(folder / "ca.crt"))
    request = f"GET /control HTTP/1.1\r\nHost: {HOST}\r\nAuthorization: Bearer {order['token']}\r\n\r\n".encode()
    async with recorder(order["api"], server_tls(folder)) as api:
        api.keep = False
        while True:
            try:
                await _connection(order, trust, request)
            except (OSError, TimeoutError) as error:
                sys.stdout.write(f"{type(error).__name__} {error}\n")
                sys.stdout.flush()
                await asyncio.sleep(0.1)


if __name__ == "__main__":
    uvloop.run(main())
