"""What the client says of a devbox that is suspended, is about to be, or comes back. (With an operator: tests/chaos/test_suspend.py.)"""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from devbox_gateway.errors import APITimeoutError, NotReadyError
from devbox_gateway.kube.session import Object
from devbox_gateway.objects.devbox import status_of, summary_of
from devbox_gateway.objects.waiting import is_to_rest, progress_of, until_ready, until_suspended

pytestmark = pytest.mark.row("S23")
PATH = "/apis/devbox-gateway.io/v1alpha1/namespaces/team-a/devboxes/agent"
EARLIER, THEN, LATER = (f"2026-11-23T12:00:0{second}Z" for second in range(3))


def condition(kind: str, status: str, reason: str, at: str = THEN) -> dict[str, str]:
    return {"type": kind, "status": status, "reason": reason, "message": f"{kind} {reason}", "lastTransitionTime": at}


SUSPENDED = condition("Suspended", "True", "SuspendedBySpec")
SUSPENDING = condition("Suspended", "False", "Suspending")
LOST = condition("Suspended", "False", "NodeLost")
NOT = condition("Suspended", "False", "NotSuspended")
STALLED = condition("Stalled", "True", "NodeLost")


def unready(at: str = THEN) -> dict[str, str]:
    return condition("Ready", "False", "Progressing", at)


def seen(phase: str, *conditions: dict[str, str], suspend: bool | None = None, old: bool = False, **status: Any) -> Object:
    """`old`: what the status says is of the spec before."""
    metadata = {"name": "agent", "namespace": "team-a", "generation": 2, "resourceVersion": "1"}
    status = {"phase": phase, "observedGeneration": 1 if old else 2, "conditions": list(conditions), **status}
    return {"metadata": metadata, "spec": {} if suspend is None else {"suspend": suspend}, "status": status}


ASKED = seen("Running", suspend=True, old=True)
GOES = seen("Suspending", SUSPENDING, unready(), suspend=True)
IS = seen("Suspended", SUSPENDED, suspend=True)
ENDED = seen("Succeeded", NOT, unready(), STALLED, suspend=True)
STUCK = seen("Suspending", LOST, unready(), STALLED, suspend=True)
READY = condition("Ready", "True", "Ready", LATER)


@pytest.mark.parametrize(
    ("devbox", "word", "rests"),
    [
        (ASKED, "suspending", True),
        (GOES, "suspending", True),
        (IS, "suspended", True),
        (seen("Suspended", condition("Suspended", "True", "SuspendedIdle")), "suspended", True),
        (seen("Suspended", SUSPENDED, suspend=True, old=True), "suspending", True),
        (STUCK, "failure", True),
        (ENDED, "shutdown", False),
        (seen("Suspended", SUSPENDED, old=True), "resuming", False),
        (seen("Suspended", SUSPENDED, old=True, suspend=False), "resuming", False),
        (seen("Pending", NOT, unready()), "resuming", False),
        (seen("Starting", NOT, unready()), "resuming", False),
        (seen("Starting", NOT, unready(EARLIER)), "resuming", False),
        (seen("Running", NOT, READY), "running", False),
        (seen("Starting", NOT, unready(LATER)), "initializing", False),
        (seen("Pending", NOT, unready(LATER)), "provisioning", False),
        (seen("Pending", NOT, unready(), STALLED), "failure", False),
        (seen("Pending", unready()), "provisioning", False),
        (seen("Starting", unready(), suspend=False), "initializing", False),
    ],
)
def test_the_words(devbox: Object, word: str, *, rests: bool) -> None:
    assert (status_of(devbox), is_to_rest(devbox)) == (word, rests)


@pytest.mark.parametrize(
    ("then", "now", "word"),
    [
        (None, None, "suspended"),
        ("1", "1", "suspended"),
        (None, "1", "resuming"),
        ("1", "2", "resuming"),
        ("1", None, "resuming"),
    ],
)
def test_one_that_was_idle_is_resumed_by_another_word(then: str | None, now: str | None, word: str) -> None:
    """Before the operator has seen it: nothing of its spec has changed."""
    one = seen("Suspended", condition("Suspended", "True", "SuspendedIdle"), suspendedBy="Idle")
    if then:
        one["status"]["resumedAt"] = then
    if now:
        one["metadata"]["annotations"] = {"devbox-gateway.io/resumed-at": now}
    assert (status_of(one), is_to_rest(one)) == (word, word == "suspended")


def test_what_is_said_of_it() -> None:
    assert summary_of(IS)["reason"] == "SuspendedBySpec"
    assert summary_of(GOES)["type"] == "Ready"
    assert (progress_of(IS).phase, progress_of(IS).reason) == ("Suspended", "SuspendedBySpec")
    assert progress_of(GOES).message == "Suspended Suspending"
    assert progress_of(ASKED).message == "the operator has not seen it yet; is it running?"


class Session:
    """Of a cluster where a devbox is seen like this, one after the other."""

    def __init__(self, *versions: Object) -> None:
        self._first, *self._others = versions

    async def request(self, *_: Any, **__: Any) -> Object:
        return self._first

    async def watch(self, *_: Any) -> AsyncIterator[tuple[str, Object]]:
        for version in self._others:
            yield "MODIFIED", version


async def waits(until: Any, *versions: Object) -> Object:
    found: Object = await until(Session(*versions), PATH, 0.5)
    return found


async def test_who_waits_for_it_to_be_ready_hears_at_once_that_it_is_suspended() -> None:
    with pytest.raises(NotReadyError, match=r"SuspendedBySpec: devbox 'agent' is suspended; devbox.resume\(\)"):
        await waits(until_ready, IS)
    with pytest.raises(NotReadyError, match="devbox 'agent' is being suspended; devbox"):
        await waits(until_ready, ASKED)
    with pytest.raises(NotReadyError, match="Suspending: devbox 'agent' is being suspended"):
        await waits(until_ready, seen("Starting", unready()), GOES)


async def test_who_waits_after_a_resume_waits_for_the_new_pod() -> None:
    found = await waits(
        until_ready, seen("Suspended", SUSPENDED, old=True), seen("Pending", NOT, unready()), seen("Running", NOT, READY)
    )
    assert found["status"]["phase"] == "Running"


async def test_waiting_for_it_to_be_suspended() -> None:
    assert (await waits(until_suspended, ASKED, GOES, IS)) is IS
    with pytest.raises(APITimeoutError, match=r"'agent' was not suspended within 0\.5 s"):
        await waits(until_suspended, seen("Running", READY))
    with pytest.raises(APITimeoutError):
        await waits(until_suspended, seen("Suspended", SUSPENDED, suspend=True, old=True))


@pytest.mark.parametrize(
    ("last", "why"), [(STUCK, "NodeLost: devbox 'agent' will not be suspended"), (ENDED, "NotSuspended: ")]
)
async def test_one_that_can_not_be_suspended_ends_the_wait(last: Object, why: str) -> None:
    with pytest.raises(NotReadyError, match=why):
        await waits(until_suspended, ASKED, last)


async def test_what_stalled_it_before_does_not() -> None:
    before = seen("Pending", unready(), condition("Stalled", "True", "SecretNotFound"), suspend=True, old=True)
    assert (await waits(until_suspended, before, IS)) is IS
