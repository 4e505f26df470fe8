"""What a CONNECT may become, case by case, with a clock of our own."""

from dataclasses import replace

import pytest

from devbox_api.judge.policies import compile_egress
from devbox_api.judge.refusals import Refusal
from devbox_api.route import LACKS_POLICY, Route
from devbox_proxy.decide.admission import For, Refuse, Wait
from devbox_proxy.decide.connect_decision import Decision, Grant, wrong_hello
from devbox_proxy.known.facts import ReviewTimes
from devbox_proxy.wire.client_hello import Hello

from .egress_world import DOCUMENT, WAY_OUT, ask, world
from .identities import CURRENT, NOW, POD, jwt
from .identities import ask as ask_api


def refusal(decision: Decision) -> Refusal:
    assert isinstance(decision, Refuse)
    return decision.refusal


@pytest.mark.row("S19")
@pytest.mark.parametrize(
    "target",
    [
        "api.github.com:443",
        "API.github.com.:443",
        "files.packages.example:443",
        "a.b.packages.example:443",
        "10.1.2.3:443",
        "[2001:db8::1]:443",
    ],
)
def test_what_the_policy_names_is_granted(target: str) -> None:
    decision = ask(world(), target)
    assert isinstance(decision, Grant)
    assert decision.caller.name == "egress"
    assert decision.caller.gateway == "agents/p"
    assert decision.refresh is None


@pytest.mark.parametrize(
    ("target", "said"),
    [
        ("evil.example:443", (Refusal.HOST_NOT_ALLOWED, "evil.example; the EgressPolicy's allowedHostnames do not hold it")),
        ("github.com:443", (Refusal.HOST_NOT_ALLOWED, "github.com; the EgressPolicy's allowedHostnames do not hold it")),
        (
            "packages.example:443",
            (Refusal.HOST_NOT_ALLOWED, "packages.example; the EgressPolicy's allowedHostnames do not hold it"),
        ),
        (
            "evilpackages.example:443",
            (Refusal.HOST_NOT_ALLOWED, "evilpackages.example; the EgressPolicy's allowedHostnames do not hold it"),
        ),
        ("api.github.com:8443", (Refusal.PORT_NOT_ALLOWED, "8443; the EgressPolicy's allowedPorts: 443")),
        ("10.2.0.1:443", (Refusal.ADDRESS_NOT_ALLOWED, "10.2.0.1; the EgressPolicy's allowedCIDRs do not hold it")),
        ("93.184.216.34:443", (Refusal.ADDRESS_NOT_ALLOWED, "93.184.216.34; the EgressPolicy's allowedCIDRs do not hold it")),
        (
            "[::ffff:a01:203]:443",
            (Refusal.ADDRESS_NOT_ALLOWED, "::ffff:a01:203; the EgressPolicy's allowedCIDRs do not hold it"),
        ),
        ("0xa010203:443", (Refusal.ADDRESS_NOT_ALLOWED, "0xa010203; an IPv4 address is written as four decimal numbers")),
    ],
)
def test_what_it_does_not_name_is_refused_with_what_to_do(target: str, said: tuple[Refusal, str]) -> None:
    decision = ask(world(), target)
    assert isinstance(decision, Refuse)
    assert (decision.refusal, decision.said) == said


@pytest.mark.parametrize("policy", [{}, {"policy": None}])
@pytest.mark.parametrize("host", ["gateway.devbox-gateway-system.svc", "GATEWAY.rel.svc.cluster.local."])
def test_who_asks_for_the_gateway_itself_is_told_that_it_needs_no_proxy(policy: dict[str, None], host: str) -> None:
    decision = ask(world(egress=WAY_OUT.model_copy(update=policy)), f"{host}:443")
    assert isinstance(decision, Refuse)
    assert decision.refusal is Refusal.HOST_NOT_ALLOWED
    assert "the gateway itself is reached directly: this client does not heed $NO_PROXY" in decision.said


def test_without_a_policy_nothing_is_allowed() -> None:
    decision = ask(world(egress=WAY_OUT.model_copy(update={"policy": None})), "example.com:443")
    assert isinstance(decision, Refuse)
    assert decision.refusal is Refusal.HOST_NOT_ALLOWED
    assert decision.said == "example.com; set spec.egressPolicyRef"


@pytest.mark.row("S16")
def test_a_policy_that_is_gone_is_not_taken_for_none() -> None:
    lacking = WAY_OUT.model_copy(update={"policy": None, "lacks": LACKS_POLICY})
    decision = ask(world(egress=lacking), "example.com:443")
    assert isinstance(decision, Refuse)
    assert decision.refusal is Refusal.POLICY_GONE


def test_all_hosts_are_no_addresses() -> None:
    everything = world(DOCUMENT.model_copy(update={"allow_all": True, "ports": (443, 22)}))
    assert isinstance(ask(everything, "any.example:22"), Grant)
    assert refusal(ask(everything, "any.example:25")) is Refusal.PORT_NOT_ALLOWED
    assert refusal(ask(everything, "93.184.216.34:443")) is Refusal.ADDRESS_NOT_ALLOWED
    assert refusal(ask(everything, "127.1:443")) is Refusal.ADDRESS_NOT_ALLOWED


def test_a_policy_that_is_gone_or_unreadable_allows_nothing() -> None:
    assert refusal(ask(world(None))) is Refusal.ROUTE_UNSUPPORTED
    gone = world()
    gone.egress = {}
    assert refusal(ask(gone)) is Refusal.POLICY_GONE


def test_each_port_takes_its_own_tokens_only() -> None:
    assert refusal(ask(world(), token=CURRENT)) is Refusal.TOKEN_FOR_GATEWAY
    other = ask_api(world(), jwt(6))
    assert isinstance(other, Refuse)
    assert other.refusal is Refusal.TOKEN_FOR_EGRESS
    assert refusal(ask(world(), token=jwt(99))) is Refusal.TOKEN_UNKNOWN


def test_who_asks_is_judged_as_for_requests() -> None:
    assert refusal(ask(world(), peer="10.244.0.8")) is Refusal.TOKEN_ELSEWHERE
    gone = world()
    gone.pods = {}
    assert refusal(ask(gone)) is Refusal.POD_GONE
    finished = world()
    finished.pods = {"uid-1": replace(POD, phase="Succeeded")}
    assert refusal(ask(finished)) is Refusal.POD_FINISHED
    newer = world()
    newer.unsupported = frozenset({"uid-1"})
    assert refusal(ask(newer)) is Refusal.ROUTE_UNSUPPORTED
    early = world()
    early.synced = False
    assert refusal(ask(early)) is Refusal.NOT_READY


def test_a_review_of_any_token_of_the_pod_counts_and_is_renewed() -> None:
    unreviewed = world()
    unreviewed.reviews = {}
    decision = ask(unreviewed)
    assert isinstance(decision, Wait)
    assert decision.what is For.REVIEW
    assert decision.subject == (unreviewed.routes["uid-1"], WAY_OUT)
    assert WAY_OUT.audience == "devbox-gateway.io/egress"
    soon = ask(world(), now=NOW + ReviewTimes().review * 0.95)
    assert isinstance(soon, Grant)
    assert soon.refresh is not None


def test_a_devbox_that_is_not_confined_gets_nothing_on_either_port() -> None:
    open_one: Route = world(confined=False).routes["uid-1"]
    around = world(confined=False)
    around.tokens = dict.fromkeys(around.tokens, (open_one, open_one.bindings[0]))
    assert refusal(ask(around)) is Refusal.DEVBOX_NOT_CONFINED
    other = ask_api(around)
    assert isinstance(other, Refuse)
    assert other.refusal is Refusal.DEVBOX_NOT_CONFINED


def test_a_policy_with_a_range_that_is_none_is_not_used() -> None:
    for cidr in ("10.0.0.1/8", "10.0.0.0/33", "example.com"):
        with pytest.raises(ValueError, match=r".+"):
            compile_egress(DOCUMENT.model_copy(update={"cidrs": (cidr,)}))


@pytest.mark.parametrize(
    ("target", "name", "wrong"),
    [
        ("api.github.com:443", "api.github.com", None),
        ("api.github.com:443", "API.GitHub.com", None),
        ("api.github.com:443", "api.github.com.", Refusal.SNI_MISMATCH),
        ("api.github.com:443", "files.packages.example", Refusal.SNI_MISMATCH),
        ("api.github.com:443", "github.com", Refusal.SNI_MISMATCH),
        ("api.github.com:443", "not a name", Refusal.SNI_MISMATCH),
        ("api.github.com:443", None, Refusal.SNI_MISSING),
        ("10.1.2.3:443", None, None),
        ("10.1.2.3:443", "files.packages.example", None),
        ("10.1.2.3:443", "evil.example", Refusal.SNI_MISMATCH),
        ("10.1.2.3:443", "10.1.2.3", Refusal.SNI_MISMATCH),
    ],
)
def test_the_servers_name_is_the_host_that_was_asked_for(target: str, name: str | None, wrong: Refusal | None) -> None:
    grant = ask(world(), target)
    assert isinstance(grant, Grant)
    hello = Hello(name, encrypted=False, length=1)
    assert wrong_hello(hello, grant, allow_ech=False, allow_no_sni=False) is wrong
    hidden = replace(hello, encrypted=True)
    assert wrong_hello(hidden, grant, allow_ech=False, allow_no_sni=True) is Refusal.ECH_NOT_ALLOWED
    lenient = wrong_hello(hidden, grant, allow_ech=True, allow_no_sni=True)
    assert lenient is (None if wrong is Refusal.SNI_MISSING else wrong)
