"""Devboxes that nobody works in, on a real cluster: what gateways saw, and what the client did, is work; then they are suspended, and come
back. Prints when."""

from collections.abc import AsyncIterator, Callable
from datetime import datetime
from time import monotonic
from typing import Any, Final, TypeVar

import pytest
import pytest_asyncio
from tests.support.workspace import Workspace

from devbox_api import names
from devbox_cluster.paths import kubeconfig
from devbox_common.kube import Object
from devbox_gateway import AsyncDevboxGateway
from devbox_stage.waiting import NotYet, wait_for

IDLE: Final[dict[str, Any]] = {"lifecycle": {"idle": {"after": "60s", "action": "Suspend"}}}
CALL: Final = """curl -sS -o /dev/null -w '%{http_code}' -m 20 -H "x-api-key: $ANTHROPIC" "$ANTHROPIC_URL/v1/models\""""
PATIENT_SECONDS: Final = 240.0
"""An operator asks each 15 s, and may have begun anew; a busy cluster takes its time."""


@pytest_asyncio.fixture
async def client(workspace: Workspace) -> AsyncIterator[AsyncDevboxGateway]:
    async with AsyncDevboxGateway(kubeconfig=kubeconfig(), namespace=workspace.name) as made:
        yield made


T = TypeVar("T")


def until(what: str, look: Callable[[], T | None]) -> T:
    """What it gives, once it gives anything."""

    def attempt() -> T:
        if not (found := look()):
            raise NotYet("not yet")
        return found

    return wait_for(what, attempt, seconds=PATIENT_SECONDS, interval=0.5)


def condition(box: Object, kind: str) -> Object:
    return next((one for one in box["status"].get("conditions") or () if one["type"] == kind), {})


def moment(box: Object, field: str) -> datetime:
    return datetime.fromisoformat(box["status"][field])


@pytest.mark.row("S23")
async def test_one_is_suspended_a_minute_after_its_last_call_and_comes_back(
    workspace: Workspace, client: AsyncDevboxGateway
) -> None:
    pod = workspace.working_devbox(**IDLE)
    workspace.becomes(pod, 200)
    until("it is followed", lambda: (workspace.get("dbx", "agent") or {})["status"].get("lastActivity"))
    called = workspace.sh(pod, CALL)
    assert called.isdecimal()
    began, warned = monotonic(), []

    def suspended() -> Object | None:
        box = workspace.get("dbx", "agent") or {}
        if (said := condition(box, "Expiring")) and said["message"] not in warned:
            warned.append(said["message"])
        return box if condition(box, "Suspended").get("status") == "True" else None

    box = until("it is suspended", suspended)
    took = monotonic() - began
    print(f"suspended {took:.1f} s after its last call (spec.lifecycle.idle.after: 60s)")  # noqa: T201 (the figures; shown by -rP)
    assert took >= 60, "never early"
    status = box["status"]
    assert (status["phase"], status["suspendedBy"], condition(box, "Suspended")["reason"]) == (
        "Suspended",
        "Idle",
        "SuspendedIdle",
    )
    assert (moment(box, "suspendedAt") - moment(box, "lastActivity")).total_seconds() >= 59
    assert "suspend" not in box["spec"], "what people wrote is theirs"
    assert workspace.get("pod", pod) is None
    assert any("it is suspended at" in message for message in warned)
    devbox = client.devboxes.from_id("agent")
    info = await devbox.get_info()
    assert (info.status, info.reason) == ("suspended", "SuspendedIdle")
    began = monotonic()
    assert (await devbox.resume(timeout=PATIENT_SECONDS)).status == "running"
    print(f"resumed and ready after {monotonic() - began:.1f} s")  # noqa: T201
    box = workspace.get("dbx", "agent") or {}
    assert "suspendedBy" not in box["status"]


@pytest.mark.row("S23")
async def test_a_command_of_the_client_is_work(workspace: Workspace, client: AsyncDevboxGateway) -> None:
    pod = workspace.working_devbox(lifecycle={"idle": {"after": "1h", "action": "Delete"}})
    workspace.becomes(pod, 200)
    devbox = client.devboxes.from_id("agent")
    assert (await devbox.cmd.exec("echo done")).exit_code == 0

    def said() -> str | None:
        return str(
            (workspace.get("dbx", "agent") or {})["metadata"].get("annotations", {}).get(names.ACTIVE_UNTIL_ANNOTATION, "")
        )

    first = until("it is said to be in use", said)
    for _ in range(3):
        await devbox.cmd.exec("true")
    await client.close()
    assert said() == first, "once a minute is enough"
