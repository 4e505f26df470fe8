"""The list+watch mirror against an API that speaks real HTTP: what it keeps."""

from typing import Any

import pytest

from devbox_common.access import Access
from devbox_common.kube import ApiError, KubeApi
from devbox_common.mirror import Mirror

from .mirror_api import PATH, Api, running, spec, until


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
