"""The gateway over real sockets, with the real SDKs, in front of the stand-in: what clients see, and what the API received."""

import asyncio
import hashlib
import io
import itertools
import socket
import time
from typing import Any

import aiohttp
import anthropic
import openai
import pytest
from prometheus_client import generate_latest

from devbox_api import names
from devbox_proxy.kit import metrics

from .conftest import Running, until
from .identities import jwt

MESSAGE: Any = {"model": "claude-sonnet-5-5", "max_tokens": 64, "messages": [{"role": "user", "content": "good morning"}]}
CHAT: Any = {"model": "gpt-5.5", "messages": [{"role": "user", "content": "good morning"}]}


def claude(gateway: Running, token: str | None = None) -> anthropic.AsyncAnthropic:
    return anthropic.AsyncAnthropic(base_url=gateway.url, api_key=token or gateway.tokens["ANTHROPIC"], max_retries=0)


def gpt(gateway: Running, token: str | None = None) -> openai.AsyncOpenAI:
    return openai.AsyncOpenAI(base_url=gateway.url, api_key=token or gateway.tokens["OPENAI"], max_retries=0)


def received(gateway: Running) -> dict[str, list[str]]:
    """What the API saw last; and that no token was in it, and the real key once."""
    seen = gateway.api.last()
    headers: dict[str, list[str]] = {}
    for name, value in seen.headers:
        headers.setdefault(name.lower(), []).append(value)
    everything = [seen.path, *(value for values in headers.values() for value in values)]
    assert not any("gws_" in text for text in everything)
    keys = [gateway.api.anthropic, gateway.api.openai, gateway.api.internal]
    assert sum(key.value.reveal() in text for key in keys for text in everything) == 1
    return headers


@pytest.mark.row("S8", "S13")
async def test_the_anthropic_sdk_just_works(gateway: Running) -> None:
    async with claude(gateway) as client:
        message = await client.messages.create(**MESSAGE)
    assert message.content[0].type == "text"
    assert received(gateway)["x-api-key"] == [gateway.api.anthropic.value.reveal()]
    assert "authorization" not in received(gateway)


@pytest.mark.row("S14")
async def test_the_openai_sdk_just_works(gateway: Running) -> None:
    async with gpt(gateway) as client:
        answer = await client.chat.completions.create(**CHAT)
    assert answer.choices[0].message.content
    assert received(gateway)["authorization"] == [f"Bearer {gateway.api.openai.value.reveal()}"]
    assert gateway.api.last().path == "/v1/chat/completions"


@pytest.mark.row("S17")
async def test_events_arrive_one_by_one(gateway: Running) -> None:
    async with claude(gateway) as client, client.messages.stream(**MESSAGE) as stream:
        arrivals = [time.monotonic() async for _ in stream.text_stream]
    assert len(arrivals) >= 4
    gaps = [after - before for before, after in itertools.pairwise(arrivals)]
    assert max(gaps) > 0.005, "all at once: something collected them"


@pytest.mark.row("S18")
async def test_a_companys_own_header(gateway: Running, http: aiohttp.ClientSession) -> None:
    headers = {"X-Internal-Token": gateway.tokens["INTERNAL"]}
    async with http.get(f"{gateway.url}/v1/whoami", headers=headers) as response:
        assert await response.json() == {"owner": "first-customer"}
    assert received(gateway)["x-internal-token"] == [gateway.api.internal.value.reveal()]


async def test_uploads_pass_unchanged_in_both_framings(gateway: Running, http: aiohttp.ClientSession) -> None:
    blob = bytes(range(256)) * 8192

    async def pieces() -> Any:
        for start in range(0, len(blob), 50_000):
            yield blob[start : start + 50_000]

    for body in (io.BytesIO(blob), pieces()):
        headers = {"Authorization": f"Bearer {gateway.tokens['INTERNAL']}"}
        async with http.put(f"{gateway.url}/v1/blobs/x", data=body, headers=headers) as response:
            assert await response.json() == {"bytes": len(blob), "sha256": hashlib.sha256(blob).hexdigest()}


@pytest.mark.row("S4")
@pytest.mark.parametrize(
    ("token", "status", "code"),
    [(None, 401, "token_missing"), (f"gws_{jwt(99)}", 401, "token_unknown"), ("gws_half", 401, "token_malformed")],
)
async def test_refusals_are_the_sdks_own_exceptions(gateway: Running, token: str | None, status: int, code: str) -> None:
    async with claude(gateway, token or "sk-ant-of-the-client") as client, gpt(gateway, token or "sk-x") as other:
        with pytest.raises(anthropic.AuthenticationError) as caught:
            await client.messages.create(**MESSAGE)
        assert caught.value.status_code == status
        with pytest.raises(openai.AuthenticationError) as also_caught:
            await other.chat.completions.create(**CHAT)
        assert also_caught.value.code == code
    assert gateway.cluster.reviews == [], "garbage costs the API server nothing"


@pytest.mark.row("S4")
async def test_the_token_dies_with_its_pod(gateway: Running) -> None:
    async with claude(gateway) as client:
        await client.messages.create(**MESSAGE)
        gateway.cluster.delete("pods", "agent-x")
        await until(lambda: not gateway.state.known.pods)
        with pytest.raises(anthropic.PermissionDeniedError, match="gone"):
            await client.messages.create(**MESSAGE)


@pytest.mark.row("S4")
async def test_another_address_is_refused(gateway: Running) -> None:
    gateway.cluster.pod(podIPs=[{"ip": "10.244.0.9"}])
    await until(lambda: gateway.state.known.pods["uid-1"].ips == ("10.244.0.9",))
    async with claude(gateway) as client:
        with pytest.raises(anthropic.PermissionDeniedError, match="its own devbox only"):
            await client.messages.create(**MESSAGE)


async def test_a_first_request_waits_for_the_pods_address(gateway: Running) -> None:
    gateway.cluster.pod(podIPs=[])
    await until(lambda: gateway.state.known.pods["uid-1"].ips == ())
    async with claude(gateway) as client:
        request = asyncio.create_task(client.messages.create(**MESSAGE))
        await until(lambda: gateway.waiting.count == 1)
        assert not request.done()
        gateway.cluster.pod()
        assert (await request).content


async def test_a_token_that_the_cluster_refuses_is_refused(gateway: Running) -> None:
    gateway.cluster.rejected.add(gateway.tokens["ANTHROPIC"].removeprefix(names.TOKEN_PREFIX))
    async with claude(gateway) as client:
        for _ in range(5):
            with pytest.raises(anthropic.AuthenticationError, match="does not accept the token"):
                await client.messages.create(**MESSAGE)
    assert len(gateway.cluster.reviews) == 1, "a no is remembered"


async def test_many_first_requests_ask_the_cluster_once(gateway: Running) -> None:
    async with claude(gateway) as client:
        await asyncio.gather(*(client.messages.create(**MESSAGE) for _ in range(20)))
    assert len(gateway.cluster.reviews) == 1


async def test_without_an_api_server_cold_tokens_get_503_and_warm_ones_pass(gateway: Running) -> None:
    gateway.cluster.tokenreviews.away = True
    async with claude(gateway) as client:
        with pytest.raises(anthropic.InternalServerError) as caught:
            await client.messages.create(**MESSAGE)
        assert caught.value.status_code == 503
        assert caught.value.response.headers["Retry-After"] == "5"
        gateway.cluster.tokenreviews.away = False
        await until(lambda: gateway.state.known.api_away_since is None)
        await client.messages.create(**MESSAGE)
        gateway.cluster.tokenreviews.away = True
        await client.messages.create(**MESSAGE)


@pytest.mark.row("S21")
async def test_a_rotated_credential_is_used_at_once(gateway: Running) -> None:
    async with claude(gateway) as client:
        await client.messages.create(**MESSAGE)
        gateway.cluster.bind("ANTHROPIC", "https://api.anthropic.com", "sk-ant-api03-revoked", {"type": "Bearer"})
        await until(lambda: gateway.state.known.credentials["credential-ANTHROPIC"].value.reveal().endswith("revoked"))
        with pytest.raises(anthropic.AuthenticationError) as caught:
            await client.messages.create(**MESSAGE)
    assert "devbox-gateway" not in str(caught.value), "this no is the API's own, passed on unchanged"


async def test_a_credential_that_is_no_longer_granted_is_not_sent(gateway: Running) -> None:
    secret = gateway.cluster.objects["secrets"]["credential-ANTHROPIC"]
    secret["metadata"]["annotations"] = {names.ALLOWED_HOSTS_ANNOTATION: "other.example"}
    gateway.cluster.put("secrets", "credential-ANTHROPIC", **{**secret, "metadata": {**secret["metadata"], "x": 1}})
    await until(lambda: gateway.state.known.credentials["credential-ANTHROPIC"].allowed_hosts == ("other.example",))
    before = len(gateway.api.record._seen)
    async with claude(gateway) as client:
        with pytest.raises(anthropic.PermissionDeniedError, match="not granted"):
            await client.messages.create(**MESSAGE)
    assert len(gateway.api.record._seen) == before


@pytest.mark.row("S22")
async def test_the_audit_log_says_who_and_what_and_no_secret(gateway: Running) -> None:
    async with claude(gateway) as client:
        await client.messages.create(**MESSAGE)
    await until(lambda: len(gateway.lines()) == 2)
    start, end = gateway.lines()
    assert start["audit"] == "start"
    assert {key: end[key] for key in ("audit", "namespace", "devbox", "gateway", "method", "path", "status", "ended")} == {
        "audit": "end",
        "namespace": "agents",
        "devbox": "agent",
        "gateway": "agents/anthropic",
        "method": "POST",
        "path": "/v1/messages",
        "status": 200,
        "ended": "complete",
    }
    assert end["credential_id"] == "JTI=1"
    assert end["received"] > 0
    assert end["sent"] > 0
    text = gateway.audit.getvalue().decode() + generate_latest(metrics.REGISTRY).decode()
    assert "gws_" not in text
    assert gateway.api.anthropic.value.reveal() not in text


def raw(gateway: Running, data: bytes) -> bytes:
    with socket.create_connection(("127.0.0.1", gateway.port), timeout=5) as connection:
        connection.sendall(data)
        chunks = []
        while chunk := connection.recv(65536):
            chunks.append(chunk)
            if b"\r\n\r\n" in b"".join(chunks) and chunk.endswith(b"}"):
                break
        return b"".join(chunks)


@pytest.mark.parametrize(
    "request_head",
    [
        b"GET / HTTP/1.1\r\nHost: g\r\nHost: h\r\nx-api-key: %s\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: g\r\nx-api-key: %s\r\nBad Header: 1\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: g\r\nx-api-key: %s\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"GET /%%2e%%2e/x HTTP/1.1\r\nHost: g\r\nx-api-key: %s\r\n\r\n",
        b"GET http://evil.example/ HTTP/1.1\r\nHost: g\r\nx-api-key: %s\r\n\r\n",
        b"TRACE / HTTP/1.1\r\nHost: g\r\nx-api-key: %s\r\n\r\n",
        b"GET /\r\n\r\n",
    ],
)
async def test_hostile_bytes_get_our_own_words_and_no_echo(
    gateway: Running, request_head: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    token = gateway.tokens["ANTHROPIC"].encode()
    data = request_head.replace(b"%s", token).replace(b"%%", b"%")
    answer = await asyncio.to_thread(raw, gateway, data)
    assert answer.split(b" ")[1] in (b"400", b"405"), answer
    assert b'"type":"error"' in answer
    assert token not in answer
    assert b"evil" not in answer
    assert token.decode() not in caplog.text
    assert not gateway.api.record._seen


async def test_an_answer_that_is_cut_does_not_look_whole(gateway: Running, http: aiohttp.ClientSession) -> None:
    async def cut(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n")
        await writer.drain()
        writer.transport.abort()

    server = await asyncio.start_server(cut, "127.0.0.1", 0)
    gateway.api.port = server.sockets[0].getsockname()[1]
    token = gateway.cluster.bind("PLAIN", "http://plain.example", "k-plain-1", {"type": "Bearer"}).removeprefix("gws_")
    await until(lambda: names.token_digest(token) in gateway.state.known.tokens)
    gateway.loopback_port(gateway.api.port)
    with pytest.raises((aiohttp.ClientPayloadError, aiohttp.ServerDisconnectedError, ConnectionResetError)):
        async with http.get(gateway.url, headers={"x-api-key": f"gws_{token}"}) as response:
            await response.read()
    server.close()


async def test_an_api_that_is_not_there_is_502(gateway: Running, http: aiohttp.ClientSession) -> None:
    gateway.loopback_port(1)
    async with http.get(gateway.url, headers={"x-api-key": gateway.tokens["ANTHROPIC"]}) as response:
        assert response.status == 502
        assert (await response.json())["error"]["code"] == "upstream_unreachable"
