"""Requests to an API server: over real TLS, with what goes wrong on the way."""

import asyncio
import base64
import hashlib
import os
import socket
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from tests.support.tls_site import tls_site

from devbox_cluster import pki
from devbox_gateway import errors
from devbox_gateway.kube import session as module
from devbox_gateway.kube.access import Access, find
from devbox_gateway.kube.credentials import Credentials, Static
from devbox_gateway.kube.secrecy import Hidden
from devbox_gateway.kube.session import Session

from .tracebacks import carried

Handler = Callable[[web.Request], Any]
STATUS = {"kind": "Status", "status": "Failure"}


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pki")
    pki.ensure(folder)
    return folder


class Server:
    """An API server whose answers a test gives; what it was asked."""

    def __init__(self, authority: Path) -> None:
        self.authority, self.asked = authority, list[web.Request]()
        self.answers: list[Handler] = []
        self.url = ""

    async def handle(self, request: web.Request) -> web.StreamResponse:
        self.asked.append(request)
        handler = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        answer = handler(request)
        found: web.StreamResponse = await answer if asyncio.iscoroutine(answer) else answer
        return found

    def access(self, **change: Any) -> Access:
        source = change.pop("source", None) or Static({"token": "tok"})
        return Access(self.url, source, authority=(self.authority / "ca.crt").read_bytes(), **change)

    @asynccontextmanager
    async def session(self, **change: Any) -> AsyncIterator[Session]:
        made = Session(self.access(**change), "test/1")
        try:
            yield made
        finally:
            await made.close()


@pytest.fixture
async def server(authority: Path) -> AsyncIterator[Server]:
    made = Server(authority)
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", made.handle)
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(authority / "ca.crt"))
    tls.verify_mode = ssl.CERT_OPTIONAL
    tls.load_cert_chain(authority / "apiserver.crt", authority / "apiserver.key")
    async with tls_site(web.AppRunner(app, shutdown_timeout=1), "127.0.0.1", tls) as port:
        made.url = f"https://127.0.0.1:{port}"
        yield made


def json(content: Any = None, status: int = 200, **headers: str) -> Handler:
    return lambda _: web.json_response({} if content is None else content, status=status, headers=headers)


@pytest.fixture(autouse=True)
def hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_PAUSE", 0.05)


async def test_a_request(server: Server) -> None:
    server.answers = [json({"a": 1})]
    async with server.session() as session:
        assert await session.request("POST", "/api/v1/x", {"q": "ü&="}, {"b": 2}) == {"a": 1}
    (request,) = server.asked
    assert (request.method, request.path, request.query["q"]) == ("POST", "/api/v1/x", "ü&=")
    assert request.headers["Authorization"] == "Bearer tok"
    assert request.headers["User-Agent"] == "test/1"


async def test_a_client_certificate(server: Server, authority: Path) -> None:
    user = {
        f"client-{part}-data": base64.b64encode((authority / f"admin.{ending}").read_bytes()).decode()
        for part, ending in (("certificate", "crt"), ("key", "key"))
    }

    def who(request: web.Request) -> web.Response:
        assert request.transport is not None
        return web.json_response({"peer": str(request.transport.get_extra_info("peercert"))})

    server.answers = [who]
    async with server.session(source=Static(user)) as session:
        assert "commonName" in (await session.request("GET", "/x"))["peer"]


async def test_a_key_leaves_no_file_behind(
    server: Server, authority: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    server.access().tls(
        Credentials(None, (authority / "admin.crt").read_bytes(), Hidden((authority / "admin.key").read_bytes()))
    )
    assert list(tmp_path.iterdir()) == []  # noqa: ASYNC240 (a folder of the test)


async def test_a_certificate_and_a_key_that_are_no_pair(server: Server, authority: Path) -> None:
    with pytest.raises(errors.AuthenticationError, match="no pair"):
        server.access().tls(Credentials(None, (authority / "admin.crt").read_bytes(), Hidden(b"-----BEGIN NOTHING-----")))


async def test_a_server_that_nobody_vouches_for(server: Server) -> None:
    server.answers = [json()]
    session = Session(Access(server.url, Static({})), "test/1")
    with pytest.raises(errors.AuthenticationError, match="not trusted"):
        await session.request("GET", "/x")
    await session.close()
    async with server.session(verify=False) as trusting:
        await trusting.request("GET", "/x")


async def test_the_name_in_the_certificate_is_another_than_the_address(server: Server) -> None:
    server.answers = [json()]
    async with server.session(server_name="kubernetes.default.svc") as session:
        await session.request("GET", "/x")
    async with server.session(server_name="other.example") as session:
        with pytest.raises(errors.AuthenticationError, match="not trusted"):
            await session.request("GET", "/x")


class Renewing:
    """A source whose first credentials are not accepted."""

    def __init__(self) -> None:
        self.asked: list[bool] = []

    async def get(self, renew: bool = False) -> Credentials:
        self.asked.append(renew)
        return Credentials.bearer("new" if renew else "old")


def only_new(request: web.Request) -> web.Response:
    return web.json_response({}, status=200 if request.headers["Authorization"] == "Bearer new" else 401)


async def test_credentials_that_are_not_accepted_are_renewed_once(server: Server) -> None:
    server.answers = [only_new]
    source = Renewing()
    async with server.session(source=source) as session:
        await session.request("GET", "/x")
    assert source.asked == [False, True]
    server.answers = [json(STATUS, 401)]
    async with server.session(source=Renewing()) as session:
        with pytest.raises(errors.AuthenticationError, match="log in again"):
            await session.request("POST", "/x")
    assert len(server.asked) == 4


async def test_what_is_busy_is_asked_again(server: Server) -> None:
    server.answers = [json(STATUS, 429), json(STATUS, 503, **{"Retry-After": "1"}), json({"done": True})]
    async with server.session() as session:
        assert await session.request("POST", "/x", body={}) == {"done": True}
    assert len(server.asked) == 3


async def test_a_write_that_may_have_been_done_is_not_repeated(server: Server) -> None:
    server.answers = [json({**STATUS, "message": "etcd"}, 500), json()]
    async with server.session() as session:
        with pytest.raises(errors.APIConnectionError, match=r"500.*etcd"):
            await session.request("POST", "/x", body={})
    assert len(server.asked) == 1


async def cut(request: web.Request) -> web.Response:
    assert request.transport is not None
    request.transport.close()
    return web.Response()


async def test_a_connection_that_is_cut(server: Server) -> None:
    server.answers = [cut, json({"done": True})]
    async with server.session() as session:
        assert await session.request("GET", "/x") == {"done": True}
    server.answers = [cut]
    async with server.session() as session:
        with pytest.raises(errors.APIConnectionError):
            await session.request("POST", "/x")
    assert len(server.asked) == 3


async def test_no_place_in_memory_is_told(server: Server) -> None:
    server.url = "https://127.0.0.1:9"
    async with server.session() as session:
        with pytest.raises(errors.APIConnectionError) as caught:
            await session.request("GET", "/x", seconds=1)
    assert "can't be reached: Cannot connect to host 127.0.0.1:9 [" in str(caught.value)
    assert "SSLContext" not in str(caught.value)


async def test_an_api_server_that_is_not_there() -> None:
    session = Session(Access("http://127.0.0.1:9", Static({})), "test/1")
    with pytest.raises(errors.APIConnectionError, match="can't be reached"):
        await session.request("GET", "/x")
    await session.close()


async def test_one_that_never_answers(server: Server) -> None:
    async def never(_: web.Request) -> web.Response:
        await asyncio.sleep(30)
        return web.Response()

    server.answers = [never]
    async with server.session() as session:
        with pytest.raises(errors.APITimeoutError, match="did not answer GET /x"):
            await session.request("GET", "/x", seconds=0.3)


async def test_something_else_at_that_address(server: Server) -> None:
    server.answers = [lambda _: web.Response(text="<html>welcome</html>")]
    async with server.session() as session:
        with pytest.raises(errors.APIConnectionError, match="is this address an API server's"):
            await session.request("GET", "/x")


async def test_a_list_in_pages(server: Server) -> None:
    server.answers = [
        json({"items": [{"n": 1}], "metadata": {"continue": "more"}}),
        json({"items": [{"n": 2}], "metadata": {}}),
    ]
    async with server.session() as session:
        assert await session.list("/x", {"labelSelector": "a=b"}) == [{"n": 1}, {"n": 2}]
    assert [request.query.get("continue") for request in server.asked] == [None, "more"]
    assert all(request.query["labelSelector"] == "a=b" for request in server.asked)


async def test_a_watch(server: Server) -> None:
    long = "x" * 300_000

    async def stream(request: web.Request) -> web.StreamResponse:
        answer = web.StreamResponse()
        await answer.prepare(request)
        await answer.write(b'{"type": "ADDED", "object": {"a"')
        await answer.write(f': "{long}"}}}}\n{{"type": "DELETED", "object": {{}}}}\n'.encode())
        await answer.write_eof()
        return answer

    server.answers = [stream]
    async with server.session() as session:
        assert [event async for event in session.watch("/x", {})] == [("ADDED", {"a": long}), ("DELETED", {})]


@asynccontextmanager
async def connect_proxy() -> AsyncIterator[tuple[str, list[str]]]:
    """A proxy for CONNECT; what it was asked."""
    asked: list[str] = []

    async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(1 << 16):
            writer.write(data)
            await writer.drain()
        writer.close()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        asked.append(head)
        host, _, port = head.split()[1].rpartition(":")
        there = await asyncio.open_connection(host, int(port))
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        await asyncio.gather(pump(reader, there[1]), pump(there[0], writer))

    listening = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield f"http://me:pass@127.0.0.1:{listening.sockets[0].getsockname()[1]}", asked
    finally:
        listening.close()


async def test_through_a_proxy(server: Server) -> None:
    server.answers = [json({"a": 1})]
    async with connect_proxy() as (proxy, asked):
        async with server.session(proxy=Hidden(proxy)) as session:
            assert await session.request("GET", "/x") == {"a": 1}
        assert asked[0].startswith(f"CONNECT {server.url.removeprefix('https://')} ")
        assert "tok" not in asked[0]
        assert "pass" not in repr(session.access)


async def test_a_websocket_that_is_refused_says_why(server: Server) -> None:
    message = 'User "j" cannot get resource "pods/exec" in API group "" in the namespace "a"'
    server.answers = [json({**STATUS, "message": message}, 403)]
    async with server.session() as session:
        with pytest.raises(errors.PermissionDeniedError, match="pods/exec") as caught:
            await session.websocket("/x", (), ["v5.channel.k8s.io"])
    assert 'resources: ["pods/exec"]' in caught.value.role


async def test_a_websocket_that_does_not_get_through(server: Server) -> None:
    server.answers = [lambda _: web.Response(status=400, text="Upgrade request required")]
    async with server.session() as session:
        with pytest.raises(errors.APIConnectionError, match="WebSocket"):
            await session.websocket("/x", (), ["v5.channel.k8s.io"])


async def test_a_websocket_that_the_node_refuses_is_nothing_in_between(server: Server) -> None:
    server.answers = [json(STATUS, 500), json(STATUS, 400)]
    async with server.session() as session:
        with pytest.raises(errors.APIConnectionError, match="nothing could be begun in the container") as caught:
            await session.websocket("/x", (), ["v5.channel.k8s.io"])
    assert "what is between" not in str(caught.value)


async def test_a_websocket_whose_credentials_are_renewed(server: Server) -> None:
    async def upgrade(request: web.Request) -> web.StreamResponse:
        if request.headers["Authorization"] != "Bearer new":
            return web.json_response(STATUS, status=401)
        socket = web.WebSocketResponse(protocols=["v5.channel.k8s.io"])
        await socket.prepare(request)
        await socket.close()
        return socket

    server.answers = [upgrade]
    async with server.session(source=Renewing()) as session:
        socket = await session.websocket("/x", (), ["v5.channel.k8s.io"])
        assert socket.protocol == "v5.channel.k8s.io"
        assert (await socket.receive()).type is aiohttp.WSMsgType.CLOSE
        await socket.close()


def test_the_local_clusters_own_kubeconfig(authority: Path) -> None:
    found = find(path=authority / "admin.conf", environ={})
    assert found.url.startswith("https://")
    assert found.authority is not None


@pytest.mark.parametrize("what", ["websocket", "watch"])
async def test_no_connection_is_left_to_a_server_that_does_not_say_good_bye(authority: Path, what: str) -> None:
    """It stops reading, so it hears no end of TLS, and answers none: the connections are closed all the same."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        writer.transport.pause_reading()  # type: ignore[attr-defined]
        key = next((line.split()[1] for line in head.splitlines() if line.lower().startswith("sec-websocket-key")), "")
        accepted = base64.b64encode(hashlib.sha1((key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11").encode()).digest())  # noqa: S324 (RFC 6455 says so)
        if key:
            writer.write(b"HTTP/1.1 101 x\r\nupgrade: websocket\r\nconnection: upgrade\r\nsec-websocket-accept: ")
            writer.write(accepted + b"\r\n\r\n\x88\x00")  # (and a message that closes it)
        else:
            writer.write(b'HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n{"type": "ADDED"}\n')
        waiting.append(writer)

    waiting: list[asyncio.StreamWriter] = []
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(authority / "apiserver.crt", authority / "apiserver.key")
    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=tls)
    port = server.sockets[0].getsockname()[1]
    access = Access(f"https://127.0.0.1:{port}", Static({"token": "tok"}), authority=(authority / "ca.crt").read_bytes())
    session = Session(access, "test/1")
    if what == "websocket":
        opened = await session.websocket("/x", (), ())
        assert (await opened.receive()).type is aiohttp.WSMsgType.CLOSE
        await opened.close()
    else:
        async for kind, _ in session.watch("/x", {}):
            assert kind == "ADDED"
            break
    assert _connected_to(port)
    await session.close()
    assert not _connected_to(port)
    for writer in waiting:
        writer.transport.abort()
    server.close()


def _connected_to(port: int) -> int:
    """How many connections this process has to there."""
    found = 0
    for path in Path("/proc/self/fd").iterdir():
        with suppress(OSError), socket.socket(fileno=os.dup(int(path.name))) as one:
            found += one.getpeername()[1:2] == (port,)
    return found


async def test_a_proxys_password_is_in_no_message(server: Server) -> None:
    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n")
        writer.close()

    listening = await asyncio.start_server(refuse, "127.0.0.1", 0)
    proxy = f"http://me:hunter2@127.0.0.1:{listening.sockets[0].getsockname()[1]}"
    async with server.session(proxy=Hidden(proxy)) as session:
        for asking in (
            session.request("POST", "/x", body={}),
            session.date(),
            session.websocket("/x", (), ["v5.channel.k8s.io"]),
        ):
            with pytest.raises(errors.APIConnectionError, match="407") as caught:
                await asking
            assert "hunter2" not in str(caught.value)
    listening.close()


async def test_no_error_carries_who_we_are(server: Server) -> None:
    server.answers = [json({**STATUS, "message": "no"}, 403)]

    async def logs(session: Session) -> None:
        async for _ in session.pieces("/x", ()):
            pass

    askings: list[Callable[[Session], Any]] = [
        lambda session: session.request("GET", "/x"), logs, lambda session: session.date(),
        lambda session: session.websocket("/x", (), ["v5.channel.k8s.io"])
    ]  # fmt: skip
    async with connect_proxy() as (proxy, _):
        for asking in askings:
            async with server.session(proxy=Hidden(proxy), source=Static({"token": "hunter2"})) as session:
                with pytest.raises(errors.DevboxGatewayError) as caught:
                    await asking(session)
                said = carried(caught.value)
                assert "/x" in said or "/version" in said
                assert "hunter2" not in said
                assert "me:pass" not in said
