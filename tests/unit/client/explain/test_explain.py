"""explain says what the gateway says: the same requests, the same objects, both asked."""

import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.client.explain.cases import METHODS, Case, by_hand, every
from tests.unit.client.explain.world import GATEWAYS, POLICIES, Gateway, seen

from devbox_api.judge.refusals import Refusal
from devbox_gateway.errors import InvalidError
from devbox_gateway.explain.answer import Answer, Verdict, Way
from devbox_gateway.explain.judging import explain
from devbox_gateway.explain.seen import Missing, Seen

WORLDS = (*POLICIES, "none")
BOTH = {name: (seen(name), Gateway(name)) for name in WORLDS}
CASES = every()


def compare(world: str, case: Case) -> None:
    """Every way that explain tells of is the gateway's decision there."""
    objects, gateway = BOTH[world]
    answer = explain(objects, case.method, case.url)
    for way in answer.ways:
        if way.by == "forward proxy":
            _compare_proxy(way, case, gateway)
            continue
        name = way.by.removeprefix("gateway ")
        if not way.code and not way.verdict.passes:
            continue  # (no request through this gateway asks for that URL: test_what_no_request_can_ask_for)
        code, leads = gateway.asked(name, case.method, case.sent)
        assert (way.code, way.leads) == (code, leads), (world, case, way)
        assert way.verdict.passes == (code == "")
    if case.gateway:
        assert [way.by for way in answer.ways] == [f"gateway {case.gateway}"]


def _compare_proxy(way: Way, case: Case, gateway: Gateway) -> None:
    if case.scheme == "http":
        own = re.fullmatch(r"(.*[.])?localhost|127[.].*|0[.]0[.]0[.]0|\[::1?\]", case.authority.lower())
        assert way.code == ("local_address" if own else "connect_only")
        return
    port = "" if re.search(r":[0-9]+\Z", case.authority.rpartition("]")[2]) else ":443"
    host = case.authority if case.authority.isascii() else case.authority.encode("idna").decode()
    code, said = gateway.connect(f"{host}{port}")
    assert way.code == code, (case, way)
    if code:
        assert way.reason == (said or Refusal[code.upper()].message)
    else:
        assert way.leads == said
    assert way.verdict.passes == (code == "")


def test_there_are_many_cases() -> None:
    assert len(CASES) >= 300
    codes = {way.code for world in WORLDS for case in CASES for way in explain(BOTH[world][0], case.method, case.url).ways}
    assert codes >= {
        *("", "method_unsupported", "path_invalid", "token_in_path", "rule_forbids", "gateway_gone"),
        *("credential_gone", "credential_not_granted", "host_not_allowed", "port_not_allowed", "address_not_allowed"),
        *("policy_gone", "connect_only", "connect_target_invalid"),
    }


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.method}-{case.url}")
def test_both_say_the_same(case: Case) -> None:
    for world in WORLDS:
        compare(world, case)


_PARTS = st.sampled_from(
    [
        *"repos user api v1 models chat graphql base v2 .. . %2e %2e%2e ..;x a%2Fb %5c %00 %zz x*y é gws_eyJx gws_ %c0%ae".split(),
        "",
        "a b",
    ]
)
_TARGETS = st.builds(
    lambda parts, query: "/" + "/".join(parts) + query,
    st.lists(_PARTS, max_size=5),
    st.sampled_from(["", "?", "?a=1", "?_method=PUT", "?a;%5fmethod=x", "?x-http-method=%00", "?%5Fmethod%00=1"]),
)
_LABELS = st.text(alphabet="abAB01-_", min_size=1, max_size=6)
_HOSTS = st.one_of(
    st.sampled_from([case.authority for case in CASES if case.authority]),
    st.builds(
        lambda label, parent: f"{label}.{parent}", _LABELS, st.sampled_from(["packages.example", "github.com", "example.", "1"])
    ),
    st.ip_addresses(v=4).map(str),
    st.ip_addresses(v=6).map(lambda address: f"[{address}]"),
)
_NAMES = st.sampled_from(["", *(name for name, _, _ in GATEWAYS)])


@settings(max_examples=1500, deadline=None)
@given(st.sampled_from(WORLDS), st.builds(Case, st.sampled_from(METHODS), _HOSTS, _TARGETS, _NAMES, st.just("https")))
def test_whatever_is_asked_both_say_the_same(world: str, case: Case) -> None:
    compare(world, case)


def answered(method: str, url: str, world: str = "listed", **change: Any) -> Answer:
    found = BOTH[world][0]
    return explain(Seen(**{**vars_of(found), **change}), method, url)


def vars_of(found: Seen) -> dict[str, Any]:
    return {name: getattr(found, name) for name in ("devbox", "configs", "policy", "secrets", "labels")}


def test_it_names_the_rule_that_decides() -> None:
    assert (
        "GatewayConfig agents/github, spec.rules[0]: GET, HEAD on /repos/**, /user"
        in answered("GET", "$GITHUB_URL/user").ways[0].decided
    )
    assert "spec.rules: none of 3 allows DELETE /user" in answered("DELETE", "$GITHUB_URL/user").ways[0].decided
    assert "has no rules" in answered("GET", "${ANTHROPIC_URL}/v1/x").ways[0].decided


def test_it_names_the_gateway_that_serves_it_and_where_it_leads() -> None:
    way = answered("POST", "https://api.anthropic.com/v1/messages").ways[0]
    assert (way.by, way.leads) == ("gateway ANTHROPIC", "https://api.anthropic.com/v1/messages")


@pytest.mark.parametrize(
    "path", ["/chat/completions", "/v1/chat/completions", "//v1/chat/completions", "/api/v1/chat/completions"]
)
def test_it_judges_the_joined_path(path: str) -> None:
    way = answered("POST", f"$COMPANY_URL{path}").ways[0]
    assert way.leads == "https://company.example/api/v1/chat/completions"
    assert "spec.rules: none of 1 allows POST /api/v1/other" in answered("POST", "$COMPANY_URL/v1/other").ways[0].decided


def test_it_says_where_the_apis_own_address_leads_instead() -> None:
    way = answered("POST", "https://company.example/v1/chat/completions").ways[0]
    assert "$COMPANY_URL/v1/chat/completions leads to /api/v1/chat/completions" in way.decided


@pytest.mark.parametrize(
    ("url", "line"),
    [
        ("https://github.com/x", "allowedHostnames: github.com"),
        ("https://a.b.packages.example/", "allowedHostnames: *.packages.example"),
        ("https://10.1.9.9/", "allowedCIDRs: 10.1.0.0/16"),
    ],
)
def test_it_names_the_line_of_the_policy(url: str, line: str) -> None:
    (way,) = answered("GET", url).ways
    assert f"EgressPolicy agents/policy, {line}" in way.decided
    assert way.unseen


def test_a_host_with_a_gateway_that_says_no_may_still_be_reached_without_the_credential() -> None:
    way, other = answered("DELETE", "https://api.github.com/user").ways
    assert (way.by, way.verdict.passes) == ("forward proxy", True)
    assert "puts no credential in" in way.decided
    assert (other.by, other.code) == ("gateway GITHUB", "rule_forbids")


def test_the_query_is_in_no_answer() -> None:
    for case in by_hand():
        text = repr(answered(case.method, case.url))
        assert "sk-not-shown" not in text
        assert "_method" not in text


def test_what_no_request_can_ask_for() -> None:
    way = answered("POST", "https://api.openai.com/models").ways[0]
    assert (way.verdict, way.code) == (Verdict.NO, "host_not_allowed") or "is below /v1" in way.decided
    said = [each.decided for each in answered("POST", "https://api.openai.com/models").ways]
    assert any("$OPENAI_URL/models leads to /v1/models" in each for each in said)


def test_a_right_that_is_missing_is_a_result() -> None:
    hidden = answered("GET", "https://github.com/", policy=Missing.FORBIDDEN)
    assert hidden.verdict is Verdict.UNSEEN
    assert hidden.ways[0].unseen == ("EgressPolicy agents/policy (no right to get it)",)
    config = answered("GET", "$GITHUB_URL/user", configs={"agents/github": Missing.FORBIDDEN})
    assert config.verdict is Verdict.UNSEEN
    secret = answered("GET", "$GITHUB_URL/user", secrets={})
    assert secret.verdict is Verdict.AS_FAR_AS_SEEN
    assert "Secret agents/github (no right to get it): its grant and its value" in secret.ways[0].unseen


def told(**conditions: str) -> list[dict[str, str]]:
    return [{"type": kind, "status": status, "reason": "Reason", "message": "as it is"} for kind, status in conditions.items()]


def with_status(**status: Any) -> dict[str, Any]:
    return {**BOTH["listed"][0].devbox, "status": status}


def test_what_the_operator_says_stands_in_for_what_cannot_be_read() -> None:
    box = with_status(phase="Running", conditions=told(CredentialsResolved="True"), gateways=[])
    answer = answered("GET", "$GITHUB_URL/user", devbox=box, configs={"agents/github": Missing.FORBIDDEN})
    assert answer.verdict is Verdict.AS_FAR_AS_SEEN
    address = answered("GET", "$ADDRESS_URL/", devbox=box, secrets={})
    assert address.verdict is Verdict.YES


def test_a_gateway_that_may_not_be_read_is_found_by_the_devbox_s_status() -> None:
    gateways = [{"name": "GITHUB", "url": "https://gateway.system.svc", "endpoint": "https://api.github.com"}]
    box = with_status(phase="Running", conditions=told(CredentialsResolved="True"), gateways=gateways)
    answer = answered("GET", "https://api.github.com/user", devbox=box, configs={"agents/github": Missing.FORBIDDEN})
    assert [way.by for way in answer.ways] == ["gateway GITHUB", "forward proxy"]


def test_labels_that_may_not_be_seen_are_no_no() -> None:
    answer = answered("GET", "$OTHERS_URL/", labels=None)
    assert answer.verdict is Verdict.AS_FAR_AS_SEEN
    assert any("labels of the devbox's namespace" in each for each in answer.ways[0].unseen)
    assert answered("GET", "$CLOSED_URL/", labels=None).ways[0].code == "gateway_gone"


SAID = (
    "Secret agents/github, key key: it is empty\n"
    "gateway OPENAI: the credential of GatewayConfig agents/openai can't be used; its owner finds out why\n"
    "Secret agents/anthropic, key key: it holds a tab; what was read before is still in use, until 2026-05-01T12:00:00Z"
)


@pytest.mark.parametrize(
    ("url", "verdict"),
    [
        ("$GITHUB_URL/user", Verdict.NO),
        ("$OPENAI_URL/v1/models", Verdict.NO),
        ("$ANTHROPIC_URL/v1/x", Verdict.AS_FAR_AS_SEEN),
        ("$PLAIN_URL/", Verdict.AS_FAR_AS_SEEN),
    ],
)
@pytest.mark.parametrize("secrets", [{}, None])
def test_what_the_operator_says_of_one_secret_is_not_said_of_the_others(
    url: str, verdict: Verdict, secrets: dict[str, Any] | None
) -> None:
    """Whether it may be read (its grant is fine) or not."""
    condition = {"type": "CredentialsResolved", "status": "False", "reason": "SecretInvalid", "message": SAID}
    change: dict[str, Any] = {} if secrets is None else {"secrets": secrets}
    answer = answered("GET", url, devbox=with_status(phase="Running", conditions=[condition]), **change)
    assert answer.verdict is verdict
    if verdict is Verdict.NO:
        assert answer.ways[0].code == "credential_gone"


def test_what_the_operator_says_of_a_gateway_config_that_may_not_be_read() -> None:
    condition = {"type": "CredentialsResolved", "status": "False", "reason": "SecretInvalid", "message": SAID}
    box, hidden = with_status(phase="Running", conditions=[condition]), {"agents/openai": Missing.FORBIDDEN}
    assert answered("GET", "$OPENAI_URL/v1/models", devbox=box, configs=hidden).ways[0].code == "credential_gone"
    hidden = {"agents/plain": Missing.FORBIDDEN}
    assert answered("GET", "$PLAIN_URL/", devbox=box, configs=hidden).verdict is Verdict.AS_FAR_AS_SEEN


def test_the_gateway_s_own_address_is_every_gateway_s() -> None:
    gateways = [{"name": name, "url": "https://gateway.system.svc"} for name, _, _ in GATEWAYS]
    answer = answered("GET", "https://gateway.system.svc/user", devbox=with_status(phase="Running", gateways=gateways))
    assert {way.by for way in answer.ways} == {f"gateway {name}" for name, _, _ in GATEWAYS}


@pytest.mark.parametrize(
    ("box", "code"),
    [
        ({"status": {"phase": "Succeeded"}}, "pod_finished"),
        ({"metadata": {"name": "agent", "namespace": "agents", "deletionTimestamp": "2026-01-01T00:00:00Z"}}, "pod_gone"),
        (
            {
                "status": {
                    "conditions": [{"type": "EgressConfined", "status": "False", "reason": "ForeignPolicy", "message": "x"}]
                }
            },
            "devbox_not_confined",
        ),
    ],
)
def test_a_devbox_that_gets_nothing_gets_nothing(box: dict[str, Any], code: str) -> None:
    answer = answered("GET", "$GITHUB_URL/user", devbox={**BOTH["listed"][0].devbox, **box})
    assert (answer.verdict, answer.ways[0].code) == (Verdict.NO, code)


def test_a_devbox_that_does_not_run_is_judged_as_if_it_did_and_that_is_said() -> None:
    answer = answered("GET", "$GITHUB_URL/user", devbox=with_status(conditions=told(Ready="False", RestartRequired="True")))
    assert answer.verdict.passes
    assert "not running (Pending, Reason: as it is)" in answer.notes[0]
    assert "holds after a restart" in answer.notes[1]


@pytest.mark.parametrize(
    ("method", "url", "field"),
    [
        ("GET /", "https://a.example", "METHOD"),
        ("GET", "a.example/x", "URL"),
        ("GET", "ftp://a.example/x", "URL"),
        ("GET", "https://user:sk-hidden@a.example/x", "URL"),
        ("GET", "https://a.example:99999/x", "URL"),
        ("GET", "https:///x", "URL"),
        ("GET", "$anthropic_URL/x", "URL"),
        ("GET", "x" * 70_000, "URL"),
    ],
)
def test_what_is_no_request_is_refused_with_what_to_write(method: str, url: str, field: str) -> None:
    with pytest.raises(InvalidError) as caught:
        answered(method, url)
    assert caught.value.field == field
    assert "sk-hidden" not in str(caught.value)


def test_a_connect_is_the_forward_proxy_s() -> None:
    answer = answered("connect", "github.com:443")
    assert [way.by for way in answer.ways] == ["forward proxy"]
    assert answer.verdict is Verdict.AS_FAR_AS_SEEN
    assert answer.url == "github.com:443"
