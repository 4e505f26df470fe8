"""Connections at rest: whose goes where there are too many."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devbox_proxy.upstreams.connection import UpstreamConnection
from devbox_proxy.upstreams.resting import KEPT, Resting

from .playbook import POOL, Pools


@pytest.fixture
async def pools() -> Pools:
    return Pools()


def made(pools: Pools, namespace: str, version: str = "1") -> UpstreamConnection:
    return UpstreamConnection(POOL._replace(namespace=namespace, version=version), pools)


async def test_of_a_key_the_one_that_was_used_last_is_taken(pools: Pools) -> None:
    resting = Resting()
    first, second, other = made(pools, "a"), made(pools, "a"), made(pools, "a", "2")
    for connection in (first, second, other):
        assert resting.add(connection) is None
    assert resting.latest(first.key) is second
    resting.take(second)
    assert resting.latest(first.key) is first
    assert list(resting) == resting.of("a") == [first, other]
    assert second not in resting
    assert resting.latest(made(pools, "b").key) is None


async def test_whoever_has_most_makes_room(pools: Pools) -> None:
    resting = Resting(100)
    neighbours = [made(pools, f"team-{number}") for number in range(3)]
    hogs = [made(pools, "hog", str(number)) for number in range(1000)]
    gone = [resting.add(connection) for connection in (*neighbours, *hogs)]
    assert gone == [*[None] * 100, *hogs[: 1003 - 100]]
    late = [made(pools, "late") for _ in range(10)]
    assert [resting.add(connection) for connection in late] == hogs[903:913], "its own share was not used up"
    assert all(connection in resting for connection in (*neighbours, *late))
    assert len(resting) == 100


@given(st.lists(st.tuples(st.sampled_from("abcd"), st.booleans()), max_size=200))
def test_never_more_than_there_may_be_and_nobody_below_his_share_gives_way(steps: list[tuple[str, bool]]) -> None:
    resting, present = Resting(12), list[UpstreamConnection]()
    pool = UpstreamConnection(POOL, None).pool  # type: ignore[arg-type]
    for namespace, comes in steps:
        if comes:
            connection = UpstreamConnection(POOL._replace(namespace=namespace), pool)
            gone = resting.add(connection)
            present.append(connection)
            if gone is not None:
                most = max(len(list(own)) for _, own in itertools.groupby(sorted(each.key.namespace for each in present)))
                assert len(resting.of(gone.key.namespace)) + 1 >= most - 1
                present.remove(gone)
        elif present:
            resting.take(present.pop(len(present) // 2))
        assert list(resting) == present
        assert len(resting) <= 12


def test_how_many_of_a_namespace_may_rest_for_long() -> None:
    assert [Resting(kept).long for kept in (KEPT, 256, 40, 8)] == [512, 32, 16, 8]
