"""Times as the API server writes them, and hashes of what it says.

Goes in: plain values. Comes out: the same, to be compared and written. Pure.
"""

import hashlib
from datetime import UTC, datetime

import orjson


def parse_time(value: object) -> datetime | None:
    """An RFC 3339 time; None if there is none. Raises ValueError. (People write some of them: one without a zone is UTC.)"""
    if not isinstance(value, str) or not value:
        return None
    found = datetime.fromisoformat(value)
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def format_time(value: datetime) -> str:
    """As the API server writes it, in whole seconds."""
    return value.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def content_hash(value: object) -> str:
    """A short hash of anything JSON; the same for the same content."""
    return hashlib.sha256(orjson.dumps(value, option=orjson.OPT_SORT_KEYS)).hexdigest()[:32]
