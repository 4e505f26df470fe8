"""Others' text in a terminal: what a shell and a terminal make of it."""

import json
import logging
import subprocess

import pytest

from devbox_api.judge.shown import command, json_visible, last, lines, one_line, spoken, visible
from devbox_common import log


@pytest.mark.parametrize("text", ["", "a b", "$(id)", "`id`", "a'b", 'a"b', "a;b", "*", "!!", "é…", "-n"])
def test_a_word_arrives_as_it_is(text: str) -> None:
    done = subprocess.run(["sh", "-c", command("printf", "%s", text)], capture_output=True, text=True, check=True)
    assert done.stdout == text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[31m", "\\x1b[31m"),
        ("\x9b31m", "\\x9b31m"),
        ("a\nb\r\x00\x7f", "a\\nb\\r\\x00\\x7f"),
        ("\u202egnp.exe", "\\u202egnp.exe"),
        ("\u2066\u200b\ufeff\U000e0041", "\\u2066\\u200b\\ufeff\\U000e0041"),
        ("größer 日本 …", "größer 日本 …"),
    ],
)
def test_what_steers_a_terminal_is_shown_instead(text: str, shown: str) -> None:
    assert visible(text) == shown
    assert one_line(text) == shown.replace("\\n", " ").replace("\\r", " ")
    assert lines("one\n" + text.replace("\n", "")) == "one\n" + shown.replace("\\n", "")


def test_a_log_line_says_what_was_said_and_steers_no_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    root = logging.getLogger()
    before = root.handlers[:], root.level
    said = "\x1b[31m \x7f \x9b31m \u202e \u2028 größer"
    try:
        log.configure("test")
        logging.getLogger("somebody").warning(said)
    finally:
        root.handlers[:], root.level = before
    (line,) = capsys.readouterr().out.splitlines()
    assert json.loads(line)["event"] == said
    assert line.isprintable()
    assert "größer" in line


def test_json_stays_json() -> None:
    value = {"a\u202e": ["\U000e0041", "\u0085", '"\\']}
    document = json_visible(json.dumps(value, ensure_ascii=False))
    assert json.loads(document) == value
    assert document.isprintable()


@pytest.mark.parametrize(
    ("text", "cut", "said"),
    [
        ("a\tb \r\n\n  c\x1b[2J\rd\n", False, ["a b", "c\\x1b[2J", "d"]),
        ("with gws_abc.DEF-1= and xgws_y\n", False, ["with gws_… and xgws_…"]),
        ("gws_" + 60 * "a" + " x", True, ["gws_… x"]),
        (39 * "a" + " x", True, [39 * "a" + " x"]),
        (40 * "a" + " x\n" + 40 * "b", True, ["gws_… x", 40 * "b"]),
        (40 * "a" + " x", False, [40 * "a" + " x"]),
        ("\n \t\r\n", True, []),
    ],
)
def test_what_a_program_said_is_lines_without_tokens(text: str, cut: bool, said: list[str]) -> None:
    assert spoken(text, cut=cut) == said


def test_the_end_of_what_was_said_is_whole_lines() -> None:
    assert last([]) == []
    assert last([str(number) for number in range(30)]) == [str(number) for number in range(10, 30)]
    assert last(["first", "größe", "end"], most_bytes=12) == ["größe", "end"]
    assert last(["first", "größe", "end"], most_bytes=11) == ["end"]
    assert last(["too long"], most_bytes=3) == []
    assert last(["a", "b", "c"], most_lines=2) == ["b", "c"]
