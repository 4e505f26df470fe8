"""How results are printed: columns for people, JSON and YAML for programs, names for the next command.

Goes in: objects as the cluster has them, columns. Comes out: text for stdout. What others may have written is made plain here, so that no
verb has to think of it.
"""

import json
import os
import sys
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any, Final

import click

from devbox_api.judge.shown import json_visible, visible
from devbox_gateway.naming import KINDS, Kind

from .plain import cell, without_tokens

Object = Mapping[str, Any]
FORMATS: Final = ("json", "yaml", "name", "wide")
GOOD, BAD, MOVING = "green", "red", "yellow"


@dataclass(frozen=True)
class Column:
    """One of a table. `wide`: with `-o wide` alone. `colour`: of a cell, where colours are wanted."""

    title: str
    of: Callable[[Any], object]
    wide: bool = False
    colour: Callable[[str], str | None] = lambda _: None


def colours_wanted() -> bool:
    """Of stdout; NO_COLOR is heeded (https://no-color.org)."""
    return sys.stdout.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def table(columns: Sequence[Column], rows: Sequence[Any], *, wide: bool = False, colours: bool = False) -> str:
    """Aligned, with titles, as kubectl does it."""
    return Growing(columns, wide=wide, colours=colours).more(rows)


class Growing:
    """A table of which more rows come later, under the titles of the first ones."""

    def __init__(self, columns: Sequence[Column], *, wide: bool = False, colours: bool = False) -> None:
        self._shown = [column for column in columns if wide or not column.wide]
        self._widths: list[int] = []
        self._colours = colours

    def more(self, rows: Sequence[Any]) -> str:
        """These, with the titles where they are the first."""
        cells = [[cell(_text(column.of(row))) or "-" for column in self._shown] for row in rows]
        before = self._widths or [_width(column.title) + 3 for column in self._shown]
        widths = [max([least, *(_width(line[number]) + 3 for line in cells)]) for number, least in enumerate(before)]
        lines = []
        if not self._widths:
            titles = zip(self._shown, widths, strict=True)
            lines.append("".join(_padded(column.title, width) for column, width in titles).rstrip())
        self._widths = widths
        for line in cells:
            parts = []
            for column, text, width in zip(self._shown, line, widths, strict=True):
                colour = column.colour(text) if self._colours else None
                padding = " " * (width - _width(text))
                parts.append((click.style(text, fg=colour) if colour else text) + padding)
            lines.append("".join(parts).rstrip())
        return "\n".join(lines)


def _text(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, (list, tuple)):
        return ",".join(str(item) for item in value)
    return str(value)


def _width(text: str) -> int:
    """In a terminal's columns."""
    return sum(0 if unicodedata.combining(one) else 2 if unicodedata.east_asian_width(one) in "WF" else 1 for one in text)


def _padded(text: str, width: int) -> str:
    return text + " " * (width - _width(text))


def as_json(document: object) -> str:
    """It says the same, and holds nothing that a terminal obeys."""
    rendered = json.dumps(document, indent=2, ensure_ascii=False, default=str)
    return without_tokens("\n".join(json_visible(line) for line in rendered.split("\n")))


def as_yaml(document: object) -> str:
    """Likewise."""
    import yaml  # noqa: PLC0415 (not for --help)

    class Plain(yaml.SafeDumper):
        """Strings with something hidden in them are quoted, so that it can be written as an escape."""

        def ignore_aliases(self, data: Any) -> bool:
            return True

    def represent(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
        hidden = visible(text.replace("\n", "")) != text.replace("\n", "")
        style = '"' if hidden else "|" if "\n" in text else None
        return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)

    Plain.add_representer(str, represent)
    rendered = yaml.dump(
        json.loads(json.dumps(document, default=str)), Dumper=Plain, allow_unicode=True, sort_keys=False, width=1 << 20
    )
    return without_tokens("\n".join(visible(line) for line in rendered.rstrip("\n").split("\n")))


def as_name(kind: Kind, name: str) -> str:
    """As kubectl prints and takes it."""
    group = "" if kind.base == "/api/v1" else f".{kind.base.removeprefix('/apis/').rpartition('/')[0]}"
    return f"{kind.kind.lower()}{group}/{name}"


def document(kind: Kind, seen: Object) -> dict[str, Any]:
    """A whole object, without what nobody reads."""
    version = "v1" if kind.base == "/api/v1" else kind.base.removeprefix("/apis/")
    metadata = {key: value for key, value in (seen.get("metadata") or {}).items() if key != "managedFields"}
    rest = {key: value for key, value in seen.items() if key not in ("apiVersion", "kind", "metadata")}
    return {"apiVersion": version, "kind": kind.kind, "metadata": metadata, **rest}


def without_prefix(name: str) -> str:
    """A name as `-o name` prints it, or plain."""
    front, slash, name_alone = name.partition("/")
    known = {word for kind in KINDS for word in (kind.kind.lower(), kind.plural)}
    return name_alone if slash and front.partition(".")[0].lower() in known else name


def age(timestamp: str, now: datetime | None = None) -> str:
    """As kubectl has it: 40s, 5m, 3h, 12d."""
    try:
        then = datetime.fromisoformat(timestamp.replace("Z", "+00:00"))
    except ValueError:
        return ""
    return _span(((now or datetime.now(timezone.utc)) - then).total_seconds())


def left(timestamp: str | None, now: datetime | None = None) -> str:
    """Likewise, until a time that is to come; empty without one."""
    try:
        then = datetime.fromisoformat((timestamp or "").replace("Z", "+00:00"))
    except ValueError:
        return ""
    return _span((then - (now or datetime.now(timezone.utc))).total_seconds())


def _span(length: float) -> str:
    seconds = max(0, int(length))
    for most, unit, name in ((120, 1, "s"), (7200, 60, "m"), (172_800, 3600, "h")):
        if seconds < most:
            return f"{seconds // unit}{name}"
    return f"{seconds // 86_400}d"
