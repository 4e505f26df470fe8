"""What something in between answers in the API server's place is an ApiError, whatever it is."""

from collections.abc import AsyncIterator

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from devbox_common.access import Access
from devbox_common.answers import ApiError
from devbox_common.kube import KubeApi

HTML = "<html>a load balancer's</html>"


@pytest.fixture
async def client() -> AsyncIterator[KubeApi]:
    async def answer(request: web.Request) -> web.Response:
        status, text = int(request.query["status"]), request.query["text"]
        return web.Response(
            status=status, text=text, headers={"Retry-After": request.query.get("after", "7")} if status == 429 else None
        )

    app = web.Application()
    app.router.add_get("/", answer)
    async with TestServer(app) as server, KubeApi(Access(str(server.make_url("")).rstrip("/"))) as client:
        yield client


@pytest.mark.parametrize("status", [200, 201])
@pytest.mark.parametrize("text", [HTML, "[]", '"ok"', "7", "null", "true", "{"])
async def test_what_is_no_object_is_no_answer(client: KubeApi, status: int, text: str) -> None:
    with pytest.raises(ApiError) as caught:
        await client.request("GET", "/", params={"status": str(status), "text": text})
    assert (caught.value.status, caught.value.reason) == (status, "BadAnswer")


@pytest.mark.parametrize("status", [400, 429, 500, 503])
@pytest.mark.parametrize("text", [HTML, "[]", '["reason"]', '"reason"', "7", "null", "", "Too many requests.\n"])
async def test_an_error_is_one_whatever_its_body(client: KubeApi, status: int, text: str) -> None:
    with pytest.raises(ApiError) as caught:
        await client.request("GET", "/", params={"status": str(status), "text": text})
    assert caught.value.status == status
    assert caught.value.retry_after == (7.0 if status == 429 else None)


@pytest.mark.parametrize("said", ["²", "٣", "-1", "1.5", "Wed, 21 Oct 2026 07:28:00 GMT", "", "soon"])
async def test_a_retry_after_that_is_no_number_of_seconds_is_none(client: KubeApi, said: str) -> None:
    with pytest.raises(ApiError) as caught:
        await client.request("GET", "/", params={"status": "429", "text": "", "after": said})
    assert (caught.value.status, caught.value.retry_after) == (429, None)


async def test_nothing_at_all_is_an_empty_object(client: KubeApi) -> None:
    assert await client.request("GET", "/", params={"status": "200", "text": ""}) == {}
