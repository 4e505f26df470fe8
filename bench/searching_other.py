"""Another devbox's latency, in a process of its own: `python -m bench.searching_other`, called by bench/searching.py.

Goes in, on standard input: JSON with the gateway's port, the CA's file, a token, seconds. Comes out, on standard output: the seconds that
each small request took, as JSON. Of its own, since who downloads, answers and measures in one process measures its own turns.
"""

import asyncio
import json
import ssl
import sys
import time
from typing import Any

from tests.support.gateway_process import HOST

from .load import BadRun

PAUSE_SECONDS = 0.005
"""Between an answer and the next request, in which the gateway does what else there is."""


async def main(*, host: str, port: int, trust: str, token: str, path: str, seconds: float) -> list[float]:
    """One connection, one request after another."""
    context = ssl.create_default_context(cafile=trust)
    reader, writer = await asyncio.open_connection(
        "127.0.0.1", port, ssl=context, server_hostname=HOST, local_addr=(host, 0)
    )  # fmt: skip
    request = f"GET {path} HTTP/1.1\r\nHost: {HOST}\r\nx-api-key: {token}\r\n\r\n".encode()
    took, until = list[float](), time.monotonic() + seconds
    while time.monotonic() < until:
        started = time.monotonic()
        writer.write(request)
        head = await reader.readuntil(b"\r\n\r\n")
        if not head.startswith(b"HTTP/1.1 200 "):
            raise BadRun(head.decode("latin-1"))
        await reader.readexactly(int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0]))
        took.append(time.monotonic() - started)
        await asyncio.sleep(PAUSE_SECONDS)
    writer.close()
    return took


if __name__ == "__main__":
    asked: dict[str, Any] = json.load(sys.stdin)
    json.dump(asyncio.run(main(**asked)), sys.stdout)
