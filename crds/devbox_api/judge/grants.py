"""What is wrong in a grant (the annotation `devbox-gateway.io/allowed-hosts`): which entry grants nothing, and what to write instead.

Goes in: the annotation, or one host of a list. Comes out: words for people. Pure. What an entry does grant is hosts.py's; docs/grants.md
has the syntax.
"""

import re
from ipaddress import ip_network
from typing import Final

from .hosts import is_pattern, parts

MOST: Final = 5
"""Entries that are told one by one."""
_SHOWN: Final = 60
"""Characters of each."""
_SCHEME: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]{0,15}:/*(?=[^0-9/])|[A-Za-z]{0,15}:?//")
_PORT: Final = re.compile(r"(.*?):([0-9]*)$")
_AROUND: Final = "\"'`[]{}()<>"


def mistakes(annotation: str | None) -> tuple[str, ...]:
    """Of each entry that grants nothing: which it is, and why. Whoever wrote it thinks that it grants something.

    Anybody's text, so only so much of it as names the mistake: what is not of a URL is a `?`, and so is a space, or it could read like
    advice of ours.
    """
    wrong = [part for part in dict.fromkeys(parts(annotation)) if not is_pattern(part)]
    said = [f"{_shown(part)} {why(part)}" for part in wrong[:MOST]]
    return (*said, f"and {len(wrong) - MOST} more") if len(wrong) > MOST else tuple(said)


def why(entry: str) -> str:
    """Why it is no host pattern, and what to write; of one that is_pattern refuses."""
    inner = entry.strip().strip(_AROUND).strip()
    host = _host(inner)
    if _range(inner):
        return "is a range of addresses, which grants nothing; write names, or each address"
    if re.search(r"[\s;|]", inner):
        return "holds a space or another mark; put a comma between two hosts"
    if inner != entry and "/" not in inner and is_pattern(inner):
        return f"stands in quotation marks or brackets; write {inner.lower()}"
    if "@" in inner:
        return f"has a user in front{_write(host)}"
    if _SCHEME.match(inner):
        return f"is a URL{_write(host)}"
    if "/" in inner:
        return f"has a path{_write(host)}"
    if _PORT.fullmatch(inner):
        return f"has a port, and a grant is for all ports{_write(host)}"
    if "*" in inner:
        return _of_star(inner)
    if inner.startswith("."):
        return f"begins with a dot{_write('*' + inner)} for all below it"
    if re.search(r"[$%{}]", inner):
        return "is a variable that nobody has put a host in place of; write the host"
    if (coded := _punycode(inner)) is not None:
        return f"has letters beyond ASCII; write it in punycode: {coded}"
    return "is no host's name or address; write e.g. api.example.com"


def uncovered(annotation: str | None, host: str) -> str:
    """What comes near the host and does not cover it, in words that go on a sentence; empty: nothing does."""
    if f"*.{host}" in (part.lower().rstrip(".") for part in parts(annotation)):
        return f"*.{host} is for the names below {host}, and not for itself"
    return ""


def _range(text: str) -> bool:
    try:
        ip_network(text, strict=False)
    except ValueError:
        return False
    return "/" in text


def _of_star(text: str) -> str:
    if text.strip("*.") == "":
        return "would be every host, which no grant is for; name each, or write *.example.com"
    rest = text.rpartition("*")[2].strip(".")
    better = f", e.g. *.{rest.lower()}" if "." in rest and is_pattern(rest) else ""
    return f"has a '*' that is not the whole first label; write '*.' and a name{better}"


def _host(text: str) -> str:
    """The host in a URL, or what looks like one."""
    text = _SCHEME.sub("", text, count=1)
    text = re.split(r"[/?#]", text, maxsplit=1)[0].rpartition("@")[2]
    if match := _PORT.fullmatch(text):
        text = match[1]
    return text.strip("[]").lower()


def _write(host: str) -> str:
    return f"; write {host.lower()} alone" if is_pattern(host) else "; write the host alone, e.g. api.example.com"


def _punycode(text: str) -> str | None:
    if text.isascii() or len(text) > _SHOWN:
        return None
    try:
        coded = text.lower().encode("idna").decode()
    except (UnicodeError, ValueError):
        return None
    return coded if is_pattern(coded) else None


def _shown(entry: str) -> str:
    return re.sub(r"[^A-Za-z0-9.:/*_@-]", "?", entry[:_SHOWN]) + ("…" if len(entry) > _SHOWN else "")
