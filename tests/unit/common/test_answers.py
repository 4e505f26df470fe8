"""Lists by bytes, and events of any length: what one answer may come to, whoever wrote the objects."""

import asyncio
import gc
import weakref
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from devbox_common import answers, kube
from devbox_common.access import Access
from devbox_common.answers import ApiError, TooLargeError
from devbox_common.kube import PAGE, PAGE_BYTES, KubeApi

PATH = "/api/v1/pods"
MIB = 1 << 20


class Api:
    """Objects of given sizes, by name, in pages of as many as are asked for."""

    def __init__(self) -> None:
        self.sizes: list[int] = []
        self.limits: list[int] = []
        self.accepts: list[str] = []
        self.encodings: list[str] = []
        self.sent: list[int] = []
        """Bytes of each page."""
        self.events: list[bytes] = []

    async def handle(self, request: web.Request) -> web.StreamResponse:
        self.accepts.append(request.headers["Accept"])
        self.encodings.append(request.headers.get("Accept-Encoding", ""))
        if request.query.get("watch"):
            return await self._watch(request)
        limit, start = int(request.query["limit"]), int(request.query.get("continue", "0"))
        self.limits.append(limit)
        items = [
            {"metadata": {"name": f"pod-{start + number}"}, "spec": "x" * size}
            for number, size in enumerate(self.sizes[start : start + limit])
        ]
        metadata = {"resourceVersion": "7"} | ({"continue": str(start + limit)} if start + limit < len(self.sizes) else {})
        response = web.json_response({"kind": "PodList", "apiVersion": "v1", "metadata": metadata, "items": items})
        self.sent.append(len(response.body))  # type: ignore[arg-type]
        return response

    async def _watch(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        for piece in self.events:
            await response.write(piece)
        return response


@pytest.fixture
def api() -> Api:
    return Api()


@pytest.fixture
async def client(api: Api) -> AsyncIterator[KubeApi]:
    app = web.Application()
    app.router.add_get(PATH, api.handle)
    async with TestServer(app) as server, KubeApi(Access(str(server.make_url("")).rstrip("/"))) as client:
        yield client


async def names(client: KubeApi) -> list[str]:
    return [item["metadata"]["name"] async for page in client.pages(PATH) for item in page.items]


async def test_small_objects_come_by_the_hundred(client: KubeApi, api: Api) -> None:
    api.sizes = [2000] * 1700
    assert len(set(await names(client))) == 1700
    assert api.limits == [50, 200, 500, 500, 500]


async def test_large_objects_come_a_few_at_a_time(client: KubeApi, api: Api) -> None:
    api.sizes = [1_400_000] * 12
    assert await names(client) == [f"pod-{number}" for number in range(12)]
    taken = [size for size in api.sent if size <= PAGE_BYTES]
    assert len(taken) <= 8
    assert len(api.sent) - len(taken) <= 4, "it does not go on asking for more than fits"


async def test_large_ones_behind_many_small_ones_are_cut_off_and_asked_for_again(client: KubeApi, api: Api) -> None:
    api.sizes = [100] * 800 + [1_400_000] * 40 + [100] * 800
    assert await names(client) == [f"pod-{number}" for number in range(1640)]
    assert max(api.limits) == PAGE
    read = [size for size in api.sent if size <= PAGE_BYTES]
    assert sum(read) > 40 * 1_400_000


async def test_one_object_may_be_larger_than_a_page(client: KubeApi, api: Api) -> None:
    api.sizes = [10, PAGE_BYTES + MIB, 10]
    assert len(await names(client)) == 3


async def test_an_object_without_bounds_is_an_error(client: KubeApi, api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kube, "OBJECT_BYTES", 5 * MIB)
    api.sizes = [6 * MIB]
    with pytest.raises(TooLargeError) as caught:
        await names(client)
    assert caught.value.transient
    assert api.limits[-1] == 1


async def test_a_page_is_held_by_its_taker_alone(client: KubeApi, api: Api) -> None:
    class Held(dict[str, Any]):
        """Something that can be referred to weakly."""

    api.sizes = [10] * 60
    seen: list[weakref.ref[Held]] = []
    async for page in client.pages(PATH):
        gc.collect()
        assert all(ref() is None for ref in seen), "the page before is gone when the next one comes"
        page.items[:] = [Held(item) for item in page.items]
        seen += [weakref.ref(item) for item in page.items if isinstance(item, Held)]
    assert len(seen) == 60


async def test_nothing_is_compressed(client: KubeApi, api: Api) -> None:
    """200 KiB may be 200 MiB of one letter."""
    api.sizes = [10]
    await names(client)
    assert api.encodings == ["identity"]


async def test_metadata_alone_is_asked_for(client: KubeApi, api: Api) -> None:
    async for _ in client.pages(PATH, metadata_only=True):
        pass
    async for _ in client.watch(PATH, "1", metadata_only=True):
        pass
    kinds = [f"application/json;as=PartialObjectMetadata{what};g=meta.k8s.io;v=v1" for what in ("List", "")]
    assert api.accepts == kinds


async def test_an_event_may_be_long_and_come_in_any_pieces(client: KubeApi, api: Api) -> None:
    long = b'{"type":"ADDED","object":{"metadata":{"name":"' + b"x" * 3 * MIB + b'"}}}\n'
    short = b'{"type":"BOOKMARK","object":{"metadata":{"name":"b"}}}\n'
    stream = short + long + b"\n" + short + short
    api.events = [stream[at : at + 100_003] for at in range(0, len(stream), 100_003)]
    lengths = [len(event["object"]["metadata"]["name"]) async for event in client.watch(PATH, "1")]
    assert lengths == [1, 3 * MIB, 1, 1]


async def test_an_event_without_an_end_is_an_error(client: KubeApi, api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answers, "OBJECT_BYTES", MIB)
    api.events = [b"x" * MIB] * 3
    with pytest.raises(TooLargeError):
        async for _ in client.watch(PATH, "1"):
            pass


async def test_long_answers_are_read_a_few_at_a_time(client: KubeApi, api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    most = 0
    original = answers.decode

    def decode(*about: Any) -> Any:
        nonlocal most
        most = max(most, answers.LARGE - client._reader._large._value)
        return original(*about)

    monkeypatch.setattr(answers, "decode", decode)
    api.sizes = [MIB]
    await asyncio.gather(*(client.request("GET", PATH, params={"limit": "1"}) for _ in range(12)))
    assert 1 <= most <= answers.LARGE
    assert client._reader._large._value == answers.LARGE


async def test_an_error_is_the_servers_own(client: KubeApi) -> None:
    with pytest.raises(ApiError) as caught:
        await client.request("GET", "/nothing")
    assert (caught.value.status, caught.value.not_found) == (404, False), "no API server's: it would name the object"
