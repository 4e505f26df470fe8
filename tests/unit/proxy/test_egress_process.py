"""The forward proxy as a process: real TLS through a tunnel, half-closes, policies that change, and clients as they are."""

import asyncio
import base64
import contextlib
import json
import signal
import socket
import ssl
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from tests.support.addresses import own_address
from tests.support.gateway_process import Stage, stage
from tests.support.kube_api import Cluster, Devbox

from devbox_api.names import EGRESS_NAME

from .conftest import until
from .hellos import client_hello
from .processes import until_refused

NAME, OTHER = "files.example", "more-files.example"
TUNNELS = 8
"""That a devbox may have."""


class Proxied:
    """A gateway, a devbox with a policy, and a host that is reached through it alone."""

    def __init__(self, gateway: Stage, token: str, policy: str) -> None:
        self.gateway, self.token, self.policy = gateway, token, policy
        self.devbox: Devbox = gateway.cluster.agent
        self.serve: Callable[[asyncio.StreamReader, asyncio.StreamWriter], object] = echo
        self.accepted = 0

    async def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.accepted += 1
        with contextlib.suppress(ConnectionError, ssl.SSLError):
            await self.serve(reader, writer)  # type: ignore[misc]
        writer.close()

    def head(self, target: str = f"{NAME}:443", token: str | None = "") -> bytes:
        secret = base64.b64encode(f"devbox:{token or self.token}".encode()).decode()
        carrier = f"Proxy-Authorization: Basic {secret}\r\n" if token is not None else ""
        return f"CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n{carrier}\r\n".encode()

    async def dial(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection("127.0.0.1", self.gateway.egress)

    async def tunnel(
        self, *, tls: bool = True, target: str = f"{NAME}:443"
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Up to the 200, and the handshake."""
        reader, writer = await self.dial()
        writer.write(self.head(target))
        assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 200 Connection established\r\n\r\n"
        if tls:
            await writer.start_tls(self.gateway.trust, server_hostname=NAME)
        return reader, writer

    async def refused(self, data: bytes) -> bytes:
        """What is said to it, up to the connection's end."""
        reader, writer = await self.dial()
        writer.write(data)
        async with asyncio.timeout(5):
            answer = await reader.read()
        writer.close()
        return answer

    def audit(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.gateway.process.output if line.startswith('{"audit"')]


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(1 << 16):
        writer.write(data)
        await writer.drain()


@pytest.fixture
async def proxied() -> AsyncIterator[Proxied]:
    cluster = Cluster()
    cluster.pod()
    cluster.floor(ranges=["34.118.224.0/20"])
    policy = cluster.policy(hostnames=[NAME, OTHER, "nowhere.invalid"], cidrs=["10.0.0.0/8", "34.0.0.0/8", "127.0.0.0/8"])
    token = cluster.agent.bind_egress(policy)
    with socket.socket() as probe:
        probe.bind((own_address(), 0))
        port = probe.getsockname()[1]
    overrides = dict.fromkeys((NAME, OTHER), f"{own_address()}:{port}")
    egress = {"addressOverrides": overrides, "permittedCIDRs": ["127.0.0.0/8"], "tunnelsPerDevbox": TUNNELS}
    async with stage(cluster, hosts=(NAME,), shutdownSeconds=3, egress=egress) as gateway:
        result = Proxied(gateway, token, policy)
        server = await asyncio.start_server(result.accept, own_address(), port, ssl=gateway.server_tls)
        yield result
        server.close()


async def test_tls_goes_through_from_end_to_end(proxied: Proxied) -> None:
    reader, writer = await proxied.tunnel()
    writer.write(b"x" * 3_000_000)
    assert await reader.readexactly(3_000_000) == b"x" * 3_000_000
    writer.close()
    await until(lambda: any(line["audit"] == "end" for line in proxied.audit()))
    start, end = proxied.audit()[-2:]
    assert start["name"] == EGRESS_NAME
    assert start["target"] == f"{NAME}:443"
    assert str(start["address"]).startswith(own_address())
    assert end["received"] > 3_000_000
    assert end["sent"] > 3_000_000
    assert "devbox_gateway_tunnel_bytes_total" in await proxied.gateway.metrics()
    printed = "".join(proxied.gateway.process.output)
    assert proxied.token.removeprefix("gws_") not in printed
    assert base64.b64encode(proxied.token.encode()).decode()[:40] not in printed


async def test_a_client_that_asks_without_a_token_first_gets_through_on_the_same_connection(proxied: Proxied) -> None:
    reader, writer = await proxied.dial()
    writer.write(proxied.head(token=None))
    head = await reader.readuntil(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 407 ")
    length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
    await reader.readexactly(length)
    writer.write(proxied.head())
    assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200 ")
    await writer.start_tls(proxied.gateway.trust, server_hostname=NAME)
    writer.write(b"hello")
    assert await reader.readexactly(5) == b"hello"
    writer.close()


async def test_curl_goes_through_and_shows_what_is_wrong(proxied: Proxied) -> None:
    async def page(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok")
        await writer.drain()

    proxied.serve = page
    proxy = f"http://devbox:{proxied.token}@127.0.0.1:{proxied.gateway.egress}"

    async def curl(url: str) -> tuple[str, str]:
        process = await asyncio.create_subprocess_exec(
            *("curl", "-sv", "--max-time", "10", "--cacert", str(proxied.gateway.folder / "ca.crt"), url),
            env={"HTTPS_PROXY": proxy, "PATH": "/usr/bin:/bin"},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        out, errors = await process.communicate()
        return out.decode(), errors.decode()

    assert (await curl(f"https://{NAME}/"))[0] == "ok"
    assert "403 host_not_allowed: other.example; " in (await curl("https://other.example/"))[1]


async def test_what_may_not_be_reached_is_not_dialled(proxied: Proxied) -> None:
    for target, status in (
        ("127.0.0.1:443", b"403 address_not_allowed"),  # permitted by policy and settings, and below the floor
        ("10.0.0.1:443", b"403 address_not_allowed"),
        ("34.118.224.2:443", b"403 address_not_allowed"),  # public, and the cluster's own
        ("2130706433:443", b"403 address_not_allowed"),
        ("other.example:443", b"403 host_not_allowed"),
        (f"{NAME}:22", b"403 port_not_allowed"),
        (NAME, b"400 connect_target_invalid"),
        ("nowhere.invalid:443", b"502 upstream_name_unknown: nowhere.invalid:443 has no address in DNS"),
    ):
        answer = await proxied.refused(proxied.head(target))
        assert answer.startswith(b"HTTP/1.1 " + status), answer[:200]
    assert not proxied.accepted


async def test_a_refused_dial_is_over_and_written_down_once(proxied: Proxied) -> None:
    """More of them than a devbox may have tunnels: none is counted as one."""
    for _ in range(TUNNELS + 1):
        assert (await proxied.refused(proxied.head("127.0.0.1:443"))).startswith(b"HTTP/1.1 403 address_not_allowed")
    _, writer = await proxied.tunnel()
    writer.close()
    await until(lambda: any(line["audit"] == "end" for line in proxied.audit()))  # by then all lines before it were read
    assert [line["code"] for line in proxied.audit() if line["audit"] == "refused"] == ["address_not_allowed"] * (TUNNELS + 1)
    assert not [line for line in proxied.gateway.process.output if "request_failed" in line or "exc_type" in line]


async def test_tokens_are_good_for_their_own_port(proxied: Proxied) -> None:
    api = proxied.gateway.cluster.bind("API", "https://api.example", "sk-process-credential", {"type": "Bearer"})
    async with asyncio.timeout(5):  # (until the Route with the new token has been read)
        while not (await proxied.refused(proxied.head(token=api))).startswith(b"HTTP/1.1 403 token_for_gateway"):  # noqa: ASYNC110
            await asyncio.sleep(0.05)
    reader, writer = await asyncio.open_connection(
        "127.0.0.1", proxied.gateway.port, ssl=proxied.gateway.trust, server_hostname="gateway.system.svc"
    )
    writer.write(f"GET / HTTP/1.1\r\nHost: g\r\nx-api-key: {proxied.token}\r\n\r\n".encode())
    answer = await reader.read()
    assert answer.startswith(b"HTTP/1.1 403 ")
    assert b"token_for_egress" in answer
    assert b"$HTTPS_PROXY" in answer
    writer.close()


async def test_a_half_close_goes_through_and_the_other_half_stays() -> None:
    # asyncio's TLS knows no half-close, so the host is a plain socket that takes a ClientHello for a greeting.
    ended = asyncio.Event()
    with socket.socket() as probe:
        probe.bind((own_address(), 0))
        port = probe.getsockname()[1]

    async def plain(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"files.example")
        writer.write(b"\x15\x03\x03\x00\x02\x01\x00")
        rest = await reader.read()
        ended.set()
        for _ in range(3):
            writer.write(b"after the end of %d bytes" % len(rest))
            await writer.drain()
            await asyncio.sleep(0.05)
        writer.close()

    server = await asyncio.start_server(plain, own_address(), port)
    cluster = Cluster()
    cluster.pod()
    token = cluster.agent.bind_egress(cluster.policy(allow_all=True))
    async with stage(cluster, egress={"addressOverrides": {NAME: f"{own_address()}:{port}"}}) as gateway:
        other = Proxied(gateway, token, "")
        reader, writer = await other.tunnel(tls=False)
        writer.write(client_hello(NAME))
        await reader.readexactly(7)
        writer.write(b"last words")
        writer.write_eof()
        async with asyncio.timeout(5):
            await ended.wait()
            said = await reader.read()
        assert said.count(b"after the end of ") == 3
        writer.close()
        await until(lambda: any(line["audit"] == "end" for line in other.audit()))
        assert other.audit()[-1]["ended"] == "complete"
    server.close()


async def test_a_policy_that_changes_cuts_what_it_no_longer_allows(proxied: Proxied) -> None:
    reader, writer = await proxied.tunnel()
    other, other_writer = await proxied.tunnel(tls=False, target=f"{OTHER}:443")
    cluster = proxied.gateway.cluster
    cluster.policy(hostnames=[NAME, "more.example"])
    async with asyncio.timeout(5):
        assert await other.read() == b"", "by then both were looked at"
    other_writer.close()
    writer.write(b"still")
    assert await reader.readexactly(5) == b"still"
    started = time.monotonic()
    cluster.policy(hostnames=["more.example"])
    with contextlib.suppress(ConnectionError):
        async with asyncio.timeout(5):
            assert await reader.read() == b""
    assert time.monotonic() - started < 2
    assert (await proxied.refused(proxied.head())).startswith(b"HTTP/1.1 403 host_not_allowed")
    writer.close()


async def test_what_a_tunnel_rests_on_ends_it(proxied: Proxied) -> None:
    cluster, devbox = proxied.gateway.cluster, proxied.devbox

    def confined(*, to: bool) -> None:
        devbox.confined = to
        devbox.write_route()

    steps: list[tuple[Callable[[], object], Callable[[], object]]] = [
        (devbox.delete, devbox.pod_object),
        (lambda: cluster.delete("secrets", "route-uid-1"), devbox.write_route),
        (lambda: cluster.delete("secrets", proxied.policy), lambda: cluster.policy(hostnames=[NAME])),
        (lambda: confined(to=False), lambda: confined(to=True)),
    ]
    for take, give in steps:
        reader, writer = await proxied.tunnel()
        started = time.monotonic()
        take()
        with contextlib.suppress(ConnectionError):
            async with asyncio.timeout(5):
                assert await reader.read() == b""
        assert time.monotonic() - started < 2
        writer.close()
        give()
        await asyncio.sleep(0.3)


async def test_tunnels_have_time_to_end_when_the_gateway_goes(proxied: Proxied) -> None:
    reader, writer = await proxied.tunnel()
    other, other_writer = await proxied.tunnel()
    idle, idle_writer = await proxied.dial()
    proxied.gateway.process.process.send_signal(signal.SIGTERM)
    async with asyncio.timeout(3):
        assert await idle.read() == b""
        await until_refused(proxied.dial, OSError)  # drainSeconds is 1: then there are no new ones
    idle_writer.close()
    writer.write(b"still")
    assert await reader.readexactly(5) == b"still"
    writer.close()
    with contextlib.suppress(ConnectionError):
        async with asyncio.timeout(10):
            assert await other.read() == b""
    other_writer.close()
    assert await proxied.gateway.process.end() == 0
    assert [line["ended"] for line in proxied.audit() if line["audit"] == "end"][-1] == "shutdown"


async def test_a_reader_that_stops_stops_its_writer(proxied: Proxied) -> None:
    written = 0

    async def endless(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal written
        while True:
            writer.write(bytes(1 << 16))
            await writer.drain()
            written += 1 << 16

    proxied.serve = endless
    before = proxied.gateway.process.rss
    reader, writer = await proxied.tunnel()
    await reader.readexactly(1)
    writer.transport.pause_reading()  # type: ignore[attr-defined]
    last = -1
    async with asyncio.timeout(20):
        while last != written:
            last = written
            await asyncio.sleep(0.5)
    assert written < 64 << 20
    assert proxied.gateway.process.rss - before < 8 << 20
    writer.close()


async def test_the_canary_says_its_line_and_ends(proxied: Proxied) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", proxied.gateway.process.canary)
    async with asyncio.timeout(5):
        assert b"not confined" in await reader.read()
    writer.close()
