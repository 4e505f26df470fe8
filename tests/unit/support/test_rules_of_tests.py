"""What tests may not do: write into the product's private parts, or wait a fixed time to show that nothing happens."""

import ast
import functools
from collections.abc import Iterator
from pathlib import Path
from typing import Final

TESTS: Final = Path(__file__).parents[2]
PATCHES: Final = {"setattr", "delattr", "patch.object", "object.__setattr__"}
LONGEST: Final = 0.2
"""Seconds that a unit test may sleep outside a loop that looks for something."""
MEASURED: Final = {
    # The time itself is what is tested: so many a second, or what is old after a second.
    "unit/proxy/test_reviews.py": 2,
    "unit/proxy/test_warm.py": 2,
    "unit/operator/test_watches.py": 2,
}
"""File: how many there are."""
DEMO: Final = {"integration/test_main_job.py", "integration/test_confinement.py"}
"""Tests of the demo, beside those in unit/demo."""


@functools.cache
def _files() -> list[tuple[str, ast.Module]]:
    paths = sorted(TESTS.rglob("*.py"))
    return [(str(path.relative_to(TESTS)), ast.parse(path.read_text(encoding="utf-8"))) for path in paths]


def _private(name: str) -> bool:
    name = name.rpartition(".")[2]
    return name.startswith("_") and not name.startswith("__")


def _of_another(node: ast.AST) -> bool:
    """A private attribute of something that is not the class's own."""
    if isinstance(node, ast.Subscript):
        return _of_another(node.value)
    if not isinstance(node, ast.Attribute) or not _private(node.attr):
        return False
    return not (isinstance(node.value, ast.Name) and node.value.id in ("self", "cls"))


def _writes(tree: ast.Module) -> Iterator[tuple[int, str]]:
    # What a class of the file itself has as its own is no product's.
    own = {
        node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute) and ast.unparse(node.value) in ("self", "cls")
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute | ast.Subscript) and isinstance(node.ctx, ast.Store | ast.Del) and _of_another(node):
            name = node.value if isinstance(node, ast.Subscript) else node
            if not (isinstance(name, ast.Attribute) and name.attr in own):
                yield node.lineno, ast.unparse(node)
        elif isinstance(node, ast.Call) and any(ast.unparse(node.func).endswith(patch) for patch in PATCHES):
            words = [one.value for one in node.args[:2] if isinstance(one, ast.Constant) and isinstance(one.value, str)]
            if any(map(_private, words)):
                yield node.lineno, ast.unparse(node)


def _sleeps(tree: ast.AST) -> Iterator[int]:
    """Lines of `sleep(constant)` outside of loops. A function in it may: it stands for somebody who takes his time."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.While | ast.For | ast.AsyncFor):
            continue
        if isinstance(node, ast.Call) and ast.unparse(node.func) in ("asyncio.sleep", "time.sleep") and node.args:
            seconds = node.args[0]
            if isinstance(seconds, ast.Constant) and isinstance(seconds.value, int | float) and seconds.value >= LONGEST:
                yield node.lineno
        yield from _sleeps(node)


def _tests(tree: ast.Module) -> list[ast.FunctionDef | ast.AsyncFunctionDef]:
    found = [node for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    return [node for node in found if node.name.startswith("test_")]


def test_no_test_writes_a_private_attribute() -> None:
    found = [(name, *write) for name, tree in _files() for write in _writes(tree)]
    assert found == [], "set up what leads to it, or give the product a way"


def test_no_test_sleeps_to_show_that_nothing_happens() -> None:
    found = {name: [line for test in _tests(tree) for line in _sleeps(test)] for name, tree in _files()}
    more = {name: lines for name, lines in found.items() if len(lines) > MEASURED.get(name, 0)}
    assert more == {}, "wait for another event that must come after it"


def test_tests_stand_on_the_demo_nowhere_but_where_they_test_it() -> None:
    found = [name for name, tree in _files() if any("devbox_demo" in ast.unparse(node) for node in _imports(tree))]
    assert [name for name in found if name not in DEMO and not name.startswith("unit/demo/")] == []


def test_nobody_imports_a_test() -> None:
    found = [
        (name, ast.unparse(node))
        for name, tree in _files()
        for node in _imports(tree)
        if isinstance(node, ast.ImportFrom) and (node.level or (node.module or "").startswith("tests."))
        for part in (*(node.module or "").split("."), *(one.name for one in node.names))
        if part.startswith("test_")
    ]
    assert found == []


def _imports(tree: ast.Module) -> Iterator[ast.Import | ast.ImportFrom]:
    return (node for node in ast.walk(tree) if isinstance(node, ast.Import | ast.ImportFrom))


BROKEN: Final = """
import asyncio, time

async def test_it(monkeypatch, subject):
    subject._spare = 1
    del subject.part._open["uid"]
    monkeypatch.setattr(subject, "_put", None)
    monkeypatch.setattr("devbox_proxy.wire.reader.RequestReader._parse", None)
    await asyncio.sleep(0.3)
    with subject:
        time.sleep(2)
    while not subject.done:
        await asyncio.sleep(0.5)
    async def slow():
        await asyncio.sleep(60)

class Fake:
    def __init__(self):
        self._of_its_own = 1
"""


def test_what_is_forbidden_is_found() -> None:
    tree = ast.parse(BROKEN)
    assert [line for line, _ in _writes(tree)] == [5, 6, 7, 8]
    assert [line for test in _tests(tree) for line in _sleeps(test)] == [9, 11]
