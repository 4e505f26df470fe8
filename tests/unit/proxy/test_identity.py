"""The decision, case by case, with a clock of our own."""

from dataclasses import replace

import pytest

from devbox_api.judge.refusals import Refusal
from devbox_api.names import token_digest
from devbox_api.route import LACKS_CREDENTIAL, LACKS_GRANT, Auth, GatewayDocument, Rule
from devbox_common.redacted import Redacted
from devbox_proxy.decide import injection
from devbox_proxy.decide.admission import For, Refuse, Wait
from devbox_proxy.decide.identity import Decision, Forward, decide
from devbox_proxy.known.apis import Api, compile_gateway
from devbox_proxy.known.credentials import Credential
from devbox_proxy.known.facts import LIVE, Review
from devbox_proxy.wire.guard import RequestHead

from .identities import BINDING, CURRENT, NOW, OLD, POD, ROUTE, TIMES, ask, head, jwt, known, refused


def basic() -> Api:
    """An API whose credential is to be user:password."""
    auth = Auth(type="Basic", user_in_secret=True)
    return compile_gateway(GatewayDocument(name="git", namespace="agents", uid="g", endpoint="https://api.example", auth=auth))


@pytest.mark.row("S3", "S28")
def test_a_good_token_from_its_own_pod_passes() -> None:
    asked = head()
    decision = decide(asked, known(), NOW, TIMES)
    assert isinstance(decision, Forward)
    assert decision.caller.gateway == "agents/anthropic"
    assert decision.caller.credential_id == "JTI=1"
    assert (b"Authorization", b"Bearer sk-real") in injection.render(asked, decision).headers
    assert decision.refresh is None


def test_an_older_token_of_the_pod_passes_too() -> None:
    assert isinstance(ask(known(), OLD), Forward)


@pytest.mark.row("S4")
@pytest.mark.parametrize(
    ("change", "refusal"),
    [
        ({"ips": ("10.244.0.8",)}, Refusal.TOKEN_ELSEWHERE),
        ({"deleting": True}, Refusal.POD_GONE),
        ({"phase": "Succeeded"}, Refusal.POD_FINISHED),
        ({"phase": "Failed"}, Refusal.POD_FINISHED),
        ({"host_network": True}, Refusal.POD_ON_HOST_NETWORK),
        ({"ips": ()}, Refusal.TOKEN_ELSEWHERE),
        ({"node": ""}, Refusal.TOKEN_ELSEWHERE),
    ],
)
def test_the_pod_must_be_here_now_and_the_one_that_calls(change: dict[str, object], refusal: Refusal) -> None:
    world = known()
    world.pods["uid-1"] = replace(POD, **change)  # type: ignore[arg-type]
    assert refused(ask(world)) is refusal


@pytest.mark.parametrize("peer", ["::ffff:10.244.0.7", "fd00::7", "fd00:0:0::7"])
def test_addresses_of_both_families(peer: str) -> None:
    world = known()
    world.pods["uid-1"] = replace(POD, ips=("10.244.0.7", "fd00::7"))
    assert isinstance(ask(world, peer=peer), Forward)


@pytest.mark.row("S4", "S26")
def test_another_pods_token_is_unknown_once_the_pod_is_gone() -> None:
    world = known()
    world.pods.clear()
    assert refused(ask(world)) is Refusal.POD_GONE
    world.tokens.clear()
    assert refused(ask(world)) is Refusal.TOKEN_UNKNOWN


def test_a_route_that_came_before_its_pod_waits_for_it() -> None:
    world = known()
    pod = world.pods.pop("uid-1")
    world.awaited["uid-1"] = NOW - 1
    decision = ask(world)
    assert isinstance(decision, Wait)
    assert decision.what is For.MIRROR
    assert decision.otherwise.refusal is Refusal.POD_GONE
    world.pods_as_of = NOW - 1
    assert refused(ask(world)) is Refusal.POD_GONE, "nothing would arrive"
    world.pods_as_of = LIVE
    world.awaited["uid-1"] = NOW - 61
    assert refused(ask(world)) is Refusal.POD_GONE, "it will not come any more"
    world.pods["uid-1"] = replace(pod, deleting=True)
    world.awaited["uid-1"] = NOW - 1
    assert refused(ask(world)) is Refusal.POD_GONE


def test_an_init_container_may_call_while_its_pod_is_pending() -> None:
    world = known()
    world.pods["uid-1"] = replace(POD, phase="Pending")
    assert isinstance(ask(world), Forward)


def test_a_young_pod_waits_for_its_route() -> None:
    world = known()
    world.tokens.clear()
    world.routes.clear()
    world.pods["uid-1"] = replace(POD, seen_at=NOW - 5)
    decision = ask(world)
    assert isinstance(decision, Wait)
    assert decision.what is For.MIRROR
    assert decision.otherwise.refusal is Refusal.TOKEN_UNKNOWN
    world.routes_as_of = NOW - 1
    assert refused(ask(world)) is Refusal.STATE_STALE, "nothing would arrive"


@pytest.mark.parametrize("watch", ["routes_as_of", "pods_as_of"])
def test_a_token_that_is_not_known_while_a_watch_is_away_may_be_newer(watch: str) -> None:
    """A no that lasts would have an agent give up that has just begun, or whose token was renewed; of a pod that is known or not."""
    for pods in (True, False):
        world = known()
        if not pods:
            world.pods.clear()
            world.routes.clear()
        assert refused(ask(world, jwt(99))) is Refusal.TOKEN_UNKNOWN
        setattr(world, watch, NOW - 1)
        assert refused(ask(world, jwt(99))) is Refusal.STATE_STALE


def test_a_routed_pod_does_not_wait_for_a_token_that_was_never_issued() -> None:
    world = known()
    world.pods["uid-1"] = replace(POD, seen_at=NOW - 5)
    assert refused(ask(world, jwt(99))) is Refusal.TOKEN_UNKNOWN


def test_a_young_pod_waits_for_its_address() -> None:
    world = known()
    world.pods["uid-1"] = replace(POD, ips=(), seen_at=NOW - 1)
    decision = ask(world)
    assert isinstance(decision, Wait)
    assert decision.otherwise.refusal is Refusal.TOKEN_ELSEWHERE


@pytest.mark.parametrize(
    ("age", "pods_live", "away", "outcome"),
    [
        (1, True, None, "forward"),
        (119, True, None, "refresh"),
        (121, True, None, "wait"),
        (9, False, None, "forward"),
        (11, False, None, "wait"),
        (121, True, 2, "forward"),
        (122, False, 1, Refusal.REVIEW_UNAVAILABLE),  # it had grown too old before the API server went away
        (418, False, 299, "forward"),
        (301, False, 301, Refusal.REVIEW_UNAVAILABLE),
    ],
)
def test_how_long_a_review_counts(age: float, pods_live: bool, away: float | None, outcome: object) -> None:
    world = known()
    world.reviews["uid-1"] = Review(NOW - age, True, token_digest(CURRENT))
    world.pods_as_of = LIVE if pods_live else NOW - min(age, 299)
    world.api_away_since = None if away is None else NOW - away
    decision = ask(world)
    if isinstance(outcome, Refusal):
        assert refused(decision) is outcome
    elif outcome == "wait":
        assert isinstance(decision, Wait)
        assert decision.what is For.REVIEW
        assert decision.subject == (ROUTE, BINDING)
    else:
        assert isinstance(decision, Forward)
        if outcome == "refresh":
            assert decision.refresh == (ROUTE, BINDING)


@pytest.mark.row("S28")
@pytest.mark.parametrize("watch", ["routes_as_of", "pods_as_of"])
def test_a_watch_that_fails_alone_is_believed_for_as_long_as_an_outage_may_last(watch: str) -> None:
    world = known()
    for age, served in ((1, True), (300, True), (301, False)):
        setattr(world, watch, NOW - age)
        world.reviews["uid-1"] = Review(NOW - 1, True, token_digest(CURRENT))
        decision = ask(world)
        assert isinstance(decision, Forward) == served, age
        if not served:
            assert refused(decision) is Refusal.STATE_STALE
    assert refused(ask(world, jwt(99))) is Refusal.STATE_STALE, "nor is anybody told that a token is unknown"
    setattr(world, watch, LIVE)
    assert isinstance(ask(world), Forward)


def test_an_unknown_pod_is_reviewed_first_and_refused_while_the_api_server_is_away() -> None:
    world = known()
    world.reviews.clear()
    assert isinstance(ask(world), Wait)
    world.api_away_since = NOW
    assert refused(ask(world)) is Refusal.REVIEW_UNAVAILABLE


def test_a_no_is_remembered_for_that_token_and_not_for_ever() -> None:
    world = known()
    world.reviews["uid-1"] = Review(NOW - 1, False, token_digest(CURRENT))
    assert refused(ask(world)) is Refusal.TOKEN_REFUSED
    assert isinstance(ask(world, now=NOW + 20), Wait)
    world.api_away_since = NOW + 15
    assert refused(ask(world, now=NOW + 20)) is Refusal.REVIEW_UNAVAILABLE, "there is nobody to wait for"
    world.api_away_since = None
    world.reviews["uid-1"] = Review(NOW - 1, False, token_digest(OLD))
    assert isinstance(ask(world), Wait), "the token was renewed since"
    world.reviews["uid-1"] = Review(NOW - 1, False, token_digest(OLD), "", frozenset({token_digest(CURRENT)}))
    assert refused(ask(world)) is Refusal.TOKEN_REFUSED, "both were refused"
    assert isinstance(ask(world, now=NOW + 20), Wait)


@pytest.mark.parametrize(
    ("spoil", "refusal"),
    [
        (lambda world: world.gateways.clear(), Refusal.GATEWAY_GONE),
        (lambda world: world.gateways.update({"gateway-g": None}), Refusal.ROUTE_UNSUPPORTED),
        (lambda world: world.credentials.clear(), Refusal.CREDENTIAL_GONE),
        (
            lambda world: world.credentials.update({"credential-c": Credential("credential-c", "8", Redacted("sk"), ())}),
            Refusal.CREDENTIAL_NOT_GRANTED,
        ),
        (lambda world: world.gateways.update({"gateway-g": basic()}), Refusal.CREDENTIAL_GONE),
        (lambda world: setattr(world, "unsupported", frozenset({"uid-1"})), Refusal.ROUTE_UNSUPPORTED),
        (lambda world: setattr(world, "synced", False), Refusal.NOT_READY),
    ],
)
def test_what_is_missing_fails_closed(spoil, refusal: Refusal) -> None:  # type: ignore[no-untyped-def]
    world = known()
    spoil(world)
    assert refused(ask(world)) is refusal


def test_rules_look_at_the_path_behind_the_base_path() -> None:
    world = known()
    world.gateways["gateway-g"] = compile_gateway(
        GatewayDocument(
            name="openai",
            namespace="agents",
            uid="g",
            endpoint="https://api.example/v1",
            auth=Auth(type="Bearer"),
            rules=(Rule(methods=("POST",), paths=("/v1/chat/*",)),),
        )
    )

    def asked(method: str, target: bytes, *more: tuple[bytes, bytes]) -> Decision:
        headers = ((b"Host", b"g"), (b"x-api-key", f"gws_{CURRENT}".encode()), *more)
        return decide(RequestHead(method, target, (1, 1), headers, "10.244.0.7"), world, NOW, TIMES)

    assert isinstance(asked("POST", b"/chat/completions?stream=1"), Forward)
    assert isinstance(asked("POST", b"/v1/chat/completions"), Forward)
    for method, target in (("GET", b"/chat/completions"), ("POST", b"/chat"), ("POST", b"/v1/chat%2Fcompletions")):
        refusal = asked(method, target)
        assert isinstance(refusal, Refuse)
        assert refusal.refusal is Refusal.RULE_FORBIDS
        assert refusal.caller is not None
        assert refusal.caller.gateway == "agents/openai"
    for name in (b"X-HTTP-Method-Override", b"x-original-url", b"x.http-method.override", b"X_HTTP_Method_Override"):
        assert refused(asked("POST", b"/chat/completions", (name, b"DELETE"))) is Refusal.RULE_FORBIDS
    for query in (b"_method=DELETE", b"a=1&%5fMethod=DELETE", b"a=1;_method=DELETE", b"X-HTTP-Method-Override=PUT"):
        assert refused(asked("POST", b"/chat/completions?" + query)) is Refusal.RULE_FORBIDS
    assert isinstance(asked("POST", b"/chat/completions?a=_method=DELETE&method=x"), Forward)

    by = "by GatewayConfig agents/openai; use what its spec.rules list, or ask its owner"
    for decision, said in (
        (asked("GET", b"/chat/x?q=1"), f'GET "/chat/x" is not allowed {by}'),
        (asked("POST", b"/" + b"x" * 300), f'POST "/{"x" * 199}…" is not allowed {by}'),
        (asked("POST", b"/%2567ws_%2565yJ.a.b"), f'POST "…" is not allowed {by}'),
        (
            asked("POST", b"/chat/completions?_method=DELETE"),
            f'the query of POST "/chat/completions" may ask the API for another method, which is not allowed {by}',
        ),
        (
            asked("POST", b"/chat/completions", (b"X-HTTP-Method", b"DELETE")),
            f"the header x-http-method may ask the API for another method or path, which is not allowed {by}",
        ),
    ):
        assert isinstance(decision, Refuse)
        assert decision.said == said


@pytest.mark.parametrize(
    ("lacks", "refusal"),
    [
        ("", Refusal.GATEWAY_GONE),
        (LACKS_CREDENTIAL, Refusal.CREDENTIAL_GONE),
        (LACKS_GRANT, Refusal.CREDENTIAL_NOT_GRANTED),
        ("of a newer operator", Refusal.GATEWAY_GONE),
    ],
)
@pytest.mark.row("S16")
def test_a_binding_that_leads_nowhere_says_what_it_lacks(lacks: str, refusal: Refusal) -> None:
    world = known()
    route, binding = world.tokens[token_digest(CURRENT)]
    nowhere = binding.model_copy(update={"gateway": "", "credential": "", "lacks": lacks})
    world.tokens[token_digest(CURRENT)] = (route, nowhere)
    assert refused(ask(world)) is refusal


def test_two_credentials_or_two_versions_never_share_connections() -> None:
    first, second = known(), known()
    second.credentials["credential-c"] = Credential("credential-c", "8", Redacted("sk-new"), ("api.example",))
    a, b = ask(first), ask(second)
    assert isinstance(a, Forward)
    assert isinstance(b, Forward)
    assert a.pool != b.pool
