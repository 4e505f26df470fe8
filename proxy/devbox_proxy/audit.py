"""Who called what: one JSON line at a request's start and one at its end, or one for a refusal, on standard output.

Goes in: facts about a request or a tunnel, none of them secret (no query, no header, no body). Comes out: lines, through lines.py, so
that a reader that blocks never blocks the event loop. A full queue refuses requests or drops lines, as set. Called by
gateway.py and forwarder.py.
"""

import time
from typing import Any, NamedTuple

import orjson

from .admission import Caller
from .lines import LineWriter, Stream


class AuditFull(Exception):
    """No line can be taken, and requests that leave no trace are not allowed."""


class End(NamedTuple):
    """What became of a request."""

    status: int
    """0 if there was no answer."""
    ended: str
    """`complete`, `client_gone`, `upstream_cut`, or a refusal's code."""
    received: int
    """Bytes of the body, without framing."""
    sent: int
    seconds: float


class AuditLog:
    """Lines with who, what and when."""

    def __init__(self, size: int, *, drop: bool, stream: Stream | None = None) -> None:
        self._lines = LineWriter(size, stream)
        self._drop = drop
        self._second = (0, b"")

    def start(self, request_id: str, about: bytes) -> None:
        """Before the first byte goes to an API. Raises AuditFull where lines must not be dropped and there is no room."""
        self._put(b"%b%b}" % (self._begin(b"start", request_id), about))

    def end(self, request_id: str, about: bytes, end: End) -> None:
        """When a request is over. Raises AuditFull."""
        status, ended, received, sent, seconds = end
        facts = b',"status":%d,"ended":"%b","received":%d,"sent":%d,"ms":%.1f}' % (
            status,
            ended.encode(),
            received,
            sent,
            seconds * 1000,
        )
        self._put(b"%b%b%b" % (self._begin(b"end", request_id), about, facts))

    def tunnel_start(self, request_id: str, caller: Caller, target: str, address: str) -> None:
        """Before the first byte goes through a tunnel. Raises AuditFull."""
        self._put(self._begin(b"start", request_id) + orjson.dumps(_facts(caller, target, address))[1:])

    def tunnel_end(self, request_id: str, caller: Caller, target: str, address: str, end: End) -> None:
        """When a tunnel is over; `received` and `sent` are bytes from and to the devbox. Raises AuditFull."""
        facts = {"ended": end.ended, "received": end.received, "sent": end.sent, "ms": round(end.seconds * 1000, 1)}
        self._put(self._begin(b"end", request_id) + orjson.dumps(_facts(caller, target, address) | facts)[1:])

    def refused(self, request_id: str, caller: Caller | None, **facts: Any) -> None:
        """A request that went nowhere. Raises AuditFull."""
        known = caller._asdict() if caller else {}
        known.pop("pod_uid", None)
        self._put(self._begin(b"refused", request_id) + orjson.dumps(known | facts)[1:])

    def _put(self, line: bytes) -> None:
        if not self._lines.put(line) and not self._drop:
            raise AuditFull

    def _begin(self, event: bytes, request_id: str) -> bytes:
        """The part that all lines have."""
        return b'{"audit":"%b","time":"%b","request_id":"%b",' % (event, self._now(), request_id.encode())

    def close(self, seconds: float = 5.0) -> None:
        """Write what is queued, for at most `seconds`, and stop."""
        self._lines.close(seconds)

    def _now(self) -> bytes:
        """RFC 3339 in milliseconds; the part that changes once a second is kept."""
        now = time.time()
        whole = int(now)
        if self._second[0] != whole:
            self._second = (whole, time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(whole)).encode())
        return b"%b.%03dZ" % (self._second[1], int((now - whole) * 1000))


def _facts(caller: Caller, target: str, address: str) -> dict[str, object]:
    """Of a tunnel."""
    facts = caller._asdict() | {"method": "CONNECT", "target": target, "address": address}
    del facts["pod_uid"]
    return facts


def about(caller: Caller, method: str, path: bytes) -> bytes:
    """Who calls what: the part that both lines of a request have, and those of the next one like it."""
    facts = caller._asdict() | {"method": method, "path": path.decode("latin-1")}
    del facts["pod_uid"]
    return orjson.dumps(facts)[1:-1]
