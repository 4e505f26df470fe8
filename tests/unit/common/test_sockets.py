"""A client of the API server that is closed leaves no connection, whatever the API server does then."""

import asyncio
import contextlib
import socket
import ssl
import threading
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import pytest
import uvloop

from devbox_cluster import pki
from devbox_common.access import Access
from devbox_common.kube import KubeApi


class Mute:
    """A server that agrees to a watch, and then neither speaks nor hears, not even TLS's goodbye."""

    def __init__(self, folder: Path) -> None:
        pki.ensure(folder)
        self._tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._tls.load_cert_chain(folder / "apiserver.crt", folder / "apiserver.key")
        self.trust = ssl.create_default_context(cafile=folder / "ca.crt")
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._connection: ssl.SSLSocket | None = None
        self.url = f"https://127.0.0.1:{self._listener.getsockname()[1]}"
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        connection, _ = self._listener.accept()
        self._connection = self._tls.wrap_socket(connection, server_side=True)
        self._connection.recv(2**16)
        self._connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n")

    def heard_the_end(self) -> bool:
        """TCP's, within half a second."""
        assert self._connection is not None
        connection = socket.socket(fileno=self._connection.fileno())  # (The bytes under TLS.)
        try:
            connection.settimeout(0.5)
            while connection.recv(2**16):
                pass
        except TimeoutError:
            return False
        except ConnectionError:
            return True
        else:
            return True
        finally:
            connection.detach()

    def close(self) -> None:
        self._listener.close()
        self._thread.join()
        if self._connection is not None:
            self._connection.close()


@pytest.fixture
def mute(tmp_path: Path) -> Iterator[Mute]:
    server = Mute(tmp_path)
    yield server
    server.close()


@pytest.mark.parametrize("run", [asyncio.run, uvloop.run], ids=["asyncio", "uvloop"])
def test_a_watch_that_was_cut_is_closed(mute: Mute, run: Callable[[Coroutine[Any, Any, None]], None]) -> None:
    async def watch(api: KubeApi, opened: asyncio.Event) -> None:
        async for _ in api.watch("/api/v1/pods", "1", opened=opened.set):
            raise AssertionError("nobody speaks")

    async def case() -> None:
        opened = asyncio.Event()
        async with KubeApi(Access(mute.url, mute.trust)) as api:
            watching = asyncio.create_task(watch(api, opened))
            await opened.wait()
            watching.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await watching
            assert not await asyncio.to_thread(mute.heard_the_end)
        assert await asyncio.to_thread(mute.heard_the_end)

    run(case())
