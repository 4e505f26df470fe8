"""The chart in a control plane of the test's own, and its operator as a process of this tree with exactly the chart's rights.

Goes in: a `ControlPlane`. Comes out: a `Release`: CRDs, roles, admission policies and the gateway's Service are there, and
`operator()` starts a replica with a real token of the operator's service account. Nobody runs the Deployments.
"""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
import weakref
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import aiohttp
import yaml

from devbox_api import names
from devbox_cluster.paths import PROJECT, bin_dir
from devbox_common.kube import KubeApi
from devbox_operator.kit import paths

from .addresses import own_address
from .control_plane import HOST, ControlPlane, control_plane, free_port
from .cputime import cpu_seconds
from .gateway_process import FILES

NAMESPACE: Final = "devbox-gateway-system"
CREDENTIALS: Final = f"{NAMESPACE}-credentials"
ACCOUNT: Final = "devbox-operator"
CHART: Final = PROJECT / "charts" / "devbox-gateway"
VALUES: Final = yaml.safe_dump(
    {"image": {"repository": "localhost/devbox-gateway"}, "devboxes": {"gitImage": "localhost/devbox-gateway-git:1"}}
)
LEASE: Final = f"/apis/coordination.k8s.io/v1/namespaces/{NAMESPACE}/leases/{names.LEASE}"


class Operator:
    """One replica: `devbox-operator run`."""

    def __init__(self, process: subprocess.Popen[bytes], admin_port: int, log: Path) -> None:
        self.process = process
        self.admin_port = admin_port
        self.log = log

    @property
    def alive(self) -> bool:
        """It has not ended."""
        return self.process.poll() is None

    def signal(self, number: signal.Signals) -> None:
        """To that one process."""
        self.process.send_signal(number)

    def kill(self) -> None:
        """SIGKILL, and gone when this returns."""
        self.process.kill()
        self.process.wait()

    async def metrics(self) -> dict[str, float]:
        """Everything on /metrics, by the name with its labels. Empty while nobody answers."""
        text = await self._admin("/metrics")
        lines = (line.rpartition(" ") for line in text.splitlines() if line and not line.startswith("#"))
        return {name: float(value) for name, _, value in lines}

    async def leads(self) -> bool:
        """It holds the Lease and is at work."""
        metrics = await self.metrics()
        return metrics.get("devbox_operator_leading") == 1 and await self._admin("/readyz") == "ok\n"

    async def _admin(self, path: str) -> str:
        try:
            async with (
                aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=3)) as http,
                http.get(f"http://{HOST}:{self.admin_port}{path}") as response,
            ):
                return await response.text()
        except (aiohttp.ClientError, OSError, TimeoutError):
            return ""

    @property
    def rss(self) -> int:
        """Bytes of memory in use."""
        return int(Path(f"/proc/{self.process.pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    @property
    def cpu_seconds(self) -> float:
        """Processor time so far, of user and system."""
        return cpu_seconds(self.process.pid)

    def said(self, event: str) -> int:
        """How often its log names an event."""
        return self.log.read_text(errors="replace").count(f'"{event}"')


class Gateway:
    """In place of the gateway's pods, where the operator looks: two ports that take connections, on an address in the Service's slices."""

    def __init__(self, plane: ControlPlane, namespace: str) -> None:
        self._plane, self._namespace = plane, namespace
        self._address = own_address()
        self._listening: dict[str, socket.socket] = {}
        self._ports = {"data": 0, "canary": 0}
        weakref.finalize(self, _close, self._listening)
        for name in self._ports:
            self.open(name)
        self._announce()

    def open(self, name: str) -> None:
        """That port answers."""
        if name not in self._listening:
            self._listening[name] = socket.create_server((self._address, self._ports[name]), backlog=1024)
            self._ports[name] = self._listening[name].getsockname()[1]

    def close(self, name: str) -> None:
        """That port answers nobody from now on."""
        if name in self._listening:
            self._listening.pop(name).close()

    def asked_at(self, port: int) -> None:
        """A gateway of the test's own, on this address, tells there when devboxes were last in use; 0: nobody does."""
        self._ports["activity"] = port
        self._announce()

    def _announce(self) -> None:
        labels = {"kubernetes.io/service-name": names.SERVICE}
        metadata = {"name": "gateway-standin", "namespace": self._namespace, "labels": labels}
        endpoints = [{"addresses": [self._address], "conditions": {"ready": True}}]
        ports = [{"name": name, "port": port, "protocol": "TCP"} for name, port in self._ports.items() if port]
        kind = {"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4"}
        _apply(self._plane, [{**kind, "metadata": metadata, "endpoints": endpoints, "ports": ports}])


def _close(listening: Mapping[str, socket.socket]) -> None:
    for one in listening.values():
        one.close()


class Release:
    """What `helm install` would have made."""

    def __init__(
        self, plane: ControlPlane, settings: dict[str, Any], sources: Sequence[str] = (), namespace: str = NAMESPACE
    ) -> None:
        """`sources`: what the operator's command line begins with where it is not this tree's."""
        self.plane, self.namespace = plane, namespace
        self.gateway = Gateway(plane, namespace)
        self.name = "devbox-gateway"
        """What a test calls it."""
        self._settings = settings
        self._sources = sources
        self.token = ""
        self._count = 0
        self.operators: list[Operator] = []
        """All that were started."""

    async def authorise(self) -> None:
        """A token of the operator's service account."""
        async with self.plane.admin() as api:
            self.token = await token_of(api, ACCOUNT, self.namespace)

    def operator(self, url: str | None = None, *, prefix: Sequence[str] = (), **change: Any) -> Operator:
        """Start a replica. `url`: a proxy in the API server's place; `prefix`: what its command line begins with; `change`: settings,
        as in operator.yaml."""
        self._count += 1
        port, base = free_port(), self.plane.folder / f"{self.namespace}-operator-{self._count}"
        content = {**self._settings, "adminPort": port, **change}
        base.with_suffix(".yaml").write_text(yaml.safe_dump(content))
        write_kubeconfig(base.with_suffix(".conf"), self.plane, url or self.plane.url, self.token)
        command = [
            *self._sources,
            *FILES,
            *prefix,
            sys.executable,
            "-m",
            "devbox_operator",
            "run",
            "--config",
            str(base.with_suffix(".yaml")),
        ]
        environment = {**os.environ, "KUBECONFIG": str(base.with_suffix(".conf")), "POD_NAME": base.name}
        with base.with_suffix(".log").open("wb") as log:
            process = subprocess.Popen(
                ["setpriv", "--pdeathsig", "KILL", *command],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=environment,
                cwd=PROJECT,
            )
        operator = Operator(process, port, base.with_suffix(".log"))
        self.operators.append(operator)
        return operator

    def helm(self, *arguments: str, stdin: str | None = None) -> None:
        """A helm command about the release namespace, as the administrator. Raises RuntimeError with what it said."""
        helm(self.plane, *arguments, stdin=stdin)

    def helm_install(self, *, again: bool = False) -> None:
        """By Helm itself, with what is there already taken over. `again`: it was installed so before, and what stayed is its own."""
        taken = () if again else ("--take-ownership", "--force-conflicts")
        self.helm("install", "devbox-gateway", str(CHART), *taken, "--values=-", stdin=VALUES)
        _wait_for_policies(self.plane)

    def end(self) -> None:
        """Kill the operators that still run."""
        for operator in self.operators:
            if operator.alive:
                operator.kill()
        self.operators.clear()

    async def expire_lease(self, api: KubeApi) -> None:
        """As if the time of a holder that was killed had passed."""
        with contextlib.suppress(Exception):
            await api.request("DELETE", LEASE)


async def token_of(api: KubeApi, account: str, namespace: str = NAMESPACE, **spec: Any) -> str:
    """A token of one of the release's service accounts, for a day, unless `spec` (of the TokenRequest) says otherwise."""
    path = f"{paths.core('serviceaccounts', namespace, account)}/token"
    spec = {"expirationSeconds": 86400, **spec}
    body = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": spec}
    return str((await api.request("POST", path, body=body))["status"]["token"])


def write_kubeconfig(path: Path, plane: ControlPlane, url: str, token: str) -> None:
    """For whoever has the token, at the API server or at a proxy in its place."""
    content = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "c",
        "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
        "clusters": [{"name": "c", "cluster": {"server": url, "certificate-authority": str(plane.pki / "ca.crt")}}],
        "users": [{"name": "u", "user": {"token": token}}],
    }
    path.write_text(yaml.safe_dump(content))
    path.chmod(0o600)


def helm(plane: ControlPlane, *arguments: str, stdin: str | None = None) -> None:
    """A helm command about the release namespace, as the administrator. Raises RuntimeError with what it said."""
    flags = (f"--kubeconfig={plane.admin_kubeconfig}", "--namespace", NAMESPACE)
    command = [str(bin_dir() / "helm"), *arguments, *flags]
    done = subprocess.run(command, input=stdin, capture_output=True, text=True, check=False, timeout=300)
    if done.returncode:
        raise RuntimeError(f"helm {' '.join(arguments)}: {done.stderr.strip()[-2000:]}")


def install(plane: ControlPlane, values: Mapping[str, Any] | None = None, namespace: str = NAMESPACE) -> Release:
    """Put the chart's objects into the control plane, and wait until they count."""
    given = {**yaml.safe_load(VALUES), **(values or {})}
    done = subprocess.run(
        [bin_dir() / "helm", "template", "devbox-gateway", CHART, "--namespace", namespace, "--values", "-"],
        input=yaml.safe_dump(given),
        capture_output=True,
        text=True,
        check=True,
    )
    objects = [item for item in yaml.safe_load_all(done.stdout) if item]
    crds = [item for item in objects if item["kind"] == "CustomResourceDefinition"]
    home = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}}
    _apply(plane, [home, *crds])
    if crds:
        plane.kubectl(
            "wait", "--for=condition=Established", "--timeout=30s", *(f"crd/{crd['metadata']['name']}" for crd in crds)
        )
        plane.know_new_kinds()
    _apply(plane, [item for item in objects if item not in crds])
    settings = next(
        yaml.safe_load(item["data"]["operator.yaml"])
        for item in objects
        if item["kind"] == "ConfigMap" and item["metadata"]["name"] == ACCOUNT
    )
    _wait_for_policies(plane, namespace)
    return Release(plane, settings, namespace=namespace)


@contextlib.contextmanager
def installed(flags: Mapping[str, Mapping[str, str]] | None = None) -> Iterator[Release]:
    """On a control plane of its own; nothing of either is left. `flags`: as ControlPlane has them."""
    with control_plane(flags) as plane:
        made = install(plane)
        try:
            yield made
        finally:
            made.end()


def _apply(plane: ControlPlane, items: list[Mapping[str, Any]]) -> None:
    plane.kubectl("apply", "--server-side", "--force-conflicts", "-f", "-", stdin=json.dumps(_list(items)))


def _list(items: list[Mapping[str, Any]]) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "List", "items": items}


def _wait_for_policies(plane: ControlPlane, namespace: str = NAMESPACE) -> None:
    """Policies count a moment after they were made; the refusal of a Secret in the credentials namespace shows it."""
    secret = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "probe", "namespace": f"{namespace}-credentials"},
    }
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        try:
            plane.kubectl("create", "--dry-run=server", "-f", "-", stdin=json.dumps(secret))
        except RuntimeError as error:
            if "only the operator writes" in str(error):
                return
        time.sleep(0.2)
    raise RuntimeError("the chart's admission policies are not in force after 20 s")
