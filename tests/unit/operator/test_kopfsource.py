"""Kopf's own loop over lists and watches, with our client in place of its own."""

import asyncio
import time
from collections.abc import AsyncGenerator, Callable
from typing import Any

import kopf
import pytest
from kopf._cogs.clients import fetching, scanning, watching
from kopf._cogs.structs.references import NAMESPACES, Insights, Resource
from kopf._core.reactor import observation

from devbox_common.kube import ApiError, Page
from devbox_operator.settings import Settings
from devbox_operator.watch import handlers, kopfsource

DEVBOXES = Resource("devbox-gateway.io", "v1alpha1", "devboxes", namespaced=True)
PATH = "/apis/devbox-gateway.io/v1alpha1/devboxes"


def item(name: str, version: int = 1, **metadata: Any) -> dict[str, Any]:
    metadata = {"name": name, "namespace": "team-a", "uid": f"u-{name}", "resourceVersion": str(version), **metadata}
    metadata["annotations"] = {"note": "x" * 1000}
    return {"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": metadata}


class Api:
    """Two pages, then these events; each error once."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str, bool]] = []
        self.list_errors: list[ApiError] = []
        self.watch_errors: list[ApiError] = []
        self.events: list[dict[str, Any]] = []
        self.source: kopfsource.Source

    async def request(self, *_: str) -> None:
        raise ApiError(404, "Error", "404 page not found")

    async def pages(self, path: str, *, metadata_only: bool) -> AsyncGenerator[Page]:
        self.asked.append(("list", path, metadata_only))
        yield Page([item("a"), item("b", deletionTimestamp="2026-11-29T12:00:00Z")], "7")
        if self.list_errors:
            raise self.list_errors.pop()
        yield Page([item("c")], "7")

    async def watch(
        self, path: str, version: str, *, opened: Callable[[], None], metadata_only: bool
    ) -> AsyncGenerator[dict[str, Any]]:
        self.asked.append((f"watch {version}", path, metadata_only))
        if self.watch_errors:
            raise self.watch_errors.pop(0)
        opened()
        await asyncio.sleep(0)
        for event in self.events:
            yield event


@pytest.fixture
def api(monkeypatch: pytest.MonkeyPatch) -> Api:
    monkeypatch.setattr(fetching, "fetch_objs", fetching.fetch_objs)  # (put back afterwards)
    monkeypatch.setattr(watching, "watch_objs", watching.watch_objs)
    monkeypatch.setattr(scanning, "scan_resources", scanning.scan_resources)
    monkeypatch.setattr(kopfsource, "PAUSES", (0.01, 0.01))
    made = Api()
    made.source = kopfsource.Source(made)  # type: ignore[arg-type]
    kopfsource.install(made.source)
    return made


async def seen(namespace: str | None = None, most: int = 20, seconds: float = 5) -> list[Any]:
    """What kopf's loop gives to its handlers."""
    result: list[Any] = []
    stream = watching.continuous_watch(
        settings=kopf.OperatorSettings(),
        resource=DEVBOXES,
        namespace=namespace,  # type: ignore[arg-type]
        operator_pause_waiter=asyncio.Future(),
    )
    async with asyncio.timeout(seconds):
        async for event in stream:
            result.append(event)
            if len(result) == most:
                break
    return result


async def test_kopf_sees_who_it_is_and_no_more(api: Api) -> None:
    api.events = [{"type": "MODIFIED", "object": item("a", 8)}, {"type": "DELETED", "object": item("c", 9)}]
    listed, events = (await seen(most=6))[:3], (await seen(most=6))[4:]
    assert [event["object"]["metadata"]["name"] for event in listed] == ["a", "b", "c"]
    assert listed[1]["object"]["metadata"]["deletionTimestamp"]
    assert [(event["type"], event["object"]["metadata"]["resourceVersion"]) for event in events] == [
        ("MODIFIED", "8"),
        ("DELETED", "9"),
    ]
    assert all(set(event["object"]["metadata"]) <= set(kopfsource.KEPT) for event in (*listed, *events))
    assert set(api.asked) == {("list", PATH, True), ("watch 7", PATH, True)}


async def test_a_watch_goes_on_where_it_ended(api: Api) -> None:
    api.events = [{"type": "MODIFIED", "object": item("a", 8)}]
    await seen("team-a", most=6)
    path = "/apis/devbox-gateway.io/v1alpha1/namespaces/team-a/devboxes"
    assert api.asked == [("list", path, True), ("watch 7", path, True), ("watch 8", path, True)]


async def test_a_version_that_is_too_old_is_a_new_list(api: Api) -> None:
    api.watch_errors = [ApiError(410, "Expired", "too old")]
    assert len(await seen()) == 4, "the list, the mark of its end, and kopf begins anew"


@pytest.mark.parametrize(
    "error", [ApiError(0, "Unreachable", "no"), ApiError(403, "Forbidden", "no"), ApiError(500, "x", "no")]
)
async def test_a_list_that_breaks_is_begun_anew_and_not_the_end_of_the_operator(api: Api, error: ApiError) -> None:
    api.list_errors = [error]
    assert len(await seen()) == 2, "kopf's loop ends, and its outer one begins it anew"


async def test_a_watch_that_fails_is_tried_again(api: Api) -> None:
    api.watch_errors = [ApiError(0, "Unreachable", "no"), ApiError(403, "Forbidden", "no")]
    api.events = [{"type": "MODIFIED", "object": item("a", 8)}]
    assert (await seen(most=5))[-1]["object"]["metadata"]["resourceVersion"] == "8"
    assert [what for what, *_ in api.asked] == ["list", "watch 7", "watch 7", "watch 7"]


async def test_a_watch_that_only_fails_is_not_taken_for_one_in_which_nothing_happens(api: Api) -> None:
    """Where it goes by /healthz, that is."""
    assert api.source.last_event() == pytest.approx(time.monotonic(), abs=1), "nothing is asked for yet"
    api.watch_errors = [ApiError(403, "Forbidden", "no")] * 1000
    with pytest.raises(TimeoutError):
        await seen(seconds=0.5)
    silent = time.monotonic() - api.source.last_event()
    assert silent > 0.4
    api.watch_errors = []
    with pytest.raises(TimeoutError):
        await seen(seconds=0.2)
    assert time.monotonic() - api.source.last_event() < 0.1, "each watch that is opened is a word"


async def test_what_there_is_to_watch_does_not_depend_on_what_is_served_at_the_moment(api: Api, settings: Settings) -> None:
    """An API server that does not serve a kind yet would have kopf never look at it."""
    insights = Insights()
    registry = handlers.registry(lambda _: None, lambda *_: None, lambda *_: False)
    observing = asyncio.create_task(
        observation.resource_observer(settings=handlers.operator_settings(settings), registry=registry, insights=insights)
    )
    try:
        async with asyncio.timeout(5):
            await insights.ready_resources.wait()
        watched = {resource.get_url(namespace=None) for resource in insights.watched_resources}
        of_ours = {f"/apis/devbox-gateway.io/v1alpha1/{plural}" for plural in ("devboxes", "gatewayconfigs", "egresspolicies")}
        assert watched == {*of_ours, "/api/v1/namespaces"}
        assert (await insights.backbone.wait_for(NAMESPACES)).plural == "namespaces"
        assert not api.asked
    finally:
        observing.cancel()
        await asyncio.gather(observing, return_exceptions=True)
