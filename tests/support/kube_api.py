"""As much of an API server as the gateway asks: Secrets and pods with list and watch, and TokenReview, over real HTTP.

Goes in: devboxes and what they are bound to, as the operator would write it. Comes out: their tokens, and what was reviewed. It runs on the
caller's event loop (`app`) or in a thread of its own (`serving`). Nothing of pytest is in it.
"""

import asyncio
import base64
import contextlib
import functools
import hashlib
import itertools
import ssl
import threading
import uuid
from collections import deque
from collections.abc import AsyncIterator, Iterable
from typing import Any, Final
from urllib.parse import urlsplit

import orjson
from aiohttp import web

from devbox_api import names

from .token_reviews import USUAL_SECONDS, TokenReviews

NAMESPACE: Final = "credentials"
DEVBOX_NAMESPACE: Final = "agents"
KEY_ID: Final = "Zk2nlSGqkkDXLzPVLMYZxwMPzBmGi5SSCpG1AgdnWzY"
"""SHA-256 of a public key, as API servers name theirs."""


def jwt(number: int = 1, uid: str = "uid-1", *, alg: str = "RS256", **claims: object) -> str:
    """A token of the cluster's shape and length, some 1,100 characters; what counts is whether it was issued here."""

    def part(value: object) -> str:
        return base64.urlsafe_b64encode(orjson.dumps(value)).decode().rstrip("=")

    about = {
        "namespace": DEVBOX_NAMESPACE,
        "node": {"name": "node-1", "uid": str(uuid.UUID(int=1))},
        "pod": {"name": f"agent-{number}-x", "uid": uid},
        "serviceaccount": {"name": names.AGENT_SERVICE_ACCOUNT, "uid": str(uuid.UUID(int=2))},
    }
    body = {
        "aud": ["https://kubernetes.default.svc.cluster.local"],
        "exp": 1_800_003_600,
        "iat": 1_800_000_000,
        "iss": "https://kubernetes.default.svc.cluster.local",
        "jti": str(uuid.UUID(int=number)),
        "kubernetes.io": about,
        "nbf": 1_800_000_000,
        "sub": f"system:serviceaccount:{DEVBOX_NAMESPACE}:{names.AGENT_SERVICE_ACCOUNT}",
    }
    # The signature has 256 bytes, as one of RSA-2048.
    signature = base64.urlsafe_b64encode(hashlib.shake_256(f"{number} {uid}".encode()).digest(256)).decode().rstrip("=")
    return f"{part({'alg': alg, 'kid': KEY_ID})}.{part(body | claims)}.{signature}"


class Cluster:
    """The objects, and who watches them. Safe to change from another thread than the one that serves it."""

    def __init__(self, review_seconds: tuple[float, float] = USUAL_SECONDS) -> None:
        """`review_seconds`: a TokenReview takes something between these."""
        self.objects: dict[str, dict[str, dict[str, Any]]] = {"secrets": {}, "pods": {}}
        self.tokenreviews = TokenReviews(DEVBOX_NAMESPACE, review_seconds)
        self._version = 1
        self._numbers = itertools.count(1)
        self._watches: dict[str, list[asyncio.Queue[Any]]] = {"secrets": [], "pods": []}
        self._silent: list[asyncio.Queue[Any]] = []
        self._events: deque[tuple[int, str, dict[str, Any]]] = deque(maxlen=10_000)
        """What a watch that begins later than its list is told first."""
        self._loop: asyncio.AbstractEventLoop | None = None
        self.agent = Devbox(self, "agent", uid="uid-1", pod="agent-x")
        """The first devbox."""

    @property
    def reviews(self) -> list[str]:
        """The tokens that were asked about."""
        return self.tokenreviews.tokens

    @property
    def rejected(self) -> set[str]:
        """Tokens that are not good any more."""
        return self.tokenreviews.rejected

    @property
    def issued(self) -> dict[str, str]:
        """The pod's UID, by token."""
        return self.tokenreviews.issued

    def put(self, kind: str, name: str, **fields: Any) -> None:
        """Create or replace an object of `kind` ("secrets", "pods")."""
        self._version += 1
        metadata = {"name": name, "namespace": NAMESPACE, **fields.pop("metadata", {}), "resourceVersion": str(self._version)}
        event = "MODIFIED" if name in self.objects[kind] else "ADDED"
        self.objects[kind][name] = {"metadata": metadata, **fields}
        self._send(kind, event, self.objects[kind][name])

    def delete(self, kind: str, name: str) -> None:
        """Remove an object. Raises KeyError if there is none."""
        self._version += 1
        self._send(kind, "DELETED", self.objects[kind].pop(name))

    def secret(self, name: str, kind: str, key: str, value: bytes, annotations: dict[str, str] | None = None) -> None:
        """A Secret with one key."""
        data = {key: base64.b64encode(value).decode()}
        self.put("secrets", name, type=kind, data=data, metadata={"annotations": annotations or {}})

    def floor(self, addresses: Iterable[str] = ("10.96.0.1",), ranges: Iterable[str] = ()) -> None:
        """The addresses that no gateway may lead to, and the cluster's own ranges."""
        document = {"version": 1, "addresses": sorted(addresses), "ranges": sorted(ranges)}
        self.secret(names.FLOOR_NAME, names.FLOOR_TYPE, names.FLOOR_KEY, orjson.dumps(document))

    def policy(self, name: str = "policy", **fields: Any) -> str:
        """Write an EgressPolicy's document; returns the Secret's name."""
        content = {"version": 1, "name": name, "namespace": DEVBOX_NAMESPACE, "uid": name, **fields}
        self.secret(f"egress-{name}", names.EGRESS_TYPE, names.EGRESS_KEY, orjson.dumps(content))
        return f"egress-{name}"

    def bind(self, name: str, endpoint: str, credential: str | None, auth: dict[str, Any], **gateway: Any) -> str:
        """See Devbox.bind; of the first devbox."""
        return self.agent.bind(name, endpoint, credential, auth, **gateway)

    def pod(self, **status: Any) -> None:
        """See Devbox.pod_object; of the first devbox, which is on loopback."""
        self.agent.pod_object(**{"podIPs": [{"ip": "127.0.0.1"}], **status})

    def next_number(self) -> int:
        """For one token."""
        return next(self._numbers)

    def _send(self, kind: str, event: str, item: dict[str, Any]) -> None:
        message = {"type": event, "object": item}
        self._events.append((self._version, kind, message))
        self._broadcast(kind, message)

    def end_watches(self) -> None:
        """Close every watch, as an API server does now and then."""
        for kind in self._watches:
            self._broadcast(kind, None)

    def silence_watches(self) -> None:
        """Those that are open say nothing any more, and do not end; those that are opened from now on work."""
        for watches in self._watches.values():
            self._silent += watches
            watches.clear()

    def _broadcast(self, kind: str, message: dict[str, Any] | None) -> None:
        for queue in list(self._watches[kind]):
            if self._loop is None:
                queue.put_nowait(message)
            else:
                self._loop.call_soon_threadsafe(queue.put_nowait, message)

    def app(self) -> web.Application:
        """The HTTP server's routes."""
        app = web.Application(client_max_size=16 << 20)
        app.router.add_get(f"/api/v1/namespaces/{NAMESPACE}/secrets", functools.partial(self._collection, "secrets"))
        app.router.add_get("/api/v1/pods", functools.partial(self._collection, "pods"))
        app.router.add_post("/apis/authentication.k8s.io/v1/tokenreviews", self.tokenreviews.answer)
        app.router.add_get("/livez", _livez)
        return app

    async def _collection(self, kind: str, request: web.Request) -> web.StreamResponse:
        if not request.query.get("watch"):
            page = self._page(kind, int(request.query.get("limit", "0")), request.query.get("continue", ""))
            return web.Response(body=orjson.dumps(page), content_type="application/json")
        queue: asyncio.Queue[Any] = asyncio.Queue()
        since = int(request.query.get("resourceVersion") or self._version)
        for version, of, message in list(self._events):
            if version > since and of == kind:
                queue.put_nowait(message)
        self._watches[kind].append(queue)
        response = web.StreamResponse()
        await response.prepare(request)
        try:
            while (event := await queue.get()) is not None:
                await response.write(orjson.dumps(event) + b"\n")
        finally:
            if queue in self._watches[kind]:
                self._watches[kind].remove(queue)
        return response

    def _page(self, kind: str, limit: int, after: str) -> dict[str, Any]:
        """By name, as the API server does: what comes or goes meanwhile moves nothing else out of the list."""
        metadata = {"resourceVersion": str(self._version)}
        rest = sorted(name for name in self.objects[kind] if name > after)
        page = rest[: limit or len(rest)]
        if len(page) < len(rest):
            metadata["continue"] = page[-1]
        return {"kind": "List", "metadata": metadata, "items": [self.objects[kind][name] for name in page]}

    @contextlib.asynccontextmanager
    async def serving(self, tls: ssl.SSLContext | None = None) -> AsyncIterator[str]:
        """Served by a thread of its own, so that a busy caller does not slow it down; gives its URL."""
        ready: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        thread = threading.Thread(target=self._serve, args=(ready, asyncio.get_running_loop(), tls), daemon=True)
        thread.start()
        url = await ready
        try:
            yield url
        finally:
            loop, self._loop = self._loop, None
            if loop is not None:
                loop.call_soon_threadsafe(loop.stop)
            await asyncio.to_thread(thread.join)

    def _serve(self, ready: "asyncio.Future[str]", caller: asyncio.AbstractEventLoop, tls: ssl.SSLContext | None) -> None:
        with asyncio.Runner() as runner:
            loop = self._loop = runner.get_loop()
            server = web.AppRunner(self.app(), access_log=None, shutdown_timeout=0)
            runner.run(server.setup())
            runner.run(web.TCPSite(server, "127.0.0.1", 0, ssl_context=tls).start())
            url = f"{'https' if tls else 'http'}://127.0.0.1:{server.addresses[0][1]}"
            caller.call_soon_threadsafe(ready.set_result, url)
            loop.run_forever()
            for queue in itertools.chain(self._silent, *self._watches.values()):
                queue.put_nowait(None)
            runner.run(server.cleanup())


async def _livez(request: web.Request) -> web.Response:
    return web.Response(text="ok")


class Devbox:
    """A pod with a Route. `bind` gives it gateways; nothing is there before `pod_object` and `bind` are called."""

    def __init__(self, cluster: Cluster, name: str, uid: str = "", pod: str = "", address: str = "127.0.0.1") -> None:
        self.cluster, self.name, self.address = cluster, name, address
        self.uid, self.pod_name = uid or f"uid-{name}", pod or f"{name}-x"
        self.bindings: list[dict[str, Any]] = []
        self.egress: dict[str, Any] | None = None
        self.confined = True

    def pod_object(self, **status: Any) -> None:
        """Create or replace the pod: Running at `address`, unless `status` says otherwise."""
        self.cluster.put(
            "pods",
            self.pod_name,
            metadata={"uid": self.uid, "namespace": DEVBOX_NAMESPACE, "labels": {names.DEVBOX_LABEL: self.name}},
            spec={"nodeName": "node-1"},
            status={"phase": "Running", "podIPs": [{"ip": self.address}], **status},
        )

    def bind(
        self, name: str, endpoint: str | None, credential: str | None, auth: dict[str, Any] | None = None, **gateway: Any
    ) -> str:
        """Give the devbox a gateway, as the operator does; returns the token, `gws_` and all.

        `endpoint` None: its GatewayConfig was not accepted, so there is no document. `credential` None: there is no credential.
        `gateway`: further fields of the gateway document.
        """
        token = jwt(number=self.cluster.next_number(), uid=self.uid, aud=[names.audience(name)])
        self.cluster.issued[token] = self.uid
        document = name if self is self.cluster.agent else f"{self.name}-{name}"
        if endpoint is not None:
            content = {"version": 1, "name": name.lower(), "namespace": DEVBOX_NAMESPACE, "uid": document, "endpoint": endpoint}
            content |= {"auth": auth or {"type": "Bearer"}, **gateway}
            self.cluster.secret(f"gateway-{document}", names.GATEWAY_TYPE, names.GATEWAY_KEY, orjson.dumps(content))
        if credential is not None:
            grant = {names.ALLOWED_HOSTS_ANNOTATION: urlsplit(endpoint or "").hostname or "nothing.invalid"}
            self.cluster.secret(
                f"credential-{document}", names.CREDENTIAL_TYPE, names.CREDENTIAL_KEY, credential.encode(), grant
            )
        self.bindings.append(
            {
                "name": name,
                "audience": names.audience(name),
                "gateway": f"gateway-{document}",
                "credential": f"credential-{document}",
                "token": token,
                "digests": [names.token_digest(token)],
            }
        )
        self.write_route()
        return f"{names.TOKEN_PREFIX}{token}"

    def bind_egress(self, policy: str | None = None) -> str:
        """Give the devbox its token for the forward proxy, as the operator does; returns it, `gws_` and all. `policy`: a Secret's name."""
        token = jwt(number=self.cluster.next_number(), uid=self.uid, aud=[names.audience(names.EGRESS_NAME)])
        self.cluster.issued[token] = self.uid
        self.egress = {"policy": policy, "token": token, "digests": [names.token_digest(token)]}
        self.write_route()
        return f"{names.TOKEN_PREFIX}{token}"

    def write_route(self) -> None:
        """As the devbox is now."""
        requires = [] if self.confined else ["confined"]
        route: dict[str, Any] = {"egress": self.egress, "confined": self.confined, "requires": requires}
        route |= {
            "version": 1,
            "pod": {"uid": self.uid, "name": self.pod_name, "namespace": DEVBOX_NAMESPACE},
            "devbox": {"name": self.name, "uid": "d"},
            "bindings": self.bindings,
        }
        self.cluster.secret(f"route-{self.uid}", names.ROUTE_TYPE, names.ROUTE_KEY, orjson.dumps(route))

    def delete(self) -> None:
        """The pod is gone."""
        self.cluster.delete("pods", self.pod_name)
