"""`host:port` is read in one way, or not at all."""

import pytest

from devbox_api.judge.targets import Target, name, parse


@pytest.mark.parametrize(
    ("authority", "text"),
    [
        (b"api.github.com:443", "api.github.com:443"),
        (b"API.GitHub.Com:443", "api.github.com:443"),
        (b"api.github.com.:443", "api.github.com:443"),
        (b"xn--bcher-kva.example:8443", "xn--bcher-kva.example:8443"),
        (b"my_bucket.s3.example:443", "my_bucket.s3.example:443"),
        (b"r3---sn-a.example:1", "r3---sn-a.example:1"),
        (b"localhost:65535", "localhost:65535"),
        (b"93.184.216.34:443", "93.184.216.34:443"),
        (b"93.184.216.34.:443", "93.184.216.34:443"),
        (b"[2606:4700:0:0::1111]:443", "[2606:4700::1111]:443"),
        (b"[::FFFF:10.0.0.1]:443", "[::ffff:a00:1]:443"),
        (b"127.0.0.1.nip.io:443", "127.0.0.1.nip.io:443"),
    ],
)
def test_what_is_asked_for_is_normalised_once(authority: bytes, text: str) -> None:
    target = parse(authority)
    assert target is not None
    assert target.text == text
    assert not target.disguised


@pytest.mark.parametrize(
    "host", ["2130706433", "017700000001", "127.1", "0x7f.1", "0X7F000001", "127.0.0.0x1", "1.2.3", "0177.0.0.1"]
)
def test_addresses_in_disguise_are_known_for_what_they_are(host: str) -> None:
    for dot in ("", "."):
        target = parse(f"{host}{dot}:443".encode())
        assert target is not None
        assert target.disguised
        assert target.address is None


@pytest.mark.parametrize(
    "authority",
    [
        b"api.github.com",
        b"api.github.com:",
        b"api.github.com:0",
        b"api.github.com:0443",
        b"api.github.com:+443",
        b"api.github.com:-443",
        b"api.github.com:65536",
        b"api.github.com:443000",
        b"api.github.com:44 3",
        b"api.github.com:https",
        b"api.github.com:443/",
        b"api.github.com:443:443",
        b"api.github.com..:443",
        b".api.github.com:443",
        b"api..github.com:443",
        b":443",
        b".:443",
        b"-a.example:443",
        b"a-.example:443",
        b"*.github.com:443",
        b"user@api.github.com:443",
        b"user:pass@api.github.com:443",
        b"https://api.github.com:443",
        b"/api.github.com:443",
        b"evil.example#.github.com:443",
        b"evil.example?.github.com:443",
        b"evil.example/.github.com:443",
        b"evil.example\\.github.com:443",
        b"evil.example%00.github.com:443",
        b"api.github.com%2e:443",
        b"api.github.com,evil.example:443",
        b"api.github.com;evil.example:443",
        b"api.g\xd1\x96thub.com:443",
        b"api\xe3\x80\x82github.com:443",
        b"api.github.com\x00:443",
        b"2606:4700::1111:443",
        b"[::1%lo]:443",
        b"[::1%25lo]:443",
        b"[::1]443",
        b"[::1]",
        b"[1.2.3.4]:443",
        b"[::g]:443",
        b"[]:443",
        b"[[::1]]:443",
        b"a" * 64 + b".example:443",
        b"a." * 127 + b"aa:443",
    ],
)
def test_everything_else_is_no_target(authority: bytes) -> None:
    assert parse(authority) is None


def test_a_name_is_compared_as_it_is_decided() -> None:
    assert name("API.Example.") == "api.example"
    assert name("a..") is None
    assert Target("2001:db8::1", 443).text == "[2001:db8::1]:443"
