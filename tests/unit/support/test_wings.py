"""docs/architecture.md's map of both programs is that of the code, in the order that import-linter holds it to."""

import re
import tomllib
from pathlib import Path

import pytest

from devbox_cluster.paths import PROJECT

MAP = (PROJECT / "docs" / "architecture.md").read_text(encoding="utf-8")
CONTRACTS = tomllib.loads((PROJECT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"]["contracts"]
APART = {"__main__"}
"""The command."""


def layers(package: str) -> list[str]:
    (contract,) = [one for one in CONTRACTS if one.get("containers") == [package]]
    found = [name for layer in contract["layers"] for name in layer.split(" | ")]
    return [name for name in found if name not in APART]


@pytest.mark.parametrize("house", ["proxy/devbox_proxy", "operator/devbox_operator"])
def test_the_map(house: str) -> None:
    (table,) = re.findall(rf"^\| {house} \|.*\n\|---\|---\|\n((?:\|.*\n)+)", MAP, re.MULTILINE)
    shown = re.findall(r"^\| (\w+)(/?) \|", table, re.MULTILINE)
    assert [name for name, _ in shown] == layers(Path(house).name)
    for name, folder in shown:
        assert Path(PROJECT, house, f"{name}/__init__.py" if folder else f"{name}.py").exists()


@pytest.mark.parametrize("house", ["proxy/devbox_proxy", "operator/devbox_operator"])
def test_the_packages_own_words_name_wings_that_are_there(house: str) -> None:
    (words, _) = Path(PROJECT, house, "__init__.py").read_text(encoding="utf-8").removeprefix('"""').split('"""')
    named = re.findall(r"`(\w+)`", words)
    assert len(named) >= 5
    assert set(named) <= set(layers(Path(house).name))


def test_the_glossary_leads_to_files_that_have_its_words() -> None:
    (table,) = re.findall(r"^\| word \| what it is \| where \|\n\|---\|---\|---\|\n((?:\|.*\n)+)", MAP, re.MULTILINE)
    rows = re.findall(r"^\| ([\w ]+) \| .+ \| ([\w./]+) \|$", table, re.MULTILINE)
    assert len(rows) == table.count("\n") >= 12
    for word, path in rows:
        assert word.split()[0].lower() in Path(PROJECT, path).read_text(encoding="utf-8").lower(), f"{word}: {path}"
