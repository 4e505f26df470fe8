"""The gateway alone: memory at rest, and how long it takes to be ready.

Goes in: how often. Comes out: figures.
"""

import asyncio
import os
import statistics
import subprocess
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from tests.support import image_root
from tests.support.gateway_process import COMMAND, HOST, Process, server_tls, settings, stage, write_files
from tests.support.kube_api import Cluster, Devbox
from tests.support.netns import GATEWAY
from tests.support.token_reviews import AT_ONCE

from devbox_stage.credentials import make_certificates

from .memory_child import BadRun
from .memory_stage import COLD, MIB, NAME, OURS, Bench, Figure, address_of, mib

ROUTES: Final = 1000
ADMIN: Final = 18080
"""Port of the first start; the next ones follow."""
RUN: Final = image_root.INSIDE / "run"
IN_POD: Final = (
    *("unshare", "--mount", "sh", "-ec"),
    f'mount -t tmpfs none {RUN}; to={RUN}/secrets/kubernetes.io; mkdir -p $to; ln -s "$0" $to/serviceaccount; exec "$@"',
)
"""The command line that follows sees a folder as its service account's."""
READY_SECONDS: Final = 20.0
_READYZ: Final = b"GET /readyz HTTP/1.1\r\nHost: gateway\r\nConnection: close\r\n\r\n"


async def idle(bench: Bench) -> list[Figure]:
    """Memory after the start."""
    bench.say("one devbox, nothing to do")
    cluster = Cluster(AT_ONCE)
    cluster.pod(podIPs=[{"ip": address_of(1)}])
    cluster.bind("API", f"https://{NAME}", "sk-bench-credential", {"type": "Bearer"})
    async with stage(cluster, host=GATEWAY, hosts=(NAME,), prefix=OURS) as gateway:
        await asyncio.sleep(3)
        rss = gateway.process.rss
    return [Figure("memory at rest", mib(rss), rss / MIB, "≤ 80 MiB", rss <= 80 * MIB)]


async def start(bench: Bench) -> list[Figure]:
    """From the making of the process to the first 200 of /readyz, each devbox with documents of its own, without and with the reviews of
    all of them, which the start waits for."""
    cluster = Cluster(AT_ONCE)
    for number in range(1, ROUTES + 1):
        devbox = Devbox(cluster, f"agent-{number}", address=address_of(number))
        devbox.pod_object()
        devbox.bind("API", f"https://{NAME}", f"sk-bench-{number}")
    cluster.floor()
    times, imports, warm = [], [], []
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        folder = Path(name)
        write_files(folder, make_certificates((HOST, NAME, "127.0.0.1")), "")
        (folder / "token").write_text("a token, as the kubelet would write it")
        async with cluster.serving(server_tls(folder)) as url:
            for number in range(3 if bench.quick else 7):
                times.append(await _start(folder, ADMIN + number, url, COLD))
                warm.append(await _start(folder, ADMIN + 100 + number, url, {}))
                imports.append(await asyncio.to_thread(_imports))
                bench.say(f"start {number + 1}: ready after {times[-1]:.3f} s, and with all reviews after {warm[-1]:.3f} s")
    ready, imported, reviewed = map(statistics.median, (times, imports, warm))
    what = f"start to ready, {ROUTES:,} Routes, gateways, credentials and pods"
    return [
        Figure(f"{what} (median of {len(times)})", f"{ready:.2f} s", ready, "≤ 1 s", ready <= 1),
        Figure("… and with a review of each, 400/s at most", f"{reviewed:.2f} s", reviewed),
        Figure("… of which interpreter and imports", f"{imported:.2f} s", imported),
    ]


async def _start(folder: Path, admin: int, cluster: str, identity: Mapping[str, object]) -> float:
    """Seconds until it is ready, with the files and variables of a pod; then it is killed. Raises BadRun."""
    listen, upstreams = {"host": GATEWAY, "admin": admin}, {"caBundle": str(folder / "ca.crt")}
    config = settings(folder, listen=listen, upstreams=upstreams, identity=identity)
    address = urlsplit(cluster)
    environment = {
        **os.environ,
        "KUBERNETES_SERVICE_HOST": address.hostname or "",
        "KUBERNETES_SERVICE_PORT": str(address.port),
    }
    pipe = asyncio.subprocess.PIPE
    began = time.monotonic()
    process = Process(
        await asyncio.create_subprocess_exec(
            *OURS,
            *IN_POD,
            str(folder),
            *COMMAND,
            "run",
            "--config",
            str(config),
            env=environment,
            stdout=pipe,
        )
    )
    try:
        while not await _ready(admin):
            await asyncio.sleep(0.002)
            if not process.alive or time.monotonic() - began > READY_SECONDS:
                raise BadRun(f"the gateway is not ready: {process.output[-3:]}")
        return time.monotonic() - began
    finally:
        if process.alive:
            process.process.kill()
        await process.end()


async def _ready(port: int) -> bool:
    try:
        reader, writer = await asyncio.open_connection(GATEWAY, port)
    except OSError:
        return False
    try:
        writer.write(_READYZ)
        return b" 200 " in await reader.readline()
    except OSError:
        return False
    finally:
        writer.close()


def _imports() -> float:
    """Seconds of an interpreter that reads the gateway's modules, and does nothing."""
    began = time.monotonic()
    code = "import gc, os; gc.disable(); import devbox_proxy.__main__, devbox_proxy.run; os._exit(0)"
    subprocess.run([*OURS, *image_root.python(), "-c", code], check=True)
    return time.monotonic() - began
