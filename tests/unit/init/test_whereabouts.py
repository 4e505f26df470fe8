"""Which gateway answered: what counts as an answer. And that both sides mean the same, since neither imports the other."""

import pytest

from devbox_init import whereabouts
from devbox_init.whereabouts import Whereabouts, read
from devbox_proxy.tunnels import whereabouts as gateways


def said(line: str, status: str = "204 No Content") -> bytes:
    return f"HTTP/1.1 {status}\r\n{line}\r\nServer: devbox-gateway\r\nConnection: close\r\n\r\n".encode()


def pod(what: str) -> bytes:
    return said(f"Devbox-Gateway-Pod: {what}")


def test_the_question_is_the_one_that_the_gateway_knows() -> None:
    assert whereabouts.ASKING == gateways.ASKED + b"\r\n\r\n"


@pytest.mark.parametrize(
    ("came_to", "own", "asked", "expected"),
    [
        ("10.42.0.9", (), "10.96.0.1", "10.42.0.9"),
        ("::ffff:10.42.0.9", (), "10.96.0.1", "10.42.0.9"),
        ("fd42::9", (), "fd96::1", "fd42::9"),
        ("127.0.0.6", ("10.42.0.9", "fd42::9"), "10.96.0.1", "10.42.0.9"),
        ("::1", ("10.42.0.9", "fd42::9"), "fd96::1", "fd42::9"),
        ("fd42::9", ("10.42.0.9",), "fd96::1", "fd42::9"),
    ],
)
def test_it_reads_what_a_gateway_says(came_to: str, own: tuple[str, ...], asked: str, expected: str) -> None:
    """The pod's own address of the family, whatever passed the connection on."""
    answer = gateways.answer(came_to, gateways.Whereabouts(own, 8443, 8479))
    assert len(answer) <= whereabouts.MOST
    assert whereabouts.whole(answer)
    assert read(answer, asked) == Whereabouts(expected, 8443, 8479)


def test_a_gateway_that_knows_nothing_yet_says_nothing() -> None:
    assert read(gateways.answer("10.42.0.9", gateways.NOWHERE), "10.96.0.1") is None
    assert read(gateways.answer("a unix socket", gateways.Whereabouts((), 8443, 8479)), "10.96.0.1") is None


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"HTTP/1.1 204 No Content\r\n\r\n",
        said("Devbox-Gateway-Pod: 10.42.0.9 8443 8479", status="200 OK"),
        said("Devbox-Gateway-Pod: 10.42.0.9 8443 8479", status="405 connect_only"),
        pod("10.42.0.9 8443 8479")[:-1],
        pod("10.42.0.9 8443 8479") + b"x",
        pod("10.42.0.9 8443"),
        pod("10.42.0.9 8443 8443"),
        pod("10.42.0.9 0 8479"),
        pod("10.42.0.9 8443 65536"),
        pod("10.42.0.9 -1 8479"),
        pod("10.42.0.9:8443 8443 8479"),
        pod("10.42.0.900 8443 8479"),
        pod("gateway.svc 8443 8479"),
        pod("fd42::9 8443 8479"),
        pod("::ffff:10.42.0.9 8443 8479"),
        pod("127.0.0.1 8443 8479"),
        pod("0.0.0.0 8443 8479"),
        pod("224.0.0.1 8443 8479"),
        said("X: a\r\n" * 200 + "Devbox-Gateway-Pod: 10.42.0.9 8443 8479"),
    ],
)
def test_what_is_no_answer(answer: bytes) -> None:
    assert read(answer, "10.96.0.1") is None


def test_over_ipv6_likewise() -> None:
    assert read(pod("fd42::9 8443 8479"), "fd96::1") == Whereabouts("fd42::9", 8443, 8479)
    for other in ("10.42.0.9", "::", "::1", "ff02::1", "::ffff:10.42.0.9", "fe80::1%eth0"):
        assert read(pod(f"{other} 8443 8479"), "fd96::1") is None, other


def test_loopback_is_one_where_the_gateway_was_asked_there() -> None:
    assert read(pod("127.0.0.1 8443 8479"), "127.0.0.1") == Whereabouts("127.0.0.1", 8443, 8479)
