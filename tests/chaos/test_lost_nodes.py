"""The short form of `operator-node-lost`, on a control plane whose controllers look after nodes."""

import asyncio

import pytest
from tests.support.control_plane import control_plane
from tests.support.release import install

from .operator.nodes import FLAGS, lost
from .operator.stage import stage
from .report import Row, judged, table
from .world import inside

pytestmark = [
    pytest.mark.skipif(not inside(), reason="needs a network of its own: make chaos-short"),
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

    with control_plane(FLAGS) as plane:
        release = install(plane)
        rows = asyncio.run(run())
        release.end()
    print(table(rows))  # noqa: T201 (shown for a test that fails, and by -rP)
    return rows
