"""The largest objects that whoever has `edit` in a namespace can make, and what they cost the operator and the gateway at a start.

Goes in: a release in a control plane. Comes out: objects by the hundred, and the most memory that a program ever had (VmHWM) until it had
looked at all of them. Called by tests/chaos/test_large_objects.py and bench/large_objects.py.
"""

import asyncio
import contextlib
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import aiohttp
import orjson
from tests.chaos.world import eventually

from devbox_api import names
from devbox_common.kube import MERGE_PATCH, KubeApi, Object
from devbox_demo.credentials import make_certificates
from devbox_operator import paths

from . import gateway_process
from .control_plane import HOST
from .release import CREDENTIALS, Operator, Release, token_of, write_kubeconfig

GATEWAY_ACCOUNT: Final = "devbox-gateway"
READY_SECONDS: Final = 500.0
AT_A_TIME: Final = 8
KIB: Final = 1 << 10
ANNOTATIONS: Final = {"example.com/note": "x" * (250 * KIB)}
"""The API server takes 256 KiB of them."""


LABELS: Final = 1000
"""Nothing bounds them but the size of the object; many more make the API server slow, not those that are measured."""


def _many(count: int) -> dict[str, str]:
    """Labels, of which the API server counts nothing but the object's size; in `managedFields` each stands once more."""
    return {f"{'k' * 50}{number:06d}": "v" * 63 for number in range(count)}


def _object(
    api_version: str, kind: str, namespace: str, name: str, *, labels: Mapping[str, str] | None = None, **fields: Any
) -> Object:
    metadata = {"name": name, "namespace": namespace, "annotations": ANNOTATIONS, "labels": {**_many(LABELS), **(labels or {})}}
    return {"apiVersion": api_version, "kind": kind, "metadata": metadata, **fields}


def devbox(namespace: str, name: str) -> Object:
    """As large as its schema admits, more or less, and its metadata beyond that. Its gateway is not there: it is gated for ever."""
    env = [{"name": f"V{number}", "value": "x" * (15 * KIB)} for number in range(4)]
    spec = {"image": "localhost/agent", "env": env, "gateways": [{"name": "NONE", "gatewayRef": {"name": "none"}}]}
    return _object(names.API_VERSION, "Devbox", namespace, name, spec=spec)


def secret(namespace: str, name: str) -> Object:
    """Granted, and nobody refers to it."""
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {
            "name": name,
            "namespace": namespace,
            "annotations": {names.ALLOWED_HOSTS_ANNOTATION: "api.example.com"},
        },
        "stringData": {"key": "sk-one", "more": "x" * (1000 * KIB)},
    }


def configmap(namespace: str, name: str) -> Object:
    """One that may be mounted."""
    labels = {names.MOUNTABLE_LABEL: "true"}
    metadata = {"name": name, "namespace": namespace, "labels": labels, "annotations": ANNOTATIONS}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"more": "x" * (1000 * KIB)}}


def claim(namespace: str, name: str) -> Object:
    """One that may be mounted."""
    spec = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
    return _object("v1", "PersistentVolumeClaim", namespace, name, labels={names.MOUNTABLE_LABEL: "true"}, spec=spec)


def account(namespace: str, name: str) -> Object:
    """With the label of those that are the operator's."""
    return _object("v1", "ServiceAccount", namespace, name, labels={names.MANAGED_BY_LABEL: names.MANAGED_BY})


def networkpolicy(namespace: str, name: str) -> Object:
    """It selects by thousands of names, and has thousands of rules."""
    values = [f"{'v' * 50}{number:06d}" for number in range(5000)]
    rules = [{"to": [{"ipBlock": {"cidr": f"10.{n // 250}.{n % 250}.0/24"}}]} for n in range(5000)]
    selector = {"matchExpressions": [{"key": "app", "operator": "In", "values": values}]}
    spec = {"podSelector": selector, "policyTypes": ["Egress"], "egress": rules}
    metadata = {"name": name, "namespace": namespace, "annotations": ANNOTATIONS}
    return {"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": metadata, "spec": spec}


def gatewayconfig(namespace: str, name: str) -> Object:
    """With as many rules, and as many authorities, as there may be."""
    host, path = f"{name}.example.com", "p" * 240
    rules = [{"paths": [f"/{rule:02d}/{number:02d}/{path}" for number in range(32)]} for rule in range(32)]
    bundle = "-----BEGIN CERTIFICATE-----\n" + "x" * (63 * KIB)
    spec = {"endpoint": f"https://{host}", "authMechanism": {"type": "Bearer"}, "rules": rules, "tls": {"caBundle": bundle}}
    return _object(names.API_VERSION, "GatewayConfig", namespace, name, spec=spec)


def egresspolicy(namespace: str, name: str) -> Object:
    """With as many hosts and ranges as there may be."""
    label = "a" * 60
    hosts = [f"h{number:03d}.{label}.{label}.{label}.example" for number in range(256)]
    spec = {"allowedHostnames": hosts, "allowedCIDRs": [f"203.0.113.{number}/32" for number in range(64)]}
    return _object(names.API_VERSION, "EgressPolicy", namespace, name, spec=spec)


Maker = Callable[[str, str], Object]
KINDS: Final[dict[str, tuple[Callable[[str], str], Maker]]] = {
    "Devbox": (paths.devboxes, devbox),
    "Secret": (paths.secrets, secret),
    "ConfigMap": (lambda namespace: paths.core("configmaps", namespace), configmap),
    "PersistentVolumeClaim": (lambda namespace: paths.core("persistentvolumeclaims", namespace), claim),
    "ServiceAccount": (lambda namespace: paths.core("serviceaccounts", namespace), account),
    "NetworkPolicy": (paths.networkpolicies, networkpolicy),
    "GatewayConfig": (paths.gatewayconfigs, gatewayconfig),
    "EgressPolicy": (paths.egresspolicies, egresspolicy),
}


async def make(api: KubeApi, kind: str, namespace: str, count: int) -> int:
    """So many of them; returns the bytes that one has as the API server sends it."""
    path, maker = KINDS[kind]
    numbers = iter(range(count))

    async def some(numbers: Iterator[int]) -> int:
        size = 0
        for number in numbers:
            size = len(
                orjson.dumps(await api.request("POST", path(namespace), body=maker(namespace, f"big-{number}"), timeout=60))
            )
        return size

    return max(await asyncio.gather(*(some(numbers) for _ in range(AT_A_TIME))))


async def clear(api: KubeApi, kind: str, namespace: str) -> None:
    """Those that `make` made are gone."""
    path = KINDS[kind][0](namespace)
    async with contextlib.aclosing(api.pages(path, metadata_only=True)) as pages:
        found = [item["metadata"]["name"] async for page in pages for item in page.items]
    for name in found:
        if name.startswith("big-"):
            await api.request("DELETE", f"{path}/{name}", timeout=60)


async def grow_pods(api: KubeApi, namespace: str) -> int:
    """Labels and annotations onto the devboxes' pods, which may be edited but not made; returns the bytes that one has then."""
    size, body = 0, {"metadata": {"labels": _many(LABELS), "annotations": ANNOTATIONS}}
    async with contextlib.aclosing(api.pages(paths.pods(namespace), {"labelSelector": names.DEVBOX_LABEL})) as pages:
        found = [item["metadata"]["name"] async for page in pages for item in page.items]
    for name in found:
        answer = await api.request("PATCH", paths.pods(namespace, name), body=body, content_type=MERGE_PATCH, timeout=60)
        size = len(orjson.dumps(answer))
    return size


async def make_namespace(api: KubeApi, namespace: str) -> None:
    """With a Devbox, so that the operator watches its Secrets."""
    await api.request(
        "POST", paths.core("namespaces"), body={"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}}
    )
    body = devbox(namespace, "small")
    body["metadata"] = {"name": "small", "namespace": namespace}
    body["spec"]["env"] = []
    await api.request("POST", paths.devboxes(namespace), body=body)


def peak(pid: int) -> int:
    """The most bytes of memory that a process ever had (proc(5): status)."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) * KIB for line in lines if line.startswith("VmHWM:"))


async def operator_peak(release: Release, api: KubeApi, devboxes: int, *, idle_seconds: float = 3.0) -> int:
    """Of an operator that starts, until it has looked at all Devboxes and has had nothing to do for a while."""
    await release.expire_lease(api)
    operator = release.operator(lease={"durationSeconds": 120})  # (an API server that is busy with them answers late)
    try:
        await eventually(operator.leads, READY_SECONDS)
        await eventually(lambda: _idle(operator, devboxes, idle_seconds), READY_SECONDS, every=0.5)
        return peak(operator.process.pid)
    finally:
        operator.kill()
        release.operators.remove(operator)


async def _idle(operator: Operator, devboxes: int, seconds: float) -> bool:
    metrics = await operator.metrics()
    looked = sum(value for name, value in metrics.items() if name.startswith('devbox_operator_reconciles_total{kind="Devbox"'))
    before = operator.cpu_seconds
    await asyncio.sleep(seconds)
    return looked >= devboxes and operator.cpu_seconds - before < 0.1 * seconds


async def gateway_peak(release: Release, api: KubeApi, *, idle_seconds: float = 3.0) -> int:
    """Of a gateway that starts, until it is ready and has had nothing to do for a while."""
    async with gateway(release, api) as process:
        ready = f"http://{HOST}:{process.admin}/readyz"

        async def quiet() -> bool:
            async with aiohttp.ClientSession() as http, http.get(ready) as response:
                status = response.status
            before = process.cpu_seconds
            await asyncio.sleep(idle_seconds)
            return status == 200 and process.cpu_seconds - before < 0.1 * idle_seconds

        await eventually(quiet, READY_SECONDS)
        return process.peak


@contextlib.asynccontextmanager
async def gateway(release: Release, api: KubeApi) -> AsyncIterator[gateway_process.Process]:
    """A gateway with its own service account, on loopback."""
    with tempfile.TemporaryDirectory(prefix="large-") as name:
        folder = Path(name)
        gateway_process.write_files(folder, make_certificates((gateway_process.HOST,)), release.plane.url)
        write_kubeconfig(folder / "kubeconfig", release.plane, release.plane.url, await token_of(api, GATEWAY_ACCOUNT))
        config = gateway_process.settings(folder, credentialsNamespace=CREDENTIALS)
        async with gateway_process.running(folder, config) as process:
            yield process
