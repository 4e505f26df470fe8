"""The list+watch mirror against an API that speaks real HTTP: what it keeps, and what it says when it can't know."""

import asyncio
import contextlib
import math
from collections.abc import AsyncIterator
from typing import Any

import orjson
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from structlog.testing import capture_logs

from devbox_common import clock
from devbox_common import mirror as mirror_module
from devbox_common.access import Access
from devbox_common.clock import Clock
from devbox_common.kube import ApiError, KubeApi
from devbox_common.mirror import RELIST_SECONDS, SELDOM_SECONDS, Mirror

PATH = "/api/v1/pods"


class Api:
    """An API server with one collection, whose watches and failures the test steers."""

    def __init__(self) -> None:
        self.items: dict[str, dict[str, Any]] = {}
        self.version = 1
        self.lists = 0
        self.queries: list[dict[str, str]] = []
        self.failing = False
        self.lacking = 0
        """The status with which the kind is not there, or not for us."""
        self.nonsense = False
        self.watchless = False
        """Lists are answered, watches fail."""
        self.answering = asyncio.Event()
        self.answering.set()
        self.page = 500
        self.pages = 1 << 30
        """Of a list, before it breaks."""
        self._watchers: list[asyncio.Queue[dict[str, Any] | None]] = []

    def put(self, name: str, **spec: object) -> None:
        kind = "MODIFIED" if name in self.items else "ADDED"
        self.version += 1
        item = {"metadata": {"name": name, "namespace": "ns", "resourceVersion": str(self.version)}, "spec": spec}
        self.items[name] = item
        self.send({"type": kind, "object": item})

    def delete(self, name: str, *, silently: bool = False) -> None:
        self.version += 1
        item = self.items.pop(name)
        if not silently:
            self.send({"type": "DELETED", "object": item})

    def send(self, event: dict[str, Any] | None) -> None:
        """An event for every open watch; None ends them."""
        for queue in self._watchers:
            queue.put_nowait(event)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        self.queries.append(dict(request.query))
        if self.failing:
            return web.json_response({"reason": "InternalError", "message": "broken"}, status=500)
        if self.lacking:
            return web.Response(status=self.lacking, text="404 page not found")
        if self.nonsense:
            return web.json_response({"kind": "PodList"})
        if request.query.get("watch") and self.watchless:
            return web.json_response({"reason": "InternalError", "message": "broken"}, status=500)
        if request.query.get("watch"):
            return await self._watch(request)
        self.lists += 1
        start = int(request.query.get("continue", "0"))
        if start >= self.page * self.pages:
            return web.json_response({"reason": "Expired", "message": "the list is too old"}, status=410)
        items = list(self.items.values())
        metadata = {"resourceVersion": str(self.version)}
        if start + self.page < len(items):
            metadata["continue"] = str(start + self.page)
        return web.json_response({"kind": "PodList", "metadata": metadata, "items": items[start : start + self.page]})

    async def _watch(self, request: web.Request) -> web.StreamResponse:
        queue: asyncio.Queue[dict[str, Any] | None] = asyncio.Queue()
        self._watchers.append(queue)
        response = web.StreamResponse()
        try:
            await self.answering.wait()
            await response.prepare(request)
            while (event := await queue.get()) is not None:
                line = orjson.dumps(event) + b"\n"
                # In two pieces: a line may arrive in any number of them.
                await response.write(line[:7])
                await asyncio.sleep(0)
                await response.write(line[7:])
        finally:
            self._watchers.remove(queue)
        return response


@pytest.fixture
async def api() -> AsyncIterator[Api]:
    fake = Api()
    app = web.Application()
    app.router.add_get(PATH, fake.handle)
    async with TestServer(app) as server:
        fake.url = str(server.make_url("")).rstrip("/")  # type: ignore[attr-defined]
        yield fake
        fake.send(None)


@pytest.fixture
async def client(api: Api) -> AsyncIterator[KubeApi]:
    access = Access(api.url)  # type: ignore[attr-defined]
    async with KubeApi(access) as client:
        yield client


@contextlib.asynccontextmanager
async def running(mirror: Mirror[Any]) -> AsyncIterator[None]:
    task = asyncio.create_task(mirror.run())
    try:
        await until(lambda: mirror.live)
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def until(condition) -> None:  # type: ignore[no-untyped-def]
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110 (conditions of several kinds)
            await asyncio.sleep(0.01)


def spec(item: dict[str, Any]) -> Any:
    return item["spec"]


async def test_it_follows_the_watch(api: Api, client: KubeApi) -> None:
    api.put("a", n=1)
    changes: list[Any] = []
    mirror = Mirror(client, PATH, spec, on_change=lambda *change: changes.append(change), label_selector="app=x")
    async with running(mirror):
        await until(lambda: api._watchers)
        api.put("b", n=2)
        api.put("a", n=3)
        api.delete("b")
        await until(lambda: len(changes) == 4)
    assert dict(mirror.objects) == {("ns", "a"): {"n": 3}}
    a, b = ("ns", "a"), ("ns", "b")
    assert changes == [(a, None, {"n": 1}), (b, None, {"n": 2}), (a, {"n": 1}, {"n": 3}), (b, {"n": 2}, None)]
    assert all(query["labelSelector"] == "app=x" for query in api.queries)


async def test_a_long_list_comes_in_pages(api: Api, client: KubeApi) -> None:
    api.page = 3
    for number in range(8):
        api.put(f"p{number}")
    mirror = Mirror(client, PATH, spec)
    async with running(mirror):
        assert len(mirror.objects) == 8
    assert api.lists == 3


async def test_half_a_list_takes_nothing_away(api: Api, client: KubeApi) -> None:
    api.page = 3
    for number in range(8):
        api.put(f"p{number}")
    mirror = Mirror(client, PATH, spec, relist_seconds=0.2)
    async with running(mirror):
        await mirror.synced.wait()
        api.pages = 2
        api.delete("p1", silently=True)
        lists = api.lists
        await until(lambda: api.lists >= lists + 4)
        assert len(mirror.objects) == 8, "what was not listed yet may be there"
        api.pages = 1 << 30
        await until(lambda: len(mirror.objects) == 7)
        assert ("ns", "p1") not in mirror.objects


async def test_what_was_deleted_while_the_watch_was_down_is_gone(api: Api, client: KubeApi) -> None:
    api.put("ghost")
    api.put("stays")
    mirror = Mirror(client, PATH, spec)
    async with running(mirror):
        await until(lambda: api._watchers)
        api.delete("ghost", silently=True)
        # The version is too old: what an API server says after a compaction.
        api.send({"type": "ERROR", "object": {"code": 410, "reason": "Expired", "message": "too old"}})
        await until(lambda: list(mirror.objects) == [("ns", "stays")])


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


async def test_an_answer_that_is_no_list_does_not_end_it(api: Api, client: KubeApi) -> None:
    api.put("a")
    mirror = Mirror(client, PATH, spec)
    async with running(mirror):
        await until(lambda: api._watchers)
        api.nonsense = True
        api.send({"type": "ERROR", "object": {"code": 410, "reason": "Expired", "message": "too old"}})
        await until(lambda: mirror.last_error is not None and mirror.last_error.reason == "BadAnswer")
        assert not mirror.live
        api.nonsense = False
        api.put("b")
        await until(lambda: mirror.live and ("ns", "b") in mirror.objects)


async def test_the_objects_of_a_namespace(api: Api, client: KubeApi) -> None:
    api.put("a")
    mirror = Mirror(client, PATH, spec)
    async with running(mirror):
        assert list(mirror.within("ns")) == [("ns", "a")]
        assert not mirror.within("other")
        await until(lambda: api._watchers)
        api.delete("a")
        await until(lambda: not mirror.within("ns"))


async def test_groups_of_ones_own(api: Api, client: KubeApi) -> None:
    api.put("a", colour="red")
    mirror = Mirror(client, PATH, spec, group=lambda _, value: value["colour"])
    async with running(mirror):
        assert list(mirror.within("red")) == [("ns", "a")]
        await until(lambda: api._watchers)
        api.put("a", colour="blue")
        await until(lambda: list(mirror.within("blue")) == [("ns", "a")])
        assert not mirror.within("red")


async def test_what_was_noted_is_not_undone_by_older_events(api: Api, client: KubeApi) -> None:
    def item(version: int, **values: object) -> dict[str, Any]:
        return {"metadata": {"name": "a", "namespace": "ns", "resourceVersion": str(version)}, "spec": values}

    told: list[Any] = []
    mirror = Mirror(client, PATH, spec, on_change=lambda _, __, new: told.append(new))
    async with running(mirror):
        await until(lambda: api._watchers)
        mirror.note(item(50, step=2))
        assert mirror.objects["ns", "a"] == {"step": 2}
        api.send({"type": "ADDED", "object": item(40, step=1)})
        api.send({"type": "MODIFIED", "object": item(50, step=2)})
        api.send({"type": "MODIFIED", "object": item(60, step=3)})
        await until(lambda: mirror.objects["ns", "a"] == {"step": 3})
        assert told == [{"step": 3}], "whoever wrote knows, and what is older is no news"


async def test_an_answer_that_comes_after_newer_events_does_not_undo_them(api: Api, client: KubeApi) -> None:
    """Events and answers come on connections of their own."""
    api.put("a", step=1)
    api.put("b", step=1)
    early = [dict(api.items["a"]), dict(api.items["b"])]
    mirror = Mirror(client, PATH, spec)
    async with running(mirror):
        await until(lambda: api._watchers)
        api.put("a", step=2)
        api.delete("b")
        await until(lambda: mirror.objects == {("ns", "a"): {"step": 2}})
        for answer in early:
            mirror.note(answer)
        assert mirror.objects == {("ns", "a"): {"step": 2}}
        mirror.again(api.items["a"] | {"spec": {"step": "2, and more of it"}})
        assert mirror.objects == {("ns", "a"): {"step": "2, and more of it"}}, "the caller knows that this one is none older"
        api.put("a", step=3)
        await until(lambda: mirror.objects == {("ns", "a"): {"step": 3}})


async def test_a_broken_object_does_not_blind_it(api: Api, client: KubeApi) -> None:
    def picky(item: dict[str, Any]) -> Any:
        if item["metadata"]["name"] == "broken":
            raise ValueError("unreadable")
        return spec(item)

    api.put("broken")
    api.put("good")
    mirror = Mirror(client, PATH, picky)
    async with running(mirror):
        assert list(mirror.objects) == [("ns", "good")]


async def test_it_lists_anew_now_and_then(api: Api, client: KubeApi) -> None:
    mirror = Mirror(client, PATH, spec, relist_seconds=0.05)
    async with running(mirror):
        await until(lambda: api.lists >= 3)


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


async def test_errors_carry_the_servers_words(api: Api, client: KubeApi) -> None:
    api.failing = True
    with pytest.raises(ApiError, match="500 InternalError: broken") as caught:
        await client.request("GET", PATH)
    assert caught.value.transient
    assert not caught.value.not_found


async def test_nobody_there_is_an_api_error_too() -> None:
    async with KubeApi(Access("http://127.0.0.1:1")) as client:
        with pytest.raises(ApiError, match="no answer from the API server") as caught:
            await client.request("GET", PATH)
    assert caught.value.status == 0


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
