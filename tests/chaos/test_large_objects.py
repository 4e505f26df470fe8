"""Who may make objects in a namespace may make them large: what a start costs operator and gateway does not grow with that.

The short form of bench/large_objects.py, with the real programs on a real API server.
"""

from collections.abc import Iterator
from typing import Final

import pytest
import uvloop
from tests.support import large
from tests.support.release import Release, installed

pytestmark = [
    pytest.mark.xdist_group("large-objects"),
    pytest.mark.filterwarnings("ignore:Sending a large body:ResourceWarning"),
]
SPACE: Final = "crowded"
COUNT: Final = 15
"""Of each kind."""
MIB: Final = 1 << 20
OPERATOR_MOST: Final = 90 * MIB
"""Beyond what it has with none of them (seen: 53 MiB)."""
GATEWAY_MOST: Final = 20 * MIB
"""Likewise (seen: 8 MiB; held as they came, its pods alone would be more)."""


@pytest.fixture(scope="module")
def release() -> Iterator[Release]:
    """By itself: what it is filled with would slow the others down."""
    with installed() as made:
        yield made


@pytest.mark.timeout(1200)
def test_a_start_among_large_objects(release: Release) -> None:
    async def run() -> None:
        await release.authorise()
        async with release.plane.admin() as api:
            await large.make_namespace(api, SPACE)
            operator, gateway = await large.operator_peak(release, api, 1), await large.gateway_peak(release, api)
            sizes = {kind: await large.make(api, kind, SPACE, COUNT) for kind in large.KINDS}
            grown = await large.operator_peak(release, api, COUNT) - operator
            sizes["Pod"] = await large.grow_pods(api, SPACE, COUNT)
            grown = max(grown, await large.operator_peak(release, api, COUNT) - operator)
            gateway_grown = await large.gateway_peak(release, api) - gateway
        assert min(sizes.values()) > MIB // 3, sizes
        told = f"beyond {operator >> 20} MiB operator: {grown >> 20} MiB, beyond {gateway >> 20} MiB gateway: {gateway_grown >> 20} MiB"
        told += f", with {COUNT * sum(sizes.values()) >> 20} MiB of objects"
        assert (gateway_grown <= GATEWAY_MOST, grown <= OPERATOR_MOST) == (True, True), told

    uvloop.run(run())
