"""Secrets: those that people have, and our own in the credentials namespace.

Goes in: the API's objects (plain dicts). Comes out: frozen views. Of one of theirs no more is kept than is referred to and may be used, and
no more than a bound (bounds.py). Pure.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from devbox_api import names
from devbox_api.route import Route
from devbox_common.kube import Object
from devbox_common.redacted import Redacted
from devbox_operator.kit.encoding import content_hash
from devbox_operator.seen import bounds

_ALLOWED: Final = re.compile(r"allow(ed)?[-_.]?hosts?(names?)?", re.IGNORECASE)
"""How the annotation's name is written by mistake, and as it is."""


@dataclass(frozen=True)
class SecretView:
    """A Secret in a namespace where Devboxes or GatewayConfigs are. Only what is referred to is kept, and values only if it is granted or
    mountable."""

    namespace: str
    name: str
    uid: str
    version: str
    type: str
    allowed_hosts: str | None
    wanted: frozenset[str | None]
    """The keys that were referred to when it was read (None: its only key); of the others nothing is known."""
    keys: tuple[str, ...]
    """What it has: all that is referred to and there, and some of the rest."""
    values: Mapping[str, Redacted] = field(hash=False, repr=False)
    """Base64, as the API has it; cut where they are too long to be a credential."""
    content: str
    """For token Secrets: the hash of the data, less spec.secretEnv's."""
    grant_too_long: bool = False
    mountable: bool = False
    """Its owner lets agents read it."""
    meant: str = ""
    """Of one without a grant: the label or annotation that somebody took for one."""

    @property
    def granted(self) -> bool:
        """It carries a grant, whatever that says: it is the gateway's."""
        return self.allowed_hosts is not None or self.grant_too_long

    @classmethod
    def of(cls, item: Object, wanted: frozenset[str | None] = frozenset()) -> "SecretView":
        """From the API's object."""
        metadata, data = item["metadata"], item.get("data") or {}
        grant = (metadata.get("annotations") or {}).get(names.ALLOWED_HOSTS_ANNOTATION) if wanted else None
        kind, too_long = item.get("type", "Opaque"), grant is not None and len(grant) > bounds.MOST_GRANT
        shown = sorted(data)[: bounds.MOST_KEYS] if wanted else []
        keys: set[str] = {*shown, *(key for key in wanted if key is not None and key in data)}
        named = {key for key in keys if key in wanted or (None in wanted and len(data) == 1)}
        mountable = bool(wanted) and (metadata.get("labels") or {}).get(names.MOUNTABLE_LABEL) == "true"
        most = bounds.MOST_VALUE if grant and not too_long else bounds.MOST_ENV + 1 if mountable and grant is None else 0
        return cls(
            namespace=metadata["namespace"],
            name=metadata["name"],
            uid=metadata["uid"],
            version=metadata["resourceVersion"],
            type=bounds.word(kind),
            allowed_hosts=None if too_long else grant,
            grant_too_long=too_long,
            wanted=wanted,
            keys=tuple(sorted(keys)),
            values={key: Redacted(data[key][:most]) for key in named} if most else {},
            content=content_hash(_tokens(data)) if kind == names.TOKENS_TYPE else "",
            mountable=mountable,
            meant=_meant(metadata) if wanted and grant is None else "",
        )


def _meant(metadata: Object) -> str:
    """E.g. `label devbox-gateway.io/allowed-hosts`. (The API server lets nothing but letters, digits and `-_./` be a key.)"""
    for kind, keys in (("label", metadata.get("labels")), ("annotation", metadata.get("annotations"))):
        for key in sorted(keys or ()):
            prefix, slash, name = key.rpartition("/")
            if _ALLOWED.fullmatch(name) and (not slash or "devbox" in prefix):
                return f"{kind} {bounds.word(key)}"
    return ""


def _tokens(data: Mapping[str, str]) -> Mapping[str, str]:
    """Of a token Secret, what is the gateway's. (What was read of other Secrets, for the agent, stays as it was given.)"""
    return {key: value for key, value in data.items() if not key.startswith(names.SECRET_ENV_PREFIX)}


@dataclass(frozen=True)
class StoredView:
    """A Secret of the credentials namespace."""

    name: str
    uid: str
    version: str
    type: str
    labels: Mapping[str, str] = field(hash=False)
    annotations: Mapping[str, str] = field(hash=False)
    data: Mapping[str, Redacted] = field(hash=False, repr=False)
    """Base64, as the API has it; of Routes alone, since nothing else is read back."""
    content: str = ""
    """The hash of the data."""

    @classmethod
    def of(cls, item: Object) -> "StoredView":
        """From the API's object."""
        metadata, data, kind = item["metadata"], item.get("data") or {}, item.get("type", "")
        return cls(
            name=metadata["name"],
            uid=metadata["uid"],
            version=metadata["resourceVersion"],
            type=kind,
            labels=metadata.get("labels") or {},
            annotations=metadata.get("annotations") or {},
            data={key: Redacted(value) for key, value in data.items()} if kind == names.ROUTE_TYPE else {},
            content=content_hash(data),
        )


@dataclass(frozen=True)
class StoredRoute:
    """A Route as stored, and how it was when it was read."""

    route: Route
    version: str
    tokens_content: str
    """The hash of the token Secret that was written from it."""
    secret_env: str = ""
    """secretenv.record: what the pod was given of Secrets."""
