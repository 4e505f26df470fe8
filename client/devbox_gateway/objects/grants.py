"""The word of a secret's owner: that the gateway may use it towards a host (a grant), or that agents may read it (a label); never both.

Goes in: a Secret as it is, and the GatewayConfig that a devbox is to use it with. Comes out: the JSON patch that says so, nothing where
it is said already, or the refusal. Pure. The rules are narrow, since whoever may say it decides where a credential goes: it is said once,
for a Secret that this client made and that the call names, and a grant towards a gateway config of the same namespace alone; it is never
extended.
"""

import shlex
from typing import Any
from urllib.parse import urlsplit

from devbox_api.judge.hosts import any_matches, parse_grant
from devbox_gateway.errors import PermissionDeniedError
from devbox_gateway.kube.session import Object

from .secrets import ALLOWED_HOSTS, MOUNTABLE, is_mountable, is_own


def label_for(secret: Object) -> list[dict[str, Any]] | None:
    """A JSON patch, or None: agents may read it already. Raises PermissionDeniedError, with what its owner does."""
    metadata = secret["metadata"]
    where = f"Secret {metadata['namespace']}/{metadata['name']}"
    if ALLOWED_HOSTS in (metadata.get("annotations") or {}):
        raise PermissionDeniedError(
            f"{where} carries a grant ({ALLOWED_HOSTS}): the gateway alone may have its value; use it in gateways, or name another secret"
        )
    if is_mountable(secret):
        return None
    if is_own(secret) and MOUNTABLE not in metadata["labels"]:
        return _said(metadata, "labels", MOUNTABLE, "true")
    line = ["kubectl", "-n", metadata["namespace"], "label", "secret", metadata["name"], f"{MOUNTABLE}=true", "--overwrite"]
    raise PermissionDeniedError(f"{where} is not for agents to read; where it may be, its owner runs: {shlex.join(line)}")


def _said(metadata: Object, where: str, name: str, value: str) -> list[dict[str, Any]]:
    made = [] if metadata.get(where) is not None else [{"op": "add", "path": f"/metadata/{where}", "value": {}}]
    return [
        {"op": "test", "path": "/metadata/resourceVersion", "value": metadata["resourceVersion"]},
        *made,
        {"op": "add", "path": f"/metadata/{where}/{name.replace('/', '~1')}", "value": value},
    ]


def grant_for(secret: Object, config: Object, *, named: bool) -> list[dict[str, Any]] | None:
    """A JSON patch, or None: granted already. Raises PermissionDeniedError, with the line that its owner runs.

    named: beside the config. (Which Secret a config brings, and to which host, is its author's choice: who uses it has said no word of it.)
    """
    metadata = secret["metadata"]
    host = urlsplit(config["spec"]["endpoint"]).hostname or ""
    noted = (metadata.get("annotations") or {}).get(ALLOWED_HOSTS)
    if any_matches(parse_grant(noted), host):
        return None
    if is_mountable(secret):
        raise PermissionDeniedError(
            f"Secret {metadata['namespace']}/{metadata['name']} is one that agents may read (label {MOUNTABLE}), so it is no key that a "
            "gateway could keep from them; store the key as a secret of its own"
        )
    if named and noted is None and is_own(secret) and metadata["namespace"] == config["metadata"]["namespace"]:
        return _said(metadata, "annotations", ALLOWED_HOSTS, host)
    line = ["kubectl", "devbox", "-n", metadata["namespace"], "secret", "grant", metadata["name"], host]
    raise PermissionDeniedError(
        f"Secret {metadata['namespace']}/{metadata['name']} is not granted to {host}; its owner runs: {shlex.join(line)}"
    )
