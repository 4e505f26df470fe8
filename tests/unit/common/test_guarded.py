"""A request that may no longer go out does not: not a byte of it."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest

from devbox_common.access import Access
from devbox_common.guarded import NotSentError
from devbox_common.kube import KubeApi

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"


class Server:
    """Answers 200 to each head that comes, and keeps all bytes."""

    def __init__(self) -> None:
        self.connections = 0
        self.heard = b""

    async def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        while data := await reader.read(2**16):
            self.heard += data
            if b"\r\n\r\n" in data:
                writer.write(ANSWER)
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()


@pytest.fixture
def server() -> Server:
    return Server()


@pytest.fixture
async def api(server: Server) -> AsyncIterator[KubeApi]:
    listening = await asyncio.start_server(server.accept, "127.0.0.1", 0)
    async with listening, KubeApi(Access(f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}")) as made:
        yield made


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
async def test_a_request_that_may_not_be_sent_any_more_is_not(api: KubeApi, server: Server, method: str) -> None:
    asked = list[int]()

    def may_send() -> bool:
        asked.append(server.connections)
        return False

    with pytest.raises(NotSentError):
        await api.request(method, "/x", body={"a": 1}, may_send=may_send)
    assert server.heard == b""
    assert asked, "asked"
    assert asked[0] == 1, "when there was a connection"


async def test_nor_over_a_connection_that_is_kept(api: KubeApi, server: Server) -> None:
    await api.request("POST", "/first", body={}, may_send=lambda: True)
    with pytest.raises(NotSentError):
        await api.request("POST", "/second", body={}, may_send=lambda: False)
    await api.request("POST", "/third", body={}, may_send=lambda: True)
    assert b"/first" in server.heard
    assert b"/third" in server.heard
    assert b"/second" not in server.heard


async def test_an_apply_asks_too(api: KubeApi, server: Server) -> None:
    with pytest.raises(NotSentError):
        await api.apply("/x", {}, may_send=lambda: False)
    assert server.heard == b""
