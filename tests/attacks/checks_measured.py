"""What sentences of a corpus mean where something is measured: memory, time, latency. See clauses.py."""

import re
from collections.abc import Callable
from typing import Final

from .run import Run

Check = Callable[[Run, re.Match[str]], str | None]
MIB: Final = 1 << 20
NOISE: Final = 0.02
"""Seconds of latency that a machine with other work adds by itself."""


def _rss(run: Run, match: re.Match[str]) -> str | None:
    allowed = float(match["mib"]) * MIB
    return f"memory grew by {run.rss_growth / MIB:.1f} MiB" if run.rss_growth > allowed else None


def _cpu(run: Run, match: re.Match[str]) -> str | None:
    return f"it took {run.cpu_seconds:.1f} s of CPU" if run.cpu_seconds > float(match["seconds"]) else None


def _lag(run: Run, match: re.Match[str]) -> str | None:
    allowed = run.facts["control baseline"] + float(match["ms"]) / 1000
    return f"another client's p99 was {run.facts['control p99'] * 1000:.0f} ms" if run.facts["control p99"] > allowed else None


def _others(run: Run, match: re.Match[str]) -> str | None:
    errors = run.facts["control errors"]
    return f"another client had {len(errors)} errors: {errors[0]}" if errors else None


def _others_latency(run: Run, match: re.Match[str]) -> str | None:
    allowed = run.facts["control baseline"] * (1 + float(match["percent"]) / 100) + NOISE
    return f"another client's p99 was {run.facts['control p99'] * 1000:.0f} ms" if run.facts["control p99"] > allowed else None


def _closed_within(run: Run, match: re.Match[str]) -> str | None:
    allowed = float(next(number for number in match.groups() if number))
    if "closed after" in run.facts:
        times: list[float] = run.facts["closed after"]
        missing = run.facts.get("still open", 0)
        if missing:
            return f"{missing} connections are still open"
        return f"the slowest took {max(times):.1f} s" if max(times, default=0) > allowed else None
    if run.ended is None:
        return "the connection is still open"
    return f"it took {run.ended_after:.1f} s" if run.ended_after > allowed else None


def _answered_or_closed(run: Run, match: re.Match[str]) -> str | None:
    if not run.responses:
        return "the client got no answer"
    if run.ended is None or run.ended_after > float(match["seconds"]):
        return f"the connection was still open after {run.ended_after:.1f} s"
    return None


def _fact(name: str, wrong: str) -> Check:
    """A fact that a flood found must be true."""

    def check(run: Run, match: re.Match[str]) -> str | None:
        if name not in run.facts:
            return f"not measured: {name}"
        return None if run.facts[name] is True else f"{wrong}: {run.facts[name]}"

    return check


def _spoofed(run: Run, match: re.Match[str]) -> str | None:
    seen = run.facts.get("spoofed", b"")
    return None if seen == b"HTTP/1.1 403" else f"another address with these headers got {seen!r}"


def _held_back(run: Run, match: re.Match[str]) -> str | None:
    seen = run.facts["held back"]
    if seen["alike"] != seen["unlike"]:
        return f"{seen['alike']} bytes came of a line like the credential, {seen['unlike']} of another"
    if seen["line"] < len(b"a" * 1000 + b"\n" + b"a whole line\n"):
        return "a line that ended was held back"
    return None


def _no_wait(run: Run, match: re.Match[str]) -> str | None:
    return f"the answer took {run.first_byte_after:.1f} s" if run.first_byte_after > 1 else None


def _event_latency(run: Run, match: re.Match[str]) -> str | None:
    delays: list[float] = run.facts.get("event delays", [])
    if not delays:
        return "no event came"
    worst = sorted(delays)[int(len(delays) * 0.9)]
    return f"an event came {worst * 1000:.0f} ms late" if worst > float(match["ms"]) / 1000 + NOISE / 2 else None


def _not_buffered(run: Run, match: re.Match[str]) -> str | None:
    if run.header("content-encoding"):
        return "it was compressed"
    return None if run.facts.get("event delays") and max(run.facts["event delays"]) < 0.2 else "events were held back"


def _per_stream(run: Run, match: re.Match[str]) -> str | None:
    each = run.rss_growth / run.facts["streams"] / MIB
    return f"{each:.2f} MiB each" if each > float(match["mib"]) else None


def _no_hits(run: Run, match: re.Match[str]) -> str | None:
    return None if run.facts.get("hits") == 0 else f"{run.facts.get('hits')} hits"


def _ws_close(run: Run, match: re.Match[str]) -> str | None:
    codes = run.facts.get("websocket", {})
    wrong = [name for name, how in codes.items() if how not in ("1009", "1002", "1007", "closed", "refused")]
    return f"not closed: {', '.join(wrong)}" if wrong or not codes else None


_NUMBER: Final = r"(?P<{}>\d+(?:\.\d+)?)"


def _number(name: str) -> str:
    return _NUMBER.format(name)


MEASURED: Final[list[tuple[re.Pattern[str], Check]]] = [
    (re.compile(pattern, re.IGNORECASE), check)
    for pattern, check in (
        (rf"<= {_number('mib')} MiB RSS per stuck stream", _per_stream),
        (rf"(?:proxy )?(?:RSS|memory) growth (?:<|<=) {_number('mib')} MiB(?: per \w+)?", _rss),
        (rf"CPU (?:<|<=) {_number('seconds')} s", _cpu),
        (rf"event-loop lag p99 < {_number('ms')} ms(?: while in progress)?", _lag),
        (r"other (?:requests|clients|devboxes) (?:are )?unaffected", _others),
        (rf"other clients p99 latency \+<{_number('percent')} ?%", _others_latency),
        (
            r"(?:each )?closed in <= (?P<seconds>\d+) s|body-idle timeout <= (?P<idle>\d+) s fires"
            r"|body idle/min-rate limit: closed <= (?P<rate>\d+) s|stream closed within revocation bound \(<= (?P<revoked>\d+) s.*\)",
            _closed_within,
        ),
        (rf"client gets the response; connection closed or drained <= {_number('seconds')} s.*", _answered_or_closed),
        (r"per-source-IP connection cap \d+ -> 503/RST", _fact("capped", "connections that were let in")),
        (r"fd use capped", _fact("files capped", "open files")),
        (r"identity decision used the socket peer only", _spoofed),
        (r"how much is held back never depends on the secret.*", _held_back),
        (r"a line that ends is sent at once", _held_back),
        (r"no wait", _no_wait),
        (rf"p99 added latency < {_number('ms')} ms", _event_latency),
        (r"no compression/buffering", _not_buffered),
        (rf"write timeout closes <= {_number('seconds')} s", _fact("stall closed", "stuck connections")),
        (r"upstream paused", _fact("upstream paused", "bytes that the API could send")),
        (r"bounded queue", _fact("bounded", "requests at the API at once")),
        (r"cl case refused before upstream connect", _fact("length refused", "requests that reached the API")),
        (r"(?:chunked case|chunked) (?:is )?(?:cut|refused).*", _fact("chunked refused", "status")),
        (r"1009/1002 close", _ws_close),
        (r"0 hits", _no_hits),
    )
]
