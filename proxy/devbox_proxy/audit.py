"""Who called what: one JSON line at a request's start and one at its end, or one for a refusal, on standard output.

Goes in: facts about a request, none of them secret (no query, no header, no body). Comes out: lines, written by a thread, so that a
reader that blocks never blocks the event loop. A full queue refuses requests or drops lines, as set. Called by server.py.
"""

import queue
import sys
import threading
import time
from typing import IO, Any, Final

import orjson

from .identity import Caller
from .metrics import AUDIT_DROPPED

_STOP: Final = b""


class AuditFull(Exception):
    """No line can be taken, and requests that leave no trace are not allowed."""


class AuditLog:
    """A bounded queue and the thread that empties it."""

    def __init__(self, size: int, *, drop: bool, stream: IO[bytes] | None = None) -> None:
        self._queue: queue.Queue[bytes] = queue.Queue(size)
        self._drop = drop
        self._stream = stream or sys.stdout.buffer
        self._thread = threading.Thread(target=self._write, name="audit", daemon=True)
        self._thread.start()

    def put(self, event: str, request_id: str, caller: Caller | None, **facts: Any) -> None:
        """Queue one line. Raises AuditFull where lines must not be dropped and there is no room."""
        line: dict[str, Any] = {"audit": event, "time": _now(), "request_id": request_id}
        if caller is not None:
            line |= {
                "namespace": caller.namespace,
                "devbox": caller.devbox,
                "pod": caller.pod,
                "name": caller.name,
                "gateway": caller.gateway,
                "credential_id": caller.credential_id,
            }
        try:
            self._queue.put_nowait(orjson.dumps(line | facts) + b"\n")
        except queue.Full:
            AUDIT_DROPPED.inc()
            if not self._drop:
                raise AuditFull from None

    def close(self, seconds: float = 5.0) -> None:
        """Write what is queued, for at most `seconds`, and stop."""
        try:
            self._queue.put(_STOP, timeout=seconds)
        except queue.Full:
            return
        self._thread.join(seconds)

    def _write(self) -> None:
        while (line := self._queue.get()) is not _STOP:
            try:
                self._stream.write(line)
                if self._queue.empty():
                    self._stream.flush()
            except (OSError, ValueError):
                AUDIT_DROPPED.inc()
        self._stream.flush()


def _now() -> str:
    now = time.time()
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(now))}.{int(now % 1 * 1000):03d}Z"
