"""`python -m bench.cloning [--quick]`: a repository of 300 MiB, cloned through the gateway and directly, in turn; and the gateway's memory.

The host is a real git server over TLS, whose pack is made beforehand. It has github.com's name, whose packs are not searched for the
credential; and once more with all bodies searched, as of a host that the provider table does not have. Written to `.bench/cloning.json`.
"""

import asyncio
import contextlib
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Annotated, Final

import typer
from rich.console import Console
from rich.table import Table
from tests.support import netns
from tests.support.dns_server import dns_server
from tests.support.gateway_process import HOST, stage
from tests.support.git_server import git_server
from tests.support.kube_api import Cluster, Devbox
from tests.support.netns import GATEWAY
from tests.support.repositories import Repositories, git

INSIDE: Final = "DEVBOX_BENCH_CLONING_INSIDE"
FOLDER: Final = Path(__file__).parent.parent / ".bench"
ADDRESS: Final = "10.203.1.2"
GIT_HOST: Final = "github.com"
FILES: Final = 30
DIRECT, PASSED, SEARCHED = "directly", "through the gateway", "through the gateway, searched"
BAR: Final = 1.15
"""What a clone through the gateway may take beside a direct one."""
console = Console(width=140)


def main(quick: Annotated[bool, typer.Option(help="A tenth of the size, fewer rounds.")] = False) -> None:
    """Measure."""
    if os.environ.get(INSIDE):
        asyncio.run(run(mebibytes=30 if quick else 300, rounds=2 if quick else 5))
        return
    try:
        command = netns.command([sys.executable, "-m", "bench.cloning", *sys.argv[1:]])
    except netns.NoNamespace as error:
        raise SystemExit(f"bench: {error}") from None
    raise SystemExit(subprocess.run(command, env={**os.environ, INSIDE: "1"}, check=False).returncode)


async def run(mebibytes: int, rounds: int) -> None:
    """All ways in turn, and what is written about them."""
    async with contextlib.AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="cloning-")))
        _repository(folder, mebibytes)
        cluster = Cluster()
        devbox = Devbox(cluster, "agent", address=GATEWAY)
        devbox.pod_object()
        auth = {"type": "Basic", "username": "x"}
        tokens = {
            DIRECT: "",
            PASSED: devbox.bind("GITHUB", f"https://{GIT_HOST}", "a-real-credential-1", auth),
            SEARCHED: devbox.bind("ALL", f"https://{GIT_HOST}", "a-real-credential-2", auth, redact_responses="All"),
        }
        overrides = {"addressOverrides": {GIT_HOST: ADDRESS}}
        made = stage(cluster, host=GATEWAY, hosts=[GIT_HOST], listen={"data": 443}, upstreams=overrides)
        gateway = await stack.enter_async_context(made)
        await stack.enter_async_context(git_server(folder / "bare", gateway.server_tls, ADDRESS, 443))
        await stack.enter_async_context(dns_server(lambda name: {HOST: [GATEWAY], GIT_HOST: [ADDRESS]}.get(name, [])))
        before, seconds = gateway.process.rss, {way: list[float]() for way in tokens}
        for number in range(rounds + 1):
            for way, token in tokens.items():
                took = await _clone(folder, gateway.folder / "ca.crt", token)
                if number:  # (The first is for the files that are read from disk.)
                    seconds[way].append(took)
        _tell(mebibytes, seconds, gateway.process.peak - before)


def _repository(folder: Path, mebibytes: int) -> None:
    made = Repositories(folder / "bare", folder / "work")
    work = made.repository("app")
    for one in (work, folder / "bare/app.git"):
        # (Random bytes can't be compressed, and to try takes a minute.)
        git(one, "config", "core.compression", "0")
        git(one, "config", "receive.unpackLimit", "1")
    made.commit(work, {f"{number}.bin": os.urandom((mebibytes << 20) // FILES) for number in range(FILES)})
    git(folder / "bare/app.git", "repack", "-qad")


async def _clone(folder: Path, ca: Path, token: str) -> float:
    """Seconds."""
    target = folder / "clone"
    environment = {
        **{"PATH": os.environ["PATH"], "HOME": "/nonexistent", "GIT_CONFIG_NOSYSTEM": "1", "GIT_SSL_CAINFO": str(ca)},
        **({"GIT_CONFIG_COUNT": "1", "GIT_CONFIG_KEY_0": "http.extraHeader"} if token else {}),
        **({"GIT_CONFIG_VALUE_0": f"Authorization: Bearer {token}"} if token else {}),
    }
    started = time.monotonic()
    command = ("git", "clone", "-q", f"https://{HOST if token else GIT_HOST}/app.git", str(target))
    process = await asyncio.create_subprocess_exec(*command, env=environment, stderr=asyncio.subprocess.PIPE)
    _, said = await process.communicate()
    took = time.monotonic() - started
    if process.returncode:
        raise SystemExit(f"bench: {said.decode()}")
    await asyncio.to_thread(shutil.rmtree, target)
    return took


def _tell(mebibytes: int, seconds: dict[str, list[float]], grown: int) -> None:
    medians = {way: statistics.median(found) for way, found in seconds.items()}
    table = Table(title=f"a repository of {mebibytes} MiB, {len(seconds[DIRECT])} rounds", title_justify="left")
    for text in ("", "median", "÷ directly"):
        table.add_column(text, justify="right" if text else "left")
    for way, median in medians.items():
        table.add_row(way, f"{median:.2f} s", f"{median / medians[DIRECT]:.2f}")
    console.print(table)
    console.print(f"through the gateway ≤{BAR}; its memory grew by {grown / (1 << 20):.1f} MiB")
    FOLDER.mkdir(exist_ok=True)
    content = {"mebibytes": mebibytes, "seconds": medians, "grown": grown, "load": os.getloadavg()}
    (FOLDER / "cloning.json").write_text(json.dumps(content, indent=2) + "\n")


if __name__ == "__main__":
    typer.run(main)
