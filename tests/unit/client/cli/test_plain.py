"""Others' text in our terminal."""

import json
import time
from datetime import datetime
from types import SimpleNamespace

import pytest
import yaml

from devbox_gateway.cli import output, plain
from devbox_gateway.cli.failures import text_of
from devbox_gateway.errors import DevboxGatewayError, InvalidError
from devbox_gateway.naming import DEVBOX, SECRET

NASTY = "a\x1b]8;;http://evil.example\x07link\x1b[31m\u202egnp \x9b2J [red]x[/red] gws_eyJhbGciOiJ.abc-_= end"


def test_cells() -> None:
    shown = plain.cell(NASTY)
    assert shown.isprintable()
    assert "gws_…" in shown
    assert "eyJ" not in shown
    assert "[red]x[/red]" in shown
    assert plain.cell("a\nb\tc") == "a b c"
    assert len(plain.cell("x" * 5000)) == plain.MOST_CELL
    assert plain.cell("größer 日本") == "größer 日本"


def test_messages() -> None:
    assert plain.message("one\r\ntwo\n\x1b[1m") == "one\ntwo\n\\x1b[1m"
    assert len(plain.message("x" * 50_000)) == plain.MOST_MESSAGE


@pytest.mark.parametrize("size", [1, 2, 3, 7, 1000])
@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ("plain text\n", "plain text\n"),
        ("größer 日本\n", "größer 日本\n"),
        ("a gws_eyJ.x-y_z= b", "a gws_… b"),
        ("gws_abc", "gws_…"),
        ("gws_", "gws_"),
        ("logging gws gw g", "logging gws gw g"),
        ("tgws_abc", "tgws_abc"),
        ("a\r\nb\rc\n", "a\nb\nc\n"),
        ("end\r", "end\n"),
        ("\x1b[31mred\x1b[0m\tx", "\\x1b[31mred\\x1b[0m\tx"),
        ("\u202eabc", "\\u202eabc"),
        ("gws_a\ngws_b\n", "gws_…\ngws_…\n"),
    ],
)
def test_streams_in_any_pieces(given: str, shown: str, size: int) -> None:
    filtered, data = plain.Filter(), given.encode()
    pieces = [filtered.feed(data[start : start + size]) for start in range(0, len(data), size)]
    assert "".join(pieces) + filtered.feed(b"", last=True) == shown


def test_a_prompt_is_shown_at_once() -> None:
    assert plain.Filter().feed(b"Password: ") == "Password: "
    assert plain.Filter().feed(b"Loading") == "Loading"
    assert plain.Filter().feed(b"\xff\xfe") == "\ufffd\ufffd"


def test_columns_stay_aligned() -> None:
    columns = (output.Column("NAME", lambda row: row[0]), output.Column("X", lambda row: row[1]))
    lines = output.table(columns, [("a", NASTY), ("日本語", "y"), ("", None)]).splitlines()
    assert len(lines) == 4
    assert all(line.isprintable() for line in lines)
    assert lines[0] == "NAME     X"
    assert lines[2] == "日本語   y"
    assert lines[3] == "-        -"


def test_colours_only_where_they_are_wanted(monkeypatch: pytest.MonkeyPatch) -> None:
    columns = (output.Column("S", lambda row: row, colour={"running": "green"}.get),)
    assert "\x1b" not in output.table(columns, ["running"])
    assert "\x1b[32mrunning" in output.table(columns, ["running"], colours=True)
    terminal = SimpleNamespace(isatty=lambda: True)
    monkeypatch.setattr("sys.stdout", terminal)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    assert output.colours_wanted()
    monkeypatch.setenv("NO_COLOR", "1")
    assert not output.colours_wanted()


DOCUMENT = {"a": "x\u202ey", "b": ["two\nlines\n", "", "true", "é", "1"], "\x1b[31m": {"c": None, "d": 1.5, "e": True}}


def test_documents_say_the_same_and_steer_no_terminal() -> None:
    for rendered, read in ((output.as_json(DOCUMENT), json.loads), (output.as_yaml(DOCUMENT), yaml.safe_load)):
        assert read(rendered) == DOCUMENT
        assert all(line.isprintable() for line in rendered.split("\n"))
        assert "é" in rendered
    assert "eyJ" not in output.as_json({"x": NASTY}) + output.as_yaml({"x": NASTY})


def test_names() -> None:
    assert output.as_name(DEVBOX, "agent") == "devbox.devbox-gateway.io/agent"
    assert output.as_name(SECRET, "key") == "secret/key"
    for given in ("agent", "devbox.devbox-gateway.io/agent", "devbox/agent", "devboxes/agent"):
        assert output.without_prefix(given) == "agent"
    assert output.without_prefix("team-a/agent") == "team-a/agent"


def test_ages() -> None:
    then = "2026-01-01T00:00:00Z"
    now = datetime.fromisoformat
    for at, shown in (
        ("2026-01-01T00:00:59+00:00", "59s"),
        ("2026-01-01T01:59:00+00:00", "119m"),
        ("2026-01-01T05:00:00+00:00", "5h"),
        ("2026-02-01T00:00:00+00:00", "31d"),
        ("2025-01-01T00:00:00+00:00", "0s"),
    ):
        assert output.age(then, now(at)) == shown
    assert output.age("yesterday") == ""


def test_errors_are_in_the_command_lines_words() -> None:
    assert text_of(InvalidError("allowed_hostnames", "no")) == "--allow-host: no"
    assert "\x1b" not in text_of(DevboxGatewayError(NASTY))
    assert "hunter2" not in text_of(KeyError("hunter2"))
    assert "internal error: KeyError" in text_of(KeyError("hunter2"))


@pytest.mark.parametrize("given", ["gws_." * 40_000 + " x", "g" * 200_000, ".gws" * 50_000, "gws_" * 50_000])
def test_what_nearly_is_a_token_is_quick(given: str) -> None:
    """Who prints it must not hold up a terminal: a try at each beginning took 4 s for 32 KiB, and nothing ended it."""
    started = time.process_time()
    filtered = plain.Filter()
    shown = filtered.feed(given.encode()) + filtered.feed(b"", last=True)
    assert time.process_time() - started < 1
    assert shown == plain.without_tokens(given)
