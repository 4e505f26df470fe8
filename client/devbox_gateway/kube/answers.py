"""What the API server's refusals mean, as errors of ours; pure.

Goes in: a status and a body (metav1.Status). Comes out: an error whose message says what to do.
"""

import json
import re
from collections.abc import Mapping
from typing import Any, Final

from devbox_gateway.errors import (
    APIConnectionError,
    AuthenticationError,
    ConflictError,
    DevboxGatewayError,
    InvalidError,
    NotFoundError,
    PermissionDeniedError,
)

BUSY: Final = {429, 500, 502, 503, 504}
_RBAC: Final = re.compile(
    r'cannot (?P<verb>[a-z]+) resource "(?P<resource>[a-z0-9./-]+)" in API group "(?P<group>[a-z0-9.-]*)"'
    r'(?: in the namespace "(?P<namespace>[a-z0-9-]+)"| at the cluster scope)?'
)
_UPGRADE: Final = re.compile(r"/namespaces/(?P<namespace>[a-z0-9-]+)/pods/[^/]+/(?P<subresource>exec|attach|portforward)$")
_UNKNOWN: Final = re.compile(r'unknown field "([^"]+)"')


class Refused(Exception):
    """One try that failed. `again`: it may be repeated; `pause`: after so many seconds at least."""

    def __init__(self, error: DevboxGatewayError, again: bool, pause: float = 0.0) -> None:
        super().__init__(str(error))
        self.error, self.again, self.pause = error, again, pause


def may_be_repeated(method: str, status: int, headers: Mapping[str, str]) -> bool:
    """429 was not begun. Of the others that pass, a read may be repeated, a write where the server says so."""
    return status == 429 or (status in BUSY and (method == "GET" or "Retry-After" in headers))


def pause_of(headers: Mapping[str, str]) -> float:
    """Retry-After, in seconds."""
    try:
        return max(0.0, float(headers.get("Retry-After", "0")))
    except ValueError:
        return 0.0


def error_of(method: str, path: str, status: int, content: bytes) -> DevboxGatewayError:
    """The error that stands for it."""
    answer = _status(content)
    message = str(answer.get("message") or content[:200].decode("utf-8", "replace").strip() or f"HTTP {status}")
    if status == 401:
        return AuthenticationError(
            "the cluster does not accept these credentials; log in again, or check the kubeconfig's user"
        )
    if status == 403:
        return _denied(path.partition("?")[0], message)
    if status == 404:
        if not (answer.get("details") or {}).get("name"):
            return NotFoundError(
                f"the cluster does not know {path.partition('?')[0]}; is devbox-gateway's chart installed there?"
            )
        return NotFoundError(message)
    if status == 409:
        return ConflictError(message)
    if status in (400, 405, 413, 415, 422):
        return _invalid(answer, message)
    return APIConnectionError(f"the API server answered {status} to {method} {path.partition('?')[0]}: {message}")


def _invalid(answer: Mapping[str, Any], message: str) -> InvalidError:
    if (unknown := _UNKNOWN.search(message)) is not None:
        return InvalidError(
            unknown[1],
            "needs a chart that has it: the cluster's devbox-gateway is older than this client, or this is no field of it",
        )
    causes = [cause for cause in (answer.get("details") or {}).get("causes") or [] if cause.get("message")]
    if not causes:
        return InvalidError("", message)
    first, *others = causes
    text = "; ".join([str(first["message"]), *(f"{cause.get('field', '')}: {cause['message']}" for cause in others)])
    return InvalidError(str(first.get("field") or ""), text)


def _denied(path: str, message: str) -> PermissionDeniedError:
    upgraded = _UPGRADE.search(path)
    if upgraded is not None and message.rstrip().endswith("is forbidden:"):
        # Kubernetes 1.35 and newer ask for one verb more before they open a WebSocket, and say no word about it.
        where = f'in API group "" in the namespace "{upgraded["namespace"]}"'
        message = f'{message.rstrip()} you cannot create resource "pods/{upgraded["subresource"]}" {where}'
    return PermissionDeniedError(message, role_for(message))


def role_for(message: str) -> str:
    """YAML of a Role that allows what RBAC refused; empty where something else refused it."""
    found = _RBAC.search(message)
    if found is None or found["namespace"] is None:
        return ""
    # (A name of its own: to apply it changes no Role that is there.)
    name = re.sub(r"[^a-z0-9]+", "-", f"devbox-{found['verb']}-{found['resource']}")
    return "\n".join(
        (
            "# This Role would allow it; bind it to who asks:",
            "apiVersion: rbac.authorization.k8s.io/v1",
            "kind: Role",
            f"metadata: {{name: {name}, namespace: {found['namespace']}}}",
            "rules:",
            f'- apiGroups: ["{found["group"]}"]',
            f'  resources: ["{found["resource"]}"]',
            f'  verbs: ["{found["verb"]}"]',
        )
    )


def _status(content: bytes) -> dict[str, Any]:
    try:
        answer = json.loads(content)
    except ValueError:
        return {}
    return answer if isinstance(answer, dict) and answer.get("kind") == "Status" else {}
