"""What a person and a tool see of `.status` while a Devbox lives: every version that the API server ever had, on a real one.

A Devbox is made, loses its Secret and has it back, is suspended and resumed, changes, is unready for a moment, and is deleted; another
one mounts code. All versions of all objects are recorded by a watch; the tests ask about them.
"""

import asyncio
import itertools
import textwrap
from dataclasses import dataclass, field
from typing import Any, Final

import pytest
import uvloop
from lupa import lua51  # type: ignore[import-untyped]
from tests.support.fake_kubelet import FakeKubelet, cloning, ended, running
from tests.support.fleet import HOSTS, source_secret
from tests.support.kstatus import kstatus
from tests.support.release import Release

from devbox_api import names
from devbox_cluster.paths import PROJECT
from devbox_common.kube import Object
from devbox_common.mirror import Mirror
from devbox_operator.kit import paths

from .operator.deletion_orders import POLICY
from .operator.stage import Stage, stage
from .world import eventually

pytestmark = pytest.mark.xdist_group("operator-status")
RESYNC_SECONDS: Final = 10
"""The least that the settings allow."""
QUIET_SECONDS: Final = 15.0
EVENTS: Final = "/apis/events.k8s.io/v1"
CODE: Final = {"name": "app", "repository": f"https://{HOSTS['ANTHROPIC']}/org/app", "gateway": "ANTHROPIC"}
ENDS: Final = {"done": ended("Succeeded"), "broken": ended("Failed", code=1)}
"""Devboxes whose command ends, and restartPolicy says that this is the end."""
FOREGROUND: Final = {"kind": "DeleteOptions", "apiVersion": "v1", "propagationPolicy": "Foreground"}


@dataclass
class Seen:
    """What was recorded."""

    versions: dict[str, list[Object]] = field(default_factory=dict)
    """By `kind/name`: every version, in order."""
    phases: dict[str, list[str]] = field(default_factory=dict)
    """By what was done: what kstatus said, of the Devbox, from then on."""
    events: dict[str, list[tuple[str, str, str]]] = field(default_factory=dict)
    """By what was done: the Events that came, each with kind, type and reason."""
    said: dict[str, str] = field(default_factory=dict)
    """By command: what kubectl said."""
    quiet: tuple[int, int] = (0, 0)
    """Versions and Events that came while nothing happened, for several looks at everything."""

    def of(self, kind: str) -> list[Object]:
        """All versions of a kind's objects."""
        return [version for name, versions in self.versions.items() if name.startswith(kind) for version in versions]


class Life:
    """Carries it out."""

    def __init__(self, on: Stage, space: str) -> None:
        self.on, self.space, self.seen = on, space, Seen()
        self.box = paths.devboxes(space, "agent")
        self._events = 0
        self._versions = 0

    def record(self, kind: str, new: Object | None) -> None:
        """A version."""
        if new is not None:
            self.seen.versions.setdefault(f"{kind}/{new['metadata']['name']}", []).append(new)

    async def until(self, word: str, what: str, reason: str = "") -> None:
        """kstatus says so of the Devbox, (with Ready's reason); what it said on the way, and the Events, are kept."""
        start = self._versions

        async def so() -> bool:
            item = await self.on.get(self.box)
            return item is None if word == "gone" else item is not None and kstatus(item) == word and _reason(item, reason)

        await eventually(so, 40, every=0.05)
        await asyncio.sleep(2.5)  # (Events follow the status; a count of users follows within two seconds)
        versions = self.seen.versions.get("devboxes/agent", [])
        self.seen.phases[what] = list(dict.fromkeys(kstatus(item) for item in versions[start:]))
        self._versions = len(versions)
        found = (await self.on.api.list(f"{EVENTS}/namespaces/{self.space}/events"))[0]
        found.sort(key=lambda event: event["eventTime"])
        self.seen.events[what] = [(one["regarding"]["kind"], one["type"], one["reason"]) for one in found[self._events :]]
        self._events = len(found)

    async def becomes(self, name: str, word: str) -> None:
        """kstatus says so of an object's last version."""
        seen = self.seen.versions.setdefault(name, [])
        await eventually(lambda: bool(seen) and kstatus(seen[-1]) == word, 40)

    async def kubectl(self, *arguments: str) -> None:
        """What it said, by its arguments."""
        said = await asyncio.to_thread(self.on.release.plane.kubectl, "--namespace", self.space, *arguments)
        self.seen.said[" ".join(arguments)] = said


def _reason(item: Object, reason: str) -> bool:
    return not reason or reason in [c["reason"] for c in item["status"]["conditions"] if c["type"] == "Ready"]


async def live(on: Stage, life: Life, kubelet: FakeKubelet) -> None:
    """The Devbox's life."""
    space, box = life.space, life.box
    waiting = asyncio.create_task(life.kubectl("wait", "--for=create", "dbx/agent", "--timeout=60s"))
    await on.api.request("POST", paths.egresspolicies(space), body=POLICY)
    await on.create(space, egressPolicyRef={"name": "web"})
    await waiting
    await life.kubectl("wait", "--for=condition=Ready", "dbx/agent", "--timeout=60s")
    await life.until("Current", "created", "Ready")
    secret = paths.secrets(space, "anthropic")
    await on.api.request("DELETE", secret)
    await life.kubectl("wait", "--for=condition=Stalled", "dbx/agent", "gwc/anthropic", "--timeout=60s")
    await life.until("Failed", "Secret deleted", "SecretNotFound")
    await on.api.request("POST", paths.secrets(space), body=source_secret(space, "ANTHROPIC"))
    await life.until("Current", "Secret made again", "Ready")
    for what, suspend in (("suspended", True), ("resumed", None)):
        await on.patch(box, {"spec": {"suspend": suspend}})
        await life.until("Current", what)
    await on.patch(box, {"spec": {"env": [{"name": "LEVEL", "value": "debug"}]}})
    await life.until("Current", "spec changed")
    pod = (await on.pods(space))[0]
    for what, ready in (("pod not ready", "False"), ("pod ready again", "True")):
        container = {**pod["status"]["containerStatuses"][0], "ready": ready == "True"}
        await kubelet.says(pod, conditions=[{"type": "Ready", "status": ready}], containerStatuses=[container])
        await life.until("Current" if ready == "True" else "InProgress", what)
    for name, status in ENDS.items():
        await on.create(space, name, restartPolicy="Never")
        await life.becomes(f"devboxes/{name}", "Current")
        pods = [item for item in await on.pods(space) if item["metadata"]["labels"][names.DEVBOX_LABEL] == name]
        await kubelet.says(pods[0], **status)
        await life.becomes(f"devboxes/{name}", "Failed")
    await life.until("Current", "others ended")
    kubelet.mounting = True
    await on.create(space, "mounting", codeMounts=[CODE])
    await _phase(life, "mounting", "Mounting")
    (pod,) = [item for item in await on.pods(space) if item["metadata"]["labels"][names.DEVBOX_LABEL] == "mounting"]
    failed = {"exitCode": 1, "reason": "Error", "message": "code mount app: git clone failed"}
    await kubelet.says(pod, **cloning({"terminated": failed}, restarts=2))
    await life.becomes("devboxes/mounting", "Failed")
    await kubelet.says(pod, **running("10.204.200.1"))
    await life.becomes("devboxes/mounting", "Current")
    await life.until("Current", "code mounted")
    before = sum(map(len, life.seen.versions.values())), life._events
    await asyncio.sleep(QUIET_SECONDS)
    found = (await on.api.list(f"{EVENTS}/namespaces/{space}/events"))[0]
    life.seen.quiet = (sum(map(len, life.seen.versions.values())) - before[0], len(found) - before[1])
    kubelet.idle = True
    await on.api.request("DELETE", box, body=FOREGROUND)
    await life.until("Terminating", "deletion asked for")
    kubelet.idle = False
    for item in await on.pods(space):
        await kubelet.end(item)
    await life.kubectl("wait", "--for=delete", "dbx/agent", "--timeout=60s")
    await life.until("gone", "deleted")


async def _phase(life: Life, name: str, wanted: str) -> None:
    seen = life.seen.versions.setdefault(f"devboxes/{name}", [])
    await eventually(lambda: bool(seen) and seen[-1].get("status", {}).get("phase") == wanted, 40)


@pytest.fixture(scope="module")
def seen(release: Release) -> Seen:
    async def run() -> Seen:
        async with stage(release) as on:
            await on.alone(resyncSeconds=RESYNC_SECONDS)
            life = Life(on, await on.namespace())
            kubelet = FakeKubelet(on.api, on.node)
            ways = {"devboxes": paths.devboxes, "gatewayconfigs": paths.gatewayconfigs, "egresspolicies": paths.egresspolicies}
            mirrors = [_recorder(life, kind, way(life.space)) for kind, way in ways.items()]
            tasks = [asyncio.create_task(mirror.run()) for mirror in mirrors]
            for mirror in mirrors:
                await mirror.synced.wait()
            try:
                async with kubelet.working():
                    await live(on, life, kubelet)
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)
            return life.seen

    return uvloop.run(run())


def _recorder(life: Life, kind: str, path: str) -> Mirror[Object]:
    return Mirror(life.on.api, path, lambda item: item, on_change=lambda _, __, new: life.record(kind, new))


def _conditions(item: Object) -> dict[str, Any]:
    return {condition["type"]: condition for condition in (item.get("status") or {}).get("conditions", ())}


def _suspended(item: Object) -> bool:
    """Of a Devbox; nothing else ever is."""
    return bool(_conditions(item).get("Suspended", {}).get("status") == "True")


PHASES: Final = {
    "created": ["InProgress", "Current"],
    "Secret deleted": ["Failed"],
    "Secret made again": ["Current"],
    "suspended": ["InProgress", "Current"],
    "resumed": ["InProgress", "Current"],
    "spec changed": ["InProgress", "Current"],
    "pod not ready": ["InProgress"],
    "pod ready again": ["Current"],
    "deletion asked for": ["Terminating"],
}
HEALTH: Final = {"Terminating": "Progressing", "InProgress": "Progressing", "Failed": "Degraded", "Current": "Healthy"}
"""Argo CD's words for kstatus'."""


@pytest.mark.parametrize("what", PHASES)
def test_kstatus_says_what_is_so(seen: Seen, what: str) -> None:
    """From the first version on: an object that the operator has not looked at yet is not taken for one that is done."""
    assert seen.phases[what] == PHASES[what]


@pytest.mark.parametrize("name", ENDS)
def test_an_end_for_good_is_no_progress(seen: Seen, name: str) -> None:
    words = list(dict.fromkeys(kstatus(item) for item in seen.versions[f"devboxes/{name}"]))
    assert words == ["InProgress", "Current", "Failed"]


def test_code_that_is_mounted_is_progress_until_it_fails_again_and_again(seen: Seen) -> None:
    versions = seen.versions["devboxes/mounting"]
    assert list(dict.fromkeys(map(kstatus, versions))) == ["InProgress", "Failed", "Current"]
    words = {kstatus(item) for item in versions if item.get("status", {}).get("phase") == "Mounting"}
    assert words == {"InProgress", "Failed"}
    assert {_conditions(item)["CodeMounted"]["reason"] for item in versions if _conditions(item)} >= {"Cloning", "CloneFailed"}


def test_argo_cds_health_check_of_the_docs_says_the_same(seen: Seen) -> None:
    """But for a command that did what it was to do, and for one that is suspended, which Argo CD knows words for."""
    page = (PROJECT / "docs" / "gitops.md").read_text(encoding="utf-8")
    script = textwrap.dedent(page.split("health.lua: |\n")[1].split("```")[0])
    lua = lua51.LuaRuntime()
    health = lua.eval(f"function(obj) {script} end")
    said = set()
    for item in [*seen.of("devboxes"), *seen.of("gatewayconfigs"), *seen.of("egresspolicies")]:
        result = health(lua.table_from(item, recursive=True))
        done = (item.get("status") or {}).get("phase") == "Succeeded"
        current = kstatus(item) == "Current" and _suspended(item)
        assert result["status"] == ("Healthy" if done else "Suspended" if current else HEALTH[kstatus(item)]), item.get(
            "status"
        )
        assert result["message"]
        said.add((result["status"], done))
    assert said == {
        ("Progressing", False), ("Healthy", False), ("Healthy", True), ("Degraded", False), ("Suspended", False),
    }  # fmt: skip


def test_what_a_devbox_uses_is_in_progress_failed_and_current_too(seen: Seen) -> None:
    words = list(dict.fromkeys(kstatus(item) for item in seen.versions["egresspolicies/web"]))
    assert words == ["InProgress", "Current"]
    words = [kstatus(item) for item in seen.versions["gatewayconfigs/anthropic"]]
    assert [word for number, word in enumerate(words) if words[number - 1 : number] != [word]][-3:] == [
        "Current",
        "Failed",
        "Current",
    ]


def test_one_of_ready_reconciling_and_stalled(seen: Seen) -> None:
    for item in [*seen.of("devboxes"), *seen.of("gatewayconfigs"), *seen.of("egresspolicies")]:
        if found := _conditions(item):
            true = [kind for kind in ("Ready", "Reconciling", "Stalled") if found.get(kind, {}).get("status") == "True"]
            assert len(true) == (0 if _suspended(item) else 1), true
            assert ("Ready" in found) is not _suspended(item)


def test_every_condition_says_which_generation_it_is_about(seen: Seen) -> None:
    assert {item["metadata"]["generation"] for item in seen.of("devboxes")} >= {1, 2}
    for item in [*seen.of("devboxes"), *seen.of("gatewayconfigs"), *seen.of("egresspolicies")]:
        for condition in _conditions(item).values():
            assert condition["observedGeneration"] == item["status"]["observedGeneration"] <= item["metadata"]["generation"]


def test_transition_times_move_on_transitions_only(seen: Seen) -> None:
    moved = 0
    for versions in seen.versions.values():
        for before, after in itertools.pairwise(versions):
            for kind, new in _conditions(after).items():
                if (old := _conditions(before).get(kind)) is None:
                    continue
                if old["status"] == new["status"]:
                    assert old["lastTransitionTime"] == new["lastTransitionTime"], kind
                else:
                    assert old["lastTransitionTime"] <= new["lastTransitionTime"], kind
                    moved += 1
    assert moved > 10


def test_reasons_and_messages_say_what_to_do(seen: Seen) -> None:
    (failed,) = {_conditions(item)["Ready"]["message"] for item in seen.of("devboxes/agent") if kstatus(item) == "Failed"}
    assert "Secret" in failed
    assert "anthropic" in failed
    changed = _conditions(seen.versions["devboxes/agent"][-1])["RestartRequired"]
    assert (changed["status"], changed["reason"]) == ("True", "SpecChanged")
    assert changed["message"].startswith("spec.env changed")
    assert names.RESTARTED_AT_ANNOTATION in changed["message"]


EXPECTED_EVENTS: Final[dict[str, list[tuple[str, str, str]]]] = {
    "created": [],
    "Secret deleted": [("Devbox", "Warning", "SecretNotFound"), ("GatewayConfig", "Warning", "SecretNotFound")],
    "Secret made again": [("Devbox", "Normal", "Ready"), ("GatewayConfig", "Normal", "Ready")],
    "suspended": [],
    "resumed": [],
    "spec changed": [("Devbox", "Normal", "SpecChanged")],
    "pod not ready": [],
    "pod ready again": [],
    "others ended": [("Devbox", "Normal", "PodSucceeded"), ("Devbox", "Warning", "PodFailed")],
    "deletion asked for": [],
    "deleted": [],
}


@pytest.mark.parametrize("what", EXPECTED_EVENTS)
def test_events_come_with_transitions_that_somebody_acts_on(seen: Seen, what: str) -> None:
    assert sorted(seen.events[what]) == EXPECTED_EVENTS[what]


def test_nothing_is_written_while_nothing_happens(seen: Seen) -> None:
    assert seen.quiet == (0, 0)


def test_kubectl_wait(seen: Seen) -> None:
    assert seen.said["wait --for=condition=Ready dbx/agent --timeout=60s"] == "devbox.devbox-gateway.io/agent condition met\n"
    stalled = seen.said["wait --for=condition=Stalled dbx/agent gwc/anthropic --timeout=60s"]
    assert stalled.count("condition met") == 2


def test_kubectl_explain(release: Release) -> None:
    """Every field of every kind says what it is."""
    assert "The APIs that the agent may use." in release.plane.kubectl("explain", "dbx.spec.gateways")
    for kind in ("dbx", "gwc", "egp"):
        for part in ("spec", "status"):
            lines = release.plane.kubectl("explain", f"{kind}.{part}").partition("FIELDS:\n")[2].splitlines()
            entries = "\n".join(lines).strip().split("\n\n")
            assert len(entries) > 2
            assert [entry for entry in entries if "\n" not in entry.strip()] == [], f"{kind}.{part}"
