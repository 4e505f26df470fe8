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


STATUS_404 = (
    '{"kind":"Status","apiVersion":"v1","status":"Failure","code":404,"reason":"NotFound","message":"pods \\"a\\" not found"}'
)


@pytest.mark.parametrize("text", ["404 page not found\n", HTML, "", "{}", '{"reason": 7}', '{"paths": ["/api"]}'])
async def test_that_nobody_knows_the_path_says_nothing_of_the_object(client: KubeApi, text: str) -> None:
    """As an API server answers that does not know the kind yet: another one may have the object."""
    with pytest.raises(ApiError) as caught:
        await client.request("GET", "/", params={"status": "404", "text": text})
    assert (caught.value.not_found, caught.value.transient) == (False, True)


async def test_the_api_servers_own_word_does(client: KubeApi) -> None:
    with pytest.raises(ApiError) as caught:
        await client.request("GET", "/", params={"status": "404", "text": STATUS_404})
    assert (caught.value.not_found, caught.value.transient) == (True, False)


@pytest.mark.parametrize(("status", "again"), [(200, True), (302, True), (403, False), (409, False), (422, False), (503, True)])
async def test_what_may_be_another_answer_the_next_time(client: KubeApi, status: int, again: bool) -> None:
    with pytest.raises(ApiError) as caught:
        await client.request("GET", "/", params={"status": str(status), "text": HTML})
    assert caught.value.transient is again
