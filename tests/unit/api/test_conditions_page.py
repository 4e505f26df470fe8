"""docs/conditions.md is what the closed set of conditions says, and the operator uses no reason outside of it."""

from pathlib import Path

from devbox_api.conditions import REASONS, Reason
from devbox_operator import reference

PAGE = Path(__file__).parents[3] / "docs" / "conditions.md"


def test_the_page_is_up_to_date() -> None:
    assert PAGE.read_text(encoding="utf-8") == reference.page(), (
        "run: .venv/bin/python -m devbox_operator.reference > docs/conditions.md"
    )


def test_every_reason_has_its_row() -> None:
    assert set(REASONS) == set(Reason)
    assert all(f"| `{reason}` |" in reference.page() for reason in Reason)
