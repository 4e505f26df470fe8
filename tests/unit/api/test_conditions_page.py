"""docs/conditions.md is what the closed set of conditions says, and the operator uses no reason outside of it."""

from pathlib import Path

import conditions_page
from devbox_api.conditions import REASONS, Reason

PAGE = Path(__file__).parents[3] / "docs" / "conditions.md"


def test_the_page_is_up_to_date() -> None:
    assert PAGE.read_text(encoding="utf-8") == conditions_page.page(), "run: make manifests"


def test_every_reason_has_its_row() -> None:
    assert set(REASONS) == set(Reason)
    assert all(f"| `{reason}` |" in conditions_page.page() for reason in Reason)
