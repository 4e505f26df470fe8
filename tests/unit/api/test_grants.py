"""What is wrong in a grant: the entry is named without harm, and what to write in its place."""

import pytest

from devbox_api.judge import grants, hosts

pytestmark = pytest.mark.row("S29")


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("https://api.example.com", "https://api.example.com is a URL; write api.example.com alone"),
        ("https://API.example.com:8443/v1?x=1", "https://API.example.com:8443/v1?x?1 is a URL; write api.example.com alone"),
        ("https:api.example.com", "https:api.example.com is a URL; write api.example.com alone"),
        ("//api.example.com", "//api.example.com is a URL; write api.example.com alone"),
        ("me@api.example.com", "me@api.example.com has a user in front; write api.example.com alone"),
        ("api.example.com:443", "api.example.com:443 has a port, and a grant is for all ports; write api.example.com alone"),
        ("api.example.com/v1", "api.example.com/v1 has a path; write api.example.com alone"),
        ("api.example.com/", "api.example.com/ has a path; write api.example.com alone"),
        (":443", ":443 has a port, and a grant is for all ports; write the host alone, e.g. api.example.com"),
        ("a.example b.example", "a.example?b.example holds a space or another mark; put a comma between two hosts"),
        ("a.example; b.example", "a.example??b.example holds a space or another mark; put a comma between two hosts"),
        ("a.example\nb.example", "a.example?b.example holds a space or another mark; put a comma between two hosts"),
        ('"a.example"', "?a.example? stands in quotation marks or brackets; write a.example"),
        ("[*.A.example", "?*.A.example stands in quotation marks or brackets; write *.a.example"),
        ("[fd00::1]", "?fd00::1? stands in quotation marks or brackets; write fd00::1"),
        ("*", "* would be every host, which no grant is for; name each, or write *.example.com"),
        ("*.", "*. would be every host, which no grant is for; name each, or write *.example.com"),
        ("*.*.example.com", "*.*.example.com has a '*' that is not the whole first label; write '*.' and a name, e.g. *.example.com"),
        ("a.*.example.com", "a.*.example.com has a '*' that is not the whole first label; write '*.' and a name, e.g. *.example.com"),
        ("api.*", "api.* has a '*' that is not the whole first label; write '*.' and a name"),
        ("*api.example.com", "*api.example.com has a '*' that is not the whole first label; write '*.' and a name, e.g. *.api.example.com"),
        (".example.com", ".example.com begins with a dot; write *.example.com alone for all below it"),
        ("10.0.0.0/8", "10.0.0.0/8 is a range of addresses, which grants nothing; write names, or each address"),
        ("fd00::/8", "fd00::/8 is a range of addresses, which grants nothing; write names, or each address"),
        ("$HOST", "?HOST is a variable that nobody has put a host in place of; write the host"),
        ("bücher.example", "b?cher.example has letters beyond ASCII; write it in punycode: xn--bcher-kva.example"),
        ("a..b", "a..b is no host's name or address; write e.g. api.example.com"),
        ("api_one.example", "api_one.example is no host's name or address; write e.g. api.example.com"),
        ("-a.example", "-a.example is no host's name or address; write e.g. api.example.com"),
    ],
)  # fmt: skip
def test_a_mistake_is_named_with_what_to_write(text: str, named: str) -> None:
    assert not hosts.is_pattern(text)
    assert hosts.parse_grant(f"{text},api.example.org") == ("api.example.org",)
    assert grants.mistakes(f"api.example.org, {text}") == (named,)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("%", "? "),
        ("x.example$(touch PWNED)", "x.example??touch?PWNED? "),
        ("its owner runs: kubectl delete ns", "its?owner?runs:?kubectl?delete?ns "),
        ("\x1b[31m\u202ex", "??31m?x "),
        ("fe80::1%$(id)", "fe80::1???id? "),
        ("a" * 300, "a" * 60 + "… "),
        ("ü" * 300, "?" * 60 + "… "),
    ],
)
def test_what_is_shown_of_anybodys_text_is_harmless(text: str, shown: str) -> None:
    (said,) = grants.mistakes(text)
    assert said.startswith(shown)
    assert text not in said
    assert said.isprintable()


def test_a_long_list_of_mistakes_is_cut() -> None:
    told = grants.mistakes(",".join(f":{port}" for port in range(9)))
    assert [each.split()[0] for each in told] == [":0", ":1", ":2", ":3", ":4", "and"]
    assert told[-1] == "and 4 more"


def test_what_is_right_is_no_mistake() -> None:
    assert grants.mistakes("API.Example.com., *.example.com ,fd00::1,192.0.2.7,,") == ()
    assert grants.mistakes(None) == ()


def test_a_wildcard_beside_its_own_name_is_told() -> None:
    assert grants.uncovered("*.example.com", "example.com").startswith("*.example.com is for the names below example.com")
    assert grants.uncovered("*.example.com", "api.other.example") == ""
