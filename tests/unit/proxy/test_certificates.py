"""The data port's certificate follows its files, and a half-written pair does no harm."""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from devbox_proxy.ports.certificates import Certificate
from devbox_proxy.settings import Tls
from devbox_stage.credentials import Certificates, make_certificates

from .conftest import until

HOST = "gateway.system.svc"


def write(folder: Path, pair: Certificates) -> Tls:
    files = Tls(cert_file=folder / "tls.crt", key_file=folder / "tls.key")
    files.cert_file.write_text(pair.certificate)
    files.key_file.write_text(pair.key.reveal())
    return files


@contextlib.asynccontextmanager
async def serving(certificate: Certificate) -> AsyncIterator[int]:
    async def accept(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"ok")
        writer.close()
        with contextlib.suppress(ConnectionError, ssl.SSLError):
            await writer.wait_closed()

    server = await asyncio.start_server(accept, "127.0.0.1", 0, ssl=certificate.context)
    follower = asyncio.create_task(certificate.follow(0.02))
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        follower.cancel()
        server.close()
        with contextlib.suppress(asyncio.CancelledError):
            await follower


async def shows(port: int, pair: Certificates) -> bool:
    """Does a client that trusts only this pair's CA accept the port?"""
    context = ssl.create_default_context(cadata=pair.ca)
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context, server_hostname=HOST)
    except ssl.SSLCertVerificationError:
        return False
    assert await reader.read() == b"ok"
    writer.close()
    with contextlib.suppress(ConnectionError, ssl.SSLError):
        await writer.wait_closed()
    return True


async def test_new_files_are_taken_and_a_pair_that_does_not_fit_is_not(tmp_path: Path) -> None:
    first, second = make_certificates((HOST,)), make_certificates((HOST,))
    files = write(tmp_path, first)
    certificate = Certificate(files)
    async with serving(certificate) as port:
        assert await shows(port, first)
        files.cert_file.write_text(second.certificate)  # its key is not there yet
        await asyncio.sleep(0.1)
        assert await shows(port, first)
        files.key_file.write_text(second.key.reveal())
        await until(lambda: certificate._stamp == certificate._current())
        assert await shows(port, second)
        assert not await shows(port, first)


async def test_files_that_change_while_they_are_read_do_no_harm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second, third = (make_certificates((HOST,)) for _ in range(3))
    certificate = Certificate(files := write(tmp_path, first))
    read = Path.read_bytes

    def read_and_change(self: Path) -> bytes:
        data = read(self)
        if self == files.cert_file:  # (the second of the two)
            monkeypatch.undo()
            files.cert_file.write_text(third.certificate)  # half of the next
        return data

    async with serving(certificate) as port:
        monkeypatch.setattr(Path, "read_bytes", read_and_change)
        write(tmp_path, second)
        await until(lambda: files.cert_file.read_text() == third.certificate)
        await asyncio.sleep(0.1)
        assert await shows(port, second)
        files.key_file.write_text(third.key.reveal())
        await until(lambda: certificate._stamp == certificate._current())
        assert await shows(port, third)


def test_without_a_certificate_there_is_no_start(tmp_path: Path) -> None:
    with pytest.raises(OSError, match=r"tls\.crt"):
        Certificate(Tls(cert_file=tmp_path / "tls.crt", key_file=tmp_path / "tls.key"))


def test_nothing_comes_behind_the_handshake(tmp_path: Path) -> None:
    """A session ticket there stops clients that read and write in two threads (docs/clients.md)."""
    pair = make_certificates((HOST,))
    to_client, to_server = ssl.MemoryBIO(), ssl.MemoryBIO()
    server = Certificate(write(tmp_path, pair)).context.wrap_bio(to_server, to_client, server_side=True)
    client = ssl.create_default_context(cadata=pair.ca).wrap_bio(to_client, to_server, server_hostname=HOST)
    for end in (client, server, client):
        with contextlib.suppress(ssl.SSLWantReadError):
            end.do_handshake()
    server.do_handshake()
    assert client.version() == "TLSv1.3"
    assert to_client.pending == 0
