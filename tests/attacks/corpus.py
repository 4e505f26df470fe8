"""Cases as data, and what their placeholders stand for.

Goes in: what a case sends. Comes out: the steps that a client or an API takes for one: bytes, waits, ends, generators. What is not
understood is a ValueError, so that nothing is left out silently.
"""

import base64
import re
from dataclasses import dataclass, field
from typing import Any, Final

NOT_RUN: Final = ("k8s",)
"""Groups that need a cluster."""
_WORD: Final = re.compile(r"<([A-Z]+)(?:[ :_=]\s*(\d+(?:\.\d+)?)\s*(ms|s)?)?>")
_PLACEHOLDER: Final = re.compile(r"\{\{([A-Z0-9_]+)(?::([^{}]*?))?\}\}", re.DOTALL)


@dataclass(frozen=True)
class Word:
    """What is done between bytes: FIN, RST, CLOSE, or a wait."""

    name: str
    seconds: float = 0.0

    @property
    def waits(self) -> bool:
        """HOLD, DELAY, WAIT, SLEEP."""
        return self.name in ("HOLD", "DELAY", "WAIT", "SLEEP", "PAUSE")


@dataclass(frozen=True)
class Generator:
    """`gen: <name>` and its numbers."""

    name: str
    options: dict[str, Any]

    def number(self, name: str, default: int) -> int:
        """One of its options."""
        return int(self.options.get(name, default))


Step = bytes | Word | Generator


@dataclass(frozen=True)
class Check:
    """One thing that a case expects: a key of expect.py, and its value."""

    key: str
    value: Any


@dataclass(frozen=True)
class Case:
    """One entry of the file."""

    id: str
    group: str
    name: str
    send: list[Any]
    upstream: list[Any] | None
    config: dict[str, Any]
    status: tuple[int | str, ...]
    """Empty: any."""
    close: bool
    upstream_requests: tuple[int, int] | None
    dials: int | None
    checks: tuple[Check, ...] = ()

    def expects(self, *keys: str) -> bool:
        """One of them, at least."""
        return any(check.key in keys for check in self.checks)

    def generators(self) -> list[str]:
        """Names of the generators on both sides."""
        return [item["gen"] for item in (*self.send, *(self.upstream or ())) if isinstance(item, dict) and "gen" in item]

    def holds(self) -> float:
        """Seconds that the client holds still, in all."""
        words = [word for item in self.send if isinstance(item, str) and (word := _word(item)) and word.waits]
        return sum(word.seconds for word in words)


@dataclass
class Values:
    """What the placeholders stand for in one run."""

    token: str
    real: str
    host: str
    upstream: str
    base: str
    name: str = "NAME"
    extra: dict[str, str] = field(default_factory=dict)

    def of(self, name: str, argument: str | None) -> str:
        """Raises ValueError for an unknown one."""
        simple = {
            "TOKEN": self.token,
            "REAL": self.real,
            "HOST": self.host,
            "UPSTREAM": self.upstream,
            "BASE": self.base,
            "NAME": self.name,
            "P": "",
            "OTHER": "devbox/OTHER",
            "NOT_GRANTED": "devbox/NOT_GRANTED",
            "AUD": f"devbox-gateway.io/{self.name}",
            "NS": "agents",
            "B64TOKEN": base64.b64encode(f"x:{self.token}".encode()).decode(),
            "JWT": self.token.removeprefix("gws_"),
            **self.extra,
        }
        if argument is None and name in simple:
            return simple[name]
        if name == "REP" and argument and (match := re.fullmatch(r"(.+):(\d+)", argument, re.DOTALL)):
            return match[1] * int(match[2])
        if name == "NHDR" and argument and argument.isdecimal():
            return "".join(f"X-H{number}: v\r\n" for number in range(int(argument)))
        raise ValueError(f"placeholder not understood: {name}")

    def fill(self, text: str) -> bytes:
        """`text` as bytes: U+0000 to U+00FF are one byte each."""
        # The length of a body is counted when the rest is filled in.
        filled = _PLACEHOLDER.sub(lambda found: found[0] if found[1] == "CL" else self.of(found[1], found[2]), text)
        data = filled.encode("latin-1") if filled.isascii() or max(filled) <= "\xff" else filled.encode()
        head, end, body = data.partition(b"\r\n\r\n")
        return head.replace(b"{{CL}}", str(len(body)).encode()) + end + body


def _word(text: str) -> Word | None:
    match = _WORD.fullmatch(text.strip())
    if match is None:
        return None
    # A bare number is milliseconds where it is a pause of an API, seconds where a client holds still.
    unit = match[3] or ("ms" if match[1] == "DELAY" else "s")
    return Word(match[1], float(match[2] or 1) / (1000 if unit == "ms" else 1))


def steps(items: list[Any], values: Values) -> list[Step]:
    """What one side does, in order. Raises ValueError for what is not understood."""
    found: list[Step] = []
    for item in items:
        if isinstance(item, dict) and "gen" in item:
            found.append(Generator(str(item["gen"]), {key: value for key, value in item.items() if key != "gen"}))
        elif isinstance(item, str):
            word = _word(item)
            if word is None:
                found.append(values.fill(item))
            elif word.waits or word.name in ("FIN", "RST", "CLOSE"):
                found.append(word)
            else:
                raise ValueError(f"step not understood: {item}")
        else:
            raise ValueError(f"step not understood: {item!r}")
    return found
