"""A gateway process and an API that tells what it got: user and password of one Secret go in, and no password comes back."""

import asyncio
import base64
import ssl
from pathlib import Path
from typing import Final

import aiohttp
from tests.support.gateway_process import HOST, running, server_tls, settings, write_files
from tests.support.kube_api import Cluster

from devbox_stage.credentials import make_certificates

from .processes import own_address, until_ready
from .raw_api import raw_api

API: Final = "api.example"
PASSWORD: Final = "hunter2-and-more"
BOTH: Final = f"someone:{PASSWORD}"
PAIR: Final = base64.b64encode(BOTH.encode())


async def test_user_and_password_of_one_secret(tmp_path: Path, http: aiohttp.ClientSession) -> None:
    pair, heads, cluster = make_certificates((HOST, API)), list[bytes](), Cluster()
    cluster.pod()
    auth = {"type": "Basic", "user_in_secret": True}
    token = cluster.bind("BOTH", f"https://{API}", BOTH, auth, requires=["userInSecret"])
    alone = cluster.bind("ALONE", f"https://{API}", PASSWORD, auth, requires=["userInSecret"])
    newer = cluster.bind("NEWER", f"https://{API}", BOTH, auth, requires=["userInSecret", "unheardOf"])
    cluster.floor()
    address = own_address()
    write_files(tmp_path, pair, "")

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            heads.append(head)
            body = head + b"password=" + PASSWORD.encode() + b" again " + base64.b64encode(PASSWORD.encode())
            writer.write(b"HTTP/1.1 200 OK\r\nX-Pair: %b\r\nContent-Length: %d\r\n\r\n%b" % (PAIR, len(body), body))
            await writer.drain()

    async with cluster.serving() as url, raw_api(echo, address, server_tls(tmp_path)) as api:
        write_files(tmp_path, pair, url)
        upstreams = {"addressOverrides": {API: f"{address}:{api.port}"}, "caBundle": str(tmp_path / "ca.crt")}
        async with running(tmp_path, settings(tmp_path, upstreams=upstreams, drainSeconds=0)) as gateway:
            await until_ready(http, gateway, 200)
            trust = ssl.create_default_context(cadata=pair.ca)

            async def asked(gws: str) -> tuple[int, bytes]:
                carrier = {"Authorization": "Basic " + base64.b64encode(f"x:{gws}".encode()).decode()}
                at = f"https://127.0.0.1:{gateway.data}/repo"
                async with asyncio.timeout(30), http.get(at, headers=carrier, ssl=trust, server_hostname=HOST) as response:
                    shown = repr(response.raw_headers).encode() + await response.read()
                    return response.status, shown

            status, shown = await asked(token)
            refused = [await asked(other) for other in (alone, newer)]
    assert status == 200
    assert heads[0].count(b"Authorization: Basic " + PAIR + b"\r\n") == 1
    assert heads[0].lower().count(b"authorization:") == 1
    assert b"password=" + b"*" * len(PASSWORD) in shown
    for form in (PASSWORD.encode(), PAIR, base64.b64encode(PASSWORD.encode()).rstrip(b"=")[:-1]):
        assert form not in shown
    assert [status for status, _ in refused] == [503, 503]
    assert b"credential_gone" in refused[0][1], "a value that is no pair goes nowhere"
    assert b"route_unsupported" in refused[1][1]
    assert len(heads) == 1
    assert PASSWORD not in "".join(gateway.output)
