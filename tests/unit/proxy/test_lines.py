"""Lines leave in order, and nobody waits for their reader."""

import io
import logging
import threading
import time

import pytest

from devbox_proxy.audit import AuditFull, AuditLog
from devbox_proxy.lines import LineWriter, QueuedHandler


class Stuck:
    """A reader that takes nothing until it is told to, and then a few bytes at a time."""

    def __init__(self) -> None:
        self.go_on = threading.Event()
        self.taken = b""

    def write(self, data: memoryview, /) -> int:
        self.go_on.wait(10)
        self.taken += data[:7].tobytes()
        return min(7, len(data))


def test_lines_come_out_whole_and_in_order() -> None:
    stream = io.BytesIO()
    lines = LineWriter(1000, stream)
    for number in range(1000):
        assert lines.put(b"line %d" % number)
        if number % 400 == 0:
            time.sleep(0.01)
    lines.close()
    assert stream.getvalue().splitlines() == [b"line %d" % number for number in range(1000)]


def test_nobody_waits_for_a_reader_that_is_stuck() -> None:
    stream = Stuck()
    lines = LineWriter(10, stream)
    started = time.monotonic()
    accepted = sum(lines.put(b"line") for _ in range(1000))
    assert time.monotonic() - started < 1
    assert 10 <= accepted <= 10 + 256
    stream.go_on.set()
    lines.close()
    assert stream.taken == b"line\n" * accepted


def test_closing_does_not_wait_for_ever() -> None:
    lines = LineWriter(1, Stuck())
    lines.put(b"line")
    started = time.monotonic()
    lines.close(0.1)
    assert time.monotonic() - started < 2


def test_a_full_audit_log_refuses_or_drops_as_it_is_set() -> None:
    for drop in (True, False):
        stream = Stuck()
        audit = AuditLog(1, drop=drop, stream=stream)
        refused = 0
        for _ in range(300):
            try:
                audit.refused("req_1", None, code="x")
            except AuditFull:
                refused += 1
        assert (refused == 0) is drop
        stream.go_on.set()
        audit.close()


def test_log_messages_go_the_same_way() -> None:
    stream = io.BytesIO()
    lines = LineWriter(10, stream)
    handler = QueuedHandler(lines, logging.Formatter("%(levelname)s %(message)s"))
    handler.handle(logging.LogRecord("x", logging.WARNING, "", 0, "upstream %s", ("failed",), None))
    handler.handle(logging.LogRecord("x", logging.WARNING, "", 0, "broken %d", ("text",), None))
    lines.close()
    assert stream.getvalue() == b"WARNING upstream failed\n"


@pytest.mark.parametrize("error", [OSError, ValueError])
def test_a_reader_that_is_gone_costs_lines_only(error: type[Exception]) -> None:
    class Gone:
        def write(self, data: memoryview, /) -> int:
            raise error

    lines = LineWriter(10, Gone())
    assert lines.put(b"line")
    lines.close()
    assert not lines._writer.is_alive()
