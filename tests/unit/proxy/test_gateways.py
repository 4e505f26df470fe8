"""What follows from a gateway document alone."""

import hashlib
from typing import Any

import pytest

from devbox_api.route import GatewayDocument
from devbox_common.redacted import Redacted
from devbox_proxy.known.apis import Api, compile_gateway
from devbox_proxy.known.credentials import Credential
from devbox_proxy.wire.messages import ApiTimeouts
from devbox_stage.credentials import make_certificates

PEM = make_certificates(["api.example"]).ca


def api(endpoint: str = "https://api.example", **fields: Any) -> Api:
    document = {"name": "g", "namespace": "n", "uid": "u", "endpoint": endpoint, "auth": {"type": "Bearer"}, **fields}
    return compile_gateway(GatewayDocument.model_validate(document))


@pytest.mark.parametrize(
    ("endpoint", "said", "bodies"),
    [
        ("https://api.anthropic.com", None, False),
        ("https://api.openai.com", "All", True),
        ("https://api.example", None, True),
        ("https://api.example", "Headers", False),
    ],
)
def test_what_is_searched_for_the_credential(endpoint: str, said: str | None, bodies: bool) -> None:
    compiled = api(endpoint, redact_responses=said)
    assert compiled.redact_body is bodies
    assert (b"accept-encoding" in compiled.not_forwarded) is bodies, "a compressed body can't be searched"


def test_time_outs_that_are_not_set_are_the_gateways_own() -> None:
    assert api().timeouts is None
    assert api(timeouts={"first_byte": 30}).timeouts == ApiTimeouts(first_byte=30)


def test_connections_are_not_shared_between_roots() -> None:
    credential = Credential("c", "1", Redacted("k"), ("api.example",))
    own = api(ca_bundle=PEM)
    assert own.trust == hashlib.sha256(PEM.encode()).hexdigest()
    assert credential.at(own).pool != credential.at(api()).pool


@pytest.mark.parametrize("change", [{"ca_bundle": "MIIB"}, {"ca_bundle": PEM[:200]}, {"rules": [{"paths": ["/a**"]}]}])
def test_a_document_that_cannot_be_used_is_none(change: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"certificate|not at the end"):
        api(**change)
