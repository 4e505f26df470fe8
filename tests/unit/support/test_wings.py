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
