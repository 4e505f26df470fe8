"""How much is kept of what others write: enough for every object that is meant well, and a bound for the rest.

Goes in: parts of the API's objects. Comes out: the same, or less. Pure. An object has some
MiB at most, but a namespace may have thousands, and what is too long must not open anything: it counts as what would close.
"""

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any, Final

import orjson

MOST_WORD: Final = 128
"""Characters of a hash, a time, a type."""
MOST_LABELS: Final = 16 << 10
"""Characters of a pod's labels: of those that a Devbox may give it, with room for others'."""
MOST_GATES: Final = 16
MOST_TROUBLE: Final = 1024
"""Characters of what is wrong with a pod."""
MOST_VOLUMES: Final = 64
"""Of a pod: twice what a Devbox may have."""
MOST_FIELDS: Final = 4096
"""Characters of the hashes by which a pod's annotation says what it was made of."""
MOST_OWNERS: Final = 64
MOST_KEYS: Final = 16
"""Names of a Secret's keys, besides those that are referred to: for a message."""
MOST_GRANT: Final = 4096
"""Characters of a Secret's list of hosts; a longer one is no grant, since part of it might be another host. The gateway holds it, too."""
MOST_VALUE: Final = 16 << 10
"""Characters of a credential in base64: more than the longest has (credential.py). A longer one is refused for that."""
MOST_ENV: Final = (32 << 10) * 4 // 3 + 4
"""Characters of a value of spec.secretEnv, in base64: of 32 KiB."""
MOST_ENV_ALL: Final = 8 * MOST_ENV
"""Of all of a Devbox's: they stand in one Secret, with the tokens."""
MOST_POLICY: Final = 1536
"""Bytes of a NetworkPolicy's spec: more than ours has."""
MOST_SELECTOR: Final = 4096
"""Bytes of its podSelector."""


def word(text: str) -> str:
    """Something that is compared, and equal or not: a long one by its hash."""
    return text if len(text) <= MOST_WORD else f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"


def labels(found: Mapping[str, str]) -> Mapping[str, str] | None:
    """A pod's; None: too many to be kept."""
    return found if sum(len(key) + len(value) for key, value in found.items()) <= MOST_LABELS else None


def claims(volumes: Sequence[Mapping[str, Any]]) -> frozenset[str] | None:
    """The PersistentVolumeClaims of a pod's volumes; None: too many to be kept."""
    if len(volumes) > MOST_VOLUMES:
        return None
    found = (volume.get("persistentVolumeClaim") or {} for volume in volumes)
    return frozenset(str(claim["claimName"]) for claim in found if "claimName" in claim)


def policy(spec: Mapping[str, Any]) -> Mapping[str, Any]:
    """A NetworkPolicy's: whole, or whether it has rules and whom it selects; where that is too long, everybody."""
    if len(orjson.dumps(spec)) <= MOST_POLICY:
        return spec
    selector = spec.get("podSelector") or {}
    kept = selector if len(orjson.dumps(selector)) <= MOST_SELECTOR else {}
    return {"podSelector": kept, **{kind: [{}] for kind in ("ingress", "egress") if spec.get(kind)}}
