"""The short form of the operator's faults, on one control plane for each worker: `make chaos-short`."""

import asyncio

import pytest
from tests.support.release import Release

from .operator.cases import LONG_ONLY, STAGED
from .operator.stage import stage
from .report import Row, judged, table

# The proxies are aiohttp servers in this process, and cut in the midst of things: a connection that was just being accepted then is
# closed when it is collected. (What is judged runs in processes of its own.)
pytestmark = pytest.mark.filterwarnings(r"ignore:Exception ignored in. <(socket|function _SelectorTransport)")
LOG_CHARACTERS = 4000
"""Of each operator, where a demand was missed."""


@pytest.mark.parametrize("name", [name for name in STAGED if name not in LONG_ONLY])
def test_fault(release: Release, name: str) -> None:
    missed = judged(lambda: run(release, name), print)
    assert not missed, "\n".join(missed)


def run(release: Release, name: str) -> list[Row]:
    """Its demands."""

    async def staged() -> list[Row]:
        async with stage(release) as made:
            return await STAGED[name](made, False)

    before, missed = len(release.operators), True
    try:
        rows = asyncio.run(staged())  # (uvloop can't close a loop whose connections were cut in the midst of a TLS handshake.)
        print(table(rows))  # noqa: T201 (shown for a test that fails, and by -rP)
        missed = any(row.held is False for row in rows)
    finally:
        for operator in release.operators[before:] if missed else ():
            print(f"the end of {operator.log.name}:\n{operator.log.read_text(errors='replace')[-LOG_CHARACTERS:]}")  # noqa: T201
    return rows
