"""Which secrets lack a grant for the host that a gateway config leads to now: asked after its endpoint was changed.

Goes in: a GatewayConfig as it is. Comes out: names of Secrets of its namespace, of which metadata alone is read. What may not be read is
left out: the operator says it of each devbox, too (condition CredentialsResolved).
"""

from contextlib import suppress
from typing import Any
from urllib.parse import urlsplit

from devbox_api.judge.hosts import any_matches, parse_grant
from devbox_gateway.errors import DevboxGatewayError
from devbox_gateway.kube.session import METADATA, Object, Session
from devbox_gateway.naming import DEVBOX, SECRET

from .secrets import ALLOWED_HOSTS


async def ungranted(session: Session, config: Object) -> tuple[str, ...]:
    """Of those that the config names itself, and that devboxes of its namespace bring to it."""
    namespace = config["metadata"]["namespace"]
    host = urlsplit(config["spec"]["endpoint"]).hostname or ""
    devboxes: list[Object] = []
    with suppress(DevboxGatewayError):
        devboxes = await session.list(DEVBOX.path(namespace))
    found = []
    for name in sorted(_named(config, devboxes)):
        with suppress(DevboxGatewayError):
            secret = await session.request("GET", SECRET.path(namespace, name), accept=METADATA)
            if not any_matches(parse_grant((secret["metadata"].get("annotations") or {}).get(ALLOWED_HOSTS)), host):
                found.append(name)
    return tuple(found)


def _named(config: Object, devboxes: list[Object]) -> set[str]:
    own = (config["spec"].get("credential") or {}).get("secretRef") or {}
    names: list[Any] = [own.get("name")]
    for devbox in devboxes:
        for gateway in devbox["spec"].get("gateways") or []:
            reference = gateway["gatewayRef"]
            at_home = reference.get("namespace") in (None, config["metadata"]["namespace"])
            if at_home and reference["name"] == config["metadata"]["name"]:
                names.append((gateway.get("secretRef") or {}).get("name"))
    return {str(name) for name in names if name}
