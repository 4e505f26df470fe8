"""Options, as the client wants them."""

from typing import Any

import pytest

from devbox_gateway.cli import devbox_options, names
from devbox_gateway.cli.retained import kept_by
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


NOTHING: dict[str, Any] = {
    **{"image": None, "gateways": (), "environment": (), "secrets": (), "policy": None, "ttl": None, "metadata": ()},
}


@pytest.mark.row("S23")
@pytest.mark.parametrize(
    ("text", "mount"),
    [
        ("org/app", {"repo_name": "org/app"}),
        ("org/app@v1.2/x", {"repo_name": "org/app", "git_ref": "v1.2/x"}),
        ("services/app=org/app@main", {"repo_name": "org/app", "path": "services/app", "git_ref": "main"}),
        ("https://git.corp:8443/o/r.git@main", {"repository": "https://git.corp:8443/o/r.git", "git_ref": "main"}),
        ("docs=https://gitlab.com/o/r", {"repository": "https://gitlab.com/o/r", "path": "docs"}),
        # (A user in an address is the client's to refuse, in words of its own.)
        ("https://user:pass@git.corp/o/r", {"repository": "https://user:pass@git.corp/o/r"}),
    ],
)
def test_a_clone(text: str, mount: dict[str, str]) -> None:
    assert devbox_options.clone(text) == mount
    assert devbox_options.arguments(**NOTHING, clones=(text,))["code_mounts"] == [mount]


@pytest.mark.parametrize("text", ["", "@main", "a=", "=org/app", "a=b=org/app", "org/app@"])
def test_what_is_no_clone(text: str) -> None:
    with pytest.raises(InvalidError, match="REPOSITORY"):
        devbox_options.clone(text)


@pytest.mark.row("S23")
def test_what_a_devbox_is_made_of() -> None:
    made = devbox_options.arguments(
        **NOTHING, clones=("org/app",), install="npm ci", workspace="10Gi", retain=True, launch=("a", "b"), size="SMALL"
    )
    assert made["code_mounts"] == [{"repo_name": "org/app", "install_command": "npm ci"}]
    assert made["spec"] == {"workspace": {"size": "10Gi", "retain": "Retain"}}
    assert made["launch_parameters"] == {"launch_commands": ["a", "b"], "resource_size_request": "SMALL"}
    plain = devbox_options.arguments(**NOTHING)
    assert (plain["code_mounts"], plain["spec"], plain["launch_parameters"]) == (None, None, {})


@pytest.mark.parametrize(
    ("given", "option"),
    [
        ({"retain": True}, "--retain"),
        ({"install": "make"}, "--install"),
        ({"install": "make", "clones": ("o/a", "o/b")}, "--install"),
    ],
)
def test_what_says_nothing_by_itself(given: dict[str, Any], option: str) -> None:
    with pytest.raises(InvalidError) as caught:
        devbox_options.arguments(**NOTHING, **given)
    assert caught.value.field == option


@pytest.mark.row("S23")
def test_where_a_workspace_stays_is_told_with_a_line_to_paste() -> None:
    metadata = {"name": "agent", "namespace": "team-a"}
    work = {"claimName": "agent-0123456789", "retain": "Retain", "size": "1Gi", "capacity": "2Gi"}
    assert kept_by({"metadata": metadata, "status": {"workspace": work}}) == (
        "the files of devbox agent stay in PersistentVolumeClaim agent-0123456789 (2Gi); to delete them, for good: "
        "kubectl -n team-a delete pvc agent-0123456789"
    )
    hostile = {**work, "claimName": "a; rm -rf ~\x1b[2J"}
    assert kept_by({"metadata": metadata, "status": {"workspace": hostile}}).endswith("delete pvc 'a; rm -rf ~\\x1b[2J'")  # type: ignore[union-attr]
    for status in ({}, {"workspace": {**work, "retain": "Delete"}}):
        assert kept_by({"metadata": metadata, "status": status}) is None
