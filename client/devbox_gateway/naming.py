"""Names and ids: what a person calls a thing, what Kubernetes calls it, and what it is referred to by; pure.

An id is a prefix for the kind and the object's name, `gwc_anthropic`; where the object is in another namespace, that is before it:
`gwc_team-a/anthropic`. ('_' is in no name of Kubernetes, so that an id is never taken for one.)
"""

import hashlib
import re
import secrets
from dataclasses import dataclass
from typing import Final

from devbox_gateway.errors import InvalidError

NAME_ANNOTATION: Final = "devbox-gateway.io/name"
"""On objects whose name in Kubernetes is not the one that the person gave."""
_NAME: Final = re.compile(r"[a-z0-9]([a-z0-9.-]*[a-z0-9])?")
_NAMESPACE: Final = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
_DEVBOX: Final = re.compile(r"[a-z]([a-z0-9-]{0,50}[a-z0-9])?")
_OTHERS: Final = re.compile(r"[^a-z0-9]+")
MOST: Final = 200
"""Characters of a name that a person gives."""
SLUG: Final = 40
_ALPHABET: Final = "bcdfghjklmnpqrstvwxz2456789"
"""(No vowels: no words. As Kubernetes has it.)"""


@dataclass(frozen=True)
class Kind:
    """One sort of object, as the API server and as ids have it."""

    kind: str
    prefix: str
    base: str
    plural: str
    what: str
    """For messages."""

    def path(self, namespace: str, name: str = "") -> str:
        """In the API."""
        return f"{self.base}/namespaces/{namespace}/{self.plural}{f'/{name}' if name else ''}"


_OURS: Final = "/apis/devbox-gateway.io/v1alpha1"
GATEWAY_CONFIG: Final = Kind("GatewayConfig", "gwc_", _OURS, "gatewayconfigs", "gateway config")
NETWORK_POLICY: Final = Kind("EgressPolicy", "npl_", _OURS, "egresspolicies", "network policy")
DEVBOX: Final = Kind("Devbox", "dbx_", _OURS, "devboxes", "devbox")
SECRET: Final = Kind("Secret", "sec_", "/api/v1", "secrets", "secret")
KINDS: Final = (GATEWAY_CONFIG, NETWORK_POLICY, DEVBOX, SECRET)


@dataclass(frozen=True)
class Reference:
    """Where an object is. `given`: what the person calls it, where that is known."""

    namespace: str
    name: str
    given: str = ""

    def id(self, kind: Kind, home: str) -> str:
        """From the namespace `home`."""
        return f"{kind.prefix}{'' if self.namespace == home else f'{self.namespace}/'}{self.name}"


def reference(kind: Kind, text: str, home: str) -> Reference:
    """Of an id, or of a name that a person gave. Raises InvalidError."""
    check_text(kind, text)
    for other in KINDS:
        if text.startswith(other.prefix):
            if other is not kind:
                raise InvalidError("id", f"{text!r} is the id of a {other.what}, where a {kind.what}'s belongs")
            namespace, slash, name = text.removeprefix(kind.prefix).rpartition("/")
            if not _NAME.fullmatch(name) or (slash and not _NAMESPACE.fullmatch(namespace)):
                raise InvalidError("id", f"{text!r} is no id; a {kind.what}'s is e.g. {kind.prefix}my-name")
            return Reference(namespace or home, name)
    return Reference(home, object_name(text), text)


def check_text(kind: Kind, text: str) -> None:
    """That it can be a name which a person gives. Raises InvalidError."""
    if not isinstance(text, str):
        raise InvalidError("name", f"a {kind.what} is named by text or by its object, not by {type(text).__name__}")
    if not text.strip() or len(text) > MOST or not text.isprintable():
        raise InvalidError("name", f"a {kind.what}'s name has 1 to {MOST} printable characters")


def object_name(given: str) -> str:
    """What Kubernetes calls what a person calls `given`: the same, if it can be; else readable, and different for every text."""
    if _NAME.fullmatch(given) and len(given) <= MOST and ".." not in given:
        return given
    return "-".join(part for part in (slug(given), hashlib.sha256(given.encode()).hexdigest()[:8]) if part)


def slug(given: str) -> str:
    """Its letters and digits, in lower case."""
    return _OTHERS.sub("-", given.lower()).strip("-")[:SLUG].rstrip("-")


def devbox_name(given: str | None) -> str | None:
    """The object's name for a devbox of that name, if it can be the same; None: it takes one of `random_devbox_name`."""
    return given if given is not None and _DEVBOX.fullmatch(given) else None


def random_devbox_name(given: str | None) -> str:
    """A new name for a devbox that a person calls `given`."""
    stem = slug(given or "") or "devbox"
    if not stem[0].isalpha():
        stem = f"devbox-{stem}"
    return f"{stem}-{''.join(secrets.choice(_ALPHABET) for _ in range(5))}"


def annotations(name: str, given: str) -> dict[str, str]:
    """What an object carries so that it can be told which name a person gave it."""
    return {} if name == given else {NAME_ANNOTATION: given}
