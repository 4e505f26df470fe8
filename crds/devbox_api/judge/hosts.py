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
    """The patterns of an `allowed-hosts` annotation: comma-separated, spaces around them ignored. What is no pattern grants nothing
    (grants.py says why)."""
    return tuple(part for part in parts(annotation) if is_pattern(part))


def parts(annotation: str | None) -> list[str]:
    """Its entries, whatever they are."""
    return [part.strip() for part in (annotation or "").split(",") if part.strip()]


def any_matches(patterns: Iterable[str], host: str) -> bool:
    """One of the patterns covers the host."""
    return any(matches(pattern, host) for pattern in patterns)
