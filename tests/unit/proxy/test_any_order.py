"""Random events in any order on one client's connection and the API's: whatever comes when, the books balance and nothing is mixed up."""

import asyncio
import base64
import hashlib
import time
from collections import Counter
from typing import Final

import orjson
from hypothesis import example, given, settings
from hypothesis import strategies as st

from devbox_api.judge.refusals import Refusal
from devbox_proxy.accounting.limits import Load, UnderWay
from devbox_proxy.decide.caller import Caller
from devbox_proxy.known.credentials import PoolKey
from devbox_proxy.upstreams.connection import UpstreamConnection, UpstreamError

from .playbook import POOL, Play, Pools, Transport, request

KEY: Final = "AAAAAAAAAAAAAAAAAAAAAA=="
HANDSHAKE: Final = ("Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13", f"Sec-WebSocket-Key: {KEY}")
CLIENT: Final = (
    request("GET", "/a"),
    request("POST", "/b", body=b"hello"),
    request("POST", "/c", "Transfer-Encoding: chunked") + b"5\r\nhello\r\n0\r\n\r\n",
    request("POST", "/d", "Content-Length: 9") + b"half",
    request("POST", "/e", "Transfer-Encoding: chunked") + b"5\r\nhel",
    request("POST", "/f", "Expect: 100-continue", "Content-Length: 5"),
    request("HEAD", "/g"),
    request("GET", "/h", "Connection: close"),
    request("GET", "/i", version="HTTP/1.0"),
    request("GET", "/j", token="gws_no.such.token"),
    request("GET", "/k", *HANDSHAKE),
    request("GET", "/l") * 3,
    b"hello",
    b"lo\r\n0\r\n\r\n",
    b"\r\n",
    b"nonsense\r\n\r\n",
    b"GET /half HTT",
)
ACCEPT: Final = base64.b64encode(hashlib.sha1(f"{KEY}258EAFA5-E914-47DA-95CA-C5AB0DC85B11".encode()).digest())  # noqa: S324 (RFC 6455)
UNTIL_THE_END: Final = b"until the end"
EVIL: Final = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil"
API: Final = (
    b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
    b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\no",
    b"HTTP/1.1 200 OK\r\n\r\n" + UNTIL_THE_END,
    b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok",
    b"HTTP/1.1 204 No Content\r\n\r\n",
    b"HTTP/1.1 100 Continue\r\n\r\n",
    b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n",
    b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
    b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: "
    + ACCEPT
    + b"\r\n\r\n",
    EVIL,
    b"nonsense",
    b"more",
    b"k\r\n0\r\n\r\n",
)
ACTIONS: Final = (
    "client_lost",
    "api_lost",
    "api_reset",
    "dialled",
    "dial_failed",
    "client_stalls",
    "client_takes",
    "api_stalls",
    "api_takes",
    "look",
    "look_later",
    "pod_goes",
    "turn",
    "drain",
)
EVENTS: Final = st.one_of(
    st.tuples(st.just("client"), st.sampled_from(CLIENT)),
    st.tuples(st.just("api"), st.sampled_from(API)),
    st.tuples(st.sampled_from(ACTIONS), st.just(b"")),
)


class Crowd(Pools):
    """Connections that are made as they are asked for, and checked as they come back."""

    def __init__(self, *, pending: bool) -> None:
        super().__init__()
        self.pending = pending
        """A dial waits for the test; else there is always an idle connection."""
        self.all: list[UpstreamConnection] = []
        self.dials: list[asyncio.Future[UpstreamConnection]] = []
        self.at_rest: list[UpstreamConnection] = []

    def made(self) -> UpstreamConnection:
        connection = UpstreamConnection(POOL, self)
        connection.connection_made(Transport())
        self.all.append(connection)
        return connection

    def idle(self, key: PoolKey) -> UpstreamConnection | None:
        while self.at_rest:
            connection = self.at_rest.pop()
            if connection.transport is not None and not connection.transport.is_closing():
                return connection
        return None if self.pending else self.made()

    async def dial(self, key: PoolKey, request: object) -> UpstreamConnection:
        future: asyncio.Future[UpstreamConnection] = asyncio.get_running_loop().create_future()
        self.dials.append(future)
        return await future

    def release(self, connection: UpstreamConnection) -> None:
        assert connection.receiver is None
        assert connection not in self.at_rest
        transport = connection.transport
        assert isinstance(transport, Transport)
        sent = b"".join(transport.written)
        assert whole(sent), "a connection with half a request on it"
        transport.written.clear()
        self.at_rest.append(connection)

    def forget(self, connection: UpstreamConnection) -> None:
        if connection in self.at_rest:
            self.at_rest.remove(connection)


def whole(sent: bytes) -> bool:
    """What was sent on a connection since it came is one whole request."""
    head, end, body = sent.partition(b"\r\n\r\n")
    if not end or head.count(b"Bearer sk-real") != 1:
        return False
    lower = head.lower()
    if b"transfer-encoding: chunked" in lower:
        return body.endswith(b"0\r\n\r\n")
    _, _, length = lower.partition(b"content-length: ")
    return len(body) == int(length.partition(b"\r\n")[0] or 0)


class Counted(UnderWay):
    """Counts each call, whatever becomes of it."""

    __slots__ = ("entered", "left")

    def __init__(self, load: Load) -> None:
        super().__init__(load, 1000, 1000, too_many=Refusal.TOO_MANY_REQUESTS)
        self.entered = self.left = 0

    def enter(self, caller: Caller) -> Refusal | None:
        self.entered += 1
        return super().enter(caller)

    def leave(self, caller: Caller) -> None:
        self.left += 1
        super().leave(caller)


class Stage(Play):
    """A play with many connections to the API."""

    def __init__(self, *, pending: bool) -> None:
        super().__init__(connected=False)
        self.crowd = Crowd(pending=pending)
        self.path.upstreams = self.crowd
        self.counted = self.load.requests = Counted(self.load)

    async def apply(self, event: str, data: bytes) -> None:
        """One event, where it can happen, and what follows of itself."""
        if event.startswith("client"):
            self.apply_client(event, data)
        elif event.startswith("dial"):
            self.apply_dial(event)
        elif event.startswith("api"):
            self.apply_api(event, data)
        elif event in ("look", "look_later"):
            self.client.check(time.monotonic() + (0 if event == "look" else 25))
        elif event == "pod_goes":
            self.world.pods.clear()
        elif event == "drain":
            self.load.draining = True
            self.client.close_idle()
        if self.to_client.aborted and self.client.transport is not None:
            self.client.connection_lost(None)
        for connection in self.crowd.all:
            if connection.transport is not None and connection.transport.is_closing():
                connection.connection_lost(None)
        for _ in range(3):
            await asyncio.sleep(0)

    def apply_client(self, event: str, data: bytes) -> None:
        client = self.client
        if client.transport is None:
            return
        if event == "client" and not self.to_client.paused:
            client.data_received(data)
        elif event == "client_lost":
            client.connection_lost(None)
        elif event == "client_stalls" and client.stalled_since is None:
            client.pause_writing()
        elif event == "client_takes" and client.stalled_since is not None:
            client.resume_writing()

    def apply_dial(self, event: str) -> None:
        future = self.crowd.dials.pop() if self.crowd.dials else None
        if future is None or future.done():
            return
        if event == "dialled":
            future.set_result(self.crowd.made())
        else:
            future.set_exception(UpstreamError(Refusal.UPSTREAM_UNREACHABLE, "test"))

    def apply_api(self, event: str, data: bytes) -> None:
        api = self.crowd.all[-1] if self.crowd.all else None
        transport = api.transport if api is not None else None
        if api is None or not isinstance(transport, Transport):
            return
        if event == "api" and not transport.paused:
            api.data_received(data)
        elif event == "api_lost":
            api.connection_lost(None)
        elif event == "api_reset":
            api.connection_lost(ConnectionResetError())
        elif event == "api_stalls":
            api.pause_writing()
        elif event == "api_takes":
            api.resume_writing()


@settings(max_examples=200)
@example(
    events=[("client", request("GET", "/a")), ("api", b"HTTP/1.1 200 OK\r\n\r\n" + UNTIL_THE_END), ("api", EVIL)], pending=False
)
@given(events=st.lists(EVENTS, max_size=14), pending=st.booleans())
def test_whatever_comes_when_the_books_balance(events: list[tuple[str, bytes]], *, pending: bool) -> None:
    asyncio.run(_play(events, pending=pending))


async def _play(events: list[tuple[str, bytes]], *, pending: bool) -> None:
    stage = Stage(pending=pending)
    failures: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: failures.append(context))
    for event, data in events:
        await stage.apply(event, data)
    got = stage.to_client.take()
    assert b"sk-real" not in got
    assert b'"internal"' not in got
    if b" 101 " not in got:  # what goes through a tunnel is theirs
        # Behind a head without a length everything is body until the connection ends, whatever it looks like (RFC 9112 6.3).
        assert b"evil" not in got.partition(UNTIL_THE_END)[0]
        assert not [one for one in stage.crowd.all if b"gws_" in b"".join(getattr(one.transport, "written", []))]
    if stage.client.transport is not None:
        stage.client.connection_lost(None)
    for _ in range(3):
        await asyncio.sleep(0)
    assert not failures
    assert stage.counted.entered == stage.counted.left
    assert stage.load.requests.total == 0
    assert not stage.load.requests._by_pod
    assert stage.made == stage.lost == [stage.client]
    open_ones = [one for one in stage.crowd.all if one.transport and not one.transport.is_closing()]
    assert open_ones == [one for one in open_ones if one in stage.crowd.at_rest], "neither released nor closed"
    lines = [orjson.loads(line) for line in stage.lines()]
    starts = Counter(line["request_id"] for line in lines if line["audit"] == "start")
    ends = Counter(line["request_id"] for line in lines if line["audit"] == "end")
    assert starts == ends
    assert set(starts.values()) <= {1}
