"""The corpus runner by itself: what it does not understand is a failure, and so is what the invariants forbid."""

from dataclasses import replace
from pathlib import Path

import pytest
from tests.attacks.corpus import NOT_RUN, Case, Check, Values, Word, steps
from tests.attacks.declared import why_not
from tests.attacks.expect import GROUPS, KEYS, MEASURES, checks, judge_check, table
from tests.attacks.judge import judge
from tests.attacks.loading import load, read
from tests.attacks.probes import PROBES
from tests.attacks.run import Run, Variant
from tests.support.http_reading import Response, request_head, response_head
from tests.support.recorder import Recorded

VALUES = Values("gws_eyJh.eyJwYXlsb2Fk.c2ln", "sk-real-value", "gateway:443", "api0.test", "https://gateway")
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n"
UPSTREAM = b"GET /v1/models HTTP/1.1\r\nHost: api0.test\r\nAuthorization: Bearer sk-real-value\r\n\r\n"


def case(**change: object) -> Case:
    usual: dict[str, object] = {
        "id": "X-1",
        "group": "framing",
        "name": "",
        "send": [],
        "upstream": None,
        "config": {},
        "status": (),
        "close": False,
        "upstream_requests": None,
        "dials": None,
        "checks": (),
    }
    return Case(**{**usual, **change})  # type: ignore[arg-type]


def run(upstream: bytes = UPSTREAM, body: bytes = b"ok", **change: object) -> Run:
    """One request that passed, and its answer."""
    request = Recorded(1, upstream, request_head(upstream), complete=True, wire=bytearray(upstream))
    result = Run(case(**change), Variant.AS_IS, VALUES, sent=b"GET /v1/models HTTP/1.1\r\nX-A: 1\r\n\r\n", received=OK + body)
    result.requests, result.wire = [request], upstream
    result.responses = [Response(response_head(OK), body, complete=True)]
    return result


def test_every_key_is_used_by_a_case_and_stands_in_the_readme(project_root: Path) -> None:
    folder = project_root / "tests/attacks"
    cases = {path.name: load(path) for path in folder.glob("*.yaml")}
    assert len([case for case in cases["attacks.yaml"] if case.group not in NOT_RUN]) == 151
    assert {check.key for found in cases.values() for case in found for check in case.checks} == set(KEYS)
    assert table() in (folder / "README.md").read_text()
    assert set(KEYS) > MEASURES
    assert set(KEYS) > {key for probe in PROBES for key in probe.keys}


@pytest.mark.parametrize(
    ("expect", "said"),
    [
        ({"moon": "cheese"}, f"X-1: key not understood: expect.moon; known are .*{', '.join(GROUPS)}"),
        ({"asserts": ["no retry"]}, "key not understood: expect.asserts"),
        ({"upstream": {"boddy": "abc"}}, "key not understood: expect.upstream.boddy; known are .*body_begins"),
        ({"upstream": {"body": 5}}, "expect.upstream.body takes text, not 5"),
        ({"upstream": {"aborted": False}}, "expect.upstream.aborted takes true, not False"),
        ({"upstream": {"absent_headers": "X-A"}}, "takes texts"),
        ({"answer": {"headers": {"X-A": 1}}}, "takes name: text"),
        ({"measured": {"rss_mib": True}}, "takes number"),
        ({"measured": 2}, "expect.measured takes keys: rss_mib"),
    ],
)
def test_an_unknown_key_is_an_error_that_lists_the_known_ones(expect: dict[str, object], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        read({"id": "X-1", "group": "framing", "expect": expect})


@pytest.mark.parametrize(
    "item",
    [
        {"group": "framing", "sends": []},
        {"group": "framing", "config": {"sni": "evil.example"}},
        {"group": "connect", "config": {"endpoint": "https://api.example"}},
        {"group": "k8s", "expect": {"status": 403}},
    ],
)
def test_so_is_one_elsewhere_in_a_case(item: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"X-1: key not understood: .*; known are"):
        read({"id": "X-1", **item})


def test_what_is_not_understood_is_a_failure() -> None:
    for item in ("{{WHAT}}", "<DANCE>"):
        with pytest.raises(ValueError, match="not understood"):
            steps([item], VALUES)


def test_a_run_that_is_right_is_right() -> None:
    wanted = checks({"upstream": {"path": "/v1/models", "one_credential": True}})
    assert judge(run(status=(200,), upstream_requests=(1, 1), checks=wanted)) == []


def test_what_is_wrong_is_told_with_its_key() -> None:
    assert judge_check(run(), Check("upstream.path", "/v2")) == "the target at the API is b'/v1/models' (upstream.path)"


def test_checks_that_no_case_of_today_comes_close_to() -> None:
    """Each fails where it has to."""
    broken = run()
    raw = b"HTTP/1.1 200 OK\r\nX-A: a\x00b\nX-B: c\r\n\r\n"
    broken.responses[0].head = replace(broken.responses[0].head, raw=raw)
    broken.facts["bounded"] = 100
    upstream = UPSTREAM[:-2] + b"X-Real-IP: 10.9.8.7\r\n\r\n"
    broken.requests[0] = replace(broken.requests[0], head=request_head(upstream))
    broken.sent = b"GET / HTTP/1.1\r\nX-Real-IP: 10.9.8.7\r\n\r\n"
    wanted = {
        "answer": {"crlf_only": True, "no_control_characters": True},
        "measured": {"queue_bounded": True},
        "upstream": {"no_client_values": True, "no_hop_by_hop": True},
    }
    assert [check.key for check in checks(wanted) if judge_check(broken, check) is None] == []
    assert [check.key for check in checks(wanted) if judge_check(run(), check) is not None] == [
        "measured.queue_bounded",
        "upstream.no_hop_by_hop",
    ]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"status": (400,)}, "status 200, expected 400"),
        ({"close": True}, "still open"),
        ({"upstream_requests": (0, 0)}, "1 requests reached the API"),
        ({"dials": 0}, "expected 0 dials"),
        ({"checks": checks({"upstream": {"path": "/v2"}})}, "/v1/models"),
        ({"checks": checks({"upstream": {"absent_headers": ["X-A"], "body": "abc"}})}, "the body is b''"),
        ({"upstream": UPSTREAM.replace(b"api0.test", b"evil")}, "I1"),
        ({"upstream": UPSTREAM.replace(b"GET", b"X-A")[:-2] + b"X-B: sk-real-value\r\n\r\n"}, "holds the credential 2 times"),
        ({"upstream": UPSTREAM[:-2] + b"X-B: eyJh.eyJwYXlsb2Fk.c2ln\r\n\r\n"}, "I3"),
        ({"body": b"sk-real-value"}, "I2: the client got the credential as it is"),
    ],
)
def test_what_is_wrong_is_found_and_told_without_secrets(change: dict[str, object], said: str) -> None:
    reflected = change.pop("upstream", UPSTREAM)
    wrong = judge(run(upstream=reflected, **change))  # type: ignore[arg-type]
    assert said in "; ".join(wrong)
    assert "sk-real-value" not in "; ".join(wrong)
    assert "eyJ" not in "; ".join(wrong)


def test_a_refusal_must_close_and_a_cut_request_must_leave_no_connection() -> None:
    refused = run()
    head = response_head(b"HTTP/1.1 400 Bad Request\r\nServer: devbox-gateway\r\nContent-Length: 0\r\n\r\n")
    refused.responses, refused.requests = [Response(head, complete=True)], []
    assert judge(refused) == ["I5: the connection stays open after a refusal (400)"]
    cut = run()
    cut.requests[0].complete, cut.open_upstream = False, {1}
    assert "I5: the connection of an exchange that failed is still open to the API" in judge(cut)


def test_placeholders_and_words() -> None:
    assert VALUES.fill("{{REP:ab:2}}|{{HOST}}|\xe9") == b"abab|gateway:443|\xe9"
    assert VALUES.fill("A: {{CL}}\r\n\r\n{{REAL}}") == b"A: 13\r\n\r\nsk-real-value"
    assert VALUES.fill("{{NHDR:2}}").count(b"\r\n") == 2
    assert steps(["<HOLD 120s>", "<DELAY 50>", "<FIN>"], VALUES) == [Word("HOLD", 120), Word("DELAY", 0.05), Word("FIN", 1)]


@pytest.mark.parametrize(
    ("endpoint", "who"),
    [
        ("http://api.example.com", "the CRD"),
        ("https://u:p@api.example.com/x?y#z", "the CRD"),
        ("https://[::ffff:10.0.0.1]/", "the operator"),
        ("https://api.example.com:8443/v1", None),
    ],
)
def test_who_refuses_an_endpoint(endpoint: str, who: str | None) -> None:
    said = why_not(endpoint, frozenset(), "gateway.system.svc")
    assert said is None if who is None else said is not None and said.startswith(who)
