"""The largest objects that whoever has `edit` in a namespace can make, and what they cost the operator and the gateway at a start.

Goes in: a release in a control plane. Comes out: objects by the hundred, and the most memory that a program ever had (VmHWM) until it had
looked at all of them.
"""

import asyncio
import contextlib
import re
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import aiohttp
import orjson
from tests.chaos.world import eventually

from devbox_api import names
from devbox_common.kube import MERGE_PATCH, ApiError, KubeApi, Object
from devbox_operator.kit import paths
from devbox_stage.credentials import make_certificates

from . import gateway_process
from .control_plane import HOST
from .release import CREDENTIALS, Operator, Release, token_of, write_kubeconfig

GATEWAY_ACCOUNT: Final = "devbox-gateway"
READY_SECONDS: Final = 500.0
"""For a start, and for each Devbox that there is a second more: the API server has most to do with them, and few processors."""
GONE_SECONDS: Final = 300.0
TRIES: Final = 5
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


def plain_devbox(namespace: str, name: str) -> Object:
    """As large as its schema admits, and no more than a note beside it: of thousands with more the database would be full, whose
    history holds each of them as often as its status was written."""
    body = devbox(namespace, name)
    body["metadata"] = {"name": name, "namespace": namespace, "annotations": {"example.com/note": "x" * (50 * KIB)}}
    return body


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


MADE: Final = re.compile(r"big-\d+")
"""The name of one that `make` made; a Devbox's pod and NetworkPolicy have more behind it."""

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


async def make(api: KubeApi, kind: str, namespace: str, count: int, maker: Maker | None = None) -> int:
    """So many of them; returns the bytes that one has as the API server sends it."""
    path, usual = KINDS[kind]
    made, numbers = maker or usual, iter(range(count))

    async def some(numbers: Iterator[int]) -> int:
        size = 0
        for number in numbers:
            size = await _sent(api, "POST", path(namespace), body=made(namespace, f"big-{number}"))
        return size

    return max(await asyncio.gather(*(some(numbers) for _ in range(AT_A_TIME))))


async def _sent(api: KubeApi, method: str, path: str, **options: Any) -> int:
    """An API server that is busy with objects of this size is asked again. Returns the bytes of its answer."""
    tries = 0
    while True:
        try:
            return len(orjson.dumps(await api.request(method, path, timeout=60, **options)))
        except ApiError as error:
            tries += 1
            if not error.transient or tries == TRIES:
                raise
        await asyncio.sleep(1)


async def _names(api: KubeApi, path: str, selector: str = "") -> list[str]:
    params = {"labelSelector": selector} if selector else None
    async with contextlib.aclosing(api.pages(path, params, metadata_only=True)) as pages:
        return [item["metadata"]["name"] async for page in pages for item in page.items]


async def clear(api: KubeApi, kind: str, namespace: str) -> None:
    """Those that `make` made are gone, and the pods of Devboxes with them."""
    path = KINDS[kind][0](namespace)
    for name in filter(MADE.fullmatch, await _names(api, path)):
        if kind == "PersistentVolumeClaim":  # whose protection is a controller's affair, which does not run here
            no_finalizers = {"metadata": {"finalizers": None}}
            await _sent(api, "PATCH", f"{path}/{name}", body=no_finalizers, content_type=MERGE_PATCH)
        await _sent(api, "DELETE", f"{path}/{name}")

    async def gone() -> bool:
        left = any(map(MADE.fullmatch, await _names(api, path)))
        if kind == "Devbox" and not left:
            left = any(map(MADE.match, await _names(api, paths.pods(namespace), names.DEVBOX_LABEL)))
        return not left

    await eventually(gone, GONE_SECONDS, every=1.0)


async def grow_pods(api: KubeApi, namespace: str, count: int) -> int:
    """Labels and annotations onto the pods of so many devboxes, which may be edited but not made; returns the bytes that one has then."""
    size, body = 0, {"metadata": {"labels": _many(LABELS), "annotations": ANNOTATIONS}}
    found = await _names(api, paths.pods(namespace), names.DEVBOX_LABEL)
    if len(found) < count:
        raise AssertionError(f"the operator made {len(found)} pods of {count}")
    for name in found:
        size = await _sent(api, "PATCH", paths.pods(namespace, name), body=body, content_type=MERGE_PATCH)
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
    # (An API server that is busy with them answers late. And it is a start that is measured: another look at everything, five minutes
    # later, would be work that never ends.)
    operator = release.operator(lease={"durationSeconds": 120}, resyncSeconds=24 * 3600)
    try:
        await eventually(operator.leads, READY_SECONDS + devboxes)
        await eventually(lambda: _idle(operator, api, devboxes, idle_seconds), READY_SECONDS + devboxes, every=0.5)
        return peak(operator.process.pid)
    finally:
        operator.kill()
        release.operators.remove(operator)


async def _idle(operator: Operator, api: KubeApi, devboxes: int, seconds: float) -> bool:
    """All were looked at and have pods, nothing waits, and nothing came to an end for a while. (Little processor time alone may be
    waiting, too; and one that is looked at may have to be looked at again.)"""
    before, spent = await operator.metrics(), operator.cpu_seconds
    await asyncio.sleep(seconds)
    after = await operator.metrics()
    looked = _reconciles(after, 'kind="Devbox"')
    still = _reconciles(before) == _reconciles(after) and after.get("devbox_operator_queue_length") == 0
    idle = looked >= devboxes and still and operator.cpu_seconds - spent < 0.1 * seconds
    return idle and len(await _names(api, paths.pods(), names.DEVBOX_LABEL)) >= devboxes


def _reconciles(metrics: Mapping[str, float], of: str = "") -> float:
    return sum(value for name, value in metrics.items() if name.startswith("devbox_operator_reconciles_total{" + of))


async def gateway_peak(release: Release, api: KubeApi, *, idle_seconds: float = 3.0) -> int:
    """Of a gateway that starts, until it is ready and has had nothing to do for a while."""
    async with gateway(release, api) as process:
        ready = f"http://{HOST}:{process.admin}/readyz"

        async def quiet() -> bool:
            try:
                async with aiohttp.ClientSession() as http, http.get(ready) as response:
                    status = response.status
            except aiohttp.ClientError:  # (the port ends a connection that waits for long)
                return False
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
