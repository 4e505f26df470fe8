"""Whose devboxes may use a GatewayConfig: `spec.allowedNamespaces`, judged as Kubernetes judges label selectors.

Pure. The operator enforces it; the client answers by it.
"""

from collections.abc import Mapping, Sequence
from typing import Protocol


class Requirement(Protocol):
    """One of a selector's."""

    @property
    def key(self) -> str:
        """The label's."""

    @property
    def operator(self) -> str:
        """In, NotIn, Exists or DoesNotExist."""

    @property
    def values(self) -> tuple[str, ...]:
        """For the first two."""


class Selector(Protocol):
    """All requirements together."""

    @property
    def match_labels(self) -> Mapping[str, str]:
        """Labels that have to be so."""

    @property
    def match_expressions(self) -> Sequence[Requirement]:
        """And these."""


class Allowed(Protocol):
    """Whom a GatewayConfig lets in."""

    @property
    def from_(self) -> str:
        """Same, All or Selector."""

    @property
    def selector(self) -> Selector | None:
        """With Selector."""


def allows(allowed: Allowed | None, home: str, namespace: str, labels: Mapping[str, str]) -> bool:
    """May devboxes of `namespace` (with these labels) use a GatewayConfig of namespace `home`?"""
    if namespace == home:
        return True
    if allowed is None or allowed.from_ == "Same":
        return False
    if allowed.from_ == "All":
        return True
    return allowed.selector is not None and selects(allowed.selector, labels)


def selects(selector: Selector, labels: Mapping[str, str]) -> bool:
    """As Kubernetes does: all requirements together; an empty selector selects everything."""
    if any(labels.get(key) != value for key, value in selector.match_labels.items()):
        return False
    for requirement in selector.match_expressions:
        value, present = labels.get(requirement.key), requirement.key in labels
        met = {
            "In": present and value in requirement.values,
            "NotIn": not present or value not in requirement.values,
            "Exists": present,
            "DoesNotExist": not present,
        }[requirement.operator]
        if not met:
            return False
    return True
