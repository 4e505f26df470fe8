"""Whether a GatewayConfig of another namespace lets the devbox in, as far as a person can see.

Goes in: `Seen`, the GatewayConfig. Comes out: yes or no. Pure.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from devbox_api.judge.namespaces import allows

from .seen import Object, Seen


@dataclass(frozen=True)
class _Requirement:
    key: str
    operator: str
    values: tuple[str, ...]


@dataclass(frozen=True)
class _Selector:
    match_labels: Mapping[str, str]
    match_expressions: tuple[_Requirement, ...]


@dataclass(frozen=True)
class _Allowed:
    """`spec.allowedNamespaces`, as devbox_api.judge reads it."""

    from_: str
    selector: _Selector | None

    @classmethod
    def of(cls, given: Mapping[str, Any]) -> "_Allowed":
        selector = given.get("selector")
        if selector is None:
            return cls(given.get("from") or "Same", None)
        requirements = [
            _Requirement(each["key"], each["operator"], tuple(each.get("values") or ()))
            for each in selector.get("matchExpressions") or []
        ]
        return cls(given.get("from") or "Same", _Selector(selector.get("matchLabels") or {}, tuple(requirements)))


def lets_in(seen: Seen, config: Object) -> bool:
    """The GatewayConfig's namespaces hold the devbox's, as far as can be told."""
    given = config["spec"].get("allowedNamespaces")
    if labels_missing(seen, config):
        return True  # (which is said to be unseen)
    home, namespace = config["metadata"]["namespace"], seen.devbox["metadata"]["namespace"]
    return allows(_Allowed.of(given) if given else None, home, namespace, seen.labels or {})


def labels_missing(seen: Seen, config: Object) -> bool:
    """It selects by labels that may not be looked at."""
    return (config["spec"].get("allowedNamespaces") or {}).get("from") == "Selector" and seen.labels is None
