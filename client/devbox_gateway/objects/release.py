"""Where devbox-gateway is installed, as far as the devboxes of a namespace say: their gateways' address is `https://gateway.NAMESPACE.svc`."""

from collections.abc import Iterable
from typing import Final

from devbox_api.names import SERVICE
from devbox_gateway.errors import NotFoundError, PermissionDeniedError
from devbox_gateway.kube.session import Object, Session
from devbox_gateway.naming import DEVBOX

USUAL: Final = "devbox-gateway-system"
"""The namespace of the documents."""


def told(devboxes: Iterable[Object]) -> str | None:
    """By the status of one of them; None: none says it."""
    for devbox in devboxes:
        for gateway in (devbox.get("status") or {}).get("gateways") or []:
            labels = str(gateway.get("url", "")).removeprefix("https://").split(".")
            if len(labels) >= 3 and labels[0] == SERVICE and labels[2].partition("/")[0].partition(":")[0] == "svc":
                return labels[1]
    return None


async def release_of(session: Session, namespace: str) -> str:
    """As the namespace's devboxes say, else the usual one."""
    try:
        return told(await session.list(DEVBOX.path(namespace))) or USUAL
    except (NotFoundError, PermissionDeniedError):
        return USUAL
