"""The operator's admin port, of a real process that may have few files: silent connections take none from the kubelet's probes."""

import asyncio
import contextlib
import urllib.request

from tests.support.programs import limit_of, said, started

from devbox_common import adminport

LIMIT = 1024
MANY = 1100


Pair = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def _flood(port: int) -> list[Pair]:
    pairs = []
    for _ in range(MANY):
        with contextlib.suppress(OSError):
            pairs.append(await asyncio.open_connection("127.0.0.1", port, local_addr=("127.0.0.2", 0)))
    return pairs


def _held(pairs: list[Pair]) -> int:
    return sum(not reader.at_eof() and reader.exception() is None for reader, _ in pairs)


def _health(port: int) -> str:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz", timeout=3) as response:
        return str(response.read(), "ascii")


async def test_silent_connections_take_no_file_that_it_needs(unused_tcp_port: int) -> None:
    with started("devbox_operator", files=(LIMIT, LIMIT), adminPort=unused_tcp_port) as process:
        told = said(process, "open_files")
        assert told["limit"] == LIMIT
        said(process, "waiting_for_api")
        pairs = await _flood(unused_tcp_port)
        try:
            for _ in range(3):
                assert await asyncio.to_thread(_health, unused_tcp_port) == "ok\n"
            assert limit_of(process.pid, "Max open files") == (str(LIMIT), str(LIMIT))
            async with asyncio.timeout(10):
                while _held(pairs) > adminport.PER_ADDRESS:  # noqa: ASYNC110 (another process)
                    await asyncio.sleep(0.05)
        finally:
            for _, writer in pairs:
                writer.transport.abort()
