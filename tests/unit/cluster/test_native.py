"""What is compiled must mean the same as what is read."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from devbox_cluster import native
from devbox_cluster.paths import PROJECT

PURE = {"len", "index", "find", "rfind", "min", "max"}
"""Calls that may be made twice."""


def calls_in_slices(source: str) -> Iterator[str]:
    """Calls with a possible effect in a slice's bounds: mypyc (mypy 2.4) makes them twice where the sliced type has no
    fast path. An audit line was written twice that way."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Subscript) and isinstance(node.slice, ast.Slice):
            for call in ast.walk(node.slice):
                if isinstance(call, ast.NamedExpr | ast.Await | ast.Yield):
                    yield ast.unparse(node)
                if isinstance(call, ast.Call) and ast.unparse(call.func).rpartition(".")[2] not in PURE:
                    yield ast.unparse(node)


CLASSES = {
    node.name
    for file in native.files()
    for node in ast.walk(ast.parse(Path(PROJECT, file).read_text()))
    if isinstance(node, ast.ClassDef)
}
"""That are compiled."""


def names_caught_twice(source: str) -> Iterator[str]:
    """Names that two `except` clauses of a function bind, one of them for a compiled class: mypyc (mypy 2.4) gives the name the first
    one's class, and the second clause ends in a TypeError."""
    for function in ast.walk(ast.parse(source)):
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
            handlers = [node for node in ast.walk(function) if isinstance(node, ast.ExceptHandler) and node.name]
            names = [str(handler.name) for handler in handlers]
            ours = {str(handler.name) for handler in handlers if handler.type and ast.unparse(handler.type) in CLASSES}
            yield from sorted(name for name in ours if names.count(name) > 1)


@pytest.mark.parametrize("file", native.files())
def test_no_two_clauses_catch_by_one_name(file: str) -> None:
    assert not list(names_caught_twice(Path(PROJECT, file).read_text()))


def test_such_clauses_are_found() -> None:
    twice = "def f():\n try: g()\n except Unready as error: h(error)\n except {} as error: h(error)"
    assert list(names_caught_twice(twice.format("Refused"))) == ["error"]
    assert not list(names_caught_twice(twice.replace("Unready", "OSError").format("ssl.SSLError")))


@pytest.mark.parametrize("file", native.files())
def test_no_slice_has_a_call_with_an_effect(file: str) -> None:
    assert not list(calls_in_slices(Path(PROJECT, file).read_text()))


def test_such_a_call_is_found() -> None:
    assert list(calls_in_slices("rest = rest[stream.write(rest) or 0 :]")) == ["rest[stream.write(rest) or 0:]"]
    assert not list(calls_in_slices("rest = rest[text.index(x) + len(y) :]"))
