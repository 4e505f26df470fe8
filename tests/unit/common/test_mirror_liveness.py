"""The list+watch mirror against an API that speaks real HTTP: what it says when it can't know, and how it comes to know again."""

import asyncio
import math

import pytest
from structlog.testing import capture_logs

from devbox_common import clock
from devbox_common import mirror as mirror_module
from devbox_common.access import Access
from devbox_common.clock import Clock
from devbox_common.kube import KubeApi
from devbox_common.mirror import RELIST_SECONDS, SELDOM_SECONDS, Mirror

from .mirror_api import PATH, Api, running, spec, until


async def test_it_says_that_it_is_not_live_and_recovers(api: Api, client: KubeApi) -> None:
    api.put("a")
    mirror = Mirror(client, PATH, spec)
    async with running(mirror):
        await until(lambda: api._watchers)
        api.failing = True
        api.send(None)
        await until(lambda: not mirror.live)
        assert ("ns", "a") in mirror.objects, "what is known is kept"
        assert mirror.last_error is not None
        assert mirror.last_error.status == 500
        api.failing = False
        api.put("b")
        await until(lambda: mirror.live and ("ns", "b") in mirror.objects)


async def test_it_says_up_to_when_what_it_has_is_true(api: Api, client: KubeApi) -> None:
    api.put("a")
    failures: list[int] = []
    before = clock.now()
    mirror = Mirror(client, PATH, spec, on_failure=lambda error: failures.append(error.status))
    assert before <= mirror.as_of <= clock.now(), "nothing was ever heard: as old as the question"
    async with running(mirror):
        await until(lambda: mirror.live)
        assert mirror.as_of == math.inf
        assert mirror.away_since is None
        api.failing = True
        api.send(None)
        await until(lambda: len(failures) >= 2)
        assert failures[0] == 500
        lost = mirror.as_of
        assert before < lost < clock.now()
        assert mirror.away_since == lost
        await until(lambda: len(failures) >= 4)
        assert mirror.as_of == lost, "a failed try makes nothing newer"
        api.failing, api.watchless = False, True
        await until(lambda: mirror.as_of > lost)
        assert not mirror.live, "a list is the truth of its moment"
        assert mirror.away_since == lost
        api.watchless = False
        await until(lambda: mirror.live)


async def test_it_tells_when_it_is_live_again_and_why_it_was_not(api: Api, client: KubeApi) -> None:
    api.put("a")
    told: list[int] = []
    mirror = Mirror(client, PATH, spec, on_recovery=lambda error: told.append(error.status))
    async with running(mirror):
        await until(lambda: api._watchers)
        assert not told
        api.failing = True
        api.send(None)
        await until(lambda: not mirror.live)
        assert not told
        api.failing = False
        await until(lambda: mirror.live)
        assert told == [500]


@pytest.mark.parametrize("status", [403, 404])
async def test_a_kind_that_is_not_there_is_an_answer_where_it_is_optional(api: Api, client: KubeApi, status: int) -> None:
    api.put("a")
    api.lacking = status
    needed, optional = Mirror(client, PATH, spec), Mirror(client, PATH, spec, optional=True)
    tasks = [asyncio.create_task(mirror.run()) for mirror in (needed, optional)]
    with capture_logs() as lines:
        await until(lambda: optional.synced.is_set() and len([line for line in lines if line["tries"] == 3]) > 0)
    assert not needed.synced.is_set()
    assert len(lines) == 4, "one that was told is not told again"
    api.lacking = 0
    await until(lambda: list(optional.objects) == [("ns", "a")] and optional.live)
    api.lacking = status
    api.send({"type": "ERROR", "object": {"code": 410, "reason": "Expired", "message": "too old"}})
    await until(lambda: not optional.live and optional.last_error is not None and optional.last_error.status == status)
    assert list(optional.objects) == [("ns", "a")], "what is known is kept"
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def test_a_server_that_is_away_is_no_answer_optional_or_not(api: Api, client: KubeApi) -> None:
    api.failing = True
    mirror = Mirror(client, PATH, spec, optional=True)
    task = asyncio.create_task(mirror.run())
    await until(lambda: mirror.last_error is not None)
    assert not mirror.synced.is_set()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_what_is_not_there_is_asked_for_ever_more_seldom(
    api: Api, client: KubeApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert SELDOM_SECONDS[-2:] == (30, RELIST_SECONDS), "in the end as often as everything is listed anew"
    monkeypatch.setattr(mirror_module, "BACKOFF_SECONDS", (0.001,))
    monkeypatch.setattr(mirror_module, "SELDOM_SECONDS", (0.001, 0.001, 1.0))
    api.lacking = 404
    task = asyncio.create_task(Mirror(client, PATH, spec, optional=True).run())
    await until(lambda: len(api.queries) == 3)
    third = asyncio.get_running_loop().time()
    await until(lambda: len(api.queries) == 4)
    assert asyncio.get_running_loop().time() - third > 0.4, "half of the last pause, at least"
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_the_silent_watch_of_a_quiet_kind_is_opened_anew_and_nothing_else_happens(api: Api) -> None:
    api.put("a")
    async with KubeApi(Access(api.url), silent_seconds=0.1) as client:  # type: ignore[attr-defined]
        mirror = Mirror(client, PATH, spec)
        async with running(mirror):
            before = mirror.last_event
            seen: set[bool] = set()
            while len(api.queries) < 5:
                seen.add(mirror.live)
                await asyncio.sleep(0.001)
            api.put("b")
            await until(lambda: ("ns", "b") in mirror.objects)
            assert seen == {True}
            assert mirror.last_error is None
            assert mirror.last_event > before
    assert api.lists == 1
    assert {query["resourceVersion"] for query in api.queries if "watch" in query} == {"2"}, "from where the last one ended"


async def test_a_server_that_does_not_answer_a_watch_anew_is_away(api: Api) -> None:
    api.put("a")
    async with KubeApi(Access(api.url), silent_seconds=0.1, open_seconds=0.2) as client:  # type: ignore[attr-defined]
        mirror = Mirror(client, PATH, spec)
        async with running(mirror):
            api.answering.clear()
            await until(lambda: not mirror.live)
            assert mirror.last_error is not None
            assert mirror.last_error.reason == "Unreachable"
            api.answering.set()
            await until(lambda: mirror.live)


async def test_after_a_pause_it_is_as_old_as_the_pause_and_lists_anew_though_its_watch_never_ended(
    api: Api, client: KubeApi
) -> None:
    passed = 0.0
    paused = Clock(boot=lambda: clock.now() + passed)
    api.put("a")
    mirror = Mirror(client, PATH, spec, clock=paused)
    async with running(mirror):
        before = paused.now()
        paused.look()
        api.delete("a", silently=True)
        api.put("b")
        await until(lambda: ("ns", "b") in mirror.objects)
        assert ("ns", "a") in mirror.objects, "the watch did not say so"
        passed = 20.0
        lists = api.lists
        paused.look()
        assert not mirror.live
        assert mirror.as_of == mirror.away_since
        assert before <= mirror.as_of < paused.now() - 19
        await until(lambda: mirror.live)
        assert set(mirror.objects) == {("ns", "b")}
        assert api.lists == lists + 1


async def test_a_watch_that_opens_into_a_pause_is_not_live(api: Api, client: KubeApi) -> None:
    """The answer was on its way before it: what came after may never come."""
    passed = 0.0
    paused = Clock(boot=lambda: clock.now() + passed)
    mirror = Mirror(client, PATH, spec, clock=paused)
    task = asyncio.create_task(mirror.run())
    api.answering.clear()
    try:
        await until(lambda: len(api.queries) == 2)
        listed = mirror.as_of
        passed = 20.0
        paused.look()
        mirror._opened()
        assert not mirror.live
        assert mirror.as_of == listed
        api.answering.set()
        await until(lambda: mirror.live)
        assert api.lists == 2
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
