"""What a devbox's environment holds, and in which order: what stands in front is what spec.env can name."""

from typing import Any

import pytest

from devbox_api import names
from devbox_operator.devbox.environment import environment, hashed

GATEWAYS = [
    {
        "name": "ANTHROPIC",
        "gatewayRef": {"name": "a"},
        "aliases": {"token": ["ANTHROPIC_API_KEY"], "url": ["ANTHROPIC_BASE_URL"]},
    }
]
NAME = "agent-0123456789"
DIRECT = "gateway.rel.svc,localhost,.localhost,127.0.0.1,127.0.0.0/8,0.0.0.0,::1,::,127.0.0.2,127.0.1.1,agent-0123456789,$(DEVBOX_POD_IPS)"
BRACKETS = "http://localhost/ [::1] [::]"
"""At the very end: newer versions of curl read nothing behind a space."""


def made(devbox: Any, *env: tuple[str, str], **spec: Any) -> list[dict[str, Any]]:
    written = [{"name": name, "value": value} for name, value in env]
    return environment(devbox(spec={"gateways": GATEWAYS, "env": written, **spec}).box.spec, NAME, "rel")


def values(variables: list[dict[str, Any]]) -> dict[str, Any]:
    """By name, in their order."""
    assert len({one["name"] for one in variables}) == len(variables), "no variable twice"
    return {one["name"]: one.get("value") for one in variables}


@pytest.mark.row("S14")
def test_what_is_the_gateways_stands_where_env_can_name_it(devbox: Any) -> None:
    """The kubelet puts in what stands before. (integration/test_environment.py has it from one.)"""
    secrets = [{"name": "PASSWORD", "secretRef": {"name": "s"}}]
    order = list(
        values(made(devbox, ("OPENAI_BASE_URL", "$(ANTHROPIC_URL)/v1"), ("LATER", "$(OPENAI_BASE_URL)"), secretEnv=secrets))
    )
    first = order.index("OPENAI_BASE_URL")
    before = {
        "ANTHROPIC",
        "ANTHROPIC_API_KEY",
        "ANTHROPIC_URL",
        "ANTHROPIC_BASE_URL",
        "PASSWORD",
        "HTTPS_PROXY",
        "SSL_CERT_FILE",
        "HOME",
    }
    assert before <= set(order[:first])
    assert order[first + 1] == "LATER", "its own order stays"


def test_what_is_written_is_left_as_it_is(devbox: Any) -> None:
    """What `$(X)` and `$$` mean is the kubelet's affair."""
    assert values(made(devbox, ("A", "$(X) $$(ANTHROPIC_URL) $$")))["A"] == "$(X) $$(ANTHROPIC_URL) $$"


@pytest.mark.row("S16")
def test_local_addresses_are_asked_directly(devbox: Any) -> None:
    variables = made(devbox)
    assert variables[0] == {"name": "DEVBOX_POD_IPS", "valueFrom": {"fieldRef": {"fieldPath": "status.podIPs"}}}
    assert [values(variables)[name] for name in ("NO_PROXY", "no_proxy")] == [f"{DIRECT},{BRACKETS}"] * 2


@pytest.mark.parametrize(
    ("env", "added"),
    [
        ([("NO_PROXY", "a.example")], "a.example"),
        ([("no_proxy", " a.example, ")], "a.example"),
        ([("NO_PROXY", "a.example"), ("no_proxy", "b.example")], "a.example,b.example"),
        ([("NO_PROXY", "a.example"), ("no_proxy", "a.example")], "a.example"),
        ([("NO_PROXY", "a.example b.example\n*")], "a.example,b.example,*"),
    ],
    ids=str,
)
def test_what_env_says_of_no_proxy_is_added_in_both_spellings(devbox: Any, env: list[tuple[str, str]], added: str) -> None:
    found = values(made(devbox, *env))
    assert [found[name] for name in ("NO_PROXY", "no_proxy")] == [f"{DIRECT},{added},{BRACKETS}"] * 2


def test_an_empty_no_proxy_takes_nothing_away(devbox: Any) -> None:
    assert values(made(devbox, ("NO_PROXY", "")))["no_proxy"] == f"{DIRECT},{BRACKETS}"


def test_no_proxy_may_name_what_stands_above_it_and_be_named_below(devbox: Any) -> None:
    order = list(
        values(
            made(devbox, ("ONE", "a"), ("NO_PROXY", "$(ONE)"), ("TWO", "b"), ("no_proxy", "$(TWO)"), ("THREE", "$(NO_PROXY)"))
        )
    )
    assert order.index("TWO") < order.index("NO_PROXY") < order.index("no_proxy") < order.index("THREE")


@pytest.mark.parametrize("name", [*names.MORE_CA_VARIABLES, "SYSTEM_WGETRC", "PHP_INI_SCAN_DIR", "KUBERNETES_SERVICE_HOST"])
def test_what_its_owner_sets_is_his(devbox: Any, name: str) -> None:
    secret = [{"name": name, "secretRef": {"name": "s"}}]
    assert values(made(devbox))[name] != "/mine"
    assert values(made(devbox, (name, "/mine")))[name] == "/mine"
    (read,) = (one for one in made(devbox, secretEnv=secret) if one["name"] == name)
    assert read["valueFrom"]["secretKeyRef"]["key"] == f"secret-env.{name}"


def test_tools_with_names_of_their_own_find_the_certificates(devbox: Any) -> None:
    found = values(made(devbox))
    assert {found[name] for name in names.MORE_CA_VARIABLES} == {"/run/devbox-gateway/ca/ca-bundle.crt"}
    assert found["SYSTEM_WGETRC"] == "/run/devbox-gateway/ca/wgetrc"
    assert found["PHP_INI_SCAN_DIR"] == ":/run/devbox-gateway/ca"
    assert not {"JAVA_TOOL_OPTIONS", "JDK_JAVA_OPTIONS"} & found.keys(), "each JVM would print a line because of them"


def test_nothing_looks_like_a_cluster(devbox: Any) -> None:
    found = values(made(devbox))
    assert {found[name] for name in found if name.startswith("KUBERNETES_")} == {""}
    assert len(names.CLUSTER_VARIABLES) == 8


def test_an_object_from_before_a_rule_overwrites_nothing_of_ours(devbox: Any) -> None:
    found = made(devbox, ("HTTPS_PROXY", "http://elsewhere"), ("ANTHROPIC", "x"), ("DEVBOX_POD_IPS", "x"))
    assert "http://elsewhere" not in str(found)
    assert values(found)["ANTHROPIC"] is None, "it is the token"


def test_what_counts_for_a_restart_is_what_it_was(devbox: Any) -> None:
    """pod.spec_hash: no more than what 0.1.0 wrote (test_pod.py has hashes from then)."""
    spec = devbox(spec={"gateways": GATEWAYS, "env": [{"name": "A", "value": "b"}]}).box.spec
    found = hashed(spec, "rel")
    assert [one["name"] for one in found] == [
        *("A", "ANTHROPIC", "ANTHROPIC_API_KEY", "ANTHROPIC_URL", "ANTHROPIC_BASE_URL"),
        *("HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy", "NO_PROXY", "no_proxy", "NODE_USE_ENV_PROXY"),
        *(
            "SSL_CERT_FILE",
            "REQUESTS_CA_BUNDLE",
            "CURL_CA_BUNDLE",
            "NODE_EXTRA_CA_CERTS",
            "GIT_SSL_CAINFO",
            "CARGO_HTTP_CAINFO",
        ),
        "HOME",
    ]
    assert values(found)["NO_PROXY"] == "gateway.rel.svc,127.0.0.1,localhost"
