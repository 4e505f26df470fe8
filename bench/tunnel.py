"""`python -m bench.tunnel [--quick]`: tunnels through the forward proxy beside tinyproxy, each on core 0, in a network of their own.

Two figures for each: bytes a second through one tunnel, and CONNECTs a second (dial, ClientHello, first answer, end), by wall clock and
for each second of the proxy's own processor time. Load and host are on core 1. Written to `.bench/egress.json` with the gateway's figures
divided by tinyproxy's. Figures of one run compare with one another only.
"""

import asyncio
import base64
import contextlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from socket import SHUT_WR, create_connection, socket
from typing import Annotated, Any, Final, NamedTuple

import typer
from rich.console import Console
from rich.table import Table
from tests.support import netns
from tests.support.cputime import cpu_seconds
from tests.support.gateway_process import Stage, stage
from tests.support.kube_api import Cluster
from tests.support.token_reviews import AT_ONCE
from tests.unit.proxy.hellos import client_hello

from devbox_cluster.packages import need
from devbox_cluster.progress import ClusterError

from .servers import HOST, NAME, UPSTREAM

INSIDE: Final = "DEVBOX_BENCH_TUNNEL_INSIDE"
FOLDER: Final = Path(__file__).parent.parent / ".bench"
FAR: Final = (UPSTREAM, 9443)
TINYPROXY: Final = 9111
GREETING: Final = b"\x15\x03\x03\x00\x02\x01\x00"
"""What stands for a server's first message."""
HELLO: Final = client_hello(NAME)
PIECE: Final = bytes(1 << 18)
THREADS: Final = 4
console = Console(width=140)


class Figures(NamedTuple):
    """Of one proxy."""

    bytes_per_second: float
    bytes_per_cpu_second: float
    connects_per_second: float
    connects_per_cpu_second: float


class Proxy(NamedTuple):
    """Where one is, and what it wants to hear."""

    address: tuple[str, int]
    head: bytes
    pid: int


def main(quick: Annotated[bool, typer.Option(help="Shorter rounds; rougher figures.")] = False) -> None:
    """Measure."""
    if os.environ.get(INSIDE):
        # Of this network alone. After some 14,000 CONNECTs the kernel would look for a free port among those that wait for a minute,
        # for longer than either proxy works.
        Path("/proc/sys/net/ipv4/tcp_max_tw_buckets").write_text("512")
        asyncio.run(run(rounds=2 if quick else 5, seconds=1.5 if quick else 4.0))
        return
    try:
        need({"tinyproxy": "tinyproxy-bin"})
        command = netns.command([sys.executable, "-m", "bench.tunnel", *sys.argv[1:]])
    except (ClusterError, netns.NoNamespace) as error:
        raise SystemExit(f"bench: {error}") from None
    raise SystemExit(subprocess.run(command, env={**os.environ, INSIDE: "1"}, check=False).returncode)


async def run(*, rounds: int, seconds: float) -> None:
    """All rounds, and what is written about them."""
    os.sched_setaffinity(0, {1})
    cluster = Cluster(AT_ONCE)
    cluster.pod(podIPs=[{"ip": HOST}])
    token = cluster.agent.bind_egress(cluster.policy(hostnames=[NAME]))
    settings: dict[str, Any] = {"egress": {"addressOverrides": {NAME: f"{FAR[0]}:{FAR[1]}"}}}
    prefix = ("taskset", "-c", "0")
    async with stage(cluster, host=HOST, prefix=prefix, **settings) as gateway, far(), tinyproxy() as process:
        proxies = {"gateway": of_gateway(gateway, token), "tinyproxy": of_tinyproxy(process)}
        found: dict[str, list[Figures]] = {name: [] for name in proxies}
        for number in range(rounds):
            for name, proxy in proxies.items():
                console.print(f"round {number + 1} of {rounds}: {name}", highlight=False)
                found[name].append(await asyncio.to_thread(measure, proxy, seconds))
    medians = {name: Figures(*map(statistics.median, zip(*each, strict=True))) for name, each in found.items()}
    own, other = medians["gateway"], medians["tinyproxy"]
    shares = {field: round(getattr(own, field) / getattr(other, field), 3) for field in Figures._fields}
    show(medians, shares)
    FOLDER.mkdir(exist_ok=True)
    content = {"ratios": shares, "figures": {name: each._asdict() for name, each in medians.items()}, "load": os.getloadavg()}
    (FOLDER / "egress.json").write_text(json.dumps(content, indent=2) + "\n")
    console.print(f"written: {FOLDER}/egress.json")


def measure(proxy: Proxy, seconds: float) -> Figures:
    """Both figures of one proxy."""
    with tunnel(proxy) as one:
        one.sendall(b"more")
        before, started, total, buffer = cpu_seconds(proxy.pid), time.monotonic(), 0, bytearray(1 << 20)
        while time.monotonic() - started < seconds:
            total += one.recv_into(buffer)
        took, used = time.monotonic() - started, cpu_seconds(proxy.pid) - before
    before, started = cpu_seconds(proxy.pid), time.monotonic()
    counts = [0] * THREADS

    def connects(number: int) -> None:
        while time.monotonic() - started < seconds:
            with tunnel(proxy):
                counts[number] += 1

    threads = [threading.Thread(target=connects, args=(number,)) for number in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    count, took_both, used_both = sum(counts), time.monotonic() - started, cpu_seconds(proxy.pid) - before
    return Figures(total / took, total / max(used, 0.01), count / took_both, count / max(used_both, 0.01))


@contextlib.contextmanager
def tunnel(proxy: Proxy) -> Iterator[socket]:
    """One in which the first messages have passed."""
    with create_connection(proxy.address, 10) as one:
        one.sendall(proxy.head)
        head = b""
        while b"\r\n\r\n" not in head:
            head += one.recv(4096) or b"\r\n\r\n"
        if b" 200 " not in head.partition(b"\r\n")[0]:
            raise SystemExit(f"bench: no tunnel: {head[:100]!r}")
        one.sendall(HELLO)
        got = b""
        while len(got) < len(GREETING):
            got += one.recv(len(GREETING) - len(got))
        yield one
        with contextlib.suppress(OSError):
            one.shutdown(SHUT_WR)


def of_gateway(gateway: Stage, token: str) -> Proxy:
    """With the devbox's token."""
    return Proxy((HOST, gateway.egress), _head(f"{NAME}:443", f"devbox:{token}"), gateway.process.process.pid)


def of_tinyproxy(process: "subprocess.Popen[bytes]") -> Proxy:
    """With a password; the host by its address, since it knows no overrides."""
    return Proxy((HOST, TINYPROXY), _head(f"{FAR[0]}:{FAR[1]}", "devbox:bench"), process.pid)


def _head(target: str, user: str) -> bytes:
    secret = base64.b64encode(user.encode()).decode()
    return f"CONNECT {target} HTTP/1.1\r\nHost: {target}\r\nProxy-Authorization: Basic {secret}\r\n\r\n".encode()


@contextlib.asynccontextmanager
async def tinyproxy() -> AsyncIterator["subprocess.Popen[bytes]"]:
    """A running one; killed at the end."""
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        config = Path(name) / "tinyproxy.conf"
        config.write_text(
            f'Port {TINYPROXY}\nListen {HOST}\nTimeout 600\nLogLevel Critical\nLogFile "{name}/log"\nMaxClients 1000\n'
            f"ConnectPort {FAR[1]}\nBasicAuth devbox bench\nDisableViaHeader Yes\n"
        )
        command = ["taskset", "-c", "0", "tinyproxy", "-d", "-c", str(config)]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)  # noqa: ASYNC220
        try:
            for _ in range(100):
                with contextlib.suppress(OSError), create_connection((HOST, TINYPROXY), 1):
                    break
                await asyncio.sleep(0.05)
            else:
                raise SystemExit("bench: tinyproxy does not listen")
            yield process
        finally:
            process.kill()
            process.wait()


@contextlib.asynccontextmanager
async def far() -> AsyncIterator[None]:
    """The host, as a process: it greets a ClientHello, and sends for ever whoever says a word more."""
    process = subprocess.Popen([sys.executable, "-m", "bench.tunnel_host", FAR[0], str(FAR[1])])  # noqa: ASYNC220
    try:
        for _ in range(100):
            with contextlib.suppress(OSError), create_connection(FAR, 1):
                break
            await asyncio.sleep(0.05)
        yield
    finally:
        process.kill()
        process.wait()


def show(medians: dict[str, Figures], shares: dict[str, float]) -> None:
    """The table."""
    table = Table(title="Tunnels, medians", title_justify="left")
    for text in ("proxy", "MiB/s", "MiB a CPU second", "CONNECT/s", "CONNECTs a CPU second"):
        table.add_column(text, justify="right")
    for name, each in medians.items():
        mib = (f"{part / 2**20:,.0f}" for part in each[:2])
        table.add_row(name, *mib, *(f"{part:,.0f}" for part in each[2:]))
    table.add_row("gateway ÷ tinyproxy", *(f"{part:.2f}" for part in shares.values()))
    console.print(table)


if __name__ == "__main__":
    typer.run(main)
