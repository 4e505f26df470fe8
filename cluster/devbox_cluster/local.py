"""The real components of Kubernetes as processes of this machine: start, check, stop.

Goes in: binaries and Debian packages. Comes out: a node that is Ready, and an admin kubeconfig. Needs root. State is in the cache folder,
so that every clone on the machine uses the same cluster.
"""

import json
import os
import shutil
import socket
import subprocess
import sys
from functools import cached_property
from pathlib import Path
from typing import Final

from . import binaries, config, packages, pki, sandboxes
from .buildah import scratch_image, storage
from .claim import Claim
from .containerd import Containerd
from .locks import locked
from .network import Network, has_ipv6, remove_dead_rules, traces
from .paths import PROJECT, bin_dir, cache_dir, run_dir, state_dir
from .processes import Processes
from .progress import ClusterError, step

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
        self.claim = Claim(self.run, cache_dir())
        self.processes = Processes(self.run / "pid", self.state / "log")
        self.network = Network(self.run)
        self.containerd = Containerd(self.run)

    @cached_property
    def ipv6(self) -> bool:
        """The cluster has both families, or IPv4 alone."""
        return has_ipv6()

    def kubectl(self, *arguments: str, stdin: str | None = None, check: bool = True) -> subprocess.CompletedProcess[str]:
        """kubectl as the cluster's admin."""
        command = [str(bin_dir() / "kubectl"), f"--kubeconfig={self.pki / 'admin.conf'}", *arguments]
        return _output(command, stdin=stdin, check=check, seconds=120)

    def exists(self) -> bool:
        """Something of it was started since the machine's start."""
        return self.claim.mine()

    def healthy(self) -> bool:
        """Every process is alive, the API server answers, the node is Ready."""
        if not self.claim.mine() or not all(self.processes.alive(name) for name in ORDER):
            return False
        try:
            return self._ready_node()
        except (subprocess.TimeoutExpired, FileNotFoundError):
            return False

    def check(self) -> None:
        """Raises ClusterError if the cluster can't be here, before minutes are spent on it."""
        if sys.platform != "linux":
            raise ClusterError("the local cluster needs Linux; start a Docker engine to have one in kind")
        if os.geteuid() != 0:
            raise ClusterError(
                "the local cluster needs root (network devices, containers); run as root, or start a Docker engine that "
                "you may use: the cluster is made with kind then"
            )
        self.claim.check()
        packages.need({**packages.CLUSTER, **packages.IMAGES})

    def up(self) -> None:
        """Bring the cluster up, from whatever there is. Raises ClusterError."""
        binaries.ensure_components()
        if self.healthy():
            return
        if self.exists() and self.processes.alive("etcd") and self.processes.alive("containerd") and self._answers():
            # What stands on them can be started anew by itself, and whoever uses the cluster goes on.
            with step("start what has stopped"):
                self._start_node()
            return
        with step("stop what is left of an earlier cluster", quiet_below=0.5):
            self.down()
        self._check_machine()
        self.claim.take()
        self._configure()
        self.network.up(ipv6=self.ipv6)
        with step("start etcd and the API server"):
            self._start("etcd", config.etcd(self.state))
            self._start("kube-apiserver", config.api_server(self.pki, ipv6=self.ipv6))
            self.processes.wait("kube-apiserver", self._answers, 60)
        with step("start containerd and load the pause and DNS images"):
            self._start("containerd", ["containerd", "--config", str(self.files / "containerd.toml")])
            self.processes.wait("containerd", (self.run / "containerd.sock").exists, 15)
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
        for name, content in config.files(self.state, self.run, self.pki, ipv6=self.ipv6).items():
            path = self.files / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content)
        plugins = self.state / "cni"
        shutil.rmtree(plugins, ignore_errors=True)
        plugins.mkdir()
        for program in (*config.CNI_PLUGINS.iterdir(), bin_dir() / config.SOURCE_GUARD_PLUGIN):
            (plugins / program.name).symlink_to(program)
        self.run.mkdir(mode=0o700, exist_ok=True)

    def _start_node(self) -> None:
        """Start those of the node's parts that do not run; wait until the node is ready."""
        commands = {
            "kube-controller-manager": config.controller_manager(self.pki, ipv6=self.ipv6),
            "kube-scheduler": config.scheduler(self.pki),
            "kubelet": config.kubelet(self.state, self.files, self.pki, ipv6=self.ipv6),
            "kube-proxy": ["kube-proxy", f"--config={self.files}/kube-proxy.yaml"],
            "kube-router": config.kube_router(self.pki, ipv6=self.ipv6),
        }
        for name, command in commands.items():
            if name == "kube-router":
                # It looks its node up once, at its start, and ends where there is none.
                # kubelet ends where containerd's CRI is not set up yet, which on a busy machine is seconds after its socket is there.
                self.processes.wait(
                    "kubelet", self._ready_node, 60, restart=lambda: self._start("kubelet", commands["kubelet"])
                )
            if not self.processes.alive(name):
                self._start(name, command)
        self.processes.wait("kube-router", self._ready_node, 60)

    def down(self) -> None:
        """Remove every process, sandbox, mount, device, cgroup and rule that the cluster made. Can be run at any time."""
        if os.geteuid() != 0:
            raise ClusterError("the local cluster can be removed by root alone, who made it")
        self.claim.check()
        # The node's parts first, so that nothing starts a container anew while its sandbox is taken away.
        self.processes.stop("kubelet", "kube-router", "kube-proxy", "kube-scheduler", "kube-controller-manager")
        started = self.claim.owner() is not None
        if started:
            sandboxes.remove_sandboxes(self.run, self.state)
        self.processes.stop("containerd", "kube-apiserver", "etcd")
        with locked("images"):  # a build that goes on has its files mounted there
            sandboxes.unmount_below(storage())
        news = self.network.down()
        left = [*sandboxes.leftovers(self.run, self.state), *dict.fromkeys([*traces(), *news])] if started else []
        if left:
            raise ClusterError("the cluster was stopped, but these are still there:\n  " + "\n  ".join(left))
        # The database would speak of pods that are gone, and their records would make a new kubelet mourn them.
        for folder in ("kubelet", "pod-logs", "etcd"):
            shutil.rmtree(self.state / folder, ignore_errors=True)
        self.claim.release()

    def admin_kubeconfig(self) -> str:
        """The admin's kubeconfig, as text."""
        return (self.pki / "admin.conf").read_text()

    def _start(self, name: str, command: list[str]) -> None:
        program = bin_dir() / command[0]
        if program.exists():
            command = [str(program), *command[1:]]
        path = f"{bin_dir()}:{os.environ.get('PATH', '')}:/usr/sbin:/sbin"
        self.processes.start(name, command, {"PATH": path, "GOMAXPROCS": "2"})

    def _answers(self) -> bool:
        return self.kubectl("get", "--raw=/readyz", "--request-timeout=2s", check=False).returncode == 0

    def _ready_node(self) -> bool:
        result = self.kubectl("get", "node", config.NODE, "-o", "json", "--request-timeout=2s", check=False)
        if result.returncode != 0:
            return False
        conditions = json.loads(result.stdout)["status"].get("conditions", ())
        return any(condition["type"] == "Ready" and condition["status"] == "True" for condition in conditions)

    def _check_machine(self) -> None:
        """Nobody else's node, and nobody on our ports: two kubelets on one machine would end each other's pods."""
        remove_dead_rules()
        if found := [*traces(), *sandboxes.cgroups()]:
            more = f" and {len(found) - 3} more" if len(found) > 3 else ""
            raise ClusterError(
                f"another Kubernetes runs on this machine, or left traces ({', '.join(found[:3])}{more}); the local cluster would "
                "fight with it. Remove it (a restart of the machine removes traces), use another machine, or a Docker engine"
            )
        for port, name in config.PORTS.items():
            with socket.socket() as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                try:
                    probe.bind(("0.0.0.0", port))  # noqa: S104 (only to see whether it is free)
                except OSError:
                    holder = _output(["ss", "-Hltnp", f"sport = :{port}"], check=False, seconds=10).stdout.strip()
                    raise ClusterError(
                        f"port {port}, which {name} needs, is taken ({holder or 'the kernel does not say by whom'}); "
                        "end that program, then try again"
                    ) from None

    def _load_system_images(self) -> None:
        wanted = {
            config.PAUSE_IMAGE: (shutil.which("catatonit") or "/usr/bin/catatonit", ["/catatonit", "-P"]),
            COREDNS_IMAGE: (str(bin_dir() / "coredns"), ["/coredns"]),
        }
        with locked("images"):
            for reference, (program, command) in wanted.items():
                if not self.containerd.has(reference):
                    self.containerd.load(scratch_image(reference, Path(program), command))


def _output(
    command: list[str], *, stdin: str | None = None, check: bool = True, seconds: float
) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(command, input=stdin, capture_output=True, text=True, check=check, timeout=seconds)
    except subprocess.CalledProcessError as error:
        raise ClusterError(f"{Path(command[0]).name} failed: {' '.join(command[1:])}\n{error.stderr.strip()[-2000:]}") from None
