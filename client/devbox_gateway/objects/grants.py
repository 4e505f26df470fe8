"""The grant of a secret to a host: its owner's word that the gateway may use it there.

Goes in: a Secret as it is, and the GatewayConfig that a devbox is to use it with. Comes out: the JSON patch that grants it, nothing where
it is granted already, or the refusal. Pure. The rules are narrow, since whoever may set the annotation decides where a credential goes:
a grant is made once, for a Secret that this client made, towards a gateway config of the same namespace, and is never extended.
"""

import shlex
from typing import Any, Final
from urllib.parse import urlsplit

from devbox_api.judge.hosts import any_matches, parse_grant
from devbox_gateway.errors import PermissionDeniedError
from devbox_gateway.kube.session import Object

from .secrets import ALLOWED_HOSTS, is_own

_ESCAPED: Final = ALLOWED_HOSTS.replace("~", "~0").replace("/", "~1")


def grant_for(secret: Object, config: Object) -> list[dict[str, Any]] | None:
    """A JSON patch, or None: granted already. Raises PermissionDeniedError, with the line that its owner runs."""
    metadata = secret["metadata"]
    host = urlsplit(config["spec"]["endpoint"]).hostname or ""
    noted = (metadata.get("annotations") or {}).get(ALLOWED_HOSTS)
    if any_matches(parse_grant(noted), host):
        return None
    if noted is None and is_own(secret) and metadata["namespace"] == config["metadata"]["namespace"]:
        annotations = (
            [] if metadata.get("annotations") is not None else [{"op": "add", "path": "/metadata/annotations", "value": {}}]
        )
        return [
            {"op": "test", "path": "/metadata/resourceVersion", "value": metadata["resourceVersion"]},
            *annotations,
            {"op": "add", "path": f"/metadata/annotations/{_ESCAPED}", "value": host},
        ]
    hosts = ",".join(dict.fromkeys((*parse_grant(noted), host)))
    line = [
        "kubectl",
        "-n",
        metadata["namespace"],
        "annotate",
        "secret",
        metadata["name"],
        f"{ALLOWED_HOSTS}={hosts}",
        "--overwrite",
    ]
    raise PermissionDeniedError(
        f"Secret {metadata['namespace']}/{metadata['name']} is not granted to {host}; its owner runs: {shlex.join(line)}"
    )
