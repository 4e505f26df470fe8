"""The Python client on a real API server: accounts, devboxes at work, and what is left behind."""

import asyncio
import contextlib
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest
from tests.support.control_plane import ControlPlane
from tests.support.release import Release, token_of, write_kubeconfig

from devbox_common.kube import KubeApi, Object
from devbox_gateway import (
    AsyncDevboxGateway,
    DevboxGatewayError,
)

from .operator.stage import Stage, stage

IMAGE = "registry.example/agent:1"
ANTHROPIC: dict[str, Any] = {
    "name": "anthropic-gateway",
    "endpoint": "https://api.anthropic.com",
    "auth_mechanism": {"type": "bearer"},
}


@contextlib.asynccontextmanager
async def empty_namespace(release: Release, prefix: str) -> AsyncIterator[tuple[Stage, str]]:
    """An operator, and a namespace in which nothing is."""
    async with stage(release) as made:
        await made.alone()
        name = f"{prefix}-{uuid.uuid4().hex[:8]}"
        await made.api.request(
            "POST", "/api/v1/namespaces", body={"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
        )
        yield made, name


@contextlib.asynccontextmanager
async def at_work(release: Release) -> AsyncIterator[tuple[Stage, AsyncDevboxGateway]]:
    """An operator, and a client of an administrator's in an empty namespace."""
    async with (
        empty_namespace(release, "client") as (made, name),
        AsyncDevboxGateway(kubeconfig=release.plane.admin_kubeconfig, namespace=name) as client,
    ):
        yield made, client


async def refused(kind: type[DevboxGatewayError], work: Awaitable[Any]) -> str:
    with pytest.raises(kind) as caught:
        await work
    assert type(caught.value) is kind
    return str(caught.value)


async def wait_for(attempt: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
    for _ in range(100):
        if (found := await attempt()) is not None:
            return found
        await asyncio.sleep(0.1)
    raise AssertionError("it did not come")


async def nothing(client: AsyncDevboxGateway) -> bool | None:
    """True once there are no devboxes."""
    return None if await client.devboxes.list() else True


async def everything(client: AsyncDevboxGateway) -> list[str]:
    """Of the namespace, what this client can make."""
    collections: tuple[Any, ...] = (client.gateway_configs, client.secrets, client.network_policies, client.devboxes)
    return [found.id for collection in collections for found in await collection.list()]


async def account(api: KubeApi, plane: ControlPlane, namespace: str, role: str, folder: Path) -> Path:
    """A kubeconfig of a ServiceAccount that has one of the cluster's own roles in the namespace."""
    core = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": role}}
    await api.request("POST", f"/api/v1/namespaces/{namespace}/serviceaccounts", body=core)
    group = "rbac.authorization.k8s.io"
    binding = {
        "apiVersion": f"{group}/v1",
        "kind": "RoleBinding",
        "metadata": {"name": role},
        "roleRef": {"apiGroup": group, "kind": "ClusterRole", "name": role},
        "subjects": [{"kind": "ServiceAccount", "name": role, "namespace": namespace}],
    }
    await api.request("POST", f"/apis/{group}/v1/namespaces/{namespace}/rolebindings", body=binding)
    path = folder / role
    write_kubeconfig(path, plane, plane.url, await token_of(api, role, namespace))
    return path


def said(box: Object, kind: str) -> tuple[str, str, str]:
    """Status, reason and message of a condition."""
    found = {each["type"]: each for each in (box.get("status") or {}).get("conditions") or ()}.get(kind) or {}
    return found.get("status", ""), found.get("reason", ""), found.get("message", "")
