"""TokenReview: the cluster's own word on a token, asked as seldom as the bounds allow.

Goes in: a Route and what holds the token. Comes out: `known.reviews[pod UID]`. One question at a time for a pod, at most 16 under way
and 100 a second, waiting rather than failing; renewals take what requests that wait leave of both. Called by waiting.py.

An API server that was stopped takes connections and says nothing, which a TokenReview finds out after 5 s, if there is one. So it is
looked at once a second: two looks in vain, and it is away before anybody asks.
"""

import asyncio
import time
from collections.abc import Coroutine
from sys import intern
from typing import Any, Final

import structlog

from devbox_api import names
from devbox_api.route import Route
from devbox_common import clock
from devbox_common.kube import ApiError, KubeApi, Object

from .metrics import TOKENREVIEWS
from .view import Held, Known, Review

PATH: Final = "/apis/authentication.k8s.io/v1/tokenreviews"
IN_FLIGHT: Final = 16
PER_SECOND: Final = 100
RETURN_PER_SECOND: Final = 30
"""In the first second after the API server came back, beside the questions that were under way when it went."""
AWAY_SECONDS: Final = 1.0
"""Pause between probes while the API server is away; meanwhile a cold request gets its 503 at once, a warm one passes."""
ALIVE: Final = "/livez"
"""Any answer will do, also a no. It is outside of the API server's priority and fairness: a busy one answers, too."""
LOOK_SECONDS: Final = 1.0
"""Between two looks, and for an answer."""
LOOKS_IN_VAIN: Final = 2
LEISURE_SECONDS: Final = 0.005
"""Between two looks of a renewal whether there is room for it."""
PATIENCE_SECONDS: Final = 0.1
"""And then it takes its turn all the same: ten a second there always are, whatever waits."""

log = structlog.get_logger()


class Reviewer:
    """Asks, and writes the answers into `known.reviews`."""

    def __init__(self, api: KubeApi, known: Known) -> None:
        self._api = api
        self._known = known
        self._running: dict[str, asyncio.Task[None]] = {}
        self._slots = asyncio.Semaphore(IN_FLIGHT)
        self._renewals = asyncio.Lock()
        """Held by the one whose turn is next."""
        self._idle: set[str] = set()
        """Pods whose renewal waits for its turn."""
        self._next = 0.0
        self._gentle_until = 0.0
        self._put_off: dict[str, tuple[Route, Held]] = {}
        """By pod UID: to be asked about once the API server is back. Empty while it is there."""
        self._probing: asyncio.Task[None] | None = None
        self._in_vain = 0
        """Looks in a row that nobody answered."""
        self._went = asyncio.Event()
        """Set while the API server is away."""

    async def follow(self) -> None:
        """Look whether the API server is there, for ever."""
        while True:
            began = time.monotonic()
            await self._look()
            await asyncio.sleep(max(0.0, began + LOOK_SECONDS - time.monotonic()))

    async def _look(self) -> None:
        try:
            await self._api.request("GET", ALIVE, timeout=LOOK_SECONDS)
        except ApiError as error:
            if not error.status:
                self._in_vain += 1
                if self._in_vain == LOOKS_IN_VAIN:
                    log.warning("api_server_silent", reason=error.reason)
                if self._in_vain >= LOOKS_IN_VAIN:
                    self._away()
                return
        self._in_vain = 0
        if not self._put_off:  # else a TokenReview decides: what answers looks may not answer those
            self._back()

    async def review(self, route: Route, held: Held) -> None:
        """Return once there is an answer for the pod, or none can be had."""
        asking, going = self.start(route, held), asyncio.ensure_future(self._went.wait())
        try:
            await asyncio.wait((asking, going), return_when=asyncio.FIRST_COMPLETED)
        finally:
            going.cancel()
        if asking.done():
            asking.result()  # raises what it raised

    def renew(self, route: Route, held: Held) -> None:
        """Ask when nobody else wants to."""
        uid = route.pod.uid
        if uid not in self._running:
            self._idle.add(uid)
            self._start(uid, self._ask_at_leisure(route, held))

    def start(self, route: Route, held: Held) -> asyncio.Task[None]:
        """Ask; one question at a time for a pod."""
        uid = route.pod.uid
        task = self._running.get(uid)
        if task is not None and uid in self._idle:  # somebody waits for it now
            self._idle.remove(uid)
            task.cancel()
            task = None
        return task or self._start(uid, self._ask(route, held))

    def _start(self, uid: str, asking: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = self._running[uid] = asyncio.create_task(asking)
        task.add_done_callback(lambda done: self._running.pop(uid) if self._running.get(uid) is done else None)
        return task

    async def _ask_at_leisure(self, route: Route, held: Held) -> None:
        async with self._renewals:
            until = time.monotonic() + PATIENCE_SECONDS
            while (now := time.monotonic()) < until and (now < self._next or self._slots.locked()):  # noqa: ASYNC110 (either)
                await asyncio.sleep(LEISURE_SECONDS)
        self._idle.remove(route.pod.uid)
        await self._ask(route, held)

    async def _ask(self, route: Route, held: Held) -> None:
        async with self._slots:
            if not self._went.is_set():
                await self._pace()
            if self._went.is_set():  # the API server is away, or went away while this one waited for its turn
                self._postpone(route, held)
            else:
                await self._put(route, held)

    async def _put(self, route: Route, held: Held) -> None:
        """The question itself; when none can be put, it is put off."""
        body = {
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "TokenReview",
            "spec": {"token": held.token, "audiences": [held.audience]},
        }
        asked = clock.now()
        try:
            answer = await self._api.request("POST", PATH, body=body, timeout=5.0)
        except ApiError as error:
            TOKENREVIEWS.labels(result="error").inc()
            log.warning("tokenreview_failed", pod=route.pod.name, status=error.status, reason=error.reason)
            self._away()
            self._postpone(route, held)
            return
        self._put_off.pop(route.pod.uid, None)
        self._back()
        accepted, why = verdict(answer.get("status", {}), route, held)
        TOKENREVIEWS.labels(result="accepted" if accepted else "refused").inc()
        if not accepted:
            log.info("token_refused_by_cluster", pod=route.pod.name, namespace=route.pod.namespace, why=why)
        digest = names.token_digest(held.token)
        credential_id = _extra(answer["status"], "credential-id") if accepted else ""
        if route.pod.uid in self._known.pods:  # it may have gone meanwhile, and its review with it
            self._known.reviews[intern(route.pod.uid)] = Review(asked, accepted, digest, credential_id)

    def _away(self) -> None:
        if self._known.api_away_since is None:
            self._known.api_away_since = clock.now()
            self._went.set()

    def _postpone(self, route: Route, held: Held) -> None:
        self._put_off[route.pod.uid] = route, held
        if self._probing is None or self._probing.done():
            self._probing = asyncio.create_task(self._probe())

    async def _probe(self) -> None:
        """One question a second stands for all that were put off, each pod's in its turn, until one is answered."""
        while self._put_off:
            await asyncio.sleep(AWAY_SECONDS)
            if self._in_vain:
                continue  # it would hang for its 5 s, perhaps beyond the API server's return
            if uid := next(iter(self._put_off), None):
                subject = self._put_off[uid] = self._put_off.pop(uid)
                await self._put(*subject)

    def _back(self) -> None:
        if self._known.api_away_since is None:
            return
        self._known.api_away_since = None
        self._went.clear()
        self._gentle_until = time.monotonic() + 1.0
        waiting, self._put_off = self._put_off, {}
        for uid, (route, held) in waiting.items():
            if uid in self._known.pods:
                self.start(route, held)

    async def _pace(self) -> None:
        now = time.monotonic()
        pause = 1 / (RETURN_PER_SECOND if now < self._gentle_until else PER_SECOND)
        self._next = max(self._next, now) + pause
        await asyncio.sleep(self._next - pause - now)


def verdict(status: Object, route: Route, held: Held) -> tuple[bool, str]:
    """Is it this pod's token, for this audience? And if not, why."""
    if not status.get("authenticated"):
        return False, "not authenticated"
    if held.audience not in (status.get("audiences") or ()):
        return False, "another audience"
    if _extra(status, "pod-uid") != route.pod.uid:
        return False, "another pod"
    if status.get("user", {}).get("username") != f"system:serviceaccount:{route.pod.namespace}:{names.AGENT_SERVICE_ACCOUNT}":
        return False, "another account"
    return True, ""


def _extra(status: Object, name: str) -> str:
    """One of the facts that the API server adds (pkg/serviceaccount/util.go)."""
    values = (status.get("user", {}).get("extra") or {}).get(f"authentication.kubernetes.io/{name}") or [""]
    return str(values[0])
