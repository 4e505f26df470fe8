"""What an allow-list allows: its grammar, case by case, and nothing by accident."""

import time

import pytest

from devbox_api.judge.paths import METHODS
from devbox_api.judge.rules import compile_rules
from devbox_api.route import Rule


def allowed(rule: str, path: str) -> bool:
    return compile_rules([Rule(paths=(rule,))]).allow("GET", path.encode())


@pytest.mark.parametrize(
    ("rule", "path"),
    [
        ("/", "/"),
        ("/v1/messages", "/v1/messages"),
        ("/v1/messages", "/v1/mess%61ges"),
        ("/v1/mess%61ges", "/v1/messages"),
        ("/v1/models/*", "/v1/models/claude-opus-4"),
        ("/v1/models/*", "/v1/models/a%20b"),
        ("/v1/models/gpt-*", "/v1/models/gpt-"),
        ("/v1/models/gpt-*-mini", "/v1/models/gpt-5-mini-mini"),
        ("/v1/*-*-*", "/v1/a-b-c-d"),
        ("/v1/files/*/content", "/v1/files/f1/content"),
        ("/v1/**", "/v1"),
        ("/v1/**", "/v1/"),
        ("/v1/**", "/v1/a/b//c"),
        ("/v1/**", "/v1/group%2Fproject/x"),
        ("/v1/*/**", "/v1/a"),
        ("/**", "/"),
        ("/**", "/a/b"),
        ("/projects/team%2Fapp/**", "/projects/team%2fapp/issues"),
        ("/projects/team%2F*", "/projects/team%2Fapp"),
        ("/a.b", "/a.b"),
        ("/caf%C3%A9", "/caf%c3%a9"),
        ("/literal%2A", "/literal*"),
    ],
)
def test_what_a_rule_allows(rule: str, path: str) -> None:
    assert allowed(rule, path)


@pytest.mark.parametrize(
    ("rule", "path"),
    [
        ("/", "/v1"),
        ("/v1/messages", "/v1/messages/batches"),
        ("/v1/messages", "/v1/messages/"),
        ("/v1/messages", "/v1/Messages"),
        ("/v1/messages", "/v1//messages"),
        ("/v1/messages", "/v1%2Fmessages"),
        ("/v1/messages", "/x/v1/messages"),
        ("/v1/messages", "/v1/messages;x=1"),
        ("/v1/models/*", "/v1/models/"),
        ("/v1/models/*", "/v1/models"),
        ("/v1/models/*", "/v1/models/a/b"),
        ("/v1/models/*", "/v1/models/a%2Fb"),
        ("/v1/models/*", "/v1/models/a%5cb"),
        ("/v1/models/gpt-*", "/v1/models/gpt-5%2F..x"),
        ("/v1/*-*", "/v1/a%2F-b"),
        ("/v1/models/gpt-*-mini", "/v1/models/gpt-mini"),
        ("/v1/**", "/v1x"),
        ("/v1/**", "/v10/a"),
        ("/v1/**", "/"),
        ("/v1/**", "/v1%2Fa"),
        ("/v1/**", "/v1/%252e%252e/admin"),
        ("/v1/**", "/v1/a%252Fb"),
        ("/v1/**", "/v1/a%255cb"),
        ("/a.b", "/axb"),
        ("/literal%2A", "/literalx"),
    ],
)
def test_what_a_rule_does_not_allow(rule: str, path: str) -> None:
    assert not allowed(rule, path)


def test_methods_belong_to_their_own_paths_and_none_means_all() -> None:
    rules = compile_rules([Rule(methods=("GET", "HEAD"), paths=("/v1/models/**",)), Rule(paths=("/v1/messages", "/health"))])
    assert {method for method in METHODS if rules.allow(method, b"/v1/models/a")} == {"GET", "HEAD"}
    assert all(rules.allow(method, b"/v1/messages") and rules.allow(method, b"/health") for method in METHODS)
    assert not compile_rules([Rule(methods=("POST",), paths=("/v1",))]).allow("GET", b"/v1")


@pytest.mark.parametrize("path", ["", "v1", "/a**", "/a/**/b", "/**x", "/a%0", "/a%00b", "/a%zz"])
def test_what_is_no_path_of_a_rule_is_not_compiled(path: str) -> None:
    with pytest.raises(ValueError, match=r"rule's path|not at the end"):
        compile_rules([Rule(paths=(path,))])


def test_no_path_makes_it_slow() -> None:
    rules = compile_rules([Rule(paths=("/" + "*a" * 60, "/*/*/*/*/*/*x", "/a*/a*/a*/a*/**"))])
    started = time.perf_counter()
    for path in (b"/" + b"a" * 8000 + b"b", b"/" + b"/".join([b"a" * 1000] * 8), b"/a" * 4000):
        rules.allow("GET", path)
    assert time.perf_counter() - started < 0.25
