"""What tests share stands in modules of its own: in a test module that another one imports nobody looks for it."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from devbox_cluster.paths import PROJECT

FILES = sorted(path for folder in ("tests", "bench") for path in (PROJECT / folder).rglob("*.py"))


def imported_tests(source: str) -> Iterator[str]:
    """Names of test modules, as they are imported."""
    for node in ast.walk(ast.parse(source)):
        module = node.module or "" if isinstance(node, ast.ImportFrom) else ""
        if module.rpartition(".")[2].startswith("test_") and not module.startswith("aiohttp."):
            yield module
        if isinstance(node, ast.ImportFrom | ast.Import):
            yield from (name.name for name in node.names if name.name.rpartition(".")[2].startswith("test_"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PROJECT)))
def test_no_test_module_is_imported(path: Path) -> None:
    assert not list(imported_tests(path.read_text(encoding="utf-8")))


def test_such_an_import_is_found() -> None:
    source = "from .test_a import x\nfrom . import test_b\nimport tests.unit.test_c\nfrom tests.support import tests"
    assert list(imported_tests(source)) == ["test_a", "test_b", "tests.unit.test_c"]
