"""What must be nowhere: the token at an API, the credential at a client.

Goes in: what an API received, or a process. Comes out: what is wrong with it, in words that hold no secret.
"""

import base64
import contextlib
import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

from devbox_common.redacted import Redacted

from .api import CREDENTIAL_HEADERS, Api, Received

_PIECE: Final = 8
"""Whatever holds 15 characters of a token in a row holds one of its pieces."""
_MAPPING: Final = re.compile(r"([0-9a-f]+)-([0-9a-f]+) (..)")
_CHUNK: Final = 1 << 24
_OVERLAP: Final = 1 << 12


def wrong_with(received: Received, api: Api, tokens: Iterable[str]) -> list[str]:
    """Empty if the API got its credential where it wants it, once, and nothing of any token."""
    problems = []
    held = {name: values for name in CREDENTIAL_HEADERS if (values := received.values(name))}
    if held != {api.header: [api.expected()]}:
        problems.append(f"the credential is not {api.header} alone, once: there are {', '.join(held) or 'none'}")
    head = received.text
    if head.count(api.expected()) != 1 or api.credential.reveal() in head.replace(api.expected(), ""):
        problems.append("the credential is in another place, too")
    content = b"\n".join((received.body, *(frame.encode() for frame in received.frames)))
    if api.credential.reveal().encode() in content:
        problems.append("the credential is in the body")
    everything = b"\n".join((head.encode(), _basic(received), content))
    if "gws_" in head:  # of a file's bytes it may be some by chance
        problems.append("there is a gws_")
    for token in tokens:
        pieces = (token[start : start + _PIECE].encode() for start in range(0, len(token) - _PIECE + 1, _PIECE))
        if any(piece in everything for piece in pieces):
            problems.append("there is a part of a token")
    return problems


def _basic(received: Received) -> bytes:
    """What Basic says."""
    value = next(iter(received.values("authorization")), "")
    return base64.b64decode(value.removeprefix("Basic ")) if value.startswith("Basic ") else b""


def forms(secret: Redacted) -> list[bytes]:
    """As it might be written: raw, and the middle of its base64, whichever bytes stand around it."""
    raw = secret.reveal().encode()
    return [raw, *(base64.b64encode(b"\0" * before + raw)[4:-4] for before in range(3))]


def in_text(text: str, secrets: Iterable[Redacted]) -> bool:
    """One of them is in what a client printed."""
    return any(form in text.encode() for secret in secrets for form in forms(secret))


def in_memory(pid: int, secrets: Iterable[Redacted]) -> list[bool]:
    """For each of them: whether a process has it in its memory, of which its environment and command line are a part."""
    wanted = [forms(secret) for secret in secrets]
    found = [False] * len(wanted)
    for piece in _pieces(Path(f"/proc/{pid}")):
        found = [before or any(form in piece for form in each) for before, each in zip(found, wanted, strict=True)]
    return found


def _pieces(process: Path) -> Iterator[bytes]:
    with (process / "mem").open("rb", buffering=0) as memory:
        for start, end in _in_use(process):
            for offset in range(start, end, _CHUNK):
                with contextlib.suppress(OSError):  # unmapped since
                    yield os.pread(memory.fileno(), min(_CHUNK + _OVERLAP, end - offset), offset)


def _in_use(process: Path) -> Iterator[tuple[int, int]]:
    """The mappings that hold anything but what was read from files."""
    start = end = 0
    for line in (process / "smaps").read_text().splitlines():
        if match := _MAPPING.match(line):
            start, end = (int(edge, 16) for edge in match.groups()[:2]) if match[3] == "rw" else (0, 0)
        elif end and line.startswith(("Rss:", "Swap:")) and line.split()[1] != "0":
            yield start, end
            start = end = 0
