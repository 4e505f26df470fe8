"""The stand-in on loopback, with TLS, as the demo runs it in the cluster."""

import ssl
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import aiohttp
import httpx2
import pytest
from aiohttp import web

from devbox_stage.credentials import Certificates, Key, key_document, make_certificates, make_key
from standin import anthropic_api, google_api, internal_api, openai_api
from standin.keys import KeyRing
from standin.record import Record, Seen
from standin.server import admin, application

HOSTS = (anthropic_api.HOST, openai_api.HOST, google_api.HOST, internal_api.HOST)
PACE = 0.02


@pytest.fixture(scope="session")
def certificates() -> Certificates:
    return make_certificates(HOSTS)


@dataclass
class Upstream:
    """The running stand-in and how to reach it."""

    port: int
    admin_port: int
    keys: KeyRing
    record: Record
    context: ssl.SSLContext
    anthropic: Key
    openai: Key
    google: Key
    internal: Key
    clients: list[httpx2.AsyncClient] = field(default_factory=list)

    def last(self) -> Seen:
        return self.record._seen[-1]

    def http(self) -> httpx2.AsyncClient:
        """For the SDKs: https://<real host>, on loopback."""
        client = httpx2.AsyncClient(transport=OnLoopback(self.port, self.context))
        self.clients.append(client)
        return client

    def session(self) -> aiohttp.ClientSession:
        return aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=self.context, resolver=Loopback()))

    def url(self, host: str, path: str) -> str:
        return f"https://{host}:{self.port}{path}"


class Loopback(aiohttp.abc.AbstractResolver):
    """Every name is 127.0.0.1."""

    async def resolve(self, host: str, port: int = 0, family: int = 0) -> list[aiohttp.abc.ResolveResult]:
        return [{"hostname": host, "host": "127.0.0.1", "port": port, "family": 2, "proto": 0, "flags": 0}]

    async def close(self) -> None:
        pass


class OnLoopback(httpx2.AsyncHTTPTransport):
    """Dials 127.0.0.1 and keeps the name for SNI, certificate and Host."""

    def __init__(self, port: int, context: ssl.SSLContext) -> None:
        super().__init__(verify=context)
        self._port = port

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        request.extensions = {**request.extensions, "sni_hostname": request.url.host}
        request.url = request.url.copy_with(host="127.0.0.1", port=self._port)
        return await super().handle_async_request(request)


@pytest.fixture
async def upstream(certificates: Certificates, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Upstream]:
    directory = tmp_path_factory.mktemp("tls")
    (directory / "tls.crt").write_text(certificates.certificate)
    (directory / "tls.key").write_text(certificates.key.reveal())
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(directory / "tls.crt", directory / "tls.key")
    client = ssl.create_default_context(cadata=certificates.ca)
    made = {api: make_key(api, "first-customer") for api in ("anthropic", "openai", "google", "internal")}
    keys, record = KeyRing(key_document([*made.values()])), Record()
    ports, runners = [], []
    for app, context in ((application(keys, record, pace=PACE), server), (admin(keys, record), None)):
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context)
        await site.start()
        runners.append(runner)
        ports.append(runner.addresses[0][1])
    running = Upstream(
        ports[0], ports[1], keys, record, client, made["anthropic"], made["openai"], made["google"], made["internal"]
    )
    yield running
    for http in running.clients:
        await http.aclose()
    for runner in runners:
        await runner.cleanup()
