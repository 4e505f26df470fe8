"""The short form of every fault without a control plane: `make chaos-short`. What depends on the machine's speed is shown, not judged."""

import asyncio

import pytest
import uvloop

from .cases import ASK_DNS, CASES, LONG_ONLY, ON_A_CONTROL_PLANE, ON_ASYNCIO
from .report import Row, judged, table

SHORT = [name for name in CASES if name not in ON_A_CONTROL_PLANE | LONG_ONLY]


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.xdist_group("dns")) if name in ASK_DNS else name for name in SHORT]
)
def test_fault(name: str) -> None:
    missed = judged(lambda: run(name), print)
    assert not missed, "\n".join(missed)


def run(name: str) -> list[Row]:
    """Its demands."""
    rows: list[Row] = (asyncio if name in ON_ASYNCIO else uvloop).run(CASES[name](False))
    print(table(rows))  # noqa: T201 (shown for a test that fails, and by -rP)
    return rows
