"""Waiting for a devbox: what is said on the way. (The cluster itself is waited on in tests/chaos/test_client.py and tests/integration.)"""

import asyncio
from collections.abc import AsyncIterator
from time import monotonic
from typing import Any

import pytest

from devbox_api.conditions import Reason
from devbox_gateway.errors import APITimeoutError, NotReadyError
from devbox_gateway.kube.session import Object
from devbox_gateway.objects import waiting
from devbox_gateway.objects.waiting import Progress, progress_of, until_ready

PATH = "/apis/devbox-gateway.io/v1alpha1/namespaces/team-a/devboxes/agent"


def seen(*conditions: dict[str, str]) -> Object:
    metadata = {"name": "agent", "namespace": "team-a", "generation": 1, "resourceVersion": "1"}
    status = {"phase": "Starting", "observedGeneration": 1, "conditions": list(conditions)} if conditions else {}
    return {"metadata": metadata, "spec": {}, "status": status}


class Session:
    """Of a cluster whose operator looks at a new Devbox after so many seconds, and has it ready a moment later."""

    def __init__(self, looks_after: float | None) -> None:
        self._looks_after = looks_after

    async def request(self, *_: Any, **__: Any) -> Object:
        return seen()

    async def watch(self, *_: Any) -> AsyncIterator[tuple[str, Object]]:
        if self._looks_after is None:
            await asyncio.Event().wait()
        await asyncio.sleep(self._looks_after or 0)
        yield "MODIFIED", seen({"type": "PodReady", "status": "False", "reason": "PodPending", "message": "soon"})
        yield "MODIFIED", seen({"type": "Ready", "status": "True", "reason": "Ready", "message": ""})


async def said(looks_after: float | None, seconds: float = 5.0) -> list[str]:
    told: list[Progress] = []
    waits = until_ready(Session(looks_after), PATH, seconds, told.append)  # type: ignore[arg-type]
    if looks_after is None:
        with pytest.raises(APITimeoutError, match="the operator has not seen it yet; is it running"):
            await waits
    else:
        await waits
    return [each.message for each in told]


async def test_a_new_devbox_has_no_operator_that_is_missing() -> None:
    assert await said(0.05) == ["soon", ""]


async def test_one_that_nobody_looks_at_for_long_is_told_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waiting, "UNSEEN_SECONDS", 0.1)
    assert await said(None, 0.5) == ["the operator has not seen it yet; is it running?"]
    assert await said(0.3) == ["the operator has not seen it yet; is it running?", "soon", ""]


def stalled(reason: str) -> dict[str, str]:
    return {"type": "Stalled", "status": "True", "reason": reason, "message": "no such thing"}


class Stalling(Session):
    """Of a cluster where a devbox is stalled by each reason in turn, and ready after that ("" at the end)."""

    def __init__(self, *reasons: str, pause: float = 0.0) -> None:
        self._reasons = reasons
        self._pause = pause

    async def watch(self, *_: Any) -> AsyncIterator[tuple[str, Object]]:
        for reason in self._reasons:
            yield (
                "MODIFIED",
                seen(stalled(reason) if reason else {"type": "Ready", "status": "True", "reason": "Ready", "message": ""}),
            )
            await asyncio.sleep(self._pause)
        await asyncio.Event().wait()


async def waits(session: Session) -> None:
    await until_ready(session, PATH, 5.0)  # type: ignore[arg-type]


async def test_what_it_refers_to_may_come_a_moment_later() -> None:
    await waits(Stalling("GatewayNotFound", "EgressPolicyNotFound", "SecretNotFound", "", pause=0.05))


async def test_what_it_refers_to_and_never_comes_ends_the_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waiting, "REFERENCE_SECONDS", 0.2)
    began = monotonic()
    with pytest.raises(NotReadyError, match="EgressPolicyNotFound: devbox 'agent' will not become ready: no such thing"):
        await waits(Stalling("EgressPolicyNotFound"))
    assert monotonic() - began >= 0.2
    with pytest.raises(NotReadyError):  # (one time for them all, not one for each)
        await waits(Stalling("GatewayNotFound", "SecretNotFound", "GatewayNotFound", "SecretNotFound", "", pause=0.1))


async def test_what_will_not_heal_ends_it_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waiting, "REFERENCE_SECONDS", 600.0)
    with pytest.raises(NotReadyError, match="PodRefused"):
        await waits(Stalling("PodRefused"))


def test_the_reasons_are_the_operators() -> None:
    assert set(Reason) > waiting.REFERENCES


def test_what_holds_its_code_up_is_told_before_the_pod_that_waits_for_that() -> None:
    code = {"type": "CodeMounted", "status": "False", "reason": "CloneFailed", "message": "> not found"}
    pod = {"type": "PodReady", "status": "False", "reason": "PodPending", "message": "PodInitializing"}
    assert progress_of(seen(code, pod)).reason == "CloneFailed"
    assert progress_of(seen({**code, "status": "True"}, pod)).reason == "PodPending"
