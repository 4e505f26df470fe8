"""The activity port: the operator alone asks here what this gateway process has seen: when devboxes were last active, and what was found at
the last dials to their APIs.

    GET /v1/activity?instance=<of the last answer>&since=<its cursor>
    Authorization: Bearer <a token for the audience devbox-gateway.io/activity>

    {"instance": "5f…", "cursor": 12, "closed": false, "pods": {"<UID>": 0, "<UID>": 31.4}}

    GET /v1/dials?instance=…&since=…

    {"instance": "5f…", "cursor": 12, "dials": [{"gateway": "team-a/api", "uid": "…", "dialled": "https://api.example.com -",
     "found": "NameNotFound", "words": "…", "age": 31.4}]}

    POST /v1/probe, with a gateway document: dials once, without a credential, and answers as /v1/dials does with that one.

HTTPS, with the data port's certificate. `pods` has seconds and not times, since nodes' clocks differ: 0 for one that is active, else since
it last was, rounded down. With `since`, and this process's own `instance`, only those that were active since that answer. `closed`: nothing
more will come of this process, since its ports for devboxes are closed. Whoever else asks learns nothing, not even which paths there are.
"""

import asyncio
import contextlib
import secrets
import ssl
from collections.abc import Awaitable, Callable, Mapping
from time import monotonic as now
from typing import Any, Final

import orjson
import structlog
from aiohttp import hdrs, web

from devbox_api import names
from devbox_common.briefserver import Bounds, BriefServer
from devbox_common.door import plain
from devbox_proxy.accounting import activity
from devbox_proxy.accounting.activity import Activity
from devbox_proxy.kit import metrics
from devbox_proxy.kit.pace import Pace
from devbox_proxy.reviews.operator_tokens import OperatorTokens, Word
from devbox_proxy.settings import Listen
from devbox_proxy.upstreams.dials import Dials

BOUNDS: Final = Bounds(connections=16, per_address=4, seconds=10.0)
HANDSHAKES: Final = 10
"""Of TLS, a second and address; more wait."""
LONGEST_TOKEN: Final = 8192
"""Characters."""
LONGEST_CURSOR: Final = 20
"""Digits."""
ASKED_SECONDS: Final = 45.0
"""Who asked so recently will ask again."""
LAST_SECONDS: Final = 16.0
"""So long the process waits for that at its end: the operator asks every 15 s."""
DELIVERY_SECONDS: Final = 1.0
"""For the answer's last bytes."""
SAY_SECONDS: Final = 10.0
"""Between two lines of the log about somebody who was refused."""
_STATUS: Final = {Word.NO: 403, Word.TOO_MANY: 429, Word.NONE: 503}

log = structlog.get_logger()


class ActivityPort:
    """Listens, and answers the operator."""

    def __init__(
        self,
        book: Activity,
        tokens: OperatorTokens,
        listen: Listen,
        tls: ssl.SSLContext | None,
        *,
        dials: Dials,
        probe: Callable[[bytes], Awaitable[bool]],
    ) -> None:
        """`probe(document)`: Prober's."""
        self._book = book
        self._tokens = tokens
        self._dials, self._probe = dials, probe
        self._answers: dict[tuple[str, str], Callable[[web.Request], Awaitable[web.Response]]] = {
            (hdrs.METH_GET, names.ACTIVITY_PATH): self._activity,
            (hdrs.METH_GET, names.DIALS_PATH): self._dialled,
            (hdrs.METH_POST, names.PROBE_PATH): self._probed,
        }
        self._instance = secrets.token_hex(8)
        self._pace = Pace(HANDSHAKES, HANDSHAKES)
        self._closed = False
        self._asked_at = self._said_at = float("-inf")
        self._told = asyncio.Event()
        """An answer has said that nothing more will come."""
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._answer)
        self._server = BriefServer(
            names.ACTIVITY,
            app,
            (listen.host, listen.activity),
            BOUNDS,
            tls=tls,
            wait=self._wait if tls else None,
            refused=metrics.cut,
        )

    async def start(self) -> int:
        """Listen; returns the port. 0: there is no operator that may ask, and so no port."""
        return await self._server.start() if self._tokens.user else 0

    async def stop(self) -> None:
        """Devboxes' ports are closed: an operator that asks now and then is told once more, and nobody is any more."""
        self._closed = True
        if now() - self._asked_at < ASKED_SECONDS:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LAST_SECONDS):
                    await self._told.wait()
        await self._server.stop(DELIVERY_SECONDS if self._told.is_set() else 0.0)

    def _wait(self, peer: str) -> float:
        present = now()
        self._pace.forget(present)
        return self._pace.wait(peer, present)

    async def _answer(self, request: web.Request) -> web.Response:
        peer = plain(request.remote or "")
        token = _bearer(request.headers.getall(hdrs.AUTHORIZATION, ()))
        if token is None:
            return self._refuse(peer, 401)
        word = await self._tokens.judge(token, peer)
        if word is not Word.YES:
            return self._refuse(peer, _STATUS[word])
        answer = self._answers.get((request.method, request.path))
        if answer is not None:
            return await answer(request)
        methods = [method for method, path in self._answers if path == request.path]
        return web.Response(status=405, headers={hdrs.ALLOW: methods[0]}) if methods else web.Response(status=404)

    async def _activity(self, request: web.Request) -> web.Response:
        self._asked_at = present = now()
        said = {"closed": self._closed, "pods": self._book.ages(self._since(request), present)}
        answer = self._said(said, present)
        if self._closed:
            self._told.set()
        return answer

    async def _dialled(self, request: web.Request) -> web.Response:
        present = now()
        return self._said({"dials": self._dials.since(self._since(request), present)}, present)

    async def _probed(self, request: web.Request) -> web.Response:
        began = activity.cursor(now())
        try:
            uid = orjson.loads(document := await request.read())["uid"]
            if not await self._probe(document):
                return web.Response(status=503)
        except (ValueError, KeyError, TypeError):
            return web.Response(status=400)
        present = now()
        return self._said({"dials": [dial for dial in self._dials.since(began, present) if dial["uid"] == uid]}, present)

    def _since(self, request: web.Request) -> int | None:
        """The cursor, if it is this process's own."""
        instance, since = request.query.get("instance", ""), request.query.get("since", "")
        known = instance == self._instance and since.isascii() and since.isdecimal() and len(since) < LONGEST_CURSOR
        return int(since) if known else None

    def _said(self, what: Mapping[str, Any], present: float) -> web.Response:
        said = {"instance": self._instance, "cursor": activity.cursor(present), **what}
        return web.Response(body=orjson.dumps(said), content_type="application/json")

    def _refuse(self, peer: str, status: int) -> web.Response:
        if now() - self._said_at > SAY_SECONDS:
            self._said_at = now()
            log.warning("activity_refused", peer=peer, status=status)
        return web.Response(status=status, headers={hdrs.WWW_AUTHENTICATE: "Bearer"} if status == 401 else {})


def _bearer(values: "list[str] | tuple[str, ...]") -> str | None:
    """The one token in the one header."""
    if len(values) != 1:
        return None
    scheme, _, token = values[0].partition(" ")
    good = scheme.lower() == "bearer" and token.isascii() and token.isprintable() and " " not in token
    return token if good and 0 < len(token) <= LONGEST_TOKEN else None
