"""What a namespace with devboxes has besides them: NetworkPolicies, and what its devboxes share.

Goes in: the API's objects (plain dicts). Comes out: frozen views. Pure.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from devbox_api import names
from devbox_common.kube import Object
from devbox_operator.kit.encoding import content_hash
from devbox_operator.seen import bounds


@dataclass(frozen=True)
class PolicyView:
    """A NetworkPolicy."""

    namespace: str
    name: str
    owners: tuple[str, ...]
    """UIDs."""
    spec: Mapping[str, Any] = field(hash=False)
    """One that is longer than ours is shortened to what counts (bounds.policy)."""
    intact: bool = True
    """False: the namespace's own policy (network.denial), and somebody changed it."""
    marked: bool = False
    """That one, and the sweep saw its namespace unused."""

    @classmethod
    def of(cls, item: Object) -> "PolicyView":
        """From the API's object."""
        metadata = item["metadata"]
        owners = tuple(owner["uid"] for owner in (metadata.get("ownerReferences") or ())[: bounds.MOST_OWNERS])
        return cls(metadata["namespace"], metadata["name"], owners, bounds.policy(item.get("spec") or {}))


@dataclass(frozen=True)
class SharedView:
    """An object that all devboxes of a namespace share (ServiceAccount, CA bundle)."""

    uid: str
    owners: frozenset[str]
    content: str
    """The hash of what a ConfigMap holds of ours (bundle_hash)."""

    @classmethod
    def of(cls, item: Object) -> "SharedView":
        """From the API's object."""
        metadata = item["metadata"]
        owners = frozenset(owner["uid"] for owner in metadata.get("ownerReferences") or ())
        return cls(metadata["uid"], owners, bundle_hash(item.get("data") or {}, item.get("binaryData") or {}))


def bundle_hash(data: Mapping[str, str], binary: Mapping[str, str]) -> str:
    """Of the CA bundle and the other forms of it, as a ConfigMap has them: texts, and bytes in base64. What else somebody put beside them
    does not count."""
    return content_hash([data.get(names.CA_BUNDLE_KEY), *(binary.get(key) for key in names.TRUST_KEYS)])
