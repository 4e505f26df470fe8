"""Host patterns: `api.example.com`, or `*.example.com` for one or more labels in front, which the apex itself does not match.

Pure. Operator and gateway both enforce the grant on a Secret by it; the upstream settings and the client judge by it, too.
"""

import re
from collections.abc import Iterable
from ipaddress import IPv6Address
from typing import Final

_NAME: Final = re.compile(r"(\*\.)?[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*\.?")
"""What an endpoint's host may be (crds/devbox_api/gatewayconfig.py), but for addresses of IPv6."""
_LONGEST: Final = 255
_SHOWN: Final = 5
"""Entries that are no pattern, and how many characters of each."""
_SHOWN_CHARACTERS: Final = 60


def matches(pattern: str, host: str) -> bool:
    """Does the pattern cover the host? Both without a port; case and a final dot don't count."""
    wanted, host = pattern.strip().lower().rstrip("."), host.lower().rstrip(".")
    if wanted.startswith("*."):
        suffix = wanted[1:]
        return len(suffix) > 1 and host.endswith(suffix) and len(host) > len(suffix)
    return bool(wanted) and "*" not in wanted and wanted == host


def is_pattern(text: str) -> bool:
    """A host's name or address, or `*.` and a name: no scheme, no port, no path, no bare `*`."""
    text = text.lower()
    if len(text) > _LONGEST:
        return False
    if ":" not in text:
        return _NAME.fullmatch(text) is not None
    try:
        return IPv6Address(text).scope_id is None
    except ValueError:
        return False


def parse_grant(annotation: str | None) -> tuple[str, ...]:
    """The patterns of an `allowed-hosts` annotation: comma-separated, spaces ignored; what is no pattern grants nothing."""
    return tuple(part for part in _parts(annotation) if is_pattern(part))


def not_patterns(annotation: str | None) -> tuple[str, ...]:
    """The other entries of the annotation, for people: whoever wrote one thinks that it grants something.

    Anybody's text, so only so much of it as names the mistake: what is not of a URL is a `?`, and so is a space, or it could read like
    advice of ours.
    """
    wrong = [part for part in dict.fromkeys(_parts(annotation)) if not is_pattern(part)]
    shown = [re.sub(r"[^A-Za-z0-9.:/*_@-]", "?", part[:_SHOWN_CHARACTERS]) for part in wrong[:_SHOWN]]
    cut = [text + "…" if len(part) > _SHOWN_CHARACTERS else text for text, part in zip(shown, wrong, strict=False)]
    return (*cut, f"and {len(wrong) - _SHOWN} more") if len(wrong) > _SHOWN else tuple(cut)


def _parts(annotation: str | None) -> list[str]:
    return [part.strip() for part in (annotation or "").split(",") if part.strip()]


def any_matches(patterns: Iterable[str], host: str) -> bool:
    """One of the patterns covers the host."""
    return any(matches(pattern, host) for pattern in patterns)
