"""TLS records that bring nothing: a few are meant, and who sends thousands is cut before they are worked off."""

import asyncio
import contextlib
import ssl
from pathlib import Path

import pytest
import uvloop
from tests.support.gateway_process import HOST, stage
from tests.support.kube_api import Cluster
from tests.support.tls_records import Records, taken_over

from devbox_common.trust import client_context
from devbox_proxy.kit import barren
from devbox_proxy.kit.barren import Barren
from devbox_proxy.upstreams.connection import BufferedUpstreamConnection, UpstreamError
from devbox_stage.credentials import Certificates, make_certificates

from .playbook import POOL, Pools

READ = 256 << 10
"""Bytes that uvloop reads of a socket at most, and hands to OpenSSL at once."""
FLOOD = 20
"""Thousands of KeyUpdates: more than two reads bring."""
ASKED = b"GET / HTTP/1.1\r\nHost: g\r\n\r\n"


def followed(*reads: tuple[int, int]) -> int | None:
    """Of reads, each of so much encrypted, bringing so much: the first that is too much."""
    found = Barren()
    for number, (encrypted, data) in enumerate(reads):
        if found.too_much(encrypted + barren.HINT):
            return number
        if data:
            found.brought(data)
    return None


@pytest.mark.parametrize(
    ("reads", "cut"),
    [
        ([(READ + 65536, 65536), (READ, 65536)] * 100, None),  # what waited while nothing was read
        ([(1, 0)] * 16645 + [(1, 16384)], None),  # one record, byte by byte
        ([(23, 1)] * 10000, None),  # a byte at a time
        ([(500, 0)] * 10 + [(100, 78), (0, 0)], None),  # tickets
        ([(27, 0), (100, 78)] * 10000, None),
        ([(READ, 0)] * 3, 1),
        ([(READ - 23, 1)] * 3, 1),  # with a byte among them
        ([(27, 0)] * 5000, 3035),
        ([(0, 0)] * 100_000, None),  # asked to go on, with nothing there
    ],
)
def test_what_is_too_much(reads: list[tuple[int, int]], cut: int | None) -> None:
    assert followed(*reads) == cut


async def flood(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, records: Records) -> None:
    """Until the other side ends it."""
    with contextlib.suppress(OSError):
        for _ in range(FLOOD):
            writer.write(await asyncio.to_thread(records.key_updates, 1000))
            await writer.drain()
        while await reader.read(1 << 16):
            pass


async def test_a_devbox_that_updates_its_keys(tmp_path: Path) -> None:
    """Between the bytes of a request, some; and then it floods."""
    async with stage(Cluster()) as gateway, asyncio.timeout(60):
        for each in (0, 1, 20):
            reader, writer = await asyncio.open_connection(gateway.host, gateway.port)
            records, tls, incoming = await taken_over(reader, writer, gateway.trust, tmp_path / f"log-{each}", name=HOST)
            for number in range(len(ASKED)):
                writer.write(records.key_updates(each) + records.data(ASKED[number : number + 1]))
            assert b" 401 Unauthorized\r\n" in await _read(tls, incoming, reader)
            writer.close()
        reader, writer = await asyncio.open_connection(gateway.host, gateway.port)
        records, _, _ = await taken_over(reader, writer, gateway.trust, tmp_path / "log", name=HOST)
        await flood(reader, writer, records)
        writer.close()
        assert await gateway.ready()
    assert sum("barren_records" in line for line in gateway.process.output) == 1


@pytest.mark.parametrize("waits", [True, False])
def test_an_api_that_updates_its_keys(tmp_path: Path, waits: bool) -> None:
    """While its answer is waited for, or at rest."""
    pair = make_certificates(["api.example"])
    uvloop.run(_with_an_api(tmp_path, pair, waits=waits))


async def _with_an_api(tmp_path: Path, pair: Certificates, *, waits: bool) -> None:
    (tmp_path / "crt").write_text(pair.certificate)
    (tmp_path / "key").write_text(pair.key.reveal())
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "crt", tmp_path / "key")
    context.num_tickets = 0
    ended = asyncio.Event()

    async def api(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        records, tls, incoming = await taken_over(reader, writer, context, tmp_path / "log")
        while b"\r\n\r\n" not in (asked := await _read(tls, incoming, reader)):
            assert asked
        body = b"x" * 5000
        head = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body)
        for at, piece in enumerate((head, *(body[n : n + 100] for n in range(0, len(body), 100)))):
            writer.write(records.key_updates(at % 3) + records.data(piece, each=3))
        if waits:
            await _read(tls, incoming, reader)
        await flood(reader, writer, records)
        writer.close()
        ended.set()

    server = await asyncio.start_server(api, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    pools = Pools()
    trust = client_context(cadata=pair.ca)
    _, connection = await asyncio.get_running_loop().create_connection(
        lambda: BufferedUpstreamConnection(POOL, pools), "127.0.0.1", port, ssl=trust, server_hostname="api.example"
    )  # type: ignore[type-var]
    async with asyncio.timeout(60):
        answer = Answer(connection)
        await answer.end
        assert answer.body == b"x" * 5000
        if waits:
            answer = Answer(connection)
            with pytest.raises(UpstreamError) as failed:
                await answer.end
            assert failed.value.detail == "records that bring nothing"
        await ended.wait()
    assert connection in pools.forgotten
    server.close()


class Answer:
    """Asks, and takes what comes, as an exchange does."""

    def __init__(self, connection: BufferedUpstreamConnection) -> None:
        self.body = b""
        self.end: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        connection.start(self, "GET", websocket=False)  # type: ignore[arg-type]
        connection.write(ASKED)

    def answered(self, head: object) -> None: ...

    def answer_data(self, data: bytes) -> None:
        self.body += data

    def flush_answer(self) -> None: ...

    def answer_ended(self, *, reusable: bool) -> None:
        self.end.set_result(reusable)

    def upstream_failed(self, error: UpstreamError) -> None:
        self.end.set_exception(error)


async def _read(tls: ssl.SSLObject, incoming: ssl.MemoryBIO, reader: asyncio.StreamReader) -> bytes:
    while True:
        try:
            return tls.read(1 << 16)
        except ssl.SSLWantReadError:
            incoming.write(await reader.read(1 << 16))
