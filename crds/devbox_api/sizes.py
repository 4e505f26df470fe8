"""How long a Devbox's spec may be, as a CEL number: whoever may write one may make it some MiB large."""

from typing import Final

MOST_KIB: Final = 64
"""Of what may be long in a spec, in all: operator and API server hold many Devboxes, and each one's pod besides."""


def _sum(field: str, *parts: str) -> str:
    """A CEL number: the bytes of an optional list's or map's parts (of each entry `e`)."""
    total = " + ".join(f"size(bytes({part}))" for part in parts)
    place, _, outer = field.rpartition(".")
    found = f"has(self.{place}) && has(self.{field})" if place else f"has(self.{outer})"
    return f"({found} ? self.{field}.map(e, {total}).sum() : 0)"


def _map(field: str, value: str = "") -> str:
    """The same of a map's keys and, unless they are bounded by themselves, its values."""
    return _sum(field, "e", *([value] if value else []))


LENGTH: Final = " + ".join(
    (
        _sum("command", "e"),
        _sum("args", "e"),
        _sum("env", "e.name", "(has(e.value) ? e.value : '')"),
        _sum("volumes", "e.mountPath"),
        _sum("launchCommands", "e"),
        _sum("codeMounts", "(has(e.installCommand) ? e.installCommand : '')"),
        _map("nodeSelector"),
        _map("resources.requests"),
        _map("resources.limits"),
        _map("podMetadata.labels"),
        _map("podMetadata.annotations", "self.podMetadata.annotations[e]"),
    )
)
"""Bytes of all that is not bounded otherwise."""
