"""Keys of `expect` about what is measured: memory, time, latency. Each returns what is wrong, or None. Pure."""

from typing import Final

from .checks_upstream import Flag
from .run import Run

MIB: Final = 1 << 20
NOISE: Final = 0.02
"""Seconds of latency that a machine with other work adds by itself."""


def rss_mib(run: Run, mib: float) -> str | None:
    allowed = mib * MIB
    return f"memory grew by {run.rss_growth / MIB:.1f} MiB" if run.rss_growth > allowed else None


def cpu_seconds(run: Run, seconds: float) -> str | None:
    return f"it took {run.cpu_seconds:.1f} s of CPU" if run.cpu_seconds > seconds else None


def others_p99_ms(run: Run, ms: float) -> str | None:
    allowed = run.facts["control baseline"] + ms / 1000
    return f"another client's p99 was {run.facts['control p99'] * 1000:.0f} ms" if run.facts["control p99"] > allowed else None


def others_without_errors(run: Run) -> str | None:
    errors = run.facts["control errors"]
    return f"another client had {len(errors)} errors: {errors[0]}" if errors else None


def others_p99_percent(run: Run, percent: float) -> str | None:
    allowed = run.facts["control baseline"] * (1 + percent / 100) + NOISE
    return f"another client's p99 was {run.facts['control p99'] * 1000:.0f} ms" if run.facts["control p99"] > allowed else None


def closed_within(run: Run, allowed: float) -> str | None:
    if "closed after" in run.facts:
        times: list[float] = run.facts["closed after"]
        missing = run.facts.get("still open", 0)
        if missing:
            return f"{missing} connections are still open"
        return f"the slowest took {max(times):.1f} s" if max(times, default=0) > allowed else None
    if run.ended is None:
        return "the connection is still open"
    return f"it took {run.ended_after:.1f} s" if run.ended_after > allowed else None


def answered_and_closed_within(run: Run, seconds: float) -> str | None:
    if not run.responses:
        return "the client got no answer"
    if run.ended is None or run.ended_after > seconds:
        return f"the connection was still open after {run.ended_after:.1f} s"
    return None


def fact(name: str, wrong: str) -> Flag:
    """A fact that a flood found must be true."""

    def check(run: Run) -> str | None:
        if name not in run.facts:
            return f"not measured: {name}"
        return None if run.facts[name] is True else f"{wrong}: {run.facts[name]}"

    return check


def identity_from_peer(run: Run) -> str | None:
    seen = run.facts.get("spoofed", b"")
    return None if seen == b"HTTP/1.1 403" else f"another address with these headers got {seen!r}"


def held_back_alike(run: Run) -> str | None:
    seen = run.facts["held back"]
    if seen["alike"] != seen["unlike"]:
        return f"{seen['alike']} bytes came of a line like the credential, {seen['unlike']} of another"
    if seen["line"] < len(b"a" * 1000 + b"\n" + b"a whole line\n"):
        return "a line that ended was held back"
    return None


def answered_within(run: Run, seconds: float) -> str | None:
    return f"the answer took {run.first_byte_after:.1f} s" if run.first_byte_after > seconds else None


def event_latency_ms(run: Run, ms: float) -> str | None:
    delays: list[float] = run.facts.get("event delays", [])
    if not delays:
        return "no event came"
    worst = sorted(delays)[int(len(delays) * 0.9)]
    return f"an event came {worst * 1000:.0f} ms late" if worst > ms / 1000 + NOISE / 2 else None


def not_buffered(run: Run) -> str | None:
    if run.header("content-encoding"):
        return "it was compressed"
    return None if run.facts.get("event delays") and max(run.facts["event delays"]) < 0.2 else "events were held back"


def rss_mib_per_stream(run: Run, mib: float) -> str | None:
    each = run.rss_growth / run.facts["streams"] / MIB
    return f"{each:.2f} MiB each" if each > mib else None


def no_hits(run: Run) -> str | None:
    return None if run.facts.get("hits") == 0 else f"{run.facts.get('hits')} hits"


def websockets_closed(run: Run) -> str | None:
    codes = run.facts.get("websocket", {})
    wrong = [name for name, how in codes.items() if how not in ("1009", "1002", "1007", "closed", "refused")]
    return f"not closed: {', '.join(wrong)}" if wrong or not codes else None
