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


@pytest.mark.parametrize("file", native.files())
def test_no_slice_has_a_call_with_an_effect(file: str) -> None:
    assert not list(calls_in_slices(Path(PROJECT, file).read_text()))


def test_such_a_call_is_found() -> None:
    assert list(calls_in_slices("rest = rest[stream.write(rest) or 0 :]")) == ["rest[stream.write(rest) or 0:]"]
    assert not list(calls_in_slices("rest = rest[text.index(x) + len(y) :]"))
