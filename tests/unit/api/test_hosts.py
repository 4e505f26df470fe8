"""What an `allowed-hosts` annotation grants: one judgement for operator and gateway."""

import pytest

from devbox_api.judge import grants, hosts


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
    assert grants.mistakes(text) == ()


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
