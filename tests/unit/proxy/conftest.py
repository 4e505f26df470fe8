"""The gateway on loopback, whole: its TLS port, an API server that speaks real HTTP, and the demo's stand-in as the API."""

import asyncio
import base64
import contextlib
import functools
import io
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import orjson
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from kubernetes.aio.client.configuration import Configuration
from tests.unit.demo.conftest import Upstream, certificates, upstream

from devbox_api import names
from devbox_common.kube import KubeApi
from devbox_proxy.audit import AuditLog
from devbox_proxy.reviews import Reviewer
from devbox_proxy.server import DataPort, Gateway
from devbox_proxy.settings import Timeouts
from devbox_proxy.state import State
from devbox_proxy.upstream import Upstreams
from devbox_proxy.view import Limits

from .test_identity import jwt

NAMESPACE = "credentials"
HOST = "gateway.system.svc"


class Cluster:
    """As much of an API server as the gateway asks: Secrets and pods with watches, and TokenReview."""

    def __init__(self) -> None:
        self.objects: dict[str, dict[str, dict[str, Any]]] = {"secrets": {}, "pods": {}}
        self.reviews: list[str] = []
        self.rejected: set[str] = set()
        self.away = False
        self._version = 1
        self._watches: dict[str, list[asyncio.Queue[Any]]] = {"secrets": [], "pods": []}

    def put(self, kind: str, name: str, **fields: Any) -> None:
        self._version += 1
        metadata = {"name": name, "namespace": NAMESPACE, "resourceVersion": str(self._version), **fields.pop("metadata", {})}
        event = "MODIFIED" if name in self.objects[kind] else "ADDED"
        self.objects[kind][name] = {"metadata": metadata, **fields}
        self._send(kind, event, self.objects[kind][name])

    def delete(self, kind: str, name: str) -> None:
        self._send(kind, "DELETED", self.objects[kind].pop(name))

    def _send(self, kind: str, event: str, item: dict[str, Any]) -> None:
        for queue in self._watches[kind]:
            queue.put_nowait({"type": event, "object": item})

    def app(self) -> web.Application:
        app = web.Application()
        app.router.add_get(f"/api/v1/namespaces/{NAMESPACE}/secrets", functools.partial(self._collection, "secrets"))
        app.router.add_get("/api/v1/pods", functools.partial(self._collection, "pods"))
        app.router.add_post("/apis/authentication.k8s.io/v1/tokenreviews", self._review)
        return app

    async def _collection(self, kind: str, request: web.Request) -> web.StreamResponse:
        if not request.query.get("watch"):
            metadata = {"resourceVersion": str(self._version)}
            return web.json_response({"kind": "List", "metadata": metadata, "items": list(self.objects[kind].values())})
        queue: asyncio.Queue[Any] = asyncio.Queue()
        self._watches[kind].append(queue)
        response = web.StreamResponse()
        await response.prepare(request)
        while (event := await queue.get()) is not None:
            await response.write(orjson.dumps(event) + b"\n")
        return response

    def end_watches(self) -> None:
        for queues in self._watches.values():
            for queue in queues:
                queue.put_nowait(None)

    async def _review(self, request: web.Request) -> web.Response:
        spec = (await request.json())["spec"]
        self.reviews.append(spec["token"])
        if self.away:
            return web.json_response({"reason": "InternalError", "message": "away"}, status=500)
        if spec["token"] in self.rejected:
            return web.json_response({"status": {"authenticated": False, "error": "token expired"}}, status=201)
        extra = {
            "authentication.kubernetes.io/pod-uid": ["uid-1"],
            "authentication.kubernetes.io/credential-id": ["JTI=1"],
        }
        user = {"username": "system:serviceaccount:agents:devbox-agent", "extra": extra}
        return web.json_response({"status": {"authenticated": True, "audiences": spec["audiences"], "user": user}}, status=201)

    def bind(self, name: str, endpoint: str, credential: str, auth: dict[str, Any]) -> str:
        """Give the devbox a gateway, as the operator does; returns the token."""
        token = jwt(number=len(self._bindings) + 1)
        host = endpoint.partition("://")[2].partition(":")[0]
        gateway = {"version": 1, "name": name.lower(), "namespace": "agents", "uid": name, "endpoint": endpoint, "auth": auth}
        self._secret(f"gateway-{name}", names.GATEWAY_TYPE, names.GATEWAY_KEY, orjson.dumps(gateway))
        grant = {names.ALLOWED_HOSTS_ANNOTATION: host}
        self._secret(f"credential-{name}", names.CREDENTIAL_TYPE, names.CREDENTIAL_KEY, credential.encode(), grant)
        self._bindings.append(
            {
                "name": name,
                "audience": names.audience(name),
                "gateway": f"gateway-{name}",
                "credential": f"credential-{name}",
                "token": token,
                "digests": [names.token_digest(token)],
            }
        )
        route = {
            "version": 1,
            "pod": {"uid": "uid-1", "name": "agent-x", "namespace": "agents"},
            "devbox": {"name": "agent", "uid": "d"},
            "bindings": self._bindings,
        }
        self._secret("route-uid-1", names.ROUTE_TYPE, names.ROUTE_KEY, orjson.dumps(route))
        return f"gws_{token}"

    _bindings: list[dict[str, Any]]

    def _secret(self, name: str, kind: str, key: str, value: bytes, annotations: dict[str, str] | None = None) -> None:
        data = {key: base64.b64encode(value).decode()}
        self.put("secrets", name, type=kind, data=data, metadata={"annotations": annotations or {}})

    def pod(self, **status: Any) -> None:
        self.put(
            "pods",
            "agent-x",
            metadata={"uid": "uid-1", "namespace": "agents"},
            spec={"nodeName": "node-1"},
            status={"phase": "Running", "podIPs": [{"ip": "127.0.0.1"}], **status},
        )


class Loopback:
    """In place of the dial check, which never lets a gateway lead to loopback (test_destinations.py has that)."""

    def __init__(self, port: int) -> None:
        self.port = port

    async def resolve(self, host: str, port: int) -> list[tuple[str, int]]:
        return [("127.0.0.1", self.port)]


class Running:
    """The gateway and what is around it."""

    def __init__(
        self, *, port: int, cluster: Cluster, api: Upstream, audit: io.BytesIO, state: State, dialled: Loopback
    ) -> None:
        self.port, self.cluster, self.api, self.audit, self.state, self._dialled = port, cluster, api, audit, state, dialled
        self.tokens: dict[str, str] = {}

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def loopback_port(self, port: int) -> None:
        """Where every API is from now on."""
        self._dialled.port = port

    def lines(self) -> list[dict[str, Any]]:
        return [orjson.loads(line) for line in self.audit.getvalue().splitlines()]


@pytest.fixture
async def gateway(upstream: Upstream) -> AsyncIterator[Running]:
    cluster = Cluster()
    cluster._bindings = []
    server = TestServer(cluster.app())
    await server.start_server()
    async with KubeApi(Configuration(host=str(server.make_url("")).rstrip("/"))) as api:
        state = State(api, NAMESPACE, ())
        running = asyncio.create_task(state.run())
        output = io.BytesIO()
        audit = AuditLog(1000, drop=False, stream=output)
        dialled = Loopback(upstream.port)
        upstreams = Upstreams(dialled, Timeouts(first_byte_seconds=5), upstream.context)  # type: ignore[arg-type]
        gateway = Gateway(
            state,
            Reviewer(api, state.known),
            upstreams,
            audit,
            limits=Limits(),
            wait_seconds=1.0,
            public_url=f"https://{HOST}",
        )
        data = DataPort(gateway, "127.0.0.1", 0, None)
        port = await data.start()
        cluster.pod()
        result = Running(port=port, cluster=cluster, api=upstream, audit=output, state=state, dialled=dialled)
        for name, endpoint, key, auth in (
            ("ANTHROPIC", "https://api.anthropic.com", upstream.anthropic, {"type": "Bearer"}),
            ("OPENAI", "https://api.openai.com", upstream.openai, {"type": "Bearer"}),
            ("INTERNAL", "https://api.internal.example", upstream.internal, {"type": "Header", "key": "X-Internal-Token"}),
        ):
            result.tokens[name] = cluster.bind(name, endpoint, key.value.reveal(), auth)
        await until(lambda: len(state.known.tokens) == 3 and state.known.pods and state.known.synced)
        yield result
        await data.stop(1)
        await upstreams.close()
        audit.close()
        running.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await running
        cluster.end_watches()
    await server.close()


async def until(condition: Any, seconds: float = 5.0) -> None:
    """Wait for a condition, with a deadline."""
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110 (conditions of several kinds)
            await asyncio.sleep(0.01)


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


__all__ = ["Upstream", "certificates", "gateway", "http", "upstream"]
