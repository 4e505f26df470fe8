"""As much of a kubelet as an API server asks for logs: lines of pods, from a time on, and those that come.

Goes in: an administrator's client, a node's name. Comes out: the node says where this listens (InternalIP, its port), and lines that a test
writes are what `kubectl logs` of a pod there shows, through the real API server. `cut` breaks off what is being followed. Lines are of the
second in which they were written, as sinceTime is.
"""

import asyncio
import contextlib
import ssl
import time
from collections.abc import AsyncIterator
from datetime import datetime
from pathlib import Path

from aiohttp import web

from devbox_common.kube import MERGE_PATCH, KubeApi
from devbox_operator.kit import paths

from .addresses import own_address
from .control_plane import NODE
from .tls_site import tls_site


class KubeletLogs:
    """By pod."""

    def __init__(self) -> None:
        self.lines: dict[str, list[tuple[float, bytes]]] = {}
        self._followers: set[asyncio.Event] = set()
        self._generation = 0
        self.asked: list[dict[str, str]] = []
        """The queries that came."""

    def write(self, pod: str, line: bytes) -> None:
        """One line of the pod's log, without its end."""
        self.lines.setdefault(pod, []).append((time.time(), line))
        self._tell()

    def cut(self) -> None:
        """Every log that is being followed ends, in the middle of nothing."""
        self._generation += 1
        self._tell()

    def _tell(self) -> None:
        for event in self._followers:
            event.set()

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        pod, query = request.match_info["pod"], dict(request.query)
        self.asked.append(query)
        response = web.StreamResponse()
        response.content_type = "text/plain"
        await response.prepare(request)
        since, sent, generation, changed = _since(query), 0, self._generation, asyncio.Event()
        self._followers.add(changed)
        try:
            while True:
                changed.clear()
                written = [line for at, line in self.lines.get(pod, []) if int(at) >= since]
                for line in written[sent:]:
                    await response.write(line + b"\n")
                sent = len(written)
                if query.get("follow") != "true" or generation != self._generation:
                    return response
                await changed.wait()
        finally:
            self._followers.discard(changed)

    @contextlib.asynccontextmanager
    async def serving(self, api: KubeApi, pki: Path) -> AsyncIterator[None]:
        """While it listens, and the node says so."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(pki / "kubelet.crt", pki / "kubelet.key")
        app = web.Application()
        app.router.add_get("/containerLogs/{namespace}/{pod}/{container}", self._answer)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0)
        async with tls_site(runner, own_address(), context) as port:
            addresses = [{"type": "InternalIP", "address": own_address()}]
            status = {"addresses": addresses, "daemonEndpoints": {"kubeletEndpoint": {"Port": port}}}
            path = f"{paths.core('nodes', '', NODE)}/status"
            await api.request("PATCH", path, body={"status": status}, content_type=MERGE_PATCH)
            try:
                yield
            finally:
                self.cut()


def _since(query: dict[str, str]) -> int:
    if "sinceSeconds" in query:
        return int(time.time()) - int(query["sinceSeconds"])
    if "sinceTime" in query:
        return int(datetime.fromisoformat(query["sinceTime"].replace("Z", "+00:00")).timestamp())
    return 0
