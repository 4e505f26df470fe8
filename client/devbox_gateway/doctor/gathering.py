"""Looks at a cluster with the rights of whoever asks. What may not be looked at is `Hidden`; nothing is an error but an API server that is
not there.

Goes in: a session, a namespace. Comes out: `Facts`.
"""

import asyncio
from collections.abc import Awaitable, Mapping
from datetime import datetime, timezone
from typing import Any, Final, TypeVar

from devbox_api.names import API_VERSION, DEVBOX_LABEL, GROUP, LEASE, SERVICE, VERSION
from devbox_gateway.errors import NotFoundError, PermissionDeniedError
from devbox_gateway.kube.session import Session
from devbox_gateway.naming import DEVBOX, GATEWAY_CONFIG, NETWORK_POLICY
from devbox_gateway.objects.release import USUAL, told

from .facts import EXEC_CREATE, USER, Facts, Hidden, Object, Right

EXEC_CREATE_FROM: Final = 35
"""From Kubernetes 1.35 on the API server asks for `create` where a command is run over a WebSocket."""
CLOCK_SECONDS: Final = 10.0
_AUTHORIZATION: Final = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
_SELF: Final = "/apis/authentication.k8s.io/v1/selfsubjectreviews"
_T = TypeVar("_T")


async def gather(session: Session, namespace: str, release: str | None = None) -> Facts:
    """One look. `release`: the namespace of the installation, where it is known."""
    kinds, space, account, (server, own), minor = await asyncio.gather(
        _kinds(session), _space(session, namespace), _account(session), _clock(session), _minor(session)
    )
    if not isinstance(kinds, Hidden) and not kinds:
        return Facts(namespace, release or USUAL, kinds, space=space, account=account, server_time=server, own_time=own)
    rights = [*USER, EXEC_CREATE] if minor >= EXEC_CREATE_FROM else [*USER]
    devboxes, configs, policies, pods, fields, lacking = await asyncio.gather(
        _list(session, DEVBOX.path(namespace), "devboxes", namespace),
        _list(session, GATEWAY_CONFIG.path(namespace), "gatewayconfigs", namespace),
        _list(session, NETWORK_POLICY.path(namespace), "egresspolicies", namespace),
        _list(session, f"/api/v1/namespaces/{namespace}/pods", "pods", namespace, {"labelSelector": DEVBOX_LABEL}),
        _fields(session),
        _lacking(session, namespace, rights),
    )
    release = release or told(() if isinstance(devboxes, Hidden) else devboxes) or USUAL
    slices, lease = await asyncio.gather(_slices(session, release), _lease(session, release))
    return Facts(
        namespace,
        release,
        kinds,
        space=space,
        fields=fields,
        slices=slices,
        lease=lease,
        devboxes=devboxes,
        configs=configs,
        policies=policies,
        pods=pods,
        lacking=lacking,
        account=account,
        server_time=server,
        own_time=own,
    )


async def _seen(asked: Awaitable[_T], right: str) -> _T | Hidden:
    """What was asked for; else that there is no right to `right`."""
    try:
        return await asked
    except PermissionDeniedError:
        return Hidden(f"no right to {right}")


async def _kinds(session: Session) -> frozenset[str] | Hidden:
    try:
        found = await _seen(session.request("GET", f"/apis/{API_VERSION}"), f"see which resources the group {GROUP} has")
    except NotFoundError:
        return frozenset()
    return found if isinstance(found, Hidden) else frozenset(each["name"] for each in found.get("resources") or [])


async def _space(session: Session, namespace: str) -> Object | Hidden | None:
    try:
        return await _seen(session.request("GET", f"/api/v1/namespaces/{namespace}"), f"get namespace {namespace}")
    except NotFoundError:
        return None


async def _fields(session: Session) -> Mapping[str, frozenset[str]] | Hidden:
    try:
        found = await _seen(session.request("GET", f"/openapi/v3/apis/{API_VERSION}"), "read /openapi/v3")
    except NotFoundError:
        return Hidden("the API server shows no schema yet")
    if isinstance(found, Hidden):
        return found
    schemas = ((found.get("components") or {}).get("schemas") or {}).values()
    ours = {
        version["kind"]: schema
        for schema in schemas
        for version in schema.get("x-kubernetes-group-version-kind") or []
        if (version["group"], version["version"]) == (GROUP, VERSION)
    }
    return {kind: frozenset(_paths(schema, "")) for kind, schema in ours.items()}


def _paths(schema: Mapping[str, Any], before: str) -> list[str]:
    """Of all fields in a schema; those of a list's entries are under the list's name."""
    inner = schema.get("items") or schema
    found = []
    for name, each in (inner.get("properties") or {}).items():
        path = f"{before}{name}"
        found += [path, *_paths(each, f"{path}.")]
    return found


async def _account(session: Session) -> str:
    body = {"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"}
    try:
        answer = await _seen(session.request("POST", _SELF, body=body), "ask who it is that asks")
    except NotFoundError:
        return ""
    if isinstance(answer, Hidden):
        return ""
    return str((((answer.get("status") or {}).get("userInfo")) or {}).get("username") or "")


async def _clock(session: Session) -> tuple[datetime | Hidden, datetime]:
    """The API server's time, and this machine's in the middle of the question."""
    before = datetime.now(timezone.utc)
    try:
        found = await asyncio.wait_for(_seen(session.date(), "read /version"), CLOCK_SECONDS)
    except (asyncio.TimeoutError, TimeoutError):
        found = Hidden("the API server did not answer in time")
    own = before + (datetime.now(timezone.utc) - before) / 2
    return (found if found is not None else Hidden("the API server tells no time")), own


async def _minor(session: Session) -> int:
    try:
        found = await _seen(session.request("GET", "/version"), "read /version")
        return 0 if isinstance(found, Hidden) else int(str(found.get("minor", "0")).rstrip("+"))
    except (NotFoundError, ValueError):
        return 0


async def _list(
    session: Session, path: str, what: str, namespace: str, query: Mapping[str, str] = {}
) -> tuple[Object, ...] | Hidden:
    try:
        found = await _seen(session.list(path, query), f"list {what} in namespace {namespace}")
    except NotFoundError:
        return ()
    if isinstance(found, Hidden):
        return found
    # (Objects of a list have no kind of their own.)
    return tuple(found)


async def _lacking(session: Session, namespace: str, rights: list[Right]) -> tuple[Right, ...] | Hidden:
    allowed = await asyncio.gather(*(_seen(_allowed(session, namespace, right), "ask what you may do") for right in rights))
    for each in allowed:
        if isinstance(each, Hidden):
            return each
    return tuple(right for right, yes in zip(rights, allowed, strict=True) if not yes)


async def _allowed(session: Session, namespace: str, right: Right) -> bool:
    resource, _, part = right.resource.partition("/")
    asked = {"namespace": namespace, "verb": right.verb, "group": right.group, "resource": resource, "subresource": part}
    body = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SelfSubjectAccessReview",
        "spec": {"resourceAttributes": asked},
    }
    answer = await session.request("POST", _AUTHORIZATION, body=body)
    return bool((answer.get("status") or {}).get("allowed"))


async def _slices(session: Session, release: str) -> tuple[Object, ...] | Hidden:
    path = f"/apis/discovery.k8s.io/v1/namespaces/{release}/endpointslices"
    query = {"labelSelector": f"kubernetes.io/service-name={SERVICE}"}
    return await _list(session, path, "endpointslices", release, query)


async def _lease(session: Session, release: str) -> Object | Hidden | None:
    path = f"/apis/coordination.k8s.io/v1/namespaces/{release}/leases/{LEASE}"
    try:
        return await _seen(session.request("GET", path), f"get the Lease {LEASE} in namespace {release}")
    except NotFoundError:
        return None
