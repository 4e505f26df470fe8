"""Another devbox and its API, in a process of their own: `python -m bench.searching_other`, called by bench/searching.py.

Goes in, on standard input: JSON with the gateway's port, the files of its certificates, a token, where the API is to listen, seconds. Comes
out, on standard output: the seconds that each small request took, as JSON. Of its own, since who downloads, answers and measures in one
process measures its own turns.
"""

import asyncio
import json
import ssl
import sys
import time
from typing import Any, Final

from tests.support.gateway_process import HOST

from .load import BadRun

ANSWER: Final = b"HTTP/1.1 200 OK\r\nContent-Length: 200\r\n\r\n" + b"y" * 200
PAUSE_SECONDS: Final = 0.005
"""Between an answer and the next request, in which the gateway does what else there is."""


async def answers(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """The API."""
    try:
        while True:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(ANSWER)
    except (asyncio.IncompleteReadError, ConnectionError):
        writer.close()


async def main(
    *, source: str, port: int, certificates: dict[str, str], token: str, api: tuple[str, int], seconds: float
) -> list[float]:
    """One connection, one request after another."""
    own = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    own.load_cert_chain(certificates["certificate"], certificates["key"])
    answering: set[asyncio.Task[None]] = set()

    def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        answering.add(asyncio.create_task(answers(reader, writer)))

    async with await asyncio.start_server(answer, *api, ssl=own, reuse_address=True):
        trust = ssl.create_default_context(cafile=certificates["ca"])
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", port, ssl=trust, server_hostname=HOST, local_addr=(source, 0)
        )  # fmt: skip
        request = f"GET / HTTP/1.1\r\nHost: {HOST}\r\nx-api-key: {token}\r\n\r\n".encode()
        took, until = list[float](), time.monotonic() + seconds
        while time.monotonic() < until:
            started = time.monotonic()
            writer.write(request)
            head = await reader.readuntil(b"\r\n\r\n")
            if not head.startswith(b"HTTP/1.1 200 "):
                raise BadRun(head.decode("latin-1"))
            await reader.readexactly(200)
            took.append(time.monotonic() - started)
            await asyncio.sleep(PAUSE_SECONDS)
        writer.close()
        # (The gateway keeps its connections; whoever ends with tasks that are still at work has their ends printed.)
        for task in answering:
            task.cancel()
        await asyncio.gather(*answering, return_exceptions=True)
    return took


if __name__ == "__main__":
    asked: dict[str, Any] = json.load(sys.stdin)
    json.dump(asyncio.run(main(**asked)), sys.stdout)
