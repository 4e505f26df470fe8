"""A host's addresses are tried beside each other (RFC 8305): one that is dead holds nobody up."""

import asyncio
import contextlib
import socket
import ssl
from collections.abc import Iterator

import aiohappyeyeballs
import pytest
from tests.support.silent import silent

from devbox_proxy.kit import dialling
from devbox_proxy.kit.dialling import Attempts, Pair, first

PATIENCE = 60.0
"""Far more than a test may take: who waits for a dead address's part of it fails."""


@contextlib.contextmanager
def listening(host: str) -> Iterator[Pair]:
    """One that answers."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.create_server((host, 0), family=family) as server:
        yield host, server.getsockname()[1]


def closed(host: str) -> Pair:
    """One that refuses."""
    with socket.create_server((host, 0)) as server:
        return host, server.getsockname()[1]


async def peer(plain: socket.socket, pair: Pair) -> Pair:
    """Whom the socket is connected to."""
    with plain:
        assert plain.getpeername()[:2] == pair
        assert plain.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        return pair


@pytest.mark.parametrize(("dead", "alive"), [("::1", "127.0.0.1"), ("127.0.0.1", "::1"), ("127.0.0.1", "127.0.0.2")])
async def test_a_silent_address_holds_nobody_up(dead: str, alive: str) -> None:
    with silent(dead) as one, listening(alive) as other:
        async with asyncio.timeout(10):
            assert await first([one, other], PATIENCE, peer, Attempts(), "a") == other


@pytest.mark.interpreted
async def test_the_other_family_comes_second_whatever_the_order(monkeypatch: pytest.MonkeyPatch) -> None:
    with contextlib.ExitStack() as stack:
        dead = [stack.enter_context(silent("::1")) for _ in range(3)]
        alive = stack.enter_context(listening("127.0.0.1"))
        monkeypatch.setattr(dialling, "ATTEMPT_SECONDS", 4.0)
        async with asyncio.timeout(7):
            assert await first([*dead, alive], PATIENCE, peer, Attempts(), "a") == alive


async def test_one_that_refuses_is_passed_over_at_once_and_all_that_refuse_are_an_error() -> None:
    with listening("127.0.0.1") as alive:
        assert await first([closed("127.0.0.1"), alive], PATIENCE, peer, Attempts(), "a") == alive
    with pytest.raises(OSError, match="111"):
        await first([closed("127.0.0.1"), closed("127.0.0.2")], PATIENCE, peer, Attempts(), "a")
    with pytest.raises(OSError, match="no address"):
        await first([], PATIENCE, peer, Attempts(), "a")


async def test_where_nothing_can_be_made_of_a_connection_the_next_address_is_tried() -> None:
    tried: list[Pair] = []

    async def make(plain: socket.socket, pair: Pair) -> Pair:
        tried.append(pair)
        plain.close()
        if len(tried) == 1:
            await asyncio.sleep(PATIENCE)
        if len(tried) == 2:
            raise ConnectionResetError
        return pair

    with listening("127.0.0.1") as one, listening("127.0.0.2") as two, listening("::1") as three:
        assert await first([one, two, three], 1.0, make, Attempts(), "a") in (one, two, three)
    assert sorted(tried) == sorted([one, two, three]), "each once"


async def test_a_tls_error_is_final() -> None:
    tried: list[Pair] = []

    async def make(plain: socket.socket, pair: Pair) -> Pair:
        tried.append(pair)
        plain.close()
        raise ssl.SSLCertVerificationError("not to be trusted")

    with listening("127.0.0.1") as one, listening("127.0.0.2") as two, pytest.raises(ssl.SSLCertVerificationError):
        await first([one, two], 1.0, make, Attempts(), "a")
    assert len(tried) == 1


async def test_of_a_hundred_addresses_few_are_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[list[str]] = []

    async def none(infos: list[tuple[int, int, int, str, Pair]], **_: object) -> socket.socket:
        asked.append([info[4][0] for info in infos])
        raise ConnectionRefusedError

    monkeypatch.setattr(aiohappyeyeballs, "start_connection", none)
    four, six = [f"192.0.2.{n}" for n in range(1, 51)], [f"2001:db8::{n}" for n in range(1, 51)]
    with pytest.raises(ConnectionRefusedError):
        await first([(host, 443) for host in (*six, *four)], PATIENCE, peer, Attempts(), "a")
    assert asked == [[*six[: dialling.OF_A_FAMILY], *four[: dialling.OF_A_FAMILY]]]
