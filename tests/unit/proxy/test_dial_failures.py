"""Why a dial failed, over real sockets: each kind has one name, a refusal, and words that hold nothing of where it led."""

import asyncio
import errno
import socket
import ssl
from pathlib import Path

import pytest
from tests.support.authorities import HOST, issue

from devbox_api.judge.refusals import Refusal
from devbox_api.route import Auth, GatewayDocument
from devbox_proxy.known.apis import Api, compile_gateway
from devbox_proxy.known.floor import Floor
from devbox_proxy.settings import UpstreamTimeouts
from devbox_proxy.upstreams.connection import UpstreamError
from devbox_proxy.upstreams.dial_check import AddressRefused, Resolver, UpstreamReach
from devbox_proxy.upstreams.dial_failures import DialFailure, failed
from devbox_proxy.upstreams.pool import Upstreams, tls_context

from .playbook import POOL
from .raw_api import Serve, raw_api


class Loopback:
    """In place of the dial check, for APIs on loopback."""

    async def resolve(self, host: str, port: int, owner: str) -> list[tuple[str, int]]:
        return [("127.0.0.1", port)]


def api(endpoint: str, ca_bundle: str = "") -> Api:
    return compile_gateway(
        GatewayDocument(name="g", namespace="n", uid="u", endpoint=endpoint, auth=Auth(type="Bearer"), ca_bundle=ca_bundle)
    )


async def refused(one: Api, resolver: object = Loopback(), seconds: float = 10) -> UpstreamError:
    """What the dial of it says."""
    pools = Upstreams(resolver, UpstreamTimeouts(connect_seconds=seconds), tls_context(""))  # type: ignore[arg-type]
    try:
        with pytest.raises(UpstreamError) as caught:
            await pools.dial(POOL, one)
    finally:
        pools.close()
    return caught.value


async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Says nothing, and leaves once the client does."""
    await reader.read()


async def in_clear(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """An HTTP server of no TLS."""
    await reader.read(100)
    writer.write(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n")
    await writer.drain()


async def leaving(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Closes under the first bytes."""
    await reader.read(100)


@pytest.mark.parametrize(
    ("serve", "why", "refusal", "words"),
    [
        (in_clear, "TlsFailed", Refusal.UPSTREAM_TLS, "speaks no TLS on its port"),
        (leaving, "ConnectionLost", Refusal.UPSTREAM_UNREACHABLE, "closed the connection before a request could be sent"),
    ],
)
@pytest.mark.row("S16")
async def test_what_is_no_tls_server(serve: Serve, why: str, refusal: Refusal, words: str) -> None:
    async with raw_api(serve) as server:
        error = await refused(api(f"https://{HOST}:{server.port}"))
    assert (error.refusal, error.said) == (refusal, words)
    assert error.detail.startswith(f"{why}: ")


@pytest.mark.row("S16")
async def test_a_server_that_says_nothing_took_no_connection_in_time() -> None:
    async with raw_api(silent) as server:
        error = await refused(api(f"https://{HOST}:{server.port}"), seconds=0.3)
    assert (error.refusal, error.said) == (Refusal.UPSTREAM_CONNECT_TIMEOUT, "took no connection in time")
    assert error.detail.startswith("ConnectTimedOut")


@pytest.mark.row("S16")
async def test_a_closed_port() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    error = await refused(api(f"http://{HOST}:{port}"))
    assert (error.refusal, error.said) == (Refusal.UPSTREAM_UNREACHABLE, "refuses connections on its port")
    assert error.detail.startswith("ConnectionRefused: ")


@pytest.mark.parametrize(
    ("host", "ended", "trusted", "words"),
    [
        (HOST, False, False, "comes from an authority that is not trusted"),
        ("api.example", False, True, "is for another name"),
        (HOST, True, True, "has ended"),
    ],
)
@pytest.mark.row("S16")
async def test_which_flaw_a_certificate_has(host: str, ended: bool, trusted: bool, words: str, tmp_path: Path) -> None:
    issued = issue(ended=ended)
    pair = tmp_path / "pair.pem"
    pair.write_text(issued.chain)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(pair)
    async with raw_api(silent, tls=tls) as server:
        error = await refused(api(f"https://{host}:{server.port}", issued.trusted if trusted else ""))
    assert error.refusal is Refusal.UPSTREAM_TLS
    assert error.said.startswith(f"shows a certificate that {words}")
    assert error.detail.startswith("CertificateInvalid: ")


@pytest.mark.parametrize(
    ("host", "words"),
    [
        ("10.0.0.7", "leads to a private address, which upstreams.allowedHosts or allowedCIDRs would have to name"),
        ("127.0.0.1", "leads where the gateway never leads"),
        ("169.254.169.254", "leads where the gateway never leads"),
        ("api.localhost", "leads where the gateway never leads"),
        ("2130706433", "is neither a name nor an address"),
        ("gateway.system.svc", "is the gateway itself"),
    ],
)
@pytest.mark.row("S16")
async def test_where_nothing_may_lead_is_told_without_the_address(host: str, words: str) -> None:
    resolver = Resolver(UpstreamReach(), Floor, own_host="gateway.system.svc")
    error = await refused(api(f"https://{host}"), resolver)
    resolver.close()
    assert error.refusal is Refusal.ENDPOINT_REFUSED
    assert error.said.startswith(words)
    assert host not in error.said
    assert error.detail.startswith("AddressForbidden: ")


@pytest.mark.parametrize(
    ("number", "why", "refusal"),
    [
        (socket.EAI_NONAME, DialFailure.NAME_NOT_FOUND, Refusal.UPSTREAM_NAME_UNKNOWN),
        (socket.EAI_NODATA, DialFailure.NAME_NOT_FOUND, Refusal.UPSTREAM_NAME_UNKNOWN),
        (socket.EAI_AGAIN, DialFailure.LOOKUP_FAILED, Refusal.UPSTREAM_UNREACHABLE),
        (socket.EAI_FAIL, DialFailure.LOOKUP_FAILED, Refusal.UPSTREAM_UNREACHABLE),
        (socket.EAI_MEMORY, DialFailure.LOOKUP_FAILED, Refusal.UPSTREAM_UNREACHABLE),
    ],
)
def test_what_dns_said(number: int, why: DialFailure, refusal: Refusal) -> None:
    """(What real name servers make of it: chaos `answers`.)"""
    assert failed(socket.gaierror(number, "host.internal"))[:2] == (why, refusal)


@pytest.mark.parametrize(
    ("error", "why"),
    [
        (OSError(errno.EHOSTUNREACH, "10.0.0.7"), DialFailure.CONNECT_TIMED_OUT),
        (OSError(errno.ENETUNREACH, "10.0.0.7"), DialFailure.CONNECT_TIMED_OUT),
        (OSError(errno.ETIMEDOUT, "10.0.0.7"), DialFailure.CONNECT_TIMED_OUT),
        (OSError("Multiple exceptions: 10.0.0.7 and 10.0.0.8"), DialFailure.CONNECT_TIMED_OUT),
        (ConnectionResetError(errno.ECONNRESET, "10.0.0.7"), DialFailure.CONNECTION_LOST),
        (ConnectionAbortedError("10.0.0.7"), DialFailure.CONNECTION_LOST),
        (ssl.SSLZeroReturnError(), DialFailure.CONNECTION_LOST),
        (ssl.SSLError(1, "10.0.0.7"), DialFailure.TLS_FAILED),
        (AddressRefused("10.0.0.7"), DialFailure.ADDRESS_FORBIDDEN),
    ],
)
def test_no_words_hold_what_the_system_said(error: Exception, why: DialFailure) -> None:
    end = failed(error)
    assert end.why is why
    assert "10.0.0" not in end.words
