"""Is it the operator who asks? By the cluster's own word on the token, which is asked for seldom, however many ask us.

Goes in: tokens, and the addresses that they come from. Comes out: yes, no, too many questions, or that there is no word. Nothing is
believed for long, and nothing without the cluster's word: who is not answered asks again.

The data path's questions (reviewer.py) have a pace of their own, so that strangers here hold up no devbox.
"""

import asyncio
import time
from enum import Enum
from typing import Final

import structlog

from devbox_api import names
from devbox_common.kube import ApiError, KubeApi
from devbox_proxy.kit.metrics import TOKENREVIEWS
from devbox_proxy.kit.pace import Pace
from devbox_proxy.reviews import verdicts
from devbox_proxy.reviews.reviewer import PATH, QUESTION_SECONDS

GOOD_SECONDS: Final = 60.0
"""So long a yes counts."""
BAD_SECONDS: Final = 10.0
"""And a no."""
KEPT: Final = 64
"""Answers that are kept. (Of yeses there are as many as the operator has replicas, and twice that while its tokens change.)"""
PER_SECOND: Final = 8.0
"""Questions about tokens that were not good before, in all."""
PER_ADDRESS: Final = 1.0
"""And from one address."""
AT_ONCE: Final = 4
"""After a rest."""

log = structlog.get_logger()


class Word(Enum):
    """What came of it."""

    YES = "it is the operator's"
    NO = "it is not"
    TOO_MANY = "too much was asked"
    NONE = "the cluster has not answered"


class OperatorTokens:
    """Asks, and remembers."""

    def __init__(self, api: KubeApi, user: str) -> None:
        """`user`: the operator's ServiceAccount, `system:serviceaccount:<namespace>:<name>`."""
        self._api = api
        self.user = user
        self._answers: dict[str, tuple[bool, float]] = {}
        """By the token's digest, the oldest first: what was said, and when it was asked (monotonic seconds)."""
        self._asking: dict[str, asyncio.Task[Word]] = {}
        self._pace = Pace(PER_SECOND, int(PER_SECOND))
        self._pace_of_one = Pace(PER_ADDRESS, AT_ONCE)

    async def judge(self, token: str, peer: str) -> Word:
        """A token that came from this address."""
        digest, present = names.token_digest(token), time.monotonic()
        good, asked = self._answers.get(digest, (False, float("-inf")))
        if present - asked < (GOOD_SECONDS if good else BAD_SECONDS):
            return Word.YES if good else Word.NO
        question = self._asking.get(digest)
        if question is None:
            # (One that was good is asked about whatever strangers do.)
            if not good and not self._may_ask(peer, present):
                return Word.TOO_MANY
            question = self._asking[digest] = asyncio.create_task(self._ask(token, digest))
            question.add_done_callback(lambda _: self._asking.pop(digest, None))
        return await asyncio.shield(question)

    def _may_ask(self, peer: str, present: float) -> bool:
        self._pace_of_one.forget(present)
        return self._pace_of_one.may(peer, present) and self._pace.may("", present)

    async def _ask(self, token: str, digest: str) -> Word:
        audience = names.audience(names.ACTIVITY)
        body = {
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "TokenReview",
            "spec": {"token": token, "audiences": [audience]},
        }
        asked = time.monotonic()
        try:
            status = verdicts.read(await self._api.request("POST", PATH, body=body, timeout=QUESTION_SECONDS))
        except (ApiError, ValueError) as error:
            # (Only the kind of the error: its text may quote what was sent.)
            TOKENREVIEWS.labels(result="error").inc()
            log.warning("activity_tokenreview_failed", error=type(error).__name__, status=getattr(error, "status", 0))
            return Word.NONE
        good = verdicts.is_account(status, self.user, audience)
        TOKENREVIEWS.labels(result="accepted" if good else "refused").inc()
        self._answers.pop(digest, None)
        self._answers[digest] = good, asked
        self._make_room()
        return Word.YES if good else Word.NO

    def _make_room(self) -> None:
        """Of too many the oldest no goes, and a yes only where there is none."""
        while len(self._answers) > KEPT:
            del self._answers[
                next((digest for digest, (good, _) in self._answers.items() if not good), next(iter(self._answers)))
            ]

    def __len__(self) -> int:
        return len(self._answers)
