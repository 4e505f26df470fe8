"""Who calls what, as books and metrics name it: nothing of it is secret (no query, no header, no body)."""

import hashlib
from sys import intern
from typing import Final, NamedTuple

import orjson

from devbox_api.route import Route
from devbox_proxy.known.facts import TokenOwner

LONGEST: Final = 256
"""Bytes of a path, or of a CONNECT's target, that are in a line; of a longer one its hash stands for the rest."""


class Caller(NamedTuple):
    """Whose request it is: what the audit line says."""

    namespace: str
    devbox: str
    pod: str
    pod_uid: str
    name: str
    """The gateway's name in the devbox, e.g. ANTHROPIC; `egress` for the forward proxy."""
    gateway: str = ""
    """The GatewayConfig or EgressPolicy, as namespace/name."""
    credential_id: str = ""


def caller_of(route: Route, owner: TokenOwner, gateway: str = "", credential_id: str = "") -> Caller:
    """Who calls, as far as it is known."""
    pod = route.pod
    return Caller(intern(pod.namespace), route.devbox.name, pod.name, intern(pod.uid), owner.name, gateway, credential_id)


def about(caller: Caller, method: str, path: bytes) -> bytes:
    """Who calls what: the part that both lines of a request have, and those of the next one like it."""
    facts = caller._asdict() | {"method": method, "path": shortened(path)}
    del facts["pod_uid"]
    return orjson.dumps(facts)[1:-1]


def shortened(text: bytes) -> str:
    """What a client chose, for a line: at most so much of it, and nothing that steers a terminal (no path holds a backslash)."""
    shown = text[:LONGEST].decode("ascii", "backslashreplace")
    return shown if len(text) <= LONGEST else f"{shown}...sha256:{hashlib.sha256(text).hexdigest()[:16]}"
