"""Who called what: one JSON line at a request's start and one at its end, or one for a refusal, on standard output.

Goes in: facts about a request, none of them secret (no query, no header, no body). Comes out: lines, through lines.py, so
that a reader that blocks never blocks the event loop. A full queue refuses requests or drops lines, as set. Called by server.py.
"""

import time
from functools import lru_cache
from typing import Any

import orjson

from .identity import Caller
from .lines import LineWriter, Stream


class AuditFull(Exception):
    """No line can be taken, and requests that leave no trace are not allowed."""


class AuditLog:
    """Lines with who, what and when."""

    def __init__(self, size: int, *, drop: bool, stream: Stream | None = None) -> None:
        self._lines = LineWriter(size, stream)
        self._drop = drop
        self._second = (0, "")

    def put(self, event: str, request_id: str, caller: Caller | None, **facts: Any) -> None:
        """Queue one line. Raises AuditFull where lines must not be dropped and there is no room."""
        start = f'{{"audit":"{event}","time":"{self._now()}","request_id":"{request_id}",'.encode()
        who = b"" if caller is None else _who(caller)
        if not self._lines.put(start + who + orjson.dumps(facts)[1:]) and not self._drop:
            raise AuditFull

    def close(self, seconds: float = 5.0) -> None:
        """Write what is queued, for at most `seconds`, and stop."""
        self._lines.close(seconds)

    def _now(self) -> str:
        """RFC 3339 in milliseconds; the part that changes once a second is kept."""
        now = time.time()
        whole = int(now)
        if self._second[0] != whole:
            self._second = (whole, time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(whole)))
        return f"{self._second[1]}.{int((now - whole) * 1000):03d}Z"


@lru_cache(maxsize=4096)
def _who(caller: Caller) -> bytes:
    """The caller's part of a line, the same in all of its lines."""
    who = {
        "namespace": caller.namespace,
        "devbox": caller.devbox,
        "pod": caller.pod,
        "name": caller.name,
        "gateway": caller.gateway,
        "credential_id": caller.credential_id,
    }
    return orjson.dumps(who)[1:-1] + b","
