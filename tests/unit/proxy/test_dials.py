"""What is remembered of the last dial to each API, and probes: real sockets, in place of the dial check alone."""

import asyncio
import socket
import ssl
import time
from typing import Any

import pytest

from devbox_api.route import Auth, GatewayDocument
from devbox_proxy.known.apis import Api, compile_gateway
from devbox_proxy.settings import UpstreamTimeouts
from devbox_proxy.upstreams import dials, probe
from devbox_proxy.upstreams.connection import UpstreamError
from devbox_proxy.upstreams.dial_check import AddressRefused, Unready
from devbox_proxy.upstreams.dials import REACHED, Dials
from devbox_proxy.upstreams.pool import Upstreams, tls_context
from devbox_proxy.upstreams.probe import Prober

from .playbook import POOL as KEY

pytestmark = pytest.mark.row("S29")


def document(endpoint: str = "https://api.example", uid: str = "gw-1", **more: Any) -> GatewayDocument:
    return GatewayDocument(name="api", namespace="team-a", uid=uid, endpoint=endpoint, auth=Auth(type="Bearer"), **more)


def api(endpoint: str = "https://api.example", uid: str = "gw-1") -> Api:
    return compile_gateway(document(endpoint, uid))


class Names:
    """In place of the dial check: leads to loopback, or raises."""

    def __init__(self, error: Exception | None = None) -> None:
        self.error = error

    async def resolve(self, host: str, port: int, owner: str) -> list[tuple[str, int]]:
        assert owner == "team-a"
        if self.error is not None:
            raise self.error
        return [("127.0.0.1", port)]


def upstreams(error: Exception | None = None) -> Upstreams:
    return Upstreams(Names(error), UpstreamTimeouts(connect_seconds=20), tls_context(""))


def found(made: Upstreams) -> list[tuple[str, str]]:
    return [(dial["found"], dial["words"]) for dial in made.dials.since(None, time.monotonic())]


def test_the_last_dial_to_each_api_is_kept_and_told_since_a_cursor() -> None:
    book = Dials()
    book.note(api(), "NameNotFound", "has no address")
    book.note(api(uid="gw-2"), REACHED)
    present = time.monotonic()
    book.note(api(), REACHED)
    told = {dial["uid"]: (dial["found"], dial["dialled"]) for dial in book.since(None, time.monotonic())}
    assert told == {"gw-1": (REACHED, "https://api.example -"), "gw-2": (REACHED, "https://api.example -")}
    assert [dial["uid"] for dial in book.since(int(present * 1_000_000), time.monotonic())] == ["gw-1"]
    assert all(dial["age"] >= 0 for dial in book.since(None, 0.0))


def test_no_more_are_kept_than_there_is_room_for() -> None:
    book = Dials()
    for number in range(dials.MOST + 5):
        book.note(api(uid=f"gw-{number}"), REACHED)
    kept = {dial["uid"] for dial in book.since(None, time.monotonic())}
    assert len(book) == dials.MOST
    assert "gw-4" not in kept
    assert {"gw-5", f"gw-{dials.MOST + 4}"} <= kept


async def test_a_dial_that_leads_somewhere_and_one_to_a_closed_port_are_noted() -> None:
    made = upstreams()
    server = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    key = KEY._replace(namespace="team-a")
    (await made.dial(key, api(f"http://127.0.0.1:{port}"))).abort()
    assert found(made) == [(REACHED, "")]
    server.close()
    await server.wait_closed()
    with pytest.raises(UpstreamError):
        await made.dial(key, api(f"http://127.0.0.1:{port}"))
    assert [why for why, _ in found(made)] == ["ConnectionRefused"]


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (socket.gaierror(socket.EAI_NONAME, "no such name"), "NameNotFound"),
        (socket.gaierror(socket.EAI_AGAIN, "no answer"), "LookupFailed"),
        (AddressRefused("api.example has the private address 10.1.2.3"), "AddressForbidden"),
        (TimeoutError(), "ConnectTimedOut"),
        (ssl.SSLCertVerificationError(1, "no"), "CertificateInvalid"),
        (ConnectionResetError(), "ConnectionLost"),
        (OSError(24, "too many open files"), None),
        (Unready("no floor yet"), None),
    ],
    ids=repr,
)
async def test_every_failure_is_noted_but_the_gateways_own(error: Exception, expected: str | None) -> None:
    made = upstreams(error)
    with pytest.raises(UpstreamError):
        await made.dial(KEY._replace(namespace="team-a"), api())
    assert [why for why, _ in found(made)] == ([] if expected is None else [expected])
    assert "10.1.2.3" not in str(found(made))


async def test_a_probe_connects_sends_nothing_and_hangs_up() -> None:
    got: list[bytes] = []

    async def listen(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            got.append(await reader.read())
        except ConnectionError:
            got.append(b"")
        writer.close()
        heard.set()

    heard = asyncio.Event()
    server = await asyncio.start_server(listen, "127.0.0.1", 0)
    made = upstreams()
    asked = document(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}").model_dump_json().encode()
    assert await Prober(made).probe(asked)
    async with asyncio.timeout(20):
        await heard.wait()
    assert got == [b""]
    assert found(made) == [(REACHED, "")]
    server.close()


async def test_a_probe_of_a_port_that_speaks_no_tls_says_so() -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    made = upstreams()
    asked = document(f"https://localhost.example:{server.sockets[0].getsockname()[1]}").model_dump_json().encode()
    assert await Prober(made).probe(asked)
    assert [why for why, _ in found(made)] == ["TlsFailed"]
    server.close()


async def test_a_probe_has_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    class Silent(Names):
        async def resolve(self, host: str, port: int, owner: str) -> list[tuple[str, int]]:
            await asyncio.Event().wait()
            raise AssertionError

    made = Upstreams(Silent(), UpstreamTimeouts(connect_seconds=20), tls_context(""))
    short = document(timeouts={"connect": 0.2}).model_dump_json().encode()
    assert await Prober(made).probe(short)
    assert [why for why, _ in found(made)] == ["ConnectTimedOut"]
    assert probe.SECONDS < 10, "the question has so long"


async def test_before_the_floor_is_known_nothing_is_probed() -> None:
    assert not await Prober(upstreams(Unready("no floor yet"))).probe(document().model_dump_json().encode())
    with pytest.raises(ValueError, match="validation error"):
        await Prober(upstreams()).probe(b"{}")
