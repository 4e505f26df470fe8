"""The activity port: whom it answers, what that costs the cluster, and how it ends. (Real tokens: tests/chaos/test_activity.py.)"""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, cast

import aiohttp
import pytest

from devbox_api import names
from devbox_api.route import Auth, GatewayDocument
from devbox_common.kube import ApiError, Object
from devbox_proxy.accounting.activity import Activity
from devbox_proxy.known.apis import compile_gateway
from devbox_proxy.ports import activity
from devbox_proxy.ports.activity import BOUNDS, ActivityPort
from devbox_proxy.reviews import operator_tokens
from devbox_proxy.reviews.operator_tokens import AT_ONCE, KEPT, OperatorTokens, Word
from devbox_proxy.settings import Listen
from devbox_proxy.upstreams.dials import Dials

from .review_answers import answer, status

pytestmark = pytest.mark.row("S23")

USER = "system:serviceaccount:system:devbox-operator"
AUDIENCE = names.audience("activity")
UID = "0f1c1a54-0000-4000-8000-000000000001"
PROBED = GatewayDocument(name="api", namespace="team-a", uid="gw-1", endpoint="https://api.example", auth=Auth(type="Bearer"))
"""What is probed, and what its dials are told as."""


class Api:
    """In place of KubeApi: knows the tokens that begin with `good`, and counts."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.away = False
        self.found: Object = status(user={"username": USER}, audiences=[AUDIENCE])

    async def request(self, method: str, path: str, *, body: Object, timeout: float) -> Object:  # noqa: ASYNC109
        assert (method, path) == ("POST", "/apis/authentication.k8s.io/v1/tokenreviews")
        assert body["spec"]["audiences"] == [AUDIENCE]
        self.asked.append(body["spec"]["token"])
        await asyncio.sleep(0)
        if self.away:
            raise ApiError(0, "Unreachable", "no answer")
        return answer(self.found if body["spec"]["token"].startswith("good") else status(authenticated=False))


class Stage:
    """A port, and who calls it."""

    def __init__(self, api: Api, book: Activity, port: ActivityPort, number: int, http: aiohttp.ClientSession) -> None:
        self.dials = Dials()
        self.api, self.book, self.port, self.number, self._http = api, book, port, number, http

    async def ask(
        self,
        bearer: str | None = "good",
        query: str = "",
        *,
        method: str = "GET",
        path: str = names.ACTIVITY_PATH,
        body: bytes | None = None,
        **headers: str,
    ) -> tuple[int, Any]:
        """Its status, and what it says: JSON, or the text."""
        sent = headers if bearer is None else {"Authorization": f"Bearer {bearer}", **headers}
        async with self._http.request(
            method, f"http://127.0.0.1:{self.number}{path}{query}", headers=sent, data=body
        ) as response:
            return response.status, await response.json() if response.status == 200 else await response.text()


@asynccontextmanager
async def stage(user: str = USER) -> AsyncIterator[Stage]:
    api, book = Api(), Activity()
    dials = Dials()

    async def probe(document: bytes) -> bool:
        GatewayDocument.model_validate_json(document)
        dials.note(compile_gateway(PROBED), "NameNotFound", "has no address")
        return True

    tokens, listen = OperatorTokens(cast(Any, api), user), Listen(host="127.0.0.1", activity=0)
    port = ActivityPort(book, tokens, listen, None, dials=dials, probe=probe)
    number = await port.start()
    try:
        async with aiohttp.ClientSession() as http:
            made = Stage(api, book, port, number, http)
            made.dials = dials
            yield made
    finally:
        await port.stop()


@pytest.fixture
def quick_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """It does not wait for one more question."""
    monkeypatch.setattr(activity, "ASKED_SECONDS", 0.0)


@pytest.mark.usefixtures("quick_end")
async def test_the_operator_is_told_all_and_then_what_is_new() -> None:
    async with stage() as on:
        on.book.of("working").begin()
        on.book.seen(UID)
        code, first = await on.ask()
        assert (code, set(first)) == (200, {"instance", "cursor", "closed", "pods"})
        assert first["closed"] is False
        assert first["pods"].keys() == {"working", UID}
        assert first["pods"]["working"] == 0
        since = f"?instance={first['instance']}&since={first['cursor']}"
        assert (await on.ask(query=since))[1]["pods"].keys() == {"working"}
        on.book.seen(UID)
        assert (await on.ask(query=since))[1]["pods"].keys() == {"working", UID}
        for other in ("", f"?instance=another&since={first['cursor']}", f"?since={first['cursor']}"):
            assert (await on.ask(query=other))[1]["pods"].keys() == {"working", UID}
        for bad in ("", "x", "-1", "1e9", "9" * 100, "%C2%B2"):
            assert (await on.ask(query=f"?instance={first['instance']}&since={bad}"))[1]["pods"].keys() == {"working", UID}


@pytest.mark.row("S29")
async def test_what_was_found_at_the_last_dials_is_told_and_then_what_is_new() -> None:
    async with stage() as on:
        api = compile_gateway(PROBED)
        on.dials.note(api, "ConnectionRefused", "refuses connections on its port")
        code, first = await on.ask(path=names.DIALS_PATH)
        (dial,) = first["dials"]
        assert code == 200
        assert {name: value for name, value in dial.items() if name != "age"} == {
            **{"gateway": "team-a/api", "uid": "gw-1", "dialled": "https://api.example -"},
            **{"found": "ConnectionRefused", "words": "refuses connections on its port"},
        }
        since = f"?instance={first['instance']}&since={first['cursor']}"
        assert (await on.ask(path=names.DIALS_PATH, query=since))[1]["dials"] == []
        on.dials.note(api, "Reached")
        (dial,) = (await on.ask(path=names.DIALS_PATH, query=since))[1]["dials"]
        assert (dial["found"], dial["words"]) == ("Reached", "")


@pytest.mark.row("S29")
async def test_a_probe_is_answered_with_what_it_found() -> None:
    async with stage() as on:
        path = names.PROBE_PATH
        code, said = await on.ask(path=path, method="POST", body=PROBED.model_dump_json().encode())
        assert (code, [dial["found"] for dial in said["dials"]]) == (200, ["NameNotFound"])
        for bad in (b"", b"{}", b"[]", b'{"uid": "x"}', b"\xff"):
            assert (await on.ask(path=path, method="POST", body=bad))[0] == 400
        assert (await on.ask(path=path))[0] == 405
        assert (await on.ask("bad", path=path, method="POST", body=b"{}"))[0] == 403


@pytest.mark.row("S29")
async def test_who_asks_for_dials_alone_is_not_waited_for_at_the_end() -> None:
    """(Nothing is lost with them: the last word of a process that ends is about pods.)"""
    async with stage() as on:
        await on.ask(path=names.DIALS_PATH)
        async with asyncio.timeout(5):
            await on.port.stop()


@pytest.mark.usefixtures("quick_end")
@pytest.mark.parametrize(
    ("bearer", "found", "code"),
    [
        (None, {}, 401),
        ("bad", {}, 403),
        ("good", {"user": {"username": "system:serviceaccount:system:devbox-gateway"}}, 403),
        ("good", {"user": {"username": "system:serviceaccount:other:devbox-operator"}}, 403),
        ("good", {"user": {}}, 403),
        ("good", {"audiences": ["https://kubernetes.default.svc"]}, 403),
        ("good", {"audiences": None}, 403),
        ("good", {"authenticated": False}, 403),
        ("good", "no TokenReview", 503),
    ],
)
async def test_nobody_else_is_told_anything(bearer: str | None, found: Any, code: int) -> None:
    async with stage() as on:
        on.book.seen(UID)
        on.api.found = on.api.found | found if isinstance(found, dict) else found
        for path in (names.ACTIVITY_PATH, "/metrics"):
            assert await on.ask(bearer, path=path) == (code, "")


@pytest.mark.usefixtures("quick_end")
async def test_where_the_api_server_is_away_nobody_is_told_anything() -> None:
    async with stage() as on:
        on.api.away = True
        assert await on.ask() == (503, "")


@pytest.mark.usefixtures("quick_end")
@pytest.mark.parametrize(
    "header", ["", "Bearer", "Bearer ", "Basic Z29vZA==", "good", "Bearer good good", "Bearer " + "g" * 8193]
)
async def test_what_is_no_bearer_token_costs_the_cluster_nothing(header: str) -> None:
    async with stage() as on:
        code, said = await on.ask(None, Authorization=header)
        assert code in (400, 401), "aiohttp refuses a line that is too long"
        assert UID not in said
        assert on.api.asked == []


@pytest.mark.usefixtures("quick_end")
async def test_the_operator_finds_one_path_and_one_method() -> None:
    async with stage() as on:
        assert (await on.ask(path="/"))[0] == 404
        assert (await on.ask(method="POST"))[0] == 405
        assert len(on.api.asked) == 1


async def test_without_an_operator_there_is_no_port() -> None:
    async with stage(user="") as on:
        assert on.number == 0


def judge(api: Api) -> OperatorTokens:
    return OperatorTokens(cast(Any, api), USER)


async def test_a_flood_of_tokens_costs_few_questions_and_does_not_keep_the_operator_out() -> None:
    api = Api()
    tokens = judge(api)
    assert await tokens.judge("good", "10.0.0.1") is Word.YES
    said = [await tokens.judge(f"bad-{number}", "10.0.0.2") for number in range(1000)]
    assert said.count(Word.NO) + 1 == len(api.asked) <= 1 + AT_ONCE + 5, "a few more where the machine is slow"
    assert said[-1] is Word.TOO_MANY
    assert await tokens.judge("good", "10.0.0.1") is Word.YES
    assert await tokens.judge("good-renewed", "10.0.0.1") is Word.YES


async def test_many_addresses_together_have_a_pace_too() -> None:
    api = Api()
    tokens = judge(api)
    said = [await tokens.judge(f"bad-{number}", f"10.0.{number // 250}.{number % 250}") for number in range(2000)]
    assert len(api.asked) < 200
    assert said[-1] is Word.TOO_MANY
    assert len(tokens) <= KEPT


async def test_a_token_that_was_good_is_asked_about_again_whatever_strangers_do(monkeypatch: pytest.MonkeyPatch) -> None:
    api = Api()
    tokens = judge(api)
    assert await tokens.judge("good", "10.0.0.1") is Word.YES
    for number in range(2000):
        await tokens.judge(f"bad-{number}", f"10.0.{number // 250}.{number % 250}")
    monkeypatch.setattr(operator_tokens, "GOOD_SECONDS", -1.0)
    before = len(api.asked)
    assert await tokens.judge("good", "10.0.0.1") is Word.YES
    assert api.asked[before:] == ["good"]
    api.found = status(authenticated=False)
    assert await tokens.judge("good", "10.0.0.1") is Word.NO, "it was revoked"


async def test_one_token_is_asked_about_once_however_many_bring_it_and_its_no_counts_for_a_while() -> None:
    api = Api()
    tokens = judge(api)
    said = await asyncio.gather(*(tokens.judge("bad", f"10.0.0.{number}") for number in range(50)))
    assert set(said) == {Word.NO}
    assert await tokens.judge("bad", "10.0.0.1") is Word.NO
    assert len(api.asked) == 1


async def test_where_the_cluster_does_not_answer_nothing_is_believed_and_nothing_kept() -> None:
    api = Api()
    tokens = judge(api)
    api.away = True
    assert await tokens.judge("good", "10.0.0.1") is Word.NONE
    api.away = False
    assert await tokens.judge("good", "10.0.0.1") is Word.YES


@pytest.mark.usefixtures("quick_end")
async def test_it_holds_few_connections_and_the_last_to_come_is_served() -> None:
    async with stage() as on:
        silent = [socket.create_connection(("127.0.0.1", on.number)) for _ in range(3 * BOUNDS.connections)]
        try:
            assert (await on.ask())[0] == 200
        finally:
            for each in silent:
                each.close()


async def test_a_process_that_ends_tells_who_asks_once_more_that_nothing_will_come() -> None:
    async with stage() as on:
        on.book.seen(UID)
        _, first = await on.ask()
        ending = asyncio.create_task(on.port.stop())
        await asyncio.sleep(0)
        on.book.seen("last")
        _, last = await on.ask(query=f"?instance={first['instance']}&since={first['cursor']}")
        assert last["closed"] is True
        assert last["pods"].keys() == {"last"}
        async with asyncio.timeout(10):
            await ending


async def test_where_nobody_asks_it_ends_at_once() -> None:
    async with stage() as on:
        async with asyncio.timeout(5):
            await on.port.stop()
        with pytest.raises(aiohttp.ClientConnectionError):
            await on.ask()
