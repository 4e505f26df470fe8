"""docs/egress-clients.md has the table of the clients that are tried."""

from pathlib import Path

from tests.support.egress_clients import table


def test_the_table_is_the_tests_own(project_root: Path) -> None:
    assert table() in (project_root / "docs" / "egress-clients.md").read_text(encoding="utf-8")
