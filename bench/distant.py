"""`python -m bench.distant [--quick]`: a call every 6 s to an API that is 50 ms away: by the gateway, and directly.

The API keeps connections for a minute. Directly the client's own pool has let go by then: httpx, on which most SDKs stand, keeps a
connection for 5 s, and aiohttp does so here. So each direct call shakes hands with the API anew, which the gateway need not; towards the
gateway the same client shakes hands each time, too, and that is near. A forwarder holds back what comes, half the way each time, and a
connection's first bytes by a whole one more, as SYN and its answer would. Part of `make bench`; written to `.bench/distant.json`.
"""

import asyncio
import contextlib
import json
import os
import statistics
import subprocess
import sys
import time
from collections import deque
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Annotated, Any, Final, NamedTuple, cast

import aiohttp
import typer
from rich.console import Console
from rich.table import Table
from tests.chaos.api import api
from tests.support import netns
from tests.support.gateway_process import stage
from tests.support.kube_api import Cluster
from tests.support.token_reviews import AT_ONCE

from .servers import HOST, NAME, UPSTREAM

INSIDE: Final = "DEVBOX_BENCH_DISTANT_INSIDE"
FOLDER: Final = Path(__file__).parent.parent / ".bench"
FAR: Final = (UPSTREAM, 9445)
ROUND_TRIP: Final = 0.05
EVERY_SECONDS: Final = 6.0
POOL_SECONDS: Final = 5.0
API_SECONDS: Final = 60.0
GATEWAY, DIRECT = "gateway", "direct"
console = Console(width=140)


class Figures(NamedTuple):
    """Of one way, in seconds."""

    median: float
    worst: float
    connections: int
    """That the API saw."""


def main(quick: Annotated[bool, typer.Option(help="Fewer calls.")] = False) -> None:
    """Measure."""
    if os.environ.get(INSIDE):
        asyncio.run(run(calls=8 if quick else 30))
        return
    try:
        command = netns.command([sys.executable, "-m", "bench.distant", *sys.argv[1:]])
    except netns.NoNamespace as error:
        raise SystemExit(f"bench: {error}") from None
    raise SystemExit(subprocess.run(command, env={**os.environ, INSIDE: "1"}, check=False).returncode)


async def run(calls: int) -> None:
    """Both ways at the same time, and what is written about them."""
    ways = (GATEWAY, DIRECT)
    found = dict(zip(ways, await asyncio.gather(*(measured(way, calls) for way in ways)), strict=True))
    ratio = found[GATEWAY].median / found[DIRECT].median
    table = Table(title=f"{calls} calls, one every {EVERY_SECONDS:g} s, {ROUND_TRIP * 1e3:g} ms away", title_justify="left")
    for text in ("", "median", "worst", "connections to the API"):
        table.add_column(text, justify="right" if text else "left")
    for way, one in found.items():
        table.add_row(way, f"{one.median * 1e3:.1f} ms", f"{one.worst * 1e3:.1f} ms", str(one.connections))
    console.print(table)
    console.print(f"gateway ÷ direct: {ratio:.2f}")
    FOLDER.mkdir(exist_ok=True)
    content = {"ratio": round(ratio, 3), **{way: one._asdict() for way, one in found.items()}, "load": os.getloadavg()}
    (FOLDER / "distant.json").write_text(json.dumps(content, indent=2) + "\n")


async def measured(way: str, calls: int) -> Figures:
    """One way, with a gateway, an API and a forwarder of its own. Raises RuntimeError where a call fails."""
    cluster = Cluster(AT_ONCE)
    cluster.pod(podIPs=[{"ip": HOST}])
    token = cluster.bind("API", f"https://{NAME}", "sk-bench-credential", {"type": "Bearer"}, redact_responses="Headers")
    far = (FAR[0], FAR[1] + (way == DIRECT))
    upstreams = {"allowedCIDRs": ["10.203.1.0/24"], "addressOverrides": {NAME: f"{far[0]}:{far[1]}"}}
    async with (
        stage(cluster, host=HOST, hosts=(NAME,), upstreams=upstreams) as gateway,
        api(UPSTREAM, gateway.server_tls) as server,
    ):
        server.idle_seconds = API_SECONDS
        gateway.trust.check_hostname = False  # the same certificate, by different names
        url = f"https://{HOST}:{gateway.port}/v1" if way == GATEWAY else f"https://{far[0]}:{far[1]}/v1"
        connector = aiohttp.TCPConnector(ssl=gateway.trust, keepalive_timeout=POOL_SECONDS)
        async with forwarder(far, server.address), aiohttp.ClientSession(connector=connector) as http:
            took = []
            begins = time.monotonic()
            for number in range(calls):
                await asyncio.sleep(max(0.0, begins + number * EVERY_SECONDS - time.monotonic()))
                started = time.monotonic()
                async with http.post(url, data=b"{}", headers={"x-api-key": token}) as answer:
                    await answer.read()
                    if answer.status != 200:
                        raise RuntimeError(f"{way}: {answer.status}")
                took.append(time.monotonic() - started)
            return Figures(statistics.median(took), max(took), server.connections)


@contextlib.asynccontextmanager
async def forwarder(address: tuple[str, int], to: tuple[str, int]) -> AsyncIterator[None]:
    """A port whose other side is ROUND_TRIP away."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Near(to), *address)
    try:
        yield
    finally:
        server.close()


class Side(asyncio.Protocol):
    """One side of a connection: what comes reaches the other one half a round trip later."""

    def __init__(self) -> None:
        self.other: Side | None = None
        self.transport: asyncio.Transport | None = None
        self.ready_at = 0.0
        """Nothing arrives on the other side before."""
        self._on_the_way: deque[Callable[[asyncio.Transport], None]] = deque()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        self._later(lambda other: other.write(data))

    def eof_received(self) -> bool:
        return False

    def connection_lost(self, error: Exception | None) -> None:
        self._later(lambda other: other.close())

    def _later(self, what: Callable[[asyncio.Transport], None]) -> None:
        loop = asyncio.get_running_loop()
        self._on_the_way.append(what)
        loop.call_at(max(loop.time() + ROUND_TRIP / 2, self.ready_at), self._pass_on)

    def _pass_on(self) -> None:
        what = self._on_the_way.popleft()  # (timers that are due at the same time are called in any order)
        if self.other is not None and self.other.transport is not None and not self.other.transport.is_closing():
            what(self.other.transport)


class Near(Side):
    """The client's."""

    def __init__(self, to: tuple[str, int]) -> None:
        super().__init__()
        self._to = to
        self._dialling: asyncio.Task[Any] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        loop = asyncio.get_running_loop()
        self.ready_at = loop.time() + ROUND_TRIP * 1.5
        far = Side()
        self.other, far.other = far, self
        self._dialling = loop.create_task(loop.create_connection(lambda: far, *self._to))


if __name__ == "__main__":
    typer.run(main)
