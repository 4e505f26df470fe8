"""One audit line, as the gateway writes it (docs/gatewayconfig.md): whose it is, and how it reads.

Goes in: a line of a gateway's log. Comes out: an `Entry`, or None for what is no audit line. Pure.
"""

import json
from dataclasses import dataclass
from typing import Any, Final

_BEGINS: Final = b'{"audit":'
ENDS: Final = ("end", "refused", "refused_more")
"""Lines that say what came of a request; `start` is there so that nothing goes out without one."""


@dataclass(frozen=True)
class Entry:
    """One line."""

    raw: bytes
    """As it was written."""
    fields: dict[str, Any]

    @property
    def kind(self) -> str:
        """`start`, `end`, `refused` or `refused_more`."""
        return str(self.fields.get("audit"))

    @property
    def time(self) -> str:
        """RFC 3339."""
        return str(self.fields.get("time", ""))

    def is_of(self, namespace: str | None, devbox: str | None) -> bool:
        """Whether it is about that namespace's (None: any) and that devbox (None: any). What was refused without a token that is known is
        nobody's."""
        whose, which = self.fields.get("namespace"), self.fields.get("devbox")
        return bool(whose) and namespace in (None, whose) and devbox in (None, which)


def parse(line: bytes) -> Entry | None:
    """A line without its end."""
    if not line.startswith(_BEGINS):
        return None
    try:
        fields = json.loads(line)
    except ValueError:
        return None
    return Entry(line, fields) if isinstance(fields, dict) else None


def text(entry: Entry) -> str:
    """For people, without what they asked for anyway."""
    fields = entry.fields
    who = f"{fields.get('namespace')}/{fields.get('devbox')} {fields.get('name')}"
    what = " ".join(str(fields[key]) for key in ("method", "path", "target") if fields.get(key))
    return f"{entry.time} {who} {what or '-'} {_came_of(entry)}"


def _came_of(entry: Entry) -> str:
    fields = entry.fields
    if entry.kind == "start":
        return "begins"
    if entry.kind == "refused":
        return f"refused: {fields.get('code')}"
    if entry.kind == "refused_more":
        return f"refused {fields.get('count')} times more: {fields.get('code')}"
    ended, status = str(fields.get("ended")), fields.get("status")
    parts = [str(status)] if status else []
    parts += [] if ended == "complete" else [ended]
    parts += [f"{float(fields.get('ms') or 0):.0f} ms", f"{fields.get('received')} bytes up, {fields.get('sent')} down"]
    return ", ".join(parts)
