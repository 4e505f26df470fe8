"""The gateway as a process of its own, `python -m devbox_proxy run`, with files, certificates and an API server around it.

Goes in: a Cluster and settings. Comes out: a Process that is ready, with its ports, everything it printed and what it uses. `stage` does
all of it; the functions below it are its parts. Nothing of pytest is in it.
"""

import asyncio
import contextlib
import json
import os
import resource
import ssl
import sys
import tempfile
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import aiohttp
import yaml

from devbox_proxy.ports.open_files import shares
from devbox_proxy.settings import EgressSettings, Limits
from devbox_stage.credentials import Certificates, make_certificates

from . import image_root
from .cputime import cpu_seconds
from .kube_api import NAMESPACE, Cluster

HOST: Final = "gateway.system.svc"
"""The gateway's own name."""
FILES: Final = ("sh", "-c", 'ulimit -Sn 1024 && exec "$@"', "sh")
"""In front of every program of ours: the limit of open files that a container begins with where its runtime sets none. It may be raised."""
INTERPRETER: Final = image_root.python()
"""Out of the image's files, where those are chosen; else this one, for the sources."""
COMMAND: Final = (*INTERPRETER, "-m", "devbox_proxy")
READ_BYTES: Final = 1 << 17
START_SECONDS: Final = 60.0


FEW_TUNNELS: Final = {"tunnels": 1, "tunnelsPerDevbox": 1}
"""The setting `egress` of a gateway whose files are all for connections."""


def places(most: int) -> int:
    """Connections that such a gateway holds on this machine, some left free: `most`, if it may open so many files."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    files = sys.maxsize if hard == resource.RLIM_INFINITY else hard
    limits = Limits(connections=4 * most)
    return min(most, shares(files, limits, EgressSettings.model_validate(FEW_TUNNELS), 0).connections - 50)


def settings(folder: Path, **change: Any) -> Path:
    """Write proxy.yaml: free ports on loopback and the files of `write_files`, unless `change` says otherwise."""
    path = folder / "proxy.yaml"
    content = {
        "credentialsNamespace": NAMESPACE,
        "publicURL": f"https://{HOST}",
        "listen": {
            "host": "127.0.0.1",
            "data": 0,
            "egress": 0,
            "canary": 0,
            "admin": 0,
            "tls": {"certFile": str(folder / "tls.crt"), "keyFile": str(folder / "tls.key")},
        },
        "drainSeconds": 1,
        "shutdownSeconds": 20,
    }
    path.write_text(yaml.safe_dump(_merged(content, change)))
    return path


def _merged(base: Mapping[str, Any], change: Mapping[str, Any]) -> dict[str, Any]:
    both = {
        key: _merged(base[key], value)
        for key, value in change.items()
        if isinstance(base.get(key), dict) and isinstance(value, dict)
    }
    return {**base, **change, **both}


def write_files(folder: Path, pair: Certificates, api_server: str) -> None:
    """tls.crt, tls.key, ca.crt and a kubeconfig."""
    (folder / "tls.crt").write_text(pair.certificate)
    (folder / "tls.key").write_text(pair.key.reveal())
    (folder / "ca.crt").write_text(pair.ca)
    kubeconfig = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "c",
        "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
        "clusters": [{"name": "c", "cluster": {"server": api_server}}],
        "users": [{"name": "u", "user": {}}],
    }
    (folder / "kubeconfig").write_text(yaml.safe_dump(kubeconfig))


def server_tls(folder: Path) -> ssl.SSLContext:
    """For an API: the same certificate as the gateway's."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "tls.crt", folder / "tls.key")
    return context


class Process:
    """The running gateway and everything it printed."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.output: list[str] = []
        self.data = self.admin = self.egress = self.canary = self.activity = 0
        """Ports."""
        self.pause = 0.0
        """Seconds between two looks at what it prints, READ_BYTES each."""
        self._reading = asyncio.Event()
        self._reading.set()
        self._reader = asyncio.create_task(self._read())

    async def _read(self) -> None:
        assert self.process.stdout is not None
        rest = b""
        # (Many lines at a time: a gateway whose audit lines nobody takes refuses requests.)
        while chunk := await self.process.stdout.read(READ_BYTES):
            await self._reading.wait()
            if self.pause:
                await asyncio.sleep(self.pause)
            whole, end, rest = (rest + chunk).rpartition(b"\n")
            lines = (whole + end).decode().splitlines(keepends=True)
            self.output += lines
            if not self.data:
                self._find_ports(lines)
        if rest:
            self.output.append(rest.decode())

    def _find_ports(self, lines: list[str]) -> None:
        for line in lines:
            if '"started"' in line:
                ports = json.loads(line)
                self.data, self.admin = ports["data"], ports["admin"]
                self.egress, self.canary = ports.get("egress", 0), ports.get("canary", 0)  # (none in the first release)
                self.activity = ports.get("activity", 0)

    def stop_reading(self) -> None:
        """Leave what it prints in the pipe, until the end or `resume_reading`."""
        self._reading.clear()

    def resume_reading(self) -> None:
        """Take what it prints."""
        self._reading.set()

    async def end(self) -> int:
        """Wait for the end; returns the status."""
        self._reading.set()
        async with asyncio.timeout(START_SECONDS):
            status = await self.process.wait()
            await self._reader
        return status

    @property
    def alive(self) -> bool:
        """It has not ended."""
        return self.process.returncode is None

    @property
    def rss(self) -> int:
        """Bytes of memory in use."""
        return int(self._proc("statm").split()[1]) * os.sysconf("SC_PAGE_SIZE")

    @property
    def peak(self) -> int:
        """The most bytes of memory that it ever used (proc(5): status)."""
        return next(int(line.split()[1]) << 10 for line in self._proc("status").splitlines() if line.startswith("VmHWM:"))

    @property
    def cpu_seconds(self) -> float:
        """Processor time so far, of user and system."""
        return cpu_seconds(self.process.pid)

    @property
    def open_files(self) -> int:
        """File descriptors, sockets among them."""
        return len(list(Path(f"/proc/{self.process.pid}/fd").iterdir()))

    def _proc(self, name: str) -> str:
        return Path(f"/proc/{self.process.pid}/{name}").read_text()


@contextlib.asynccontextmanager
async def running(
    folder: Path, config: Path, prefix: Sequence[str] = (), interpreter: Sequence[str] = INTERPRETER
) -> AsyncIterator[Process]:
    """Started, with its ports known, though perhaps not ready; killed at the end. `prefix`: e.g. taskset and its arguments; `interpreter`:
    another Python than that of the other tests, for sources that are not this work tree's."""
    process = await asyncio.create_subprocess_exec(
        *FILES,
        *prefix,
        *interpreter,
        "-m",
        "devbox_proxy",
        "run",
        "--config",
        str(config),
        env={**os.environ, "KUBECONFIG": str(folder / "kubeconfig")},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    result = Process(process)
    try:
        async with asyncio.timeout(START_SECONDS):
            while not result.data and result.alive:  # noqa: ASYNC110 (another process)
                await asyncio.sleep(0.02)
        assert result.data, result.output[-1:]
        yield result
    finally:
        if result.alive:
            process.kill()
        await result.end()


@dataclass(frozen=True)
class Stage:
    """A gateway that is ready."""

    process: Process
    cluster: Cluster
    host: str
    """The address that it listens on."""
    folder: Path
    trust: ssl.SSLContext
    """For its clients."""
    server_tls: ssl.SSLContext
    """For APIs: a certificate for the `hosts` of `stage`, of a CA that the gateway trusts."""

    @property
    def port(self) -> int:
        """Where devboxes call."""
        return self.process.data

    @property
    def egress(self) -> int:
        """Where they ask the forward proxy."""
        return self.process.egress

    async def metrics(self) -> str:
        """What Prometheus would see."""
        return await self._admin("/metrics")

    async def ready(self) -> bool:
        """What the kubelet would see."""
        return (await self._admin("/readyz")) == "ok\n"

    async def _admin(self, path: str) -> str:
        async with aiohttp.ClientSession() as http, http.get(f"http://{self.host}:{self.process.admin}{path}") as response:
            return await response.text()


@contextlib.asynccontextmanager
async def stage(
    cluster: Cluster, *, host: str = "127.0.0.1", hosts: Sequence[str] = (), prefix: Sequence[str] = (), **change: Any
) -> AsyncIterator[Stage]:
    """A gateway on `host` in front of `cluster`, which is served by a thread; APIs may have the names `hosts` ("*." too).

    `change`: settings, as in proxy.yaml. Nothing is left behind but what the caller reads from the Process.
    """
    with tempfile.TemporaryDirectory(prefix="gateway-") as name:
        folder = Path(name)
        pair = make_certificates((HOST, *hosts))
        async with cluster.serving() as api_server:
            write_files(folder, pair, api_server)
            if "floor" not in cluster.objects["secrets"]:
                cluster.floor()
            change = _merged({"listen": {"host": host}, "upstreams": {"caBundle": str(folder / "ca.crt")}}, change)
            async with running(folder, settings(folder, **change), prefix) as process:
                trust = ssl.create_default_context(cadata=pair.ca)
                result = Stage(process, cluster, host, folder, trust, server_tls(folder))
                async with asyncio.timeout(START_SECONDS):
                    while not await result.ready():  # noqa: ASYNC110 (another process)
                        await asyncio.sleep(0.02)
                yield result
