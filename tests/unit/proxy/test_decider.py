"""Plain bytes to a connection of which no token, no cluster and no port is known: whoever serves requests brings a decider of its own."""

import pytest

from devbox_api.judge.refusals import Refusal
from devbox_proxy.decide.admission import Refuse
from devbox_proxy.decide.caller import Caller, about
from devbox_proxy.decide.identity import Decision, Forward
from devbox_proxy.requests.decider import Decider
from devbox_proxy.wire import tokens
from devbox_proxy.wire.guard import RequestHead
from devbox_proxy.wire.tokens import Found

from .identities import known
from .playbook import Play, request

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


class OneApi(Decider):
    """Every GET leads to one API with one credential, as that of a tunnel would whose host is known."""

    def __init__(self) -> None:
        world = known()
        (api,), (credential,) = world.gateways.values(), world.credentials.values()
        assert api is not None
        self.access = credential.at(api)
        self.caller = Caller("team-a", "agent", "agent-1", "uid-9", "intercepted", "team-a/api")
        self.gone = False
        self.asked: list[bool] = []

    def decide(self, head: RequestHead) -> Decision:
        """No token is looked for."""
        if head.method != "GET":
            return Refuse(Refusal.RULE_FORBIDS, self.caller)
        found = tokens.find(head)
        assert isinstance(found, Found)
        facts = about(self.caller, head.method, head.path)
        return Forward(self.caller, self.access, found, self.access.pool_of("team-a"), facts, None)

    async def wait(self, head: RequestHead, decision: Decision) -> Decision:
        """Nothing is waited for."""
        raise AssertionError(decision)

    def forbidden(self, pod_uid: str, *, endless: bool) -> Refusal | None:
        """Until the test says so."""
        assert pod_uid == "uid-9"
        self.asked.append(endless)
        return Refusal.POD_GONE if self.gone else None


@pytest.fixture
def decider() -> OneApi:
    return OneApi()


async def test_its_yes_sends_the_request(decider: OneApi) -> None:
    play = Play(decider=decider)
    sent = play.send(request("GET", "/v1/models"))
    assert b"sk-real" in sent
    assert play.load.requests._by_pod == {"uid-9": 1}
    assert play.answer(ANSWER).endswith(b"ok")
    assert play.load.requests.total == 0
    assert [b'"intercepted"' in line for line in play.lines()] == [True, True]


async def test_its_no_is_the_answer(decider: OneApi) -> None:
    play = Play(decider=decider)
    assert play.send(request("POST", "/v1/models")) == b""
    assert b'"rule_forbids"' in play.to_client.take()


async def test_its_change_of_mind_ends_what_is_under_way(decider: OneApi) -> None:
    play = Play(decider=decider)
    play.send(request("GET", "/v1/models"))
    play.client.check(0)
    decider.gone = True
    play.client.check(0)
    assert b'"pod_gone"' in play.to_client.take()
    assert decider.asked == [False, False]
