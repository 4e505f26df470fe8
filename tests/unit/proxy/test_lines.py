"""Lines leave in order, and nobody waits for their reader."""

import hashlib
import io
import logging
import os
import subprocess
import sys
import threading
import time
from collections import Counter

import orjson
import pytest

from devbox_proxy.accounting.audit import AuditFull, AuditLog
from devbox_proxy.decide.caller import shortened
from devbox_proxy.kit.lines import LineWriter, QueuedHandler
from devbox_proxy.kit.sparing import KEYS, MOST, SECONDS, Sparing


class Stuck:
    """A reader that takes nothing until it is told to, and then a few bytes at a time."""

    def __init__(self) -> None:
        self.go_on = threading.Event()
        self.taken = b""

    def write(self, data: memoryview, /) -> int:
        self.go_on.wait(10)
        self.taken += data[:7].tobytes()
        return min(7, len(data))


class Slow:
    """A reader that takes 2 MiB a second."""

    def write(self, data: memoryview, /) -> int:
        time.sleep(0.002)
        return min(4096, len(data))


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
    lines = LineWriter(1, stream)
    started = time.monotonic()
    accepted = sum(lines.put(b"line", shared=False) for _ in range(1000))
    assert time.monotonic() - started < 1
    assert accepted == 1024 // (len(b"line") + 64)
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
                audit.start("req_1", "uid-1", b'"path":"/"')
            except AuditFull:
                refused += 1
        assert (refused == 0) is drop
        stream.go_on.set()
        audit.close()


def test_who_fills_the_queue_is_who_waits() -> None:
    """Nothing is taken: one floods, then another, then more. Whoever comes next still has room, and what is queued has a bound."""
    stream, line = Stuck(), b"x" * 448
    lines = LineWriter(1024, stream)
    cost, size = 512, 1 << 20
    taken = list[int]()
    for owner in range(20):
        count = 0
        while lines.put(line, f"pod-{owner}"):
            count += 1
        taken.append(count)
    assert taken[0] == pytest.approx(size / 5 / cost, rel=0.02)
    assert taken[9] == pytest.approx(size * 0.8**9 / 5 / cost, rel=0.1)
    assert taken[19] >= 1
    assert sum(taken) * cost <= size
    assert lines.put(b"the end of a request that has begun", "pod-0", shared=False), "beyond its share"
    stream.go_on.set()
    lines.close()


@pytest.mark.parametrize("flooders", [1, 10])
def test_floods_that_go_on_leave_room_for_others(flooders: int) -> None:
    """Lines are taken slowly; the flooders write whenever they may, the others now and then."""
    lines = LineWriter(1024, Slow())
    line = b"x" * 448
    for turn in range(300):
        for flooder in range(flooders):
            while lines.put(line, f"flooder-{flooder}"):
                pass
        assert lines.put(line, f"quiet-{turn % 10}"), turn
        time.sleep(0.002)
    lines.close(0)


def test_room_comes_back_when_lines_are_written() -> None:
    stream = io.BytesIO()
    lines = LineWriter(1, stream)
    for _ in range(100):
        deadline = time.monotonic() + 5
        while not lines.put(b"x" * 100, "pod"):
            assert time.monotonic() < deadline
            time.sleep(0.001)
    lines.close()
    assert stream.getvalue() == (b"x" * 100 + b"\n") * 100
    assert not lines.put(b"x" * 1000)
    assert lines._used == 0
    assert not lines._by_owner


TWO_QUEUES = """
from devbox_proxy.kit.lines import LineWriter
both = [LineWriter(4096) for _ in range(2)]
for number in range(5000):
    for letter, lines in zip((b"a", b"b"), both):
        lines.put(letter * 100, shared=False)
for lines in both:
    lines.close(30)
"""


def test_two_queues_do_not_write_into_each_others_lines() -> None:
    """A pipe takes a long write in pieces, and between two of them somebody else's."""
    process = subprocess.Popen([sys.executable, "-c", TWO_QUEUES], stdout=subprocess.PIPE)
    assert process.stdout is not None
    got = b""
    while piece := os.read(process.stdout.fileno(), 5000):
        got += piece
    assert process.wait() == 0
    process.stdout.close()
    assert Counter(got.splitlines()) == {b"a" * 100: 5000, b"b" * 100: 5000}


def test_what_a_client_chose_is_in_a_line_up_to_a_bound() -> None:
    assert shortened(b"/v1/messages") == "/v1/messages"
    assert shortened(b"/" + b"a" * 255) == "/" + "a" * 255
    long = b"/" + b"a" * 8000
    assert shortened(long) == "/" + "a" * 255 + f"...sha256:{hashlib.sha256(long).hexdigest()[:16]}"
    assert shortened(b"/\x9b31m\xff") == "/\\x9b31m\\xff"
    assert len(shortened(b"/" + b"\xff" * 8000)) < 1100


def test_many_refusals_are_told_by_their_number() -> None:
    stream = io.BytesIO()
    audit = AuditLog(10_000, drop=False, stream=stream)
    for _ in range(1000):
        audit.refused("req_1", None, "10.0.0.7", "token_missing", method="GET", status=401)
    audit.refused("req_2", None, "10.0.0.8", "token_missing", method="GET", status=401)
    audit.tell_rest(time.monotonic() + SECONDS)
    audit.close()
    lines = [orjson.loads(line) for line in stream.getvalue().splitlines()]
    told = [line for line in lines if line["audit"] == "refused"]
    assert Counter(line["peer"] for line in told) == {"10.0.0.7": MOST, "10.0.0.8": 1}
    (more,) = [line for line in lines if line["audit"] == "refused_more"]
    assert more == {
        "audit": "refused_more",
        "time": more["time"],
        "peer": "10.0.0.7",
        "code": "token_missing",
        "count": 1000 - MOST,
    }


def test_a_refusal_without_room_is_told_when_there_is_some() -> None:
    stream = Stuck()
    audit = AuditLog(1, drop=False, stream=stream)
    for _ in range(20):
        audit.refused("req_1", None, "10.0.0.7", "token_missing", method="GET", status=401)
    stream.go_on.set()
    audit.close()
    lines = [orjson.loads(line) for line in stream.taken.splitlines()]
    counts = Counter[str]()
    for line in lines:
        counts[line["audit"]] += line.get("count", 1)
    assert counts.total() == 20
    assert counts["refused_more"] >= 1


def test_thousands_of_sources_are_counted_together_at_last() -> None:
    sparing: Sparing[str] = Sparing("others")
    told = sum(sparing.tells(f"source-{number}", 100.0) for number in range(KEYS + 500))
    assert told == KEYS
    assert sum(times for _, times in sparing.untold(100.0 + SECONDS)) == 500
    assert sparing.untold(200.0) == []


def test_messages_that_somebody_can_cause_at_will_are_told_by_their_number() -> None:
    stream = io.BytesIO()
    lines = LineWriter(1024, stream)
    handler = QueuedHandler(lines, logging.Formatter("%(message)s"))
    clock = [1000.0]
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("devbox_proxy.kit.lines.time.monotonic", lambda: clock[0])
        for _ in range(500):
            handler.handle(logging.LogRecord("x", logging.WARNING, "", 0, {"event": "tunnel_failed", "pod": "a"}, None, None))
        clock[0] += SECONDS
        handler.handle(logging.LogRecord("x", logging.WARNING, "", 0, "another", None, None))
    lines.close()
    written = stream.getvalue().splitlines()
    assert len(written) == MOST + 2
    assert written[-2:] == [b"400 more of tunnel_failed a", b"another"]


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
