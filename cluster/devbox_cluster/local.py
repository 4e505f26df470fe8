"""The real components of Kubernetes as processes of this machine: start, check, stop.

Goes in: binaries and Debian packages. Comes out: a node that is Ready, and an admin kubeconfig. Called by cluster.py; needs
root. State is in the cache folder, so that every clone on the machine uses the same cluster.
"""

import json
import os
import re
import shutil
import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from . import binaries, config, packages, pki
from .buildah import archive, discard, scratch_image
from .network import Network
from .paths import PROJECT, bin_dir, run_dir, state_dir
from .processes import Processes
from .progress import ClusterError, step
from .sandboxes import remove_sandboxes

ORDER: Final = (
    "etcd",
    "kube-apiserver",
    "kube-controller-manager",
    "kube-scheduler",
    "containerd",
    "kubelet",
    "kube-proxy",
    "kube-router",
)
COREDNS_IMAGE: Final = "localhost/coredns:1.14.7"


class LocalCluster:
    """One node, made of processes."""

    def __init__(self) -> None:
        self.state = state_dir()
        self.pki = self.state / "pki"
        self.files = self.state / "files"
        self.run = run_dir()
        self.processes = Processes(self.state)
        self.network = Network(self.state)

    def kubectl(self, *arguments: str, stdin: str | None = None, check: bool = True) -> subprocess.CompletedProcess[str]:
        """kubectl as the cluster's admin."""
        return subprocess.run(
            [str(bin_dir() / "kubectl"), f"--kubeconfig={self.pki / 'admin.conf'}", *arguments],
            input=stdin,
            capture_output=True,
            text=True,
            check=check,
            timeout=120,
        )

    def ctr(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """containerd's own client, in the namespace that kubelet uses."""
        return subprocess.run(
            ["ctr", "--address", f"{self.run}/containerd.sock", "--namespace", "k8s.io", *arguments],
            capture_output=True,
            text=True,
            check=True,
            timeout=300,
        )

    def healthy(self) -> bool:
        """Every process is alive, the API server answers, the node is Ready."""
        if not all(self.processes.alive(name) for name in ORDER) or not (bin_dir() / "kubectl").exists():
            return False
        try:
            return self._ready_node()
        except subprocess.TimeoutExpired:
            return False

    def up(self) -> None:
        """Bring the cluster up, from whatever there is. Raises ClusterError."""
        if os.geteuid() != 0:
            raise ClusterError(
                "the local cluster needs root (network devices, containers); run as root, or install Docker and kind"
            )
        packages.need({**packages.CLUSTER, **packages.IMAGES})
        binaries.ensure_components()
        if self.healthy():
            return
        if self.processes.alive("etcd") and self._ok("get", "--raw=/readyz") and self.processes.alive("containerd"):
            # What stands on them can be started anew by itself, and whoever uses the cluster goes on.
            with step("start what has stopped"):
                self._start_node()
            return
        with step("stop what is left of an earlier cluster", quiet_below=0.5):
            self.down()
        self._check_ports()
        self._configure()
        self.network.up()
        with step("start etcd and the API server"):
            self._start("etcd", config.etcd(self.state))
            self._start("kube-apiserver", config.api_server(self.pki))
            self._wait("kube-apiserver", lambda: self._ok("get", "--raw=/readyz"), 60)
        with step("start containerd and load the pause and DNS images"):
            self._start("containerd", ["containerd", "--config", str(self.files / "containerd.toml")])
            self._wait("containerd", (self.run / "containerd.sock").exists, 15)
            self._load_system_images()
        with step("start the node and wait until it is ready"):
            self._start_node()
        with step("start DNS"):
            manifest = (PROJECT / "cluster" / "manifests" / "coredns.yaml").read_text()
            manifest = manifest.replace("COREDNS_IMAGE", COREDNS_IMAGE).replace("DNS_ADDRESS", config.DNS_ADDRESS)
            self.kubectl("apply", "--server-side", "-f", "-", stdin=manifest)
            self.kubectl("-n", "kube-system", "rollout", "status", "deployment/coredns", "--timeout=60s")

    def _configure(self) -> None:
        pki.ensure(self.pki)
        for name, content in config.files(self.state, self.run, self.pki).items():
            path = self.files / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content)
        self.run.mkdir(mode=0o700, exist_ok=True)

    def _start_node(self) -> None:
        """Start those of the node's parts that do not run; wait until the node is ready."""
        commands = {
            "kube-controller-manager": config.controller_manager(self.pki),
            "kube-scheduler": config.scheduler(self.pki),
            "kubelet": config.kubelet(self.state, self.files, self.pki),
            "kube-proxy": ["kube-proxy", f"--config={self.files}/kube-proxy.yaml"],
            "kube-router": config.kube_router(self.pki),
        }
        for name, command in commands.items():
            if name == "kube-router":
                # It looks its node up once, at its start, and ends where there is none.
                self._wait("kubelet", self._ready_node, 60)
            if not self.processes.alive(name):
                self._start(name, command)
        self._wait("kube-router", self._ready_node, 60)

    def down(self) -> None:
        """Remove every process, sandbox, mount, device and rule that the cluster made. Can be run at any time."""
        # The node's parts first, so that nothing starts a container anew while its sandbox is taken away.
        for name in ("kubelet", "kube-router", "kube-proxy", "kube-scheduler", "kube-controller-manager"):
            self.processes.stop(name)
        remove_sandboxes(self.run, self.state)
        for name in ("containerd", "kube-apiserver", "etcd"):
            self.processes.stop(name)
        self.network.down()
        # Pods' records would make a new kubelet mourn them; the database keeps what should run.
        shutil.rmtree(self.state / "kubelet", ignore_errors=True)
        shutil.rmtree(self.state / "pod-logs", ignore_errors=True)
        shutil.rmtree(self.state / "etcd", ignore_errors=True)
        shutil.rmtree(self.run, ignore_errors=True)

    def has_image(self, reference: str) -> bool:
        """The node holds the image."""
        return bool(self.ctr("images", "list", "--quiet", f"name=={reference}").stdout.strip())

    def admin_kubeconfig(self) -> str:
        """The admin's kubeconfig, as text."""
        return (self.pki / "admin.conf").read_text()

    def load_image(self, reference: str) -> None:
        """Give the node an image that buildah holds."""
        self._import(archive(reference))

    def tag_image(self, reference: str, alias: str) -> None:
        """Give an image that the node holds a second name."""
        self.ctr("images", "tag", "--force", reference, alias)

    def prune_images(self, reference: str, keep: int) -> None:
        """Remove older images of the same name from the node, but the last `keep`, and from buildah's storage."""
        name = reference.rsplit(":", 1)[0]
        # containerd lists by name; its own records of creation are the order.
        rows = self.ctr("images", "list", f"name~={re.escape(name)}:").stdout.splitlines()[1:]
        tags = [row.split()[0] for row in rows if not row.startswith((reference, f"{name}:examples"))]
        for old in tags[: max(0, len(tags) + 1 - keep)]:
            self.ctr("images", "remove", old)
            discard(old)

    def _import(self, path: Path) -> None:
        self.ctr("images", "import", str(path))
        path.unlink()

    def _start(self, name: str, command: list[str]) -> None:
        program = bin_dir() / command[0]
        if program.exists():
            command = [str(program), *command[1:]]
        path = f"{bin_dir()}:{os.environ.get('PATH', '')}:/usr/sbin:/sbin"
        self.processes.start(name, command, {"PATH": path, "GOMAXPROCS": "2"})

    def _wait(self, name: str, condition: Callable[[], bool], seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > deadline or not self.processes.alive(name):
                log = self.processes.log(name)
                tail = "\n".join(log.read_text(errors="replace").splitlines()[-20:])
                raise ClusterError(f"{name} is not ready; the end of {log}:\n{tail}")
            time.sleep(0.1)

    def _ok(self, *arguments: str) -> bool:
        return self.kubectl(*arguments, "--request-timeout=2s", check=False).returncode == 0

    def _ready_node(self) -> bool:
        result = self.kubectl("get", "node", config.NODE, "-o", "json", "--request-timeout=2s", check=False)
        if result.returncode != 0:
            return False
        conditions = json.loads(result.stdout)["status"].get("conditions", ())
        return any(condition["type"] == "Ready" and condition["status"] == "True" for condition in conditions)

    def _check_ports(self) -> None:
        for port, name in config.PORTS.items():
            with socket.socket() as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                try:
                    probe.bind(("0.0.0.0", port))  # noqa: S104 (only to see whether it is free)
                except OSError:
                    raise ClusterError(
                        f"port {port}, which {name} needs, is taken; `ss -ltnp sport = :{port}` says by whom"
                    ) from None

    def _load_system_images(self) -> None:
        wanted = {
            config.PAUSE_IMAGE: (shutil.which("catatonit") or "/usr/bin/catatonit", ["/catatonit", "-P"]),
            COREDNS_IMAGE: (str(bin_dir() / "coredns"), ["/coredns"]),
        }
        for reference, (program, command) in wanted.items():
            if not self.has_image(reference):
                self._import(scratch_image(reference, Path(program), command))
