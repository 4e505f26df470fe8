"""docs/cli.md has every verb and every exit code."""

import re

from devbox_cluster.paths import PROJECT
from devbox_gateway.cli.failures import CODES
from devbox_gateway.cli.table import VERBS

TEXT = (PROJECT / "docs" / "cli.md").read_text()


def test_every_verb_is_there_with_its_help() -> None:
    assert dict(re.findall(r"^\| `([a-z-]+)` \| (.*) \|$", TEXT, re.M)) == {name: entry.help for name, entry in VERBS.items()}


def test_every_exit_code_is_there() -> None:
    written = set(re.findall(r"^\| ([0-9, ]+) \|", TEXT, re.M))
    assert {str(code) for _, code in CODES} <= written
