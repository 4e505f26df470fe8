"""Gateway and API disagree about where a request ends: the next devbox's request must not be on that connection. A real process."""

import asyncio
import itertools

from tests.support.gateway_process import HOST, stage
from tests.support.kube_api import Cluster, Devbox, jwt

from devbox_api import names

from .processes import own_address
from .raw_api import raw_api

SECRET = "sk-reused-credential-1"
NAME = "api.example"
LURE = b"POST /notes HTTP/1.1\r\nHost: api.example\r\nContent-Length: 60000\r\n\r\n"
"""Whatever follows on the connection is the body of this, to an API that reads it as a request."""


class Deaf:
    """An API that takes the body of no GET or DELETE for its body, and keeps every connection open."""

    def __init__(self) -> None:
        self.heads: list[bytes] = []
        self.bodies: list[bytes] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            self.heads.append(head)
            if head.startswith(b"POST"):
                left = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
                self.bodies.append(b"")
                while left and (data := await reader.read(left)):
                    self.bodies[-1] += data
                    left -= len(data)
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
            await writer.drain()


def second_devbox(cluster: Cluster) -> str:
    """Of the same namespace, bound to the same API with the same credential; returns its token."""
    other = Devbox(cluster, "other", address="127.0.0.2")
    token = jwt(number=cluster.next_number(), uid=other.uid, aud=[names.audience("API")])
    cluster.issued[token] = other.uid
    other.bindings = [{**cluster.agent.bindings[0], "token": token, "digests": [names.token_digest(token)]}]
    other.pod_object()
    other.write_route()
    return f"{names.TOKEN_PREFIX}{token}"


async def test_what_an_api_leaves_unread_of_one_devbox_is_before_nobodys_request() -> None:
    cluster, api = Cluster(), Deaf()
    cluster.pod()
    token = cluster.bind("API", f"http://{NAME}", SECRET, {"type": "Bearer"})
    other = second_devbox(cluster)
    async with raw_api(api.serve, own_address()) as server:
        upstreams = {"addressOverrides": {NAME: f"{own_address()}:{server.port}"}}
        async with stage(cluster, hosts=(NAME,), upstreams=upstreams) as gateway:

            async def ask(source: str, request: bytes) -> bytes:
                reader, writer = await asyncio.open_connection(
                    "127.0.0.1", gateway.port, ssl=gateway.trust, server_hostname=HOST, local_addr=(source, 0)
                )
                writer.write(request)
                async with asyncio.timeout(10):
                    head = await reader.readuntil(b"\r\n\r\n")
                    if not request.startswith(b"HEAD"):
                        assert await reader.readexactly(2) == b"ok"
                writer.close()
                return head

            after = f"POST /own HTTP/1.1\r\nHost: {HOST}\r\nx-api-key: {other}\r\nContent-Length: 2\r\n\r\nhi".encode()
            for method, chunked in itertools.product(("GET", "HEAD", "DELETE", "OPTIONS"), (False, True)):
                body = b"%x\r\n%b\r\n0\r\n\r\n" % (len(LURE), LURE) if chunked else LURE
                framing = "Transfer-Encoding: chunked" if chunked else f"Content-Length: {len(LURE)}"
                head = f"{method} /x HTTP/1.1\r\nHost: {HOST}\r\nx-api-key: {token}\r\n{framing}\r\n\r\n".encode()
                assert (await ask("127.0.0.1", head + body)).startswith(b"HTTP/1.1 200 ")
                assert (await ask("127.0.0.2", after)).startswith(b"HTTP/1.1 200 "), (method, chunked)
    asked = [head for head in api.heads if b" /x " in head]
    assert len(asked) == 8
    assert all(b"\r\nConnection: close\r\n" in head for head in asked)
    assert not any(SECRET.encode() in body for body in api.bodies)
    assert api.bodies.count(b"hi") == 8
