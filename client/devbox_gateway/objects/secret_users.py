"""Which devboxes use a Secret, asked before it is deleted: the cluster itself holds up no deletion of a Secret.

It is a help against mistakes: between the question and the deletion another devbox may come, and what may not be looked at is not counted.
"""

from collections.abc import Coroutine
from typing import Any

from devbox_gateway.errors import NotFoundError, PermissionDeniedError
from devbox_gateway.kube.session import Object, Session
from devbox_gateway.naming import DEVBOX, GATEWAY_CONFIG


async def users_of(session: Session, namespace: str, secret: str) -> list[str]:
    """As namespace/name, without those that are being deleted."""
    devboxes = await _seen(session.list(DEVBOX.path(namespace)))
    configs = [each for each in await _seen(session.list(GATEWAY_CONFIG.path(namespace))) if _credential(each) == secret]
    bringing = {each["metadata"]["name"] for each in configs}
    users = {f"{namespace}/{each['metadata']['name']}" for each in devboxes if _stays(each) and _uses(each, secret, bringing)}
    # (Devboxes of other namespaces use it by a gateway config alone, whose status names them.)
    for user in {user for each in configs for user in (each.get("status") or {}).get("usedBy") or []}:
        home, _, name = user.partition("/")
        if home != namespace and await _may_be_there(session, DEVBOX.path(home, name)):
            users.add(user)
    return sorted(users)


def _uses(devbox: Object, secret: str, bringing: set[str]) -> bool:
    """By name, or by one of these gateway configs of its namespace."""
    spec, home = devbox["spec"], devbox["metadata"]["namespace"]
    for each in (*(spec.get("gateways") or []), *(spec.get("secretEnv") or [])):
        named = (each.get("secretRef") or {}).get("name")
        config = each.get("gatewayRef") or {}
        by_config = config.get("name") in bringing and config.get("namespace") in (None, home)
        if named == secret or (named is None and by_config):
            return True
    return False


def _credential(config: Object) -> Any:
    return ((config["spec"].get("credential") or {}).get("secretRef") or {}).get("name")


def _stays(devbox: Object) -> bool:
    return "deletionTimestamp" not in devbox["metadata"]


async def _seen(asked: Coroutine[Any, Any, list[Object]]) -> list[Object]:
    try:
        return await asked
    except (NotFoundError, PermissionDeniedError):
        return []


async def _may_be_there(session: Session, path: str) -> bool:
    """(A gateway config's status is a moment late. One that may not be looked at is there, as far as anybody here knows.)"""
    try:
        return _stays(await session.request("GET", path))
    except NotFoundError:
        return False
    except PermissionDeniedError:
        return True
