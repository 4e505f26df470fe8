"""The short form of `operator-node-lost`, on a control plane whose controllers look after nodes."""

import asyncio

import pytest
from tests.support.release import installed

from .operator.nodes import FLAGS, lost
from .operator.stage import stage
from .report import Row, judged, table

pytestmark = [
    pytest.mark.filterwarnings(r"ignore:Exception ignored in. <(socket|function _SelectorTransport)"),
    pytest.mark.xdist_group("lost-nodes"),
]


def test_a_node_that_is_lost() -> None:
    missed = judged(_rows, print)
    assert not missed, "\n".join(missed)


def _rows() -> list[Row]:
    async def run() -> list[Row]:
        async with stage(release) as on:
            return await lost(on, False)

    with installed(FLAGS) as release:
        rows = asyncio.run(run())
    print(table(rows))  # noqa: T201 (shown for a test that fails, and by -rP)
    return rows
