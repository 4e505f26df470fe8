"""What `make long` keeps: pages of docs/results, and their index."""

import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import pytest
from tests.long.__main__ import STAGES
from tests.long.page import HEAD, INDEX, MOST_LINES, Outcome, cleaned, index, page

RESULTS: Final = Path("docs/results")
OUTCOME: Final = Outcome(
    "chaos", "make chaos", datetime(2026, 1, 31, 12, 0, tzinfo=UTC), 3601.0, 0, "abc1234", "2 x a processor", "building\nheld\n"
)


def test_a_page_says_what_was_run_and_how_it_ended() -> None:
    text = page(OUTCOME, {})
    assert "| [chaos](chaos.md) | 2026-01-31 12:00 | 60 min | passed | abc1234 | 2 x a processor |" in text
    assert text.endswith("```text\nbuilding\nheld\n```\n")


def test_a_stage_that_failed_is_said_to_have_failed() -> None:
    text = page(Outcome("fuzz", "make fuzz", OUTCOME.begun, 59.0, 2, "abc1234", "m", ""), {})
    assert "| 59 s | FAILED (status 2) |" in text


@pytest.mark.parametrize(
    ("printed", "kept"),
    [
        ("\x1b[32mheld\x1b[0m\n", "held"),
        ("10 %\r50 %\rdone\r\n", "done"),
        ("in /tmp/place/tests and /tmp/place\n", "in ./tests and ."),
        ("```\n", "'''"),
        ("".join(f"{number}\n" for number in range(1000)), "\n".join(str(number) for number in range(1000 - MOST_LINES + 1, 1000))),
    ],
)  # fmt: skip
def test_what_is_kept_of_an_output(printed: str, kept: str) -> None:
    assert cleaned(printed, {"/tmp/place": "."}) == kept


def test_the_index_is_that_of_the_pages() -> None:
    pages = {path.stem: path.read_text() for path in RESULTS.glob("*.md") if path.name != INDEX}
    assert set(pages) <= set(STAGES), "a page of no stage: remove it"
    assert (RESULTS / INDEX).read_text() == index(pages.values())


def test_every_page_has_one_row_and_no_folder_of_a_machine() -> None:
    for path in RESULTS.glob("*.md"):
        text = path.read_text()
        if path.name != INDEX:
            assert text.count(HEAD) == 1
        assert not re.search(r"/(?:home|root|tmp|work)/", text), path
