"""What it costs to search an API's answers for its credential, and what that costs other devboxes: `python -m bench.searching`.

Goes in: nothing. Comes out: a table of processor time per MiB, each body searched and not, in turn, and another devbox's latency while
one downloads eight of each. The gateway is a real process with TLS on both sides; API and clients are here. Network: loopback.
"""

import argparse
import asyncio
import contextlib
import json
import os
import statistics
import subprocess
import sys
from collections.abc import AsyncIterator
from typing import Final, NamedTuple

from tests.support.addresses import own_address
from tests.support.control_plane import free_port
from tests.support.gateway_process import HOST, Stage, stage
from tests.support.kube_api import Cluster, Devbox
from tests.support.token_reviews import AT_ONCE

from .load import BadRun

NAME: Final = "api.bench.example"
OTHER: Final = "other.bench.example"
SECRET: Final = "sk-ant-api03-" + "Zm9vYmFyLWJhei1xdXV4LTAxMjM0NTY3ODk" * 2 + "-AA"
MIB: Final = 1 << 20
BODIES: Final = {
    "lines of JSON": b'{"id": 17, "text": "hello, world", "n": [1, 2, 3]}\n',
    "text without lines": b"one token after another ",
    "zeros": b"\0",
    "%41": b"%41",
    "\\u0041": b"\\u0041",
    "\\u00": b"\\u00",
    "\\": b"\\",
    "%": b"%",
    "%4": b"%4",
    "%41\\u0041": b"%41\\u0041",
    "A%41": b"A%41",
    "base64": b"QUFBQUFBQUFBQUFBQUFB",
    "the key's known beginning": b"sk-ant-api03-",
    "the same, percent-encoded": b"".join(b"%%%02x" % byte for byte in b"sk-ant-api03-"),
    "the key but for its end": SECRET[:-1].encode(),
    "the key": SECRET.encode(),
    "the key, percent-encoded": b"".join(b"%%%02x" % byte for byte in SECRET.encode()),
    "the key, escaped, once in 4 KiB of %41": b"%41" * 1365 + b"".join(b"\\u00%02x" % byte for byte in SECRET.encode()),
}


class Api:
    """`/N/SIZE/PIECE`: body number N, SIZE bytes of it in writes of PIECE."""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        bodies = list(BODIES.values())
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                number, size, piece = map(int, head.split(b" ", 2)[1].strip(b"/").split(b"/"))
                unit = bodies[number]
                body = unit * (size // len(unit) + 1)
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size)
                for at in range(0, size, piece):
                    writer.write(body[at : min(size, at + piece)])
                    await writer.drain()
                    await asyncio.sleep(0)  # (nobody drains who does not hear that the other side is gone)
        writer.close()


class Bench:
    """A gateway, an API, two devboxes."""

    def __init__(self, gateway: Stage, tokens: dict[str, str], other_api: tuple[str, int]) -> None:
        self.gateway, self.tokens, self.other_api = gateway, tokens, other_api

    async def get(self, token: str, path: str, source: str = "127.0.0.1") -> int:
        """One answer; its body's length."""
        reader, writer = await self.connect(source)
        length = await self.ask(reader, writer, token, path)
        writer.close()
        return length

    async def connect(self, source: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection(
            "127.0.0.1", self.gateway.port, ssl=self.gateway.trust, server_hostname=HOST, local_addr=(source, 0)
        )

    async def ask(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, token: str, path: str) -> int:
        writer.write(f"GET {path} HTTP/1.1\r\nHost: {HOST}\r\nx-api-key: {self.tokens[token]}\r\n\r\n".encode())
        head = await reader.readuntil(b"\r\n\r\n")
        if not head.startswith(b"HTTP/1.1 200 "):
            raise BadRun(head.decode("latin-1"))
        left = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
        total = 0
        while total < left:
            total += len(await reader.read(min(1 << 18, left - total)))
        return total

    async def cost(self, token: str, what: "Size") -> float:
        """Seconds of the gateway's processor."""
        before = self.gateway.process.cpu_seconds
        await self.get(token, f"/{what.number}/{what.size}/{what.piece}")
        return self.gateway.process.cpu_seconds - before

    async def latency(self, seconds: float) -> list[float]:
        """Of the other devbox's small requests."""
        folder = self.gateway.folder
        asked = {
            "source": "127.0.0.2",
            "port": self.gateway.port,
            "certificates": {
                "ca": str(folder / "ca.crt"),
                "certificate": str(folder / "tls.crt"),
                "key": str(folder / "tls.key"),
            },
            "token": self.tokens["OTHER"],
            "api": self.other_api,
            "seconds": seconds,
        }
        # (Before the load in its turn: what the load takes of its core is no latency of the gateway's.)
        command = ("nice", "-n", "-10", sys.executable, "-m", "bench.searching_other")
        child = await asyncio.create_subprocess_exec(*command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        out, _ = await child.communicate(json.dumps(asked).encode())
        if child.returncode:
            raise BadRun(f"searching_other ended with status {child.returncode}")
        took: list[float] = json.loads(out)
        return took

    async def beside(self, token: str, number: int, seconds: float) -> list[float]:
        """The same while the first devbox downloads eight."""

        async def download() -> None:
            while True:
                await self.get(token, f"/{number}/{8 * MIB}/{1 << 18}")

        eight = [asyncio.create_task(download()) for _ in range(8)]
        try:
            await asyncio.sleep(0.3)
            return await self.latency(seconds)
        finally:
            for task in eight:
                task.cancel()
            await asyncio.gather(*eight, return_exceptions=True)


@contextlib.asynccontextmanager
async def prepared() -> AsyncIterator[Bench]:
    cluster = Cluster(AT_ONCE)
    cluster.pod()
    tokens = {
        "PLAIN": cluster.bind("PLAIN", f"https://{NAME}", SECRET, {"type": "Bearer"}, redact_responses="Headers"),
        "SEARCHED": cluster.bind("SEARCHED", f"https://{NAME}", SECRET, {"type": "Bearer"}),
    }
    other = Devbox(cluster, "other", address="127.0.0.2")
    other.pod_object()
    tokens["OTHER"] = other.bind("OTHER", f"https://{OTHER}", SECRET, {"type": "Bearer"}, redact_responses="Headers")
    address = own_address()
    port, other_port = free_port(address), free_port(address)
    overrides = {NAME: f"{address}:{port}", OTHER: f"{address}:{other_port}"}
    async with stage(cluster, hosts=(NAME, OTHER), prefix=PREFIX, upstreams={"addressOverrides": overrides}) as gateway:
        server = await asyncio.start_server(Api().serve, address, port, ssl=gateway.server_tls)
        yield Bench(gateway, tokens, (address, other_port))
        server.close()


PREFIX: Final = ("taskset", "-c", "0") if (os.cpu_count() or 1) > 1 else ()


async def main(*, quick: bool) -> int:
    rounds, size = (2, 16 * MIB) if quick else (5, 64 * MIB)
    async with prepared() as bench:
        for token in ("PLAIN", "SEARCHED"):
            await bench.cost(token, Size(0, MIB, 1 << 18, 1))
        say(f"{'body':42}{'plain':>10}{'searched':>10}{'times':>8}   ms of processor per MiB")
        for number, name in enumerate(BODIES):
            await show(bench, name, Size(number, size, 1 << 18, size / MIB), rounds)
        for number in (0, 3, 4):
            await show(bench, f"{list(BODIES)[number]}, a byte at a time, 1,000 of them", Size(number, 20_000, 1, 20), rounds)
        say(f"\n{'eight of':42}{'p50':>10}{'p99':>10}   ms, of another devbox")
        seconds = 3 if quick else 8
        report("nothing", await bench.latency(seconds))
        for number in (0, 3, 4):
            for token in ("PLAIN", "SEARCHED"):
                report(f"{list(BODIES)[number]}, {token.lower()}", await bench.beside(token, number, seconds))
    return 0


class Size(NamedTuple):
    """How much of a body."""

    number: int
    size: int
    piece: int
    unit: float
    """What the figures are told for: so many of it are in the whole."""


async def show(bench: Bench, name: str, what: Size, rounds: int) -> None:
    """One line of costs."""
    costs: dict[str, list[float]] = {"PLAIN": [], "SEARCHED": []}
    for _ in range(rounds):
        for token, seen in costs.items():
            seen.append(await bench.cost(token, what) * 1000 / what.unit)
    plain, searched = (statistics.median(seen) for seen in costs.values())
    say(f"{name:42}{plain:10.2f}{searched:10.2f}{searched / max(plain, 1e-9):8.2f}")


def report(name: str, took: list[float]) -> None:
    """One line of latencies."""
    cuts = statistics.quantiles(took, n=100)
    say(f"{name:42}{cuts[49] * 1000:10.2f}{cuts[98] * 1000:10.2f}")


def say(line: str) -> None:
    """On standard output, at once."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--quick", action="store_true")
    sys.exit(asyncio.run(main(**vars(parser.parse_args()))))
