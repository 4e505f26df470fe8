"""Who called what: one JSON line at a request's start and one at its end, or one for a refusal, on standard output.

Goes in: facts about a request or a tunnel, none of them secret (no query, no header, no body). Comes out: lines, through lines.py, so
that a reader that blocks never blocks the event loop. A devbox whose lines are not taken is refused, or they are dropped, as set; the
others' have a part of the queue that it does not get. What a client chose is in a line up to a bound.
"""

import time
from time import monotonic as now
from typing import Any, Final, NamedTuple

import orjson

from devbox_proxy.decide.caller import Caller, shortened
from devbox_proxy.kit.lines import LineWriter, Stream
from devbox_proxy.kit.metrics import LINES_LOST
from devbox_proxy.kit.sparing import Sparing


class AuditFull(Exception):
    """The devbox's lines are not taken, and requests that leave no trace are not allowed."""


class Source(NamedTuple):
    """Whose refusals are counted together, and which."""

    caller: Caller | None
    peer: str
    code: str


_OTHERS: Final = Source(None, "others", "others")


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
        """`size`: KiB of lines that may wait."""
        self._lines = LineWriter(size, stream)
        self._drop = drop
        self._second = (0, b"")
        self._sparing: Sparing[Source] = Sparing(_OTHERS)

    def start(self, request_id: str, pod_uid: str, about: bytes) -> None:
        """Before the first byte goes to an API. Raises AuditFull where lines must not be dropped and there is no room for the pod's."""
        self._put(b"%b%b}" % (self._begin(b"start", request_id), about), pod_uid)

    def end(self, request_id: str, pod_uid: str, about: bytes, end: End) -> None:
        """When a request is over: beyond the pod's share too, since there are no more of these than requests under way. Raises
        AuditFull."""
        status, ended, received, sent, seconds = end
        facts = b',"status":%d,"ended":"%b","received":%d,"sent":%d,"ms":%.1f}' % (
            status,
            ended.encode(),
            received,
            sent,
            seconds * 1000,
        )
        self._put(b"%b%b%b" % (self._begin(b"end", request_id), about, facts), pod_uid, shared=False)

    def tunnel_start(self, request_id: str, caller: Caller, target: str, address: str) -> None:
        """Before the first byte goes through a tunnel. Raises AuditFull."""
        self._put(self._begin(b"start", request_id) + orjson.dumps(_facts(caller, target, address))[1:], caller.pod_uid)

    def tunnel_end(self, request_id: str, caller: Caller, target: str, address: str, end: End) -> None:
        """When a tunnel is over; `received` and `sent` are bytes from and to the devbox. Raises AuditFull."""
        facts = {"ended": end.ended, "received": end.received, "sent": end.sent, "ms": round(end.seconds * 1000, 1)}
        line = self._begin(b"end", request_id) + orjson.dumps(_facts(caller, target, address) | facts)[1:]
        self._put(line, caller.pod_uid, shared=False)

    def refused(self, request_id: str, caller: Caller | None, peer: str, code: str, **facts: Any) -> None:
        """A request that went nowhere. Whoever makes many is told of by their number (`tell_rest`)."""
        source = Source(caller, peer, code)
        if self._sparing.tells(source, now()):
            line = self._begin(b"refused", request_id) + orjson.dumps(_who(source) | facts)[1:]
            if not self._lines.put(line, _owner(source)):
                self._sparing.count(source)

    def tell_rest(self, present: float) -> None:
        """How many refusals had no line of their own. Called now and then."""
        for source, count in self._sparing.untold(present):
            line = b'{"audit":"refused_more","time":"%b",' % self._now() + orjson.dumps(_who(source) | {"count": count})[1:]
            if not self._lines.put(line, shared=False):
                self._sparing.count(source, count)

    def _put(self, line: bytes, pod_uid: str, *, shared: bool = True) -> None:
        if self._lines.put(line, pod_uid, shared=shared):
            return
        if not self._drop:
            raise AuditFull
        LINES_LOST.inc()

    def _begin(self, event: bytes, request_id: str) -> bytes:
        """The part that all lines have."""
        return b'{"audit":"%b","time":"%b","request_id":"%b",' % (event, self._now(), request_id.encode())

    def close(self, seconds: float = 5.0) -> None:
        """Write what is queued, for at most `seconds`, and stop."""
        self.tell_rest(float("inf"))
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
    facts = caller._asdict() | {"method": "CONNECT", "target": shortened(target.encode()), "address": address}
    del facts["pod_uid"]
    return facts


def _who(source: Source) -> dict[str, object]:
    """Whose refusal, and which."""
    facts: dict[str, object] = source.caller._asdict() if source.caller else {}
    facts.pop("pod_uid", None)
    return facts | {"peer": source.peer, "code": source.code}


def _owner(source: Source) -> str:
    """Who has its share of the queue: the pod, as far as it is known."""
    return source.caller.pod_uid if source.caller else source.peer
