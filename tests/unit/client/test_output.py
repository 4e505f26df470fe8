"""What a command prints: kept, cut into lines, handed on."""

import functools
import time
import tracemalloc
from typing import Any

import pytest

from devbox_gateway.errors import InvalidError
from devbox_gateway.exec import output
from devbox_gateway.exec.output import Stream, check_callback


@pytest.mark.parametrize(
    ("text", "lines", "expected"),
    [
        (b"", 3, ""),
        (b"a\nb\nc\n", None, "a\nb\nc\n"),
        (b"a\nb\nc\n", 2, "b\nc\n"),
        (b"a\nb\nc", 2, "b\nc"),
        (b"a\nb\nc\n", 9, "a\nb\nc\n"),
        (b"a\n\n\n", 2, "\n\n"),
        (b"a\nb\n", 0, ""),
        (b"a\xff\n", 1, "a\N{REPLACEMENT CHARACTER}\n"),
    ],
)
def test_the_last_lines(text: bytes, lines: int | None, expected: str) -> None:
    stream = Stream()
    for byte in text:
        stream.feed(bytes((byte,)))
    assert stream.text(lines) == expected


def test_much_is_kept_in_a_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(output, "IN_MEMORY", 1000)
    stream = Stream()
    for number in range(10_000):
        stream.feed(f"line {number}\n".encode())
    assert stream.text(2) == "line 9998\nline 9999\n"
    assert stream.text().count("\n") == 10_000
    assert stream.size == len(stream.content())


def test_callbacks_are_given_whole_characters() -> None:
    heard: list[str] = []
    stream = Stream(heard.append, None)
    for byte in "Grüße 世界".encode():
        stream.feed(bytes((byte,)))
    stream.feed(b"\xe4\xb8")
    stream.feed(b"", last=True)
    assert "".join(heard) == "Grüße 世界\N{REPLACEMENT CHARACTER}"


async def coroutine(text: str) -> None: ...


class Called:
    async def __call__(self, text: str) -> None: ...


@pytest.mark.parametrize("callback", [coroutine, Called(), functools.partial(coroutine), 3, "print"])
def test_what_is_no_callback(callback: Any) -> None:
    with pytest.raises(InvalidError, match="plain function"):
        check_callback("stdout", callback)


@pytest.mark.parametrize("callback", [None, print, [].append, lambda text: None, functools.partial(print, end="")])
def test_what_is_one(callback: Any) -> None:
    check_callback("stdout", callback)


def test_the_last_lines_of_one_long_one() -> None:
    """Each byte is looked at once: by copying what was read before it took the square of its length."""
    stream = Stream()
    for _ in range(48):
        stream.feed(b"x" * (1 << 20))
    started = time.process_time()
    assert len(stream.text(10)) == 48 << 20
    assert time.process_time() - started < 2


def test_the_last_line_alone_is_read() -> None:
    """What is in front of it may be much, and stays where it is."""
    stream = Stream()
    stream.feed(b"x" * (64 << 20))
    stream.feed(b"\nend\n")
    tracemalloc.start()
    assert stream.text(1) == "end\n"
    assert tracemalloc.get_traced_memory()[1] < 1 << 20
    tracemalloc.stop()
