"""How a person names a gateway config, a secret or a network policy, and how the client wants it."""

import re
from typing import Final

from devbox_gateway.naming import Kind

from .output import without_prefix

_PLAIN: Final = re.compile(r"[a-z0-9]([a-z0-9.-]*[a-z0-9])?")
_ELSEWHERE: Final = re.compile(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?/[a-z0-9]([a-z0-9.-]*[a-z0-9])?")


def identity(kind: Kind, text: str) -> str:
    """An id of it: of an object's name, also as `-o name` prints it, or namespace/name; another text is what somebody called it."""
    name = without_prefix(text)
    if name.startswith(kind.prefix):
        return name
    return kind.prefix + name if _PLAIN.fullmatch(name) or _ELSEWHERE.fullmatch(name) else name
