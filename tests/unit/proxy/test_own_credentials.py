"""A gateway process in front of a well-known API: what a client sends of its own credentials, judged by the bytes that the API got."""

import asyncio
import ssl
from pathlib import Path
from typing import Final

import aiohttp
from tests.support.gateway_process import HOST, running, server_tls, settings, write_files
from tests.support.kube_api import Cluster
from yarl import URL

from devbox_stage.credentials import make_certificates

from .processes import own_address, until_ready
from .raw_api import answering, raw_api

GOOGLE: Final = "generativelanguage.googleapis.com"
SECRET: Final = "AIza-the-real-credential"
MINE: Final = "AIza-of-the-clients-own"
QUERIES: Final = (
    f"key={MINE}",
    f"KEY={MINE}&alt=sse",
    f"k%65y={MINE}",
    f"alt=sse&key={MINE}&key={MINE}",
    f"alt=sse;key={MINE}",
    f"key[]={MINE}",
    f"key%5b0%5d={MINE}",
    f"%20key%20={MINE}",
    f"access_token={MINE}",
    f"oauth%5ftoken={MINE}",
    f"$key={MINE}",
)
HEADERS: Final = ("Authorization", "X-Api-Key", "Api-Key", "Proxy-Authorization", "X-Goog-IAM-Authorization-Token")


async def test_the_api_gets_the_granted_credential_and_none_of_the_clients(tmp_path: Path, http: aiohttp.ClientSession) -> None:
    pair, heads, cluster = make_certificates((HOST, GOOGLE)), list[bytes](), Cluster()
    cluster.pod()
    token = cluster.bind("GEMINI", f"https://{GOOGLE}", SECRET, {"type": "Bearer"})
    cluster.floor()
    address = own_address()
    write_files(tmp_path, pair, "")
    api_head = b"200 OK\r\nContent-Length: 2\r\nContent-Type: application/json"
    async with cluster.serving() as url, raw_api(answering(api_head, b"{}", heads), address, server_tls(tmp_path)) as api:
        write_files(tmp_path, pair, url)
        upstreams = {"addressOverrides": {GOOGLE: f"{address}:{api.port}"}, "caBundle": str(tmp_path / "ca.crt")}
        async with running(tmp_path, settings(tmp_path, upstreams=upstreams, drainSeconds=0)) as gateway:
            await until_ready(http, gateway, 200)
            at, trust = f"https://127.0.0.1:{gateway.data}/v1beta/models", ssl.create_default_context(cadata=pair.ca)
            asked = [(query, {"x-goog-api-key": token}) for query in QUERIES]
            asked += [("alt=sse", {"x-goog-api-key": token, name: MINE}) for name in HEADERS]
            async with asyncio.timeout(60):
                for query, headers in asked:
                    target = URL(f"{at}?{query}", encoded=True)
                    async with http.get(target, headers=headers, ssl=trust, server_hostname=HOST) as response:
                        assert response.status == 200
    assert len(heads) == len(asked)
    for (query, _), head in zip(asked, heads, strict=True):
        assert MINE.encode() not in head, query
        assert head.count(SECRET.encode()) == 1
        assert f"x-goog-api-key: {SECRET}".encode() in head
        assert (b"alt=sse" in head) is ("alt=sse" in query), "what is no credential stays"
