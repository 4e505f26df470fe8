"""The allow-list of a GatewayConfig: which methods and paths an agent may ask for.

Goes in: `spec.rules` as the gateway document has them, once; then a method and a target for each request. Comes out: yes or no.
Pure.

In a rule's path `*` stands for characters of one segment (a segment that is `*` alone: for any segment that is not empty), a final
`/**` for the rest, which may be missing. Rule and request are compared segment by segment, each decoded once; `*` never stands for an
encoded slash or backslash, which some server would take for the border of two segments.
"""

import re
import sys
from collections.abc import Iterable
from typing import Final, Protocol
from urllib.parse import unquote_to_bytes

from . import paths as forms

_BORDER: Final = b"\0"
"""Between decoded segments: guard.py lets no path pass that holds it, not even in an escape."""
_ANY: Final = rb"[^\0/\\]"
_ATOMIC: Final = b"(?>" if sys.version_info >= (3, 11) else b"(?:"
"""Older Pythons, which a client may have, know no atomic group: there it is slower, and means the same."""
_REST: Final = rb"(?:\0.*)?"
_DECODED_TWICE: Final = re.compile(rb"%(?:2[eEfF]|3[bB]|5[cC])")
"""Left after one decoding: to a server that decodes twice it is another path."""


class Rule(Protocol):
    """One entry, as documents and objects have it."""

    @property
    def methods(self) -> tuple[str, ...]:
        """Empty: all."""

    @property
    def paths(self) -> tuple[str, ...]:
        """What may be asked for."""


class Rules:
    """An allow-list, compiled: one pattern a method."""

    __slots__ = ("_patterns",)

    def __init__(self, patterns: dict[str, re.Pattern[bytes]]) -> None:
        self._patterns = patterns

    def allow(self, method: str, path: bytes) -> bool:
        """Is there a rule for it? `path`: the joined one, without the query, that passed guard.py."""
        pattern = self._patterns.get(method)
        if pattern is None:
            return False
        if b"%" in path:
            path = _BORDER.join(map(unquote_to_bytes, path.split(b"/")))
            if _DECODED_TWICE.search(path):
                return False
        else:
            path = path.replace(b"/", _BORDER)
        return pattern.fullmatch(path) is not None


def compile_rules(rules: Iterable[Rule]) -> Rules:
    """The allow-list. Raises ValueError for a path that the CRD would not have let pass."""
    paths: dict[str, list[bytes]] = {}
    for rule in rules:
        for method in rule.methods or forms.METHODS:
            paths.setdefault(method, []).extend(map(_pattern, rule.paths))
    return Rules({method: re.compile(b"|".join(patterns), re.DOTALL) for method, patterns in paths.items()})


def allowed(rules: Rules, base_path: forms.BasePath, method: str, target: bytes) -> bool:
    """The rules name the method and path, and the query does not ask the API to take another method."""
    path, query = forms.split(target)
    if query is not None and not forms.OTHER_METHOD.isdisjoint(forms.parameter_names(query)):
        return False
    return rules.allow(method, base_path.join(path))


def _pattern(path: str) -> bytes:
    """One path as a regular expression over decoded segments."""
    wanted = path.encode()
    if not wanted.startswith(b"/") or forms.BROKEN_ESCAPE.search(wanted) or forms.CONTROL_ESCAPE.search(wanted):
        raise ValueError("not a rule's path")
    open_end = wanted.endswith(b"/**")
    segments = (wanted.removesuffix(b"/**") if open_end else wanted).split(b"/")[1:]
    if any(b"**" in segment for segment in segments):
        raise ValueError("'**' is not at the end")
    return b"".join(_BORDER + _segment(segment) for segment in segments) + (_REST if open_end else b"")


def _segment(segment: bytes) -> bytes:
    """One segment. What stands between two `*` is taken at its first place (the atomic group), which is as good as any later one:
    so no path makes the search slow, however it is made."""
    if segment == b"*":
        return _ANY + b"+"
    first, *others = (re.escape(unquote_to_bytes(part)) for part in segment.split(b"*"))
    if not others:
        return first
    *middle, last = others
    return first + b"".join(_ATOMIC + _ANY + b"*?" + part + b")" for part in middle) + _ANY + b"*" + last
