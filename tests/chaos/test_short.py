"""The short form of every fault: `make chaos-short`. What depends on the machine's speed is printed, not judged."""

import asyncio

import pytest
import uvloop

from .cases import CASES, LONG_ONLY, ON_ASYNCIO
from .operator.cases import STAGED
from .report import Row, judged, table
from .world import inside

pytestmark = pytest.mark.skipif(
    not inside(),
    reason="needs a network of its own: make chaos-short, or python -m tests.support.netns .venv/bin/pytest tests/chaos",
)


@pytest.mark.parametrize("name", [name for name in CASES if name not in STAGED and name not in LONG_ONLY])
def test_fault(name: str) -> None:
    missed = judged(lambda: run(name), print)
    assert not missed, "\n".join(missed)


def run(name: str) -> list[Row]:
    """Its demands."""
    rows: list[Row] = (asyncio if name in ON_ASYNCIO else uvloop).run(CASES[name](False))
    print(table(rows))  # noqa: T201 (shown for a test that fails, and by -rP)
    return rows
