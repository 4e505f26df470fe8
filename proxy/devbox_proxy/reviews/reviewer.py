"""TokenReview: the cluster's own word on a token, asked as seldom as the bounds allow.

Goes in: a Route and what holds the token. Comes out: `known.reviews[pod UID]`. One question at a time for a pod, waiting rather than
failing, as many at a time as the API server takes well (limiter.py). Requests that wait come first, then renewals, then what nobody
has asked for yet (warm.py). A question that fails is asked again, alone; while the API server is away (presence.py) all wait, and one a
second probes.
"""

import asyncio
import random
import time
from math import isinf
from sys import intern
from typing import Final

import structlog

from devbox_api import names
from devbox_api.route import Route
from devbox_common import clock
from devbox_common.kube import ApiError, KubeApi
from devbox_proxy.kit.limiter import MOST, Limiter
from devbox_proxy.kit.metrics import TOKENREVIEW_SECONDS, TOKENREVIEWS
from devbox_proxy.known.facts import Known, Review, TokenOwner
from devbox_proxy.reviews import verdicts
from devbox_proxy.reviews.presence import Presence
from devbox_proxy.reviews.questions import Question, Queues, Urgency

PATH: Final = "/apis/authentication.k8s.io/v1/tokenreviews"
PER_SECOND: Final = 400.0
QUESTION_SECONDS: Final = 5.0
"""After which there will be no answer."""
AWAY_SECONDS: Final = 1.0
"""Pause between probes while the API server is away; meanwhile a cold request gets its 503 at once, a warm one passes."""
AGAIN_SECONDS: Final = (0.05, 0.1, 0.3, 0.7, 1.5)
"""After a question failed for the first time, the second, …; up to a half more, by chance."""
MOST_AGAIN_SECONDS: Final = 30.0
"""Of a Retry-After that is obeyed."""
TRIES: Final = 6
"""Of a question that nobody waits for."""

log = structlog.get_logger()


class Reviewer:
    """Asks, and writes the answers into `known.reviews`."""

    def __init__(self, api: KubeApi, known: Known, per_second: float = PER_SECOND, most: int = MOST) -> None:
        """`per_second`: at most; `most`: under way."""
        self._api = api
        self._known = known
        self.limiter = Limiter(per_second, most)
        self.presence = Presence(api, known, went=self._on_away, seen=self._on_seen)
        self._questions: dict[str, Question] = {}
        """All that are open, by pod UID: queued, under way, or waiting to be asked again."""
        self._queues = Queues()
        self._under_way: set[asyncio.Task[None]] = set()
        self._turn: asyncio.TimerHandle | None = None
        self._probing: asyncio.Task[None] | None = None
        self._probed: Question | None = None
        """It is being asked, for all."""

    def queued(self, urgency: Urgency) -> int:
        """Questions that wait for their turn."""
        return self._queues.count(urgency)

    def open(self, uid: str) -> bool:
        """There is a question about this pod."""
        return uid in self._questions

    async def review(self, route: Route, owner: TokenOwner) -> None:
        """Return once there is an answer for the pod, or none can be had."""
        question = self._open(route, owner, Urgency.REQUEST)
        if self.presence.away:
            return
        question.waiting += 1
        try:
            await question.woken.wait()
        finally:
            question.waiting -= 1

    def renew(self, route: Route, owner: TokenOwner) -> None:
        """Ask when no request waits."""
        self._open(route, owner, Urgency.RENEWAL)

    def spare(self, route: Route, owner: TokenOwner) -> None:
        """Ask when nobody else wants to."""
        self._open(route, owner, Urgency.SPARE)

    def _open(self, route: Route, owner: TokenOwner, urgency: Urgency) -> Question:
        question = self._questions.get(route.pod.uid)
        if question is None:
            question = self._questions[route.pod.uid] = Question(route, owner, urgency)
            self._queue(question)
        else:
            self._queues.raise_to(question, urgency, time.monotonic())
        return question

    def _queue(self, question: Question) -> None:
        self._queues.put(question, time.monotonic())
        if self.presence.away:
            self._start_probing()
        else:
            self._go_on()

    # one after the other

    def _go_on(self) -> None:
        """Ask as much as may be asked now, and come back when there is a turn again."""
        if self._turn is not None:
            self._turn.cancel()
            self._turn = None
        while self._queues and not self.presence.away:
            present = time.monotonic()
            pause = self.limiter.wait(len(self._under_way), present)
            if pause > 0:
                if not isinf(pause):
                    self._turn = asyncio.get_running_loop().call_later(pause, self._go_on)
                return
            if (question := self._next(present)) is not None:
                self.limiter.asked(present)
                self._start(question)

    def _start(self, question: Question) -> asyncio.Task[None]:
        task = asyncio.create_task(self._ask(question))
        self._under_way.add(task)
        task.add_done_callback(self._asked)
        return task

    def _asked(self, task: asyncio.Task[None]) -> None:
        self._under_way.discard(task)
        self._go_on()

    def _next(self, present: float) -> Question | None:
        """Whose turn it is. Pods that have gone are asked about no more."""
        while self._queues:
            question = self._queues.take(present)
            if question.uid in self._known.pods:
                return question
            self._over(question)
        return None

    # one question

    async def _ask(self, question: Question) -> None:
        """Put it; it is over then, or asked again later."""
        route, owner = question.route, question.owner = self._present(question)
        body = {
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "TokenReview",
            "spec": {"token": owner.token, "audiences": [owner.audience]},
        }
        asked, at = time.monotonic(), clock.now()
        try:
            answer = await self._api.request("POST", PATH, body=body, timeout=QUESTION_SECONDS)
            status = verdicts.read(answer)
        except ApiError as error:
            self._failed(question, asked, error)
            return
        except Exception as error:  # whatever came in an answer's place: nobody is to wait for this one for ever
            # (Only the kind of the error: its text may quote what was sent.)
            self._failed(question, asked, ApiError(200, "BadAnswer", type(error).__name__))
            return
        self._heard(asked)
        accepted, why, credential_id = verdicts.verdict(status, route, owner)
        TOKENREVIEWS.labels(result="accepted" if accepted else "refused").inc()
        if not accepted:
            log.info("token_refused_by_cluster", pod=route.pod.name, namespace=route.pod.namespace, why=why)
        if route.pod.uid in self._known.pods:  # it may have gone meanwhile, and its review with it
            others = frozenset[str]() if accepted else self._refused(route)
            review = Review(at, accepted, names.token_digest(owner.token), credential_id, others)
            self._known.reviews[intern(route.pod.uid)] = review
        self._over(question)

    def _refused(self, route: Route) -> frozenset[str]:
        """Those of the pod's tokens, as its Route has them by now, that were refused last."""
        before = self._known.reviews.get(route.pod.uid)
        if before is None or before.accepted:
            return frozenset()
        return (before.others | {before.digest}) & {names.token_digest(owner.token) for owner in holders(route)}

    def _present(self, question: Question) -> tuple[Route, TokenOwner]:
        """The token as the Route has it by now: it may have been renewed since the question came up."""
        route = self._known.routes.get(question.uid)
        if route is None:
            return question.route, question.owner
        return route, next((owner for owner in holders(route) if owner.audience == question.owner.audience), question.owner)

    def _over(self, question: Question) -> None:
        del self._questions[question.uid]
        question.wake()

    def _heard(self, asked: float) -> None:
        present = time.monotonic()
        TOKENREVIEW_SECONDS.observe(present - asked)
        self.limiter.answered(asked, present)
        self.presence.answered()
        if self.presence.back():
            self.limiter.returned(present)

    def _failed(self, question: Question, asked: float, error: ApiError) -> None:
        """This one has no answer. The others do not wait for it, and neither does it stand for them."""
        present, too_many = time.monotonic(), error.status == 429
        TOKENREVIEWS.labels(result="too_many" if too_many else "error").inc()
        log.warning("tokenreview_failed", pod=question.route.pod.name, status=error.status, reason=error.reason)
        question.tries += 1
        if too_many:
            self.limiter.too_many(asked, present, 1.0 if error.retry_after is None else error.retry_after)
        elif not error.status or error.status >= 500:
            self.limiter.burdened(asked, present)
        self.presence.failed(cut_off=not error.status)
        if self.presence.away:
            self._queue(question)
        elif question.waiting or question.tries < TRIES:
            asyncio.get_running_loop().call_later(_pause(question.tries, error.retry_after), self._queue, question)
        else:
            self._over(question)

    # away

    def _on_away(self) -> None:
        """Whoever waits is told; the questions stay."""
        for question in self._questions.values():
            question.wake()
        self._start_probing()

    def _on_seen(self) -> None:
        """It answers looks. It is back if it answers a question, too, where there is one."""
        if not self._probed and not self._queues and self.presence.back():
            self.limiter.returned(time.monotonic())

    def _start_probing(self) -> None:
        if self._probing is None or self._probing.done():
            self._probing = asyncio.create_task(self._probe())

    async def _probe(self) -> None:
        """One question a second stands for all, each pod's in its turn, until one is answered."""
        while self.presence.away and self._queues:
            await asyncio.sleep(AWAY_SECONDS)
            # It would hang for its 5 s, perhaps beyond the API server's return.
            if self.presence.away and not self.presence.silent and (question := self._next(time.monotonic())) is not None:
                self._probed = question
                await self._start(question)
                self._probed = None
        self._go_on()


def holders(route: Route) -> tuple[TokenOwner, ...]:
    """All that a pod has tokens for."""
    return (*route.bindings, *((route.egress,) if route.egress else ()))


def _pause(tries: int, retry_after: float | None) -> float:
    """Seconds until a question is asked again."""
    jitter = random.uniform(1.0, 1.5)  # noqa: S311
    return jitter * max(AGAIN_SECONDS[min(tries, len(AGAIN_SECONDS)) - 1], min(retry_after or 0.0, MOST_AGAIN_SECONDS))
