"""What explain says, and what a gateway process answers to the same requests, with what the operator would write of the same objects."""

import asyncio
import base64
import json
import socket
from collections.abc import AsyncIterator
from typing import Any

import pytest
from tests.support.addresses import own_address
from tests.support.gateway_process import HOST, Stage, stage
from tests.support.kube_api import Cluster
from tests.unit.client.explain.cases import Case, by_hand, by_parts
from tests.unit.client.explain.world import GATEWAYS, POLICIES, seen, usable

from devbox_api.egresspolicy import EgressPolicy
from devbox_api.gatewayconfig import GatewayConfig
from devbox_api.names import ALLOWED_HOSTS_ANNOTATION, CREDENTIAL_KEY, CREDENTIAL_TYPE, EGRESS_NAME
from devbox_gateway.explain.judging import explain
from devbox_operator.documents.objects import egress_document, gateway_document

ENCRYPTED = (
    "api.anthropic.com",
    "api.openai.com",
    "api.github.com",
    "internal.example",
    "company.example",
    "generativelanguage.googleapis.com",
)
OTHERS = ("github.com", "a.packages.example", "a.b.packages.example", "xn--bcher-kva.example")
SAMPLE = [case for case in by_hand() if case.gateway]
SAMPLE_OF_CONNECTS = [case for case in by_parts() if not case.authority.endswith((":80", ":22"))]


def document(text: Any) -> dict[str, Any]:
    fields: dict[str, Any] = json.loads(text.model_dump_json())
    return fields


async def answer_target(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """An API that answers with what it was asked for."""
    try:
        while (head := await reader.readuntil(b"\r\n\r\n")) and (target := head.split(b" ")[1]):
            content = base64.b64encode(target.partition(b"?")[0])
            body = b"" if head.startswith(b"HEAD") else content
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(content), body))
    except (asyncio.IncompleteReadError, ConnectionError):
        writer.close()


class World:
    """A gateway process that serves the devbox of world.py."""

    def __init__(self, gateway: Stage, tokens: dict[str, str]) -> None:
        self.gateway, self.tokens = gateway, tokens

    async def asked(self, name: str, method: str, target: bytes) -> tuple[str, bytes]:
        """Its code, or empty and what the API was asked for."""
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", self.gateway.port, ssl=self.gateway.trust, server_hostname=HOST
        )
        lines = f"Host: {HOST}\r\nAuthorization: Bearer {self.tokens[name]}\r\nConnection: close\r\n\r\n"
        writer.write(b"%b %b HTTP/1.1\r\n" % (method.encode(), target) + lines.encode())
        async with asyncio.timeout(10):
            head, _, body = (await reader.read()).partition(b"\r\n\r\n")
        writer.close()
        if b"Server: devbox-gateway" in head and body.startswith(b"{"):
            return json.loads(body)["error"]["code"], b""
        return "", base64.b64decode(body)

    async def connect(self, authority: str) -> str:
        """The code of a CONNECT; empty: it became a tunnel."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.gateway.egress)
        secret = base64.b64encode(f"devbox:{self.tokens[EGRESS_NAME]}".encode()).decode()
        writer.write(
            f"CONNECT {authority} HTTP/1.1\r\nHost: {authority}\r\nProxy-Authorization: Basic {secret}\r\n\r\n".encode()
        )
        async with asyncio.timeout(10):
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
        writer.close()
        return "" if " 200 " in head else head.split(" ")[2].rstrip(":")


@pytest.fixture
async def world() -> AsyncIterator[World]:
    cluster = Cluster()
    cluster.pod()
    cluster.floor()
    seen("listed")
    tokens = {}
    for name, found, held in GATEWAYS:
        tokens[name] = cluster.agent.bind(name, None, None)
        if found is not None and usable(found):
            content = document(gateway_document(GatewayConfig.model_validate(found)))
            cluster.secret(f"gateway-{name}", "devbox-gateway.io/gateway", "gateway.json", json.dumps(content).encode())
        if held is not None:
            grant = {key: value for key, value in held["metadata"]["annotations"].items() if key == ALLOWED_HOSTS_ANNOTATION}
            cluster.secret(f"credential-{name}", CREDENTIAL_TYPE, CREDENTIAL_KEY, b"sk-real-and-long", grant)
    fields = document(egress_document(EgressPolicy.model_validate(POLICIES["listed"])))
    tokens[EGRESS_NAME] = cluster.agent.bind_egress(cluster.policy(**{**fields, "name": "policy"}))
    with socket.socket() as probe, socket.socket() as plain:
        probe.bind((own_address(), 0))
        plain.bind((own_address(), 0))
        port, plain_port = probe.getsockname()[1], plain.getsockname()[1]
    hosts = dict.fromkeys(ENCRYPTED, f"{own_address()}:{port}") | {"plain.example": f"{own_address()}:{plain_port}"}
    upstreams = {"addressOverrides": hosts}
    egress = {"addressOverrides": dict.fromkeys((*ENCRYPTED, *OTHERS), f"{own_address()}:{port}")}
    async with stage(cluster, hosts=(*ENCRYPTED, *OTHERS), upstreams=upstreams, egress=egress) as gateway:
        server = await asyncio.start_server(answer_target, own_address(), port, ssl=gateway.server_tls)
        other = await asyncio.start_server(answer_target, own_address(), plain_port)
        yield World(gateway, tokens)
        server.close()
        other.close()


async def test_the_gateway_process_says_what_explain_says(world: World) -> None:
    objects, differ, passed = seen("listed"), [], 0
    for case in SAMPLE:
        (way,) = explain(objects, case.method, case.url).ways
        code, target = await world.asked(case.gateway, case.method, case.sent)
        if way.verdict.passes and case.gateway in ("ADDRESS", "SELECTED"):
            code, target = "", b"/v1"  # (nobody is there; that it was dialled is the decision)
        leads = way.leads.partition("://")[2].partition("/")
        wanted = (way.code, (leads[1] + leads[2]).encode() if way.verdict.passes and case.method != "HEAD" else b"")
        passed += way.verdict.passes
        if (code, target) != wanted:
            differ.append((case, wanted, code, target))
    assert not differ, "\n".join(map(str, differ))
    assert passed > 30
    assert len(SAMPLE) - passed > 60


async def test_the_forward_proxy_says_what_explain_says(world: World) -> None:
    objects, differ, passed = seen("listed"), [], 0
    for case in SAMPLE_OF_CONNECTS:
        way = next(each for each in explain(objects, "CONNECT", case.authority).ways)
        code = await world.connect(_sent(case))
        dialled = code in ("upstream_name_unknown", "upstream_unreachable", "upstream_connect_timeout") or (
            code == "address_not_allowed" and way.verdict.passes
        )
        passed += way.verdict.passes
        if way.code != ("" if dialled else code):
            differ.append((case, way, code))
    assert not differ, "\n".join(map(str, differ))
    assert passed > 15


def _sent(case: Case) -> str:
    host, colon, port = case.authority.rpartition(":")
    if case.authority.endswith("]") or not colon or not port.isdigit():
        host, port = case.authority, "443"
    return f"{host if host.isascii() else host.encode('idna').decode()}:{port}"
