"""TokenReview as an API server answers it: after a while, not for everybody at once, and now and then not at all.

Goes in: which tokens were issued, to which pods, and what is to go wrong. Comes out: answers over HTTP, and who asked when. What is drawn
is drawn of a seed.
"""

import asyncio
import random
import time
from enum import Enum
from typing import Any, Final

from aiohttp import web

from devbox_api import names

USUAL_SECONDS: Final = (0.005, 0.03)
"""From when the question is there to when its answer goes out: between these."""
AT_ONCE: Final = (0.0, 0.0)
"""For benchmarks, which measure the gateway."""
SLOW_SECONDS: Final = 7.0
"""Beyond the gateway's time-out."""
RETRY_AFTER: Final = 1
"""As the API server's priority and fairness says it."""
Body = dict[str, Any]


class Fault(Enum):
    """What becomes of a question."""

    TOO_MANY = "429"
    ERROR = "500"
    SLOW = "slow"
    CUT = "cut"
    NO_JSON = "no JSON"
    NO_OBJECT = "no object"
    OTHER_KIND = "JSON of another kind"
    NO_STATUS = "no status"
    ODD_STATUS = "a status of another shape"


class TokenReviews:
    """Who asked, and what they were told."""

    def __init__(self, namespace: str, seconds: tuple[float, float] = USUAL_SECONDS, seed: int = 16) -> None:
        self.namespace = namespace
        self.seconds = seconds
        self.fault: Fault | None = None
        self.one_in = 10
        """So many questions have one fault, by chance."""
        self.places: int | None = None
        """More at a time are told 429; None: as many as come."""
        self.away = False
        """Every one fails."""
        self.issued: dict[str, str] = {}
        """The pod's UID, by token. A token that is not here is nobody's."""
        self.rejected: set[str] = set()
        self.tokens: list[str] = []
        """That were asked about."""
        self.times: list[float] = []
        """When (monotonic seconds)."""
        self.at_once = self.most_at_once = 0
        self.faults = 0
        """Questions that had one."""
        self._random = random.Random(seed)  # noqa: S311 (a test's)

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """One question."""
        spec = (await request.json())["spec"]
        self.tokens.append(spec["token"])
        self.times.append(time.monotonic())
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            return await self._answer(request, spec)
        finally:
            self.at_once -= 1

    async def _answer(self, request: web.Request, spec: Body) -> web.StreamResponse:
        if self.places is not None and self.at_once > self.places:
            return _too_many()
        if seconds := self._random.uniform(*self.seconds):
            await asyncio.sleep(seconds)
        if self.away:
            return _status(500, "InternalError")
        if self.fault is not None and self._random.random() * self.one_in < 1:
            self.faults += 1
            return await self._fail(request, spec, self.fault)
        return web.json_response(self._review(spec), status=201)

    async def _fail(self, request: web.Request, spec: Body, fault: Fault) -> web.StreamResponse:
        match fault:
            case Fault.TOO_MANY:
                return _too_many()
            case Fault.ERROR:
                return _status(500, "InternalError")
            case Fault.SLOW:
                await asyncio.sleep(SLOW_SECONDS)
                return web.json_response(self._review(spec), status=201)
            case Fault.CUT:
                if request.transport is not None:
                    request.transport.abort()
                return web.Response()
            case Fault.NO_JSON:
                return web.Response(text="<html>a load balancer's</html>", status=200)
            case Fault.NO_OBJECT:
                return web.json_response(["TokenReview"], status=201)
            case Fault.OTHER_KIND:
                return web.json_response({"kind": "Status", "apiVersion": "v1", "status": "Success"}, status=200)
            case Fault.NO_STATUS:
                return web.json_response(
                    {key: value for key, value in self._review(spec).items() if key != "status"}, status=201
                )
            case Fault.ODD_STATUS:
                return web.json_response({**self._review(spec), "status": ["authenticated"]}, status=201)

    def _review(self, spec: Body) -> Body:
        """The question with its answer, as the API server sends it: what is false or empty is left out, but for the user."""
        token = spec["token"]
        status: Body = {"user": {}, "error": "[invalid bearer token, token has been invalidated]"}
        if token in self.issued and token not in self.rejected:
            extra = {
                "authentication.kubernetes.io/pod-uid": [self.issued[token]],
                "authentication.kubernetes.io/credential-id": ["JTI=1"],
            }
            username = f"system:serviceaccount:{self.namespace}:{names.AGENT_SERVICE_ACCOUNT}"
            user = {
                "username": username,
                "uid": "u",
                "groups": ["system:serviceaccounts", "system:authenticated"],
                "extra": extra,
            }
            status = {"authenticated": True, "user": user, "audiences": spec["audiences"]}
        return {
            "kind": "TokenReview",
            "apiVersion": "authentication.k8s.io/v1",
            "metadata": {"creationTimestamp": None},
            "spec": spec,
            "status": status,
        }


def _status(code: int, reason: str, headers: dict[str, str] | None = None) -> web.Response:
    body = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": reason, "message": reason, "code": code}
    return web.json_response(body, status=code, headers=headers)


def _too_many() -> web.Response:
    """As priority and fairness says it: in plain text."""
    return web.Response(
        text="Too many requests, please try again later.\n", status=429, headers={"Retry-After": str(RETRY_AFTER)}
    )
