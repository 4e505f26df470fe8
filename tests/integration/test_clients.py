"""What clients notice: errors that SDKs understand, TLS that they trust, bodies that arrive as they were sent."""

import hashlib
import json
import re

import pytest

from devbox_api import names
from devbox_stage.stage import PYTHON, Stage
from devbox_stage.upstream import HOSTS

TAMPERED = """
import json, os, anthropic, openai
good = os.environ["ANTHROPIC"]
bad = good[:-6] + ("AAAAAA" if good[-6:] != "AAAAAA" else "BBBBBB")
clients = {
    "anthropic": lambda: anthropic.Anthropic(base_url=os.environ["ANTHROPIC_URL"], api_key=bad, max_retries=0).models.list(),
    "openai": lambda: openai.OpenAI(base_url=os.environ["OPENAI_URL"], api_key=bad, max_retries=0).models.list(),
    "no token": lambda: anthropic.Anthropic(base_url=os.environ["ANTHROPIC_URL"], api_key="nothing", max_retries=0).models.list(),
}
for name, call in clients.items():
    try:
        call()
    except Exception as error:
        print(json.dumps([name, type(error).__name__, error.status_code, error.body, str(error)]))
"""
UPSTREAM_ERRORS = """
import json, os, anthropic, openai
a = anthropic.Anthropic(base_url=os.environ["ANTHROPIC_URL"], api_key=os.environ["ANTHROPIC"], max_retries=0)
o = openai.OpenAI(base_url=os.environ["OPENAI_URL"], api_key=os.environ["OPENAI"], max_retries=0)
said = [{"role": "user", "content": "x"}]
for call in (
    lambda: a.messages.create(model="rate-limited", max_tokens=1, messages=said),
    lambda: a.messages.create(model="overloaded", max_tokens=1, messages=said),
    lambda: a.messages.create(model="no-such-model", max_tokens=1, messages=said),
    lambda: o.chat.completions.create(model="rate-limited", messages=said),
    lambda: o.chat.completions.create(model="no-such-model", messages=said),
):
    try:
        call()
    except Exception as error:
        print(type(error).__name__, error.status_code)
"""


@pytest.mark.row("S4", "S13", "S14")
def test_refusals_are_the_sdks_own_exceptions(examples: Stage) -> None:
    out = examples.exec("agent", [PYTHON, "-c", TAMPERED]).out
    results = {name: rest for name, *rest in map(json.loads, out.splitlines())}
    for name in ("anthropic", "openai", "no token"):
        kind, status, body, text = results[name]
        assert (kind, status) == ("AuthenticationError", 401), results
        error = body.get("error", body)
        assert error["type"] == "authentication_error"
        assert re.fullmatch(r"[a-z_]+", error["code"])
        assert error["message"]
        assert "gws_ey" not in json.dumps(body), "a refusal repeats the token"
        assert "eyJ" not in text


@pytest.mark.row("S13", "S14")
def test_the_apis_own_errors_pass_through(examples: Stage) -> None:
    out = examples.exec("agent", [PYTHON, "-W", "ignore", "-c", UPSTREAM_ERRORS]).out
    assert out.splitlines() == [
        "RateLimitError 429",
        "OverloadedError 529",
        "NotFoundError 404",
        "RateLimitError 429",
        "NotFoundError 404",
    ]


@pytest.mark.row("S16")
def test_tls_is_trusted_because_of_the_cluster_and_of_nothing_else(examples: Stage) -> None:
    url = f"https://{examples.gateway_host}/v1/models"
    check = f"curl -sS -o /dev/null -w '%{{http_code}}' {url}"
    assert examples.exec("agent", ["sh", "-c", check]).out == "401"
    plain = examples.exec("agent", ["sh", "-c", f"env -u CURL_CA_BUNDLE -u SSL_CERT_FILE {check}"], check=False)
    assert plain.code == 60, f"curl without the bundle should not trust the gateway: {plain}"
    other = f"curl -sS --noproxy '*' --resolve other.example:443:{examples.gateway_address} https://other.example/"
    assert examples.exec("agent", ["sh", "-c", other], check=False).code == 60, "the certificate is good for one name"
    variables = examples.exec("agent", ["env"]).out
    for name in names.CA_VARIABLES:
        assert f"{name}=/run/devbox-gateway/ca/" in variables
    # The public roots are in the bundle too: pip, git and the rest go on working where a policy lets them.
    count = examples.exec("agent", ["sh", "-c", 'grep -c BEGIN "$SSL_CERT_FILE"']).out
    assert int(count) > 50


@pytest.mark.row("S3")
def test_a_large_body_arrives_as_it_was_sent(examples: Stage) -> None:
    size = 24 * 2**20
    script = f"head -c {size} /dev/urandom > /tmp/body; sha256sum /tmp/body | cut -c1-64; " + (
        'curl -sS -T /tmp/body "$INTERNAL_URL/v1/blobs/a%2Fb?x=%20y&x=2" -H "X-Internal-Token: $INTERNAL"; rm /tmp/body'
    )
    before = examples.upstream.last()
    digest, answer = examples.exec("agent", ["sh", "-c", script]).out.split("\n", 1)
    assert json.loads(answer) == {"bytes": size, "sha256": digest}
    (one,) = [one for one in examples.received(before) if one.method == "PUT"]
    assert one.path == "/v1/blobs/a%2Fb?x=%20y&x=2", "path and query arrive byte for byte"
    assert one.body_sha256 == digest


@pytest.mark.row("S3")
def test_the_upstream_sees_the_clients_request_and_nothing_of_ours(examples: Stage) -> None:
    body = json.dumps({"subject": "ünïcode", "n": 1.10})
    script = (
        'curl -sS "$INTERNAL_URL/v1/tickets" -H "X-Internal-Token: $INTERNAL" -H \'Content-Type: application/json\' '
        "-H 'X-Request-Context: abc' -H 'Cookie: a=b' -A 'my-agent/1.0' --data-binary @-"
    )
    before = examples.upstream.last()
    examples.exec("agent", ["sh", "-c", script], stdin=body)
    (one,) = [one for one in examples.received(before) if one.path == "/v1/tickets"]
    sent = {name.lower(): value for name, value in one.headers}
    assert one.body_sha256 == hashlib.sha256(body.encode()).hexdigest()
    assert sent["host"] == HOSTS["internal"]
    assert sent["user-agent"] == "my-agent/1.0"
    assert sent["x-request-context"] == "abc"
    assert sent["cookie"] == "a=b"
    assert {name for name in sent if "forwarded" in name or "devbox" in name or name == "via"} == set()


@pytest.mark.row("S14")
def test_the_base_path_is_never_doubled(examples: Stage) -> None:
    call = 'curl -sS -o /dev/null -w "%{http_code} " "$OPENAI_URL$path" -H "Authorization: Bearer $OPENAI"'
    script = f"for path in /models /v1/models; do {call}; done"
    before = examples.upstream.last()
    assert examples.exec("agent", ["sh", "-c", script]).out == "200 200 "
    assert [one.path for one in examples.received(before)] == ["/v1/models", "/v1/models"]
