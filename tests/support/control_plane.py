"""A Kubernetes of the test's own: etcd, kube-apiserver and kube-controller-manager as processes, on free ports of loopback.

Goes in: nothing (the programs come from where `make cluster` has them, and are built if they are not there). Comes out: a
`ControlPlane` that can be killed, stopped (SIGSTOP) and started anew in parts, and clients of it. No scheduler and no kubelet: pods
stay Pending, and go at once when they are deleted. It knows nothing of the machine's local cluster.
"""

import asyncio
import contextlib
import json
import os
import random
import shutil
import signal
import socket
import ssl
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

import yaml

from devbox_cluster import binaries, config, packages, pki
from devbox_cluster.paths import bin_dir
from devbox_common.access import Access
from devbox_common.kube import KubeApi

from .late import Wire

HOST: Final = "127.0.0.1"
PORTS: Final = range(16_000, 30_000)
"""Below ip_local_port_range (32,768 to 60,999 where nobody changed it)."""
START_SECONDS: Final = 60.0
MOST_TOKEN_SECONDS: Final = 6 * 3600
"""It gives tokens for less than is asked for, as managed clouds do (they: about a day)."""
NODE: Final = "node-1"
"""Where a stand-in of a kubelet says that pods run. It is there, since pods of nodes that are not are collected."""
_NODE: Final = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": NODE}}
DATABASE_BYTES: Final = 8 << 30
"""What etcd takes at most, of which minutes of history are most (2 GiB by default: 200 large objects of each kind are as much)."""
ANOTHER: Final = "another kube-apiserver"
PARTS: Final = ("etcd", "kube-apiserver", "kube-controller-manager")
_CONTROLLERS: Final = (
    *("garbage-collector", "namespace", "serviceaccount", "resourcequota", "clusterrole-aggregation"),
    # The API server deletes a pod without a node in two writes: whose client is killed in between leaves one that only ends.
    "pod-garbage-collector",
    # Claims are bound to volumes that are there, and stay while a pod mounts them.
    *("persistentvolume-binder", "persistentvolume-protection", "persistentvolumeclaim-protection"),
)
"""At the pace that they have by default: the garbage collector asks 40 questions a second (twice --kube-api-qps)."""
HURRIED: Final = {
    "kube-controller-manager": {"--kube-api-qps": "2000", "--kube-api-burst": "4000", "--concurrent-gc-syncs": "40"}
}
"""Flags with which the garbage collector is not what a bench of the operator measures."""


def free_port(host: str = HOST) -> int:
    """A port of an address of ours that nobody listens on now.

    None of those that the kernel gives to connections that go out: one of these may have it by the time somebody listens.
    """
    while True:
        port = random.choice(PORTS)  # noqa: S311 (no secret)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind((host, port))
            return port


class ControlPlane:
    """The three processes and their folder."""

    def __init__(self, folder: Path, flags: Mapping[str, Mapping[str, str]] | None = None) -> None:
        """`flags`: of each part, those that are to be others."""
        self.folder = folder
        self._flags = flags or {}
        self.pki = folder / "pki"
        self.port = free_port()
        self.url = f"https://{HOST}:{self.port}"
        pki.ensure(self.pki)
        self._commands = {part: _changed(line, self._flags.get(part, {})) for part, line in self._command_lines().items()}
        self._processes: dict[str, subprocess.Popen[bytes]] = {}

    def _command_lines(self) -> dict[str, list[str]]:
        etcd, peer, manager = free_port(), free_port(), free_port()
        self.etcd_port = etcd
        client_url, peer_url = f"http://{HOST}:{etcd}", f"http://{HOST}:{peer}"
        conf = self._kubeconfig("controller-manager")
        return {
            "etcd": _changed(
                config.etcd(self.folder),
                {
                    "--listen-client-urls": client_url,
                    "--advertise-client-urls": client_url,
                    "--listen-peer-urls": peer_url,
                    "--initial-advertise-peer-urls": peer_url,
                    "--initial-cluster": f"default={peer_url}",
                    "--log-level": "error",
                    "--quota-backend-bytes": str(DATABASE_BYTES),
                },
            ),
            # (The address that it advertises is nobody's here, and no component asks for it.)
            "kube-apiserver": _changed(
                config.api_server(self.pki, ipv6=False),
                {
                    "--etcd-servers": client_url,
                    "--secure-port": str(self.port),
                    "--bind-address": HOST,
                    "--service-account-max-token-expiration": f"{MOST_TOKEN_SECONDS}s",
                },
            ),
            "kube-controller-manager": _changed(
                config.controller_manager(self.pki, ipv6=False),
                {
                    "--kubeconfig": conf,
                    "--authentication-kubeconfig": conf,
                    "--authorization-kubeconfig": conf,
                    "--secure-port": str(manager),
                    "--controllers": ",".join(f"{name}-controller" for name in _CONTROLLERS),
                },
            ),
        }

    def _kubeconfig(self, name: str) -> str:
        """The certificate's kubeconfig, for our port."""
        content = yaml.safe_load((self.pki / f"{name}.conf").read_text())
        content["clusters"][0]["cluster"]["server"] = self.url
        path = self.folder / f"{name}.conf"
        path.write_text(yaml.safe_dump(content))
        path.chmod(0o600)
        return str(path)

    @property
    def admin_kubeconfig(self) -> Path:
        """For kubectl and helm."""
        return Path(self._kubeconfig("admin"))

    def admin(self) -> KubeApi:
        """A client that may do everything; the caller closes it."""
        return KubeApi(Access(self.url, self._tls()))

    def node(self, name: str = NODE) -> KubeApi:
        """A client with a node's own identity: what a kubelet may do, such as to say that a pod's processes are gone."""
        if name != NODE and not (self.pki / f"{name}.crt").exists():
            pki.issue_node(self.pki, name)
        return KubeApi(Access(self.url, self._tls("kubelet" if name == NODE else name)))

    def trust(self) -> ssl.SSLContext:
        """The cluster's authority, for whoever has a token."""
        return ssl.create_default_context(cafile=self.pki / "ca.crt")

    def _tls(self, who: str = "admin") -> ssl.SSLContext:
        context = self.trust()
        context.load_cert_chain(self.pki / f"{who}.crt", self.pki / f"{who}.key")
        return context

    def kubectl(self, *arguments: str, stdin: str | None = None) -> str:
        """kubectl as the administrator. Raises RuntimeError with what it said."""
        command = [str(bin_dir() / "kubectl"), f"--kubeconfig={self.admin_kubeconfig}", *arguments]
        done = subprocess.run(command, input=stdin, capture_output=True, text=True, check=False, timeout=120)
        if done.returncode:
            raise RuntimeError(f"kubectl {' '.join(arguments)}: {done.stderr.strip()[-2000:]}")
        return done.stdout

    def start(self, *parts: str) -> None:
        """Start these (or all), and wait until the API server answers. Raises RuntimeError with the end of a log."""
        for part in parts or PARTS:
            self._launch(part)
            if part == "kube-apiserver":
                self._wait(part, self.answers)

    def know_new_kinds(self) -> None:
        """The controllers begin anew. (They ask once in 30 s which kinds there are, and nobody waits for that in a cluster that is old.)"""
        manager = "kube-controller-manager"
        self.kill(manager)
        self._launch(manager)

    def _launch(self, part: str) -> None:
        name, *arguments = self._commands[part]
        program = bin_dir() / name
        with (self.folder / f"{part}.log").open("ab") as log:
            # Whoever runs the test may be killed: then these end, too.
            self._processes[part] = subprocess.Popen(
                ["setpriv", "--pdeathsig", "KILL", str(program) if program.exists() else name, *arguments],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self.folder,
            )

    @contextlib.asynccontextmanager
    async def another(self, seconds: float) -> AsyncIterator[str]:
        """A second API server on the same etcd, whose words come to it so late once it has begun; its URL."""
        wire = Wire(self.etcd_port)
        async with wire.open():
            port = free_port()
            url = f"https://{HOST}:{port}"
            flags = {"--etcd-servers": f"http://{HOST}:{wire.port}", "--secure-port": str(port)}
            self._commands[ANOTHER] = _changed(self._commands["kube-apiserver"], flags)
            self._launch(ANOTHER)
            try:
                await asyncio.to_thread(self._wait, ANOTHER, lambda: self.answers(url))
                wire.seconds = seconds
                yield url
            finally:
                self.kill(ANOTHER)

    def answers(self, url: str = "") -> bool:
        """The API server is ready."""
        try:
            with urllib.request.urlopen(f"{url or self.url}/readyz", context=self._tls(), timeout=2) as response:  # noqa: S310 (https)
                return bool(response.status == 200)
        except (OSError, urllib.error.URLError):
            return False

    def _wait(self, part: str, condition: Callable[[], bool]) -> None:
        deadline = time.monotonic() + START_SECONDS
        while not condition():
            if time.monotonic() > deadline or self._processes[part].poll() is not None:
                tail = (self.folder / f"{part}.log").read_text(errors="replace").splitlines()[-15:]
                raise RuntimeError(f"{part} is not ready; the end of its log:\n" + "\n".join(tail))
            time.sleep(0.05)

    def kill(self, *parts: str) -> None:
        """SIGKILL, and gone when this returns."""
        for part in parts:
            process = self._processes.pop(part, None)
            if process is not None:
                process.kill()
                process.wait()

    def signal(self, number: signal.Signals, *parts: str) -> None:
        """E.g. SIGSTOP and SIGCONT."""
        for part in parts:
            self._processes[part].send_signal(number)

    def stop(self) -> None:
        """End all of it."""
        self.kill(ANOTHER, *reversed(PARTS))


def _changed(command: Sequence[str], change: Mapping[str, str]) -> list[str]:
    """A command line with other values of some flags."""
    kept = [word for word in command if word.partition("=")[0] not in change]
    return [*kept, *(f"{flag}={value}" for flag, value in change.items())]


def prepare() -> None:
    """Get the programs, where they are not there: from the network. Raises ClusterError."""
    packages.need({"etcd": packages.CLUSTER["etcd"]})
    binaries.ensure_tools()
    binaries.ensure_components()


@contextlib.contextmanager
def control_plane(flags: Mapping[str, Mapping[str, str]] | None = None) -> Iterator[ControlPlane]:
    """A running one, with an empty database; nothing of it is left. `flags`: as ControlPlane has them."""
    prepare()
    folder = Path(tempfile.mkdtemp(prefix="control-plane-", dir=_in_memory()))
    try:
        plane = ControlPlane(folder, flags)
        try:
            plane.start()
            plane.kubectl("create", "-f", "-", stdin=json.dumps(_NODE))
            yield plane
        finally:
            plane.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _in_memory() -> str | None:
    """Somebody else's disk is not what is measured."""
    return "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
