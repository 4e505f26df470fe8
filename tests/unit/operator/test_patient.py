"""What is asked again, and what is not."""

from collections.abc import AsyncIterator

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from devbox_common.access import Access
from devbox_common.guarded import NotSentError
from devbox_common.kube import ApiError
from devbox_operator.kit import patient
from devbox_operator.kit.patient import PatientApi


class Busy:
    """An API server that answers with these, then with 200."""

    def __init__(self) -> None:
        self.statuses: list[int] = []
        self.methods: list[str] = []

    async def handle(self, request: web.Request) -> web.Response:
        self.methods.append(request.method)
        return web.json_response({}, status=self.statuses.pop(0) if self.statuses else 200)


@pytest.fixture
def busy() -> Busy:
    return Busy()


@pytest.fixture
async def api(busy: Busy, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[PatientApi]:
    monkeypatch.setattr(patient, "PAUSES", (0.01, 0.01, 0.01))
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", busy.handle)
    async with TestServer(app) as server, PatientApi(Access(str(server.make_url("")).rstrip("/"))) as made:
        yield made


@pytest.mark.parametrize("statuses", [[500], [429, 503, 500]])
async def test_a_read_is_asked_again(api: PatientApi, busy: Busy, statuses: list[int]) -> None:
    busy.statuses = list(statuses)
    assert await api.request("GET", "/x") == {}
    assert len(busy.methods) == len(statuses) + 1


async def test_a_write_is_asked_again_where_it_was_surely_not_done(api: PatientApi, busy: Busy) -> None:
    busy.statuses = [429, 429]
    await api.request("POST", "/x", body={})
    assert busy.methods == ["POST"] * 3
    busy.statuses = [500]
    with pytest.raises(ApiError):
        await api.request("POST", "/x", body={})
    assert len(busy.methods) == 4


async def test_it_gives_up(api: PatientApi, busy: Busy) -> None:
    busy.statuses = [500] * 9
    with pytest.raises(ApiError):
        await api.request("GET", "/x")
    assert len(busy.methods) == 4


async def test_a_token_request_stores_nothing_and_is_asked_again(api: PatientApi, busy: Busy) -> None:
    busy.statuses = [500]
    await api.request("POST", "/api/v1/namespaces/x/serviceaccounts/devbox-agent/token", body={})
    assert busy.methods == ["POST", "POST"]


@pytest.mark.parametrize("status", [403, 404, 409, 422])
async def test_a_clear_answer_is_taken(api: PatientApi, busy: Busy, status: int) -> None:
    busy.statuses = [status]
    with pytest.raises(ApiError):
        await api.request("GET", "/x")
    assert len(busy.methods) == 1


async def test_a_write_that_is_asked_again_has_to_be_allowed_again(api: PatientApi, busy: Busy) -> None:
    busy.statuses = [429]
    with pytest.raises(NotSentError):
        await api.request("POST", "/x", body={}, may_send=lambda: not busy.methods)
    assert busy.methods == ["POST"]
