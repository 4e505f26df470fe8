"""What one pass did about a Devbox's pod: the answer to lifecycle.py's `Step`.

Goes in: nothing. Comes out: one of seven cases, each with the numbers that the status shows. Pure.
"""

from dataclasses import dataclass

from devbox_operator.attach.wanted import Attachment
from devbox_operator.report.problem import Problem
from devbox_operator.seen.pods import PodView


@dataclass(frozen=True)
class _Numbers:
    """What every outcome has."""

    incarnation: int
    """Of the last pod that was announced."""
    failures: int
    """Pods that failed in a row."""


@dataclass(frozen=True)
class NoPod(_Numbers):
    """There is none, and none was made, though nothing is wrong with a pod."""

    why: str = ""
    again: float | None = None
    """Seconds until the Devbox is to be looked at again, whatever else is due."""


@dataclass(frozen=True)
class PodRefused(_Numbers):
    """The API server did not take the pod."""

    problem: Problem


@dataclass(frozen=True)
class PodPostponed(_Numbers):
    """The pod failed, or is gone (None), and the next one waits for its time."""

    pod: PodView | None
    why: str


@dataclass(frozen=True)
class PodReplaced(_Numbers):
    """The pod's deletion has begun, and another one follows."""

    pod: PodView
    why: str


@dataclass(frozen=True)
class PodLeft(_Numbers):
    """No pod is to be made any more; there may be one that ends."""

    pod: PodView | None
    why: str


@dataclass(frozen=True)
class AtRest(_Numbers):
    """None is wanted for now."""

    pod: PodView | None = None
    """One that ends."""
    why: str = ""
    again: float | None = None
    """One may still come, of another replica: seconds until the Devbox is to be looked at again."""

    @property
    def done(self) -> bool:
        """There is none, and none comes."""
        return self.pod is None and self.again is None


@dataclass(frozen=True)
class HasPod(_Numbers):
    """There is one, made now or before."""

    pod: PodView
    attached: Attachment | None = None
    """None: nothing was done for it. It ends, or nothing may be made where it is."""


Outcome = NoPod | PodRefused | PodPostponed | PodReplaced | PodLeft | AtRest | HasPod


def pod_of(outcome: Outcome) -> PodView | None:
    """The pod that the status shows."""
    return None if isinstance(outcome, NoPod | PodRefused) else outcome.pod


def attached_of(outcome: Outcome) -> Attachment | None:
    """How far the pod got, if anything was done for it."""
    return outcome.attached if isinstance(outcome, HasPod) else None


def refusal_of(outcome: Outcome) -> Problem | None:
    """What the API server did not take: the pod, or that its gate is opened."""
    if isinstance(outcome, PodRefused):
        return outcome.problem
    attached = attached_of(outcome)
    return attached.refused if attached else None
