"""Options, as the client wants them."""

from typing import Any

import pytest

from devbox_gateway.cli import devbox_options, names
from devbox_gateway.cli.verbs import gateway
from devbox_gateway.errors import InvalidError
from devbox_gateway.naming import GATEWAY_CONFIG, SECRET


@pytest.mark.parametrize(
    ("text", "prefix", "found"),
    [
        ("bearer", None, {"type": "bearer"}),
        ("Bearer", None, {"type": "bearer"}),
        ("header:X-Api-Key", None, {"type": "header", "key": "X-Api-Key"}),
        ("header:Authorization", "Token ", {"type": "header", "key": "Authorization", "prefix": "Token "}),
        ("query:api_key", None, {"type": "query", "key": "api_key"}),
        ("basic", None, {"type": "basic"}),
        ("basic:me", None, {"type": "basic", "username": "me"}),
    ],
)
def test_auth(text: str, prefix: str | None, found: dict[str, str]) -> None:
    assert gateway.auth_of(text, prefix) == found


@pytest.mark.parametrize("text", ["", "beer", "header", "query:", "basic:", "bearer:x", ":x"])
def test_what_is_no_auth(text: str) -> None:
    with pytest.raises(InvalidError):
        gateway.auth_of(text)


def test_a_prefix_goes_with_a_header() -> None:
    with pytest.raises(InvalidError, match="--prefix"):
        gateway.auth_of("bearer", "Token ")


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("ANTHROPIC", ("ANTHROPIC", {"gateway": "anthropic"})),
        ("MY_API", ("MY_API", {"gateway": "my-api"})),
        ("A=b", ("A", {"gateway": "b"})),
        ("A=b:KEY 1", ("A", {"gateway": "b", "secret": "KEY 1"})),
        ("A=team-a/b:k", ("A", {"gateway": "gwc_team-a/b", "secret": "k"})),
        ("A=gwc_team-a/b", ("A", {"gateway": "gwc_team-a/b"})),
    ],
)
def test_gateways(text: str, found: tuple[str, Any]) -> None:
    assert devbox_options.gateway(text) == found


@pytest.mark.parametrize("text", ["", "=", "=b", "A=", "A=:k", "A=b:", "A:k"])
def test_what_is_no_gateway(text: str) -> None:
    with pytest.raises(InvalidError, match="--gateway"):
        devbox_options.gateway(text)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("key", "sec_key"),
        ("sec_key", "sec_key"),
        ("secret/key", "sec_key"),
        ("team-a/key", "sec_team-a/key"),
        ("MY_KEY", "MY_KEY"),
        ("gwc_x", "gwc_x"),
    ],
)
def test_names_of_secrets(text: str, found: str) -> None:
    assert names.identity(SECRET, text) == found


def test_names_of_gateway_configs() -> None:
    assert names.identity(GATEWAY_CONFIG, "gatewayconfig.devbox-gateway.io/x") == "gwc_x"


@pytest.mark.parametrize("text", ["", "A", "=x"])
def test_pairs(text: str) -> None:
    with pytest.raises(InvalidError, match="--env"):
        devbox_options.pair("--env", text)
    assert devbox_options.pair("--env", "A=b=c") == ("A", "b=c")
