"""What an `allowed-hosts` annotation grants: one judgement for operator and gateway."""

import pytest

from devbox_api.judge import hosts


@pytest.mark.parametrize(
    "text",
    [
        "api.example.com",
        "API.Example.com",
        "api.example.com.",
        "*.example.com",
        "intranet",
        "192.0.2.7",
        "fd00::1",
        "xn--bcher-kva.example",
    ],
)
def test_a_host_pattern(text: str) -> None:
    assert hosts.is_pattern(text)
    assert hosts.parse_grant(f" {text} ,") == (text,)
    assert hosts.not_patterns(text) == ()


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("https://api.example.com", "https://api.example.com"),
        ("api.example.com:443", "api.example.com:443"),
        ("api.example.com/v1", "api.example.com/v1"),
        (":443", ":443"),
        (";", "?"),
        ("*", "*"),
        ("*.*.example.com", "*.*.example.com"),
        ("a.*.example.com", "a.*.example.com"),
        ("*.", "*."),
        ("a..b", "a..b"),
        ("-a.example", "-a.example"),
        ("x.example$(touch PWNED)", "x.example??touch?PWNED?"),
        ("its owner runs: kubectl delete ns", "its?owner?runs:?kubectl?delete?ns"),
        ("bücher.example", "b?cher.example"),
        ("\x1b[31m\u202ex", "??31m?x"),
        ("[fd00::1]", "?fd00::1?"),
        ("fe80::1%$(id)", "fe80::1???id?"),
        ("a" * 300, "a" * 60 + "…"),
    ],
)
def test_what_is_no_host_pattern_grants_nothing_and_is_named_without_harm(text: str, named: str) -> None:
    assert not hosts.is_pattern(text)
    assert hosts.parse_grant(f"{text},api.example.org") == ("api.example.org",)
    assert hosts.not_patterns(f"api.example.org, {text}") == (named,)


def test_a_long_list_of_mistakes_is_cut() -> None:
    assert hosts.not_patterns(",".join(f":{port}" for port in range(9))) == (":0", ":1", ":2", ":3", ":4", "and 4 more")


@pytest.mark.parametrize(
    ("pattern", "host", "expected"),
    [
        ("api.example.com", "API.example.com.", True),
        ("*.example.com", "a.b.example.com", True),
        ("*.example.com", "example.com", False),
        ("*.example.com", "xexample.com", False),
        ("example.com", "a.example.com", False),
    ],
)
def test_a_pattern_covers(pattern: str, host: str, *, expected: bool) -> None:
    assert hosts.matches(pattern, host) is expected
