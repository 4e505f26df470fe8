"""`devbox-proxy run` as a process of its own: settings from a file, TLS on both sides, SIGTERM in the middle of a stream."""

import asyncio
import signal
import ssl
import subprocess
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp.test_utils import TestServer
from tests.support.gateway_process import COMMAND, HOST, running, server_tls, settings, write_files
from tests.support.kube_api import Cluster

from devbox_stage.credentials import make_certificates

from .processes import own_address, readiness, until_ready, until_refused
from .raw_api import raw_api

SECRET = "sk-process-credential-1"


async def status(http: aiohttp.ClientSession, url: str, trust: ssl.SSLContext) -> int:
    async with http.get(url, ssl=trust, server_hostname=HOST) as answer:
        return answer.status


async def test_from_start_to_the_end_of_the_last_stream(tmp_path: Path, http: aiohttp.ClientSession) -> None:
    pair = make_certificates((HOST, "api.example"))
    write_files(tmp_path, pair, "")
    trust = ssl.create_default_context(cadata=pair.ca)
    go_on, heads = asyncio.Event(), list[bytes]()

    async def stream(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heads.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
        for number in (b"1", b"2"):
            writer.write(b"9\r\ndata: " + number + b"\n\n\r\n")
            await writer.drain()
            await go_on.wait()
        writer.write(b"0\r\n\r\n")
        await writer.drain()

    cluster = Cluster()
    cluster.pod()
    token = cluster.bind("API", "https://api.example", SECRET, {"type": "Bearer"})
    api_server = TestServer(cluster.app())
    await api_server.start_server()
    address = own_address()
    async with raw_api(stream, address, server_tls(tmp_path)) as api:
        write_files(tmp_path, pair, str(api_server.make_url("")).rstrip("/"))
        upstreams = {"addressOverrides": {"api.example": f"{address}:{api.port}"}, "caBundle": str(tmp_path / "ca.crt")}
        async with running(tmp_path, settings(tmp_path, upstreams=upstreams)) as gateway:
            url, key = f"https://127.0.0.1:{gateway.data}/v1", {"x-api-key": token}
            assert await readiness(http, gateway) == 503, "the floor is not known"
            async with http.get(url, headers=key, ssl=trust, server_hostname=HOST) as early:
                assert (early.status, (await early.json())["error"]["code"]) == (503, "not_ready")
            cluster.floor()
            await until_ready(http, gateway, 200)
            async with http.get(url, headers=key, ssl=trust, server_hostname=HOST) as response:
                assert await response.content.readuntil(b"\n\n") == b"data: 1\n\n"
                gateway.process.send_signal(signal.SIGTERM)
                await until_ready(http, gateway, 503)
                async with http.get(url, ssl=trust, server_hostname=HOST) as late:
                    assert late.status == 401, "still served, for whoever has not heard of it"
                    assert late.headers["Connection"] == "close"
                async with asyncio.timeout(1.5):  # drainSeconds is 1: then the listener is closed
                    await until_refused(lambda: status(http, url, trust), aiohttp.ClientConnectionError)
                go_on.set()
                assert await response.content.read() == b"data: 2\n\n"
            assert await gateway.end() == 0
    cluster.end_watches()
    await api_server.close()
    assert f"Authorization: Bearer {SECRET}".encode() in heads[0]
    assert b"gws_" not in heads[0]
    output = "".join(gateway.output)
    assert '"audit":"end"' in output
    assert '"ended":"complete"' in output
    assert SECRET not in output
    assert token.removeprefix("gws_") not in output
    assert "Traceback" not in output


async def test_a_log_that_nobody_reads_stops_nothing(tmp_path: Path, http: aiohttp.ClientSession) -> None:
    cluster = Cluster()
    cluster.pod()
    token = cluster.bind("API", "https://api.example", SECRET, {"type": "Bearer"})
    api_server = TestServer(cluster.app())
    await api_server.start_server()
    pair = make_certificates((HOST,))
    write_files(tmp_path, pair, str(api_server.make_url("")).rstrip("/"))
    config = settings(tmp_path, audit={"onOverflow": "Drop", "queue": 64}, drainSeconds=0)
    async with running(tmp_path, config) as gateway:
        gateway.stop_reading()
        url, trust = f"https://127.0.0.1:{gateway.data}/v1", ssl.create_default_context(cadata=pair.ca)
        async with asyncio.timeout(60):
            for _ in range(1500):  # each makes two audit lines and a warning, since nothing may be dialled without a floor
                async with http.get(url, headers={"x-api-key": token}, ssl=trust, server_hostname=HOST) as response:
                    assert response.status == 503
        async with http.get(f"http://127.0.0.1:{gateway.admin}/metrics") as response:
            metrics = await response.text()
        lost = next(line for line in metrics.splitlines() if line.startswith("devbox_gateway_lines_lost_total "))
        assert float(lost.split()[1]) > 0
    cluster.end_watches()
    await api_server.close()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"upstream": {}}, "upstream: Extra inputs are not permitted"),
        ({"audit": {"onOverflow": "Ignore"}}, "audit.onOverflow"),
        ({"upstreams": {"allowedCIDRs": ["10.0.0.1/8"]}}, "10.0.0.1/8 has host bits set"),
        ({"upstreams": {"addressOverrides": {"a.example": "b.example"}}}, "'b.example' does not appear to be an IPv4 or IPv6"),
        ({"upstreams": {"caBundle": "/nowhere/ca.crt"}}, "upstreams.caBundle: "),
        ({"listen": {"tls": {"certFile": "/nowhere/tls.crt"}}}, "listen.tls: "),
    ],
)
def test_a_mistake_in_the_settings_is_named(tmp_path: Path, change: dict[str, Any], said: str) -> None:
    write_files(tmp_path, make_certificates((HOST,)), "http://127.0.0.1:1")
    result = subprocess.run(
        [*COMMAND, "run", "--config", str(settings(tmp_path, **change))],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert result.returncode == 2
    assert said in result.stderr
    assert "Traceback" not in result.stderr
