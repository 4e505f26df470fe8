"""Whether the gateway has a credential to put in: the Secret's grant, and what the operator says of its value.

Goes in: `Seen`, one entry of `spec.gateways`, its GatewayConfig, its Secret. Comes out: a refusal and what decides, or None. Pure. Called
by by_gateway.py. Nothing here ever sees a value.
"""

import re
from collections.abc import Mapping
from typing import Any, Final

from devbox_api.judge.endpoints import parse_endpoint
from devbox_api.judge.grants import mistakes
from devbox_api.judge.hosts import any_matches, parse_grant
from devbox_api.judge.refusals import Refusal
from devbox_api.names import ALLOWED_HOSTS_ANNOTATION

from .seen import Missing, Object, Seen, condition

_STILL: Final = "what was read before is still in use, until"
"""In the operator's messages (keeping.py): a credential that is in doubt stays for a while."""


def lacks_credential(seen: Seen, binding: Mapping[str, Any], config: Object, secret: str | None) -> tuple[Refusal, str] | None:
    """Why there is none, or none for this API."""
    if secret is None:
        name = f"{config['metadata']['namespace']}/{config['metadata']['name']}"
        return Refusal.CREDENTIAL_GONE, f"neither the devbox's gateway nor GatewayConfig {name} names a Secret"
    found = seen.secrets.get(secret, Missing.FORBIDDEN)
    if found is Missing.ABSENT:
        return Refusal.CREDENTIAL_GONE, f"Secret {secret} does not exist"
    if not isinstance(found, Missing):
        host = parse_endpoint(config["spec"]["endpoint"]).host
        grant = (found["metadata"].get("annotations") or {}).get(ALLOWED_HOSTS_ANNOTATION)
        if not any_matches(parse_grant(grant), host):
            wrong = f" (this grants nothing: {'; '.join(told)})" if (told := mistakes(grant)) else ""
            decided = f"Secret {secret}: its {ALLOWED_HOSTS_ANNOTATION} does not hold {host}{wrong}"
            return Refusal.CREDENTIAL_NOT_GRANTED, decided
    if (against := told_against(seen, binding, config, secret)) is not None:
        return Refusal.CREDENTIAL_GONE, against
    return None


def told_against(seen: Seen, binding: Mapping[str, Any], config: Object | None, secret: str) -> str | None:
    """What the operator says against this binding's credential; not what is still in use, nor what is about others of the devbox."""
    own = condition(seen.devbox, "CredentialsResolved")
    told = str(own.get("message", "")).split("\n") if own.get("status") == "False" else []
    here = re.compile(rf"\bSecret {re.escape(secret)}(?![A-Za-z0-9.-])") if secret else None
    about = [
        line for line in told if line.startswith(f"gateway {binding['name']}:") or (here is not None and here.search(line))
    ]
    default = condition(config, "CredentialResolved") if config is not None and not binding.get("secretRef") else {}
    if default.get("status") == "False":
        about.append(str(default.get("message")))
    against = [line for line in about if _STILL not in line]
    return f"the operator says: {against[0]}" if against else None
