"""A devbox and what it refers to, read with the rights of whoever asks. What they may not see is a result, not an error.

Goes in: a session, where the devbox is. Comes out: `Seen`. Of Secrets the API server is asked for the metadata alone: no value leaves it.
"""

from collections.abc import Iterable

from devbox_gateway.errors import NotFoundError, PermissionDeniedError
from devbox_gateway.kube.session import METADATA, Session
from devbox_gateway.naming import DEVBOX, GATEWAY_CONFIG, NETWORK_POLICY, SECRET, Kind

from .seen import Found, Missing, Seen, secret_of, where


async def see(session: Session, namespace: str, name: str) -> Seen:
    """All there is to see. Raises NotFoundError and PermissionDeniedError for the devbox itself alone."""
    devbox = await session.request("GET", DEVBOX.path(namespace, name))
    bindings = devbox["spec"].get("gateways") or []
    configs = await _each(session, GATEWAY_CONFIG, (where(each["gatewayRef"], namespace) for each in bindings))
    policy: Found | None = None
    if reference := devbox["spec"].get("egressPolicyRef"):
        policy = await _get(session, NETWORK_POLICY, where(reference, namespace))
    secrets = set()
    for binding in bindings:
        config = configs[where(binding["gatewayRef"], namespace)]
        if not isinstance(config, Missing) and (secret := secret_of(binding, config, namespace)):
            secrets.add(secret)
    return Seen(devbox, configs, policy, await _each(session, SECRET, secrets, METADATA), await _labels(session, namespace))


async def _labels(session: Session, namespace: str) -> dict[str, str] | None:
    try:
        found = await session.request("GET", f"/api/v1/namespaces/{namespace}", accept=METADATA)
    except (NotFoundError, PermissionDeniedError):
        return None
    return {str(key): str(value) for key, value in (found["metadata"].get("labels") or {}).items()}


async def _each(session: Session, kind: Kind, keys: Iterable[str], accept: str = "application/json") -> dict[str, Found]:
    return {key: await _get(session, kind, key, accept) for key in sorted(set(keys))}


async def _get(session: Session, kind: Kind, key: str, accept: str = "application/json") -> Found:
    namespace, _, name = key.partition("/")
    try:
        return await session.request("GET", kind.path(namespace, name), accept=accept)
    except NotFoundError:
        return Missing.ABSENT
    except PermissionDeniedError:
        return Missing.FORBIDDEN
