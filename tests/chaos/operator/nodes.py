"""A node is lost: its heartbeat stops, its kubelet says nothing any more, and the cluster's controllers do what they do then.

Goes in: a stage on a control plane with the controllers of nodes and of taints (`FLAGS`), quicker than they are by default. Comes out:
rows. A devbox on that node gets another pod after a bound; one with a claim gets none that would write beside the old one, whatever becomes
of its spec and of pods in between, and its status says what to do; the node comes back, and nothing happens but that the old pods end.
Nobody reads that a new one follows without when.
"""

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator
from time import monotonic as now
from typing import Any, Final

from tests.chaos.report import Row, timed
from tests.chaos.world import eventually
from tests.support.control_plane import NODE
from tests.support.fake_kubelet import FakeKubelet, ended

from devbox_api import names
from devbox_common.kube import KubeApi, Object
from devbox_common.mirror import Mirror
from devbox_operator.kit import paths

from .stage import Stage
from .suspensions import RESUME, SUSPEND
from .traffic import Agent, Traffic, traffic

TOLERATED_SECONDS: Final = 2
"""300 by default."""
NOTICED_SECONDS: Final = 4
"""50 by default."""
GRACE_SECONDS: Final = 2
LOST_SECONDS: Final = {True: 60, False: 3}
"""The operator's bound, in the long form (its default) and the short one."""
PATIENT_SECONDS: Final = {True: 60, False: 7}
"""A grace period beyond that bound; in the long form, the longest that a Devbox may have."""
SLACK_SECONDS: Final = 12.0
OTHER: Final = "node-2"
FLAGS: Final = {
    "kube-apiserver": {
        "--default-not-ready-toleration-seconds": str(TOLERATED_SECONDS),
        "--default-unreachable-toleration-seconds": str(TOLERATED_SECONDS),
    },
    "kube-controller-manager": {
        "--controllers": ",".join(
            f"{name}-controller"
            for name in (
                "garbage-collector",
                "namespace",
                "serviceaccount",
                "pod-garbage-collector",
                "node-lifecycle",
                "taint-eviction",
            )
        ),
        "--node-monitor-period": "1s",
        "--node-monitor-grace-period": f"{NOTICED_SECONDS}s",
        "--node-startup-grace-period": f"{NOTICED_SECONDS}s",
        "--node-eviction-rate": "10",
    },
}
STORED: Final = ("stored", "stored-asleep", "stored-woken")
"""With a workspace, which one node at a time may have: left alone, suspended, and suspended and resumed while their node is lost."""
CLAIM: Final = {"name": "work", "mountPath": "/work", "persistentVolumeClaim": {"claimName": "work"}}
ENDLESS: Final = re.compile(r"a new one follows(?!, at \d{4}-)")
WITH_AN_END: Final = re.compile(r"(at|until) \d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")


class Words:
    """Everything that the statuses of a namespace's Devboxes ever said of their pods."""

    def __init__(self, stage: Stage, space: str) -> None:
        self.said: dict[str, list[str]] = {}
        self.pods: dict[str, set[str]] = {}
        self.beside: dict[str, set[str]] = {}
        """Pods that came while another one of the same Devbox was there."""
        self._pods: Mirror[Object] = Mirror(
            stage.api, paths.pods(space), lambda item: item, on_change=self._pod, label_selector=names.DEVBOX_LABEL
        )
        boxes: Mirror[Object] = Mirror(stage.api, paths.devboxes(space), lambda item: item, on_change=self._status)
        self._mirrors = [boxes, self._pods]

    def _status(self, key: tuple[str, str], _: object, new: Object | None) -> None:
        for one in ((new or {}).get("status") or {}).get("conditions", ()):
            if one["type"] == "PodReady":
                self.said.setdefault(key[1], []).append(f"{one['reason']}: {one['message']}")

    def _pod(self, key: tuple[str, str], old: Object | None, new: Object | None) -> None:
        if new is None:
            return
        devbox = new["metadata"]["labels"][names.DEVBOX_LABEL]
        self.pods.setdefault(devbox, set()).add(key[1])
        there = [pod for pod in self._pods.objects.values() if pod["metadata"]["labels"][names.DEVBOX_LABEL] == devbox]
        if old is None and len(there) > 1:
            self.beside.setdefault(devbox, set()).add(key[1])

    @contextlib.asynccontextmanager
    async def kept(self) -> AsyncIterator[None]:
        """While it listens."""
        tasks = [asyncio.create_task(mirror.run()) for mirror in self._mirrors]
        try:
            for mirror in self._mirrors:
                await mirror.synced.wait()
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    @property
    def endless(self) -> list[str]:
        """That promise something without saying when."""
        every = [message for messages in self.said.values() for message in messages]
        return sorted({message for message in every if ENDLESS.search(message) and not WITH_AN_END.search(message)})


async def lost(stage: Stage, long: bool) -> list[Row]:
    """The whole of it."""
    node = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": OTHER}}
    await stage.api.request("POST", paths.core("nodes"), body=node)
    await stage.alone(keeping={"lostNodeSeconds": LOST_SECONDS[long]})
    async with contextlib.AsyncExitStack() as stack:
        cars = await stack.enter_async_context(traffic(stage))
        client: KubeApi = await stack.enter_async_context(stage.release.plane.node(OTHER))
        other = FakeKubelet(stage.api, client, OTHER)
        other.binds = False
        await stack.enter_async_context(other.working())
        for kubelet in (cars.kubelet, other):
            await stack.enter_async_context(kubelet.beating())
        space = await stage.namespace()
        words = Words(stage, space)
        await stack.enter_async_context(words.kept())
        return await _Case(stage, cars, other, space, words).rows(long)


class _Case:
    def __init__(self, stage: Stage, cars: Traffic, other: FakeKubelet, space: str, words: Words) -> None:
        self.stage, self.cars, self.other, self.space, self.words = stage, cars, other, space, words

    async def rows(self, long: bool) -> list[Row]:
        body = {
            "apiVersion": "v1",
            "kind": "PersistentVolumeClaim",
            "metadata": {"name": "work", "labels": {names.MOUNTABLE_LABEL: "true"}},
            "spec": {"accessModes": ["ReadWriteMany"], "resources": {"requests": {"storage": "1Gi"}}},
        }
        await self.stage.api.request("POST", paths.core("persistentvolumeclaims", self.space), body=body)
        old = {name: await self._agent(name) for name in ("plain", "restarted", "deleted", "suspended", "regretted")}
        old |= {name: await self._agent(name, volumes=[CLAIM]) for name in ("claimed", "swapped")}
        old |= {name: await self._agent(name, workspace={"size": "1Gi"}) for name in STORED}
        self.cars.kubelet.binds, self.other.binds = False, True
        patient = await self._agent("patient", terminationGracePeriodSeconds=PATIENT_SECONDS[long])

        self.cars.kubelet.lost = True
        await self._restart("restarted")
        await self.stage.api.request("DELETE", paths.devboxes(self.space, "deleted"))
        await self.stage.api.request("DELETE", paths.pods(self.space, patient.name))
        for name in ("suspended", "regretted", "stored-asleep", "stored-woken"):
            await self.stage.patch(paths.devboxes(self.space, name), SUSPEND)
        rows = [await self._another(old[name], name, long) for name in ("restarted", "plain")]
        rows += [await self._suspended(old[name], name) for name in ("suspended", "stored-asleep")]
        for name in ("regretted", "stored-woken"):
            await self.stage.patch(paths.devboxes(self.space, name), RESUME)
        rows.append(await self._another(old["regretted"], "regretted", long))
        rows += [await self._claimed(old["claimed"], "claimed", "work"), await self._patient(patient)]
        for name in ("stored", "stored-woken"):
            rows.append(await self._claimed(old[name], name, await self._workspace(name)))
        rows += await self._swapped(old["swapped"], long)
        rows += await self._back(old)
        rows.append(
            Row(
                "all of it: what the statuses promise",
                "never a new pod without when",
                f"{len(self.words.endless)} of {sum(map(len, self.words.said.values()))} did: {self.words.endless[:2]}",
                not self.words.endless,
            )
        )
        return rows

    async def _agent(self, name: str, **spec: Any) -> Agent:
        await self.stage.create(self.space, name, **{"terminationGracePeriodSeconds": GRACE_SECONDS, **spec})
        return await self.cars.agent(self.space, name)

    async def _restart(self, name: str) -> None:
        body = {"metadata": {"annotations": {names.RESTARTED_AT_ANNOTATION: "1"}}}
        await self.stage.patch(paths.devboxes(self.space, name), body)

    async def _box(self, name: str) -> Object:
        box = await self.stage.get(paths.devboxes(self.space, name))
        assert box is not None
        return box

    async def _pod_ready(self, name: str) -> Object:
        return next(one for one in (await self._box(name))["status"]["conditions"] if one["type"] == "PodReady")

    async def _another(self, old: Agent, name: str, long: bool) -> Row:
        """Another pod, on the other node; the old one is there, and served nothing."""
        start, bound = now(), NOTICED_SECONDS + TOLERATED_SECONDS + GRACE_SECONDS + LOST_SECONDS[long] + SLACK_SECONDS
        new = old
        while new.uid == old.uid and now() - start < bound:
            await asyncio.sleep(0.1)
            box = await self._box(name)
            if box["status"].get("podUID") != old.uid and box["status"]["phase"] == "Running":
                new = await self.cars.agent(self.space, name)
        took = now() - start
        left = await self.stage.get(paths.pods(self.space, old.name))
        if new.uid == old.uid:
            said = f"none after {took:.0f} s; {(await self._pod_ready(name))['message']}"
            return timed(f"node lost: a devbox, {name}", f"another pod ≤{bound:g} s", said, in_time=False)
        fine = (await self.cars.answers(new)).fine
        refused = (await self.cars.answers(old)).status
        measured = f"{took:.1f} s; its token {'works' if fine else 'does not work'}; the old pod's: {refused}"
        there = left is not None and "deletionTimestamp" in left["metadata"]
        held = fine and refused in (401, 403) and there and new.pod["spec"]["nodeName"] == OTHER
        return Row(f"node lost: a devbox, {name}", f"another pod ≤{bound:g} s, the old one refused", measured, held)

    async def _workspace(self, name: str) -> str:
        """Of its claim, which is there whatever becomes of its node."""
        shown = str((await self._box(name))["status"]["workspace"]["claimName"])
        claim = await self.stage.get(paths.core("persistentvolumeclaims", self.space, shown))
        return shown if claim is not None and "deletionTimestamp" not in claim["metadata"] else "that is lost"

    async def _claimed(self, old: Agent, name: str, claim: str) -> Row:
        """No second pod beside the first; what to do."""
        found: Object = {}

        async def said() -> bool:
            found.update(await self._pod_ready(name))
            return f"may still write to PersistentVolumeClaim {claim}" in found["message"]

        with contextlib.suppress(TimeoutError):
            await eventually(said, SLACK_SECONDS, every=0.1)
        pods = [pod["metadata"]["uid"] for pod in await self._pods(name)]
        stalled = next(one["status"] for one in (await self._box(name))["status"]["conditions"] if one["type"] == "Stalled")
        parts = (NODE, "is not Ready since", f"PersistentVolumeClaim {claim}", f"kubectl delete node {NODE}", "out-of-service")
        missing = [part for part in parts if part not in found["message"]]
        held = found["reason"] == "NodeLost" and not missing and pods == [old.uid] and stalled == "True"
        return Row(
            f"node lost: a devbox with a claim, {name}",
            "no pod beside the old one, Stalled, and the status says which node, since when and what to do",
            f"{len(pods)} pod, Stalled={stalled}; {found['reason']}: {found['message']}",
            held,
        )

    async def _suspended(self, old: Agent, name: str) -> Row:
        """It is not said to be suspended while its pod may run."""
        found: Object = {}

        async def said() -> bool:
            box = await self._box(name)
            found.update({one["type"]: one for one in box["status"]["conditions"]}, phase=box["status"]["phase"])
            return bool(found["Stalled"]["status"] == "True")

        with contextlib.suppress(TimeoutError):
            await eventually(said, SLACK_SECONDS, every=0.1)
        word, refused = found["Suspended"], (await self.cars.answers(old)).status
        held = (word["status"], word["reason"], found["phase"]) == ("False", "NodeLost", "Suspending") and refused in (
            401,
            403,
        )
        return Row(
            f"node lost: a devbox that is to be suspended, {name}",
            "not suspended, Stalled, and what to do; its token refused",
            f"Suspended={word['status']}, {word['reason']}: {word['message']}; {refused}",
            held and f"kubectl delete node {NODE}" in word["message"],
        )

    async def _swapped(self, old: Agent, long: bool) -> list[Row]:
        """Its claim is taken out of the Devbox, so that a pod follows, and put in again; and that pod's command ends."""
        await self._mounts("swapped")
        another = await self._another(old, "swapped", long)
        between = await self.cars.agent(self.space, "swapped")
        await self._mounts("swapped", CLAIM)
        await self.other.says(between.pod, **ended("Failed", code=1))
        found: Object = {}

        async def said() -> bool:
            found.update(await self._pod_ready("swapped"))
            return "PersistentVolumeClaim work" in found["message"] or len(self.words.pods["swapped"]) > 2

        with contextlib.suppress(TimeoutError):
            await eventually(said, SLACK_SECONDS, every=0.1)
        made = len(self.words.pods["swapped"])
        return [
            another,
            Row(
                "the same, without its claim for a while: that pod ends",
                "no third pod, which would write beside the first",
                f"{made} pods; {found['reason']}: {found['message']}",
                made == 2 and found["reason"] == "NodeLost",
            ),
        ]

    async def _mounts(self, name: str, *volumes: Object) -> None:
        await self.stage.patch(paths.devboxes(self.space, name), {"spec": {"volumes": list(volumes)}})

    async def _patient(self, agent: Agent) -> Row:
        """Deleted as ever on a node that answers, with a grace period beyond the operator's bound: the next one comes when it has ended."""

        async def gone() -> bool:
            return agent.name not in [pod["metadata"]["name"] for pod in await self._pods("patient")]

        await eventually(gone, 120, every=0.05)
        new = await self.cars.agent(self.space, "patient")
        early = sorted(self.words.beside.get("patient", ()))
        return Row(
            "a node that answers: a pod deleted, with a long grace period",
            "the next one when it has ended",
            f"{len(early)} came while it was there {early[:1]}",
            not early and new.uid != agent.uid,
        )

    async def _not_at_rest(self, name: str) -> str:
        """What it is, where it does not come to be suspended in time."""

        async def so() -> bool:
            return (await self._box(name))["status"]["phase"] == "Suspended" and not await self._pods(name)

        try:
            await eventually(so, SLACK_SECONDS, every=0.1)
        except TimeoutError:
            return f"{(await self._box(name))['status']}"
        return ""

    async def _pods(self, name: str) -> list[Object]:
        return [pod for pod in await self.stage.pods(self.space) if pod["metadata"]["labels"][names.DEVBOX_LABEL] == name]

    async def _back(self, old: dict[str, Agent]) -> list[Row]:
        """The node is heard again, and ends what it was to end."""
        before = {name: (await self._box(name))["status"] for name in ("plain", "restarted")}
        self.cars.kubelet.back()
        served: list[int] = []

        async def ended() -> bool:
            served.extend([(await self.cars.answers(old["plain"])).status])
            left = {pod["metadata"]["uid"] for pod in await self.stage.pods(self.space)}
            return not left & {agent.uid for agent in old.values()}

        await eventually(ended, 30, every=0.1)
        rests = {name: why for name in ("suspended", "stored-asleep") if (why := await self._not_at_rest(name))}
        kept = [await self._workspace(name) for name in STORED]
        new, third, *stored = [
            await self.cars.agent(self.space, name) for name in ("claimed", "swapped", "stored", "stored-woken")
        ]
        await asyncio.sleep(1)
        after = {name: (await self._box(name))["status"] for name in ("plain", "restarted")}
        made = {name: len(pods) for name, pods in self.words.pods.items()}
        unchanged = all(before[name] == after[name] for name in before)
        twice = dict.fromkeys(("plain", "restarted", "regretted", "claimed", "patient", "stored", "stored-woken"), 2)
        once = made == {**twice, "deleted": 1, "suspended": 1, "stored-asleep": 1, "swapped": 3}
        another = {"claimed": new, "swapped": third} | dict(zip(("stored", "stored-woken"), stored, strict=True))
        accepted = [status for status in served if status not in (401, 403)]
        return [
            Row(
                "the node is back: devboxes that have another pod",
                "their old pods end, refused to the end; nothing else happens",
                f"{len(accepted)} of {len(served)} accepted; {'nothing else' if unchanged else f'{before} became {after}'}",
                unchanged and not accepted,
            ),
            Row("the same: those that are to be suspended", "suspended, with no pod", f"{rests or 'so'}", not rests),
            Row(
                "the same: their workspaces",
                "there, as they were",
                f"{len(set(kept))} claims of {kept}",
                all(claim.startswith(f"{name}-") for claim, name in zip(kept, STORED, strict=True)),
            ),
            Row(
                "the same: the devboxes with a claim, and one that was deleted meanwhile",
                "another pod each; none. No pod twice",
                f"{'another' if new.uid != old['claimed'].uid else 'none'}; {made}",
                once and all(agent.uid != old[name].uid for name, agent in another.items()),
            ),
        ]
