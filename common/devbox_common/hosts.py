"""Host patterns: `api.example.com`, or `*.example.com` for one or more labels in front, which the apex itself does not match.

Pure. Called by operator and gateway, which both enforce the grant on a Secret, and by the upstream settings.
"""

from collections.abc import Iterable


def matches(pattern: str, host: str) -> bool:
    """Does the pattern cover the host? Both without a port; case and a final dot don't count."""
    wanted, host = pattern.strip().lower().rstrip("."), host.lower().rstrip(".")
    if wanted.startswith("*."):
        suffix = wanted[1:]
        return len(suffix) > 1 and host.endswith(suffix) and len(host) > len(suffix)
    return bool(wanted) and "*" not in wanted and wanted == host


def parse_grant(annotation: str | None) -> tuple[str, ...]:
    """The patterns of an `allowed-hosts` annotation: comma-separated, spaces ignored; what is no pattern is left out."""
    parts = (part.strip() for part in (annotation or "").split(","))
    return tuple(part for part in parts if part and "*" not in part.removeprefix("*."))


def any_matches(patterns: Iterable[str], host: str) -> bool:
    """One of the patterns covers the host."""
    return any(matches(pattern, host) for pattern in patterns)
