"""A kubelet's words without a kubelet: pods of a control plane of the test's own are bound, run and end, as their status says.

Goes in: an administrator's client, and the node's. Comes out: devbox pods whose gate is open are on a node, Running, with an address of
their own from 10.204.0.0/16 (in a network of tests/support/netns.py a test can call from it), and go when they are deleted, not at once but
after their whole grace period: processes that hear nothing of SIGTERM, such as `sleep` as a container's first, take it. In their last
moment, in their first, and whenever a NetworkPolicy goes or changes, some NetworkPolicy has to hold them: `working` fails where none
did. `says` writes another status, as a kubelet, the scheduler or the eviction manager would. `beating` keeps the node's Lease and its
condition Ready, for controllers that look at them; `lost` says nothing any more. No process runs.
"""

import asyncio
import contextlib
import itertools
from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from devbox_api import names
from devbox_api.judge.namespaces import selects
from devbox_api.shared import LabelSelector
from devbox_common.kube import APPLY_PATCH, MERGE_PATCH, ApiError, KubeApi, Object
from devbox_common.mirror import Mirror
from devbox_operator.kit import paths

from .control_plane import NODE

BEAT_SECONDS: Final = 1.0
PATIENT_SECONDS: Final = 60.0
"""For an answer: whoever has bound a pod has it run, however busy the machine is."""
_numbers = itertools.count(2)
"""Of the pods' addresses, whichever node they are on."""
NOTHING: Final[Mapping[str, str]] = {}


def moment(ago: float = 0.0) -> str:
    """A time as the API has it, so many seconds ago."""
    return (datetime.now(UTC) - timedelta(seconds=ago)).isoformat(timespec="seconds").replace("+00:00", "Z")


class FakeKubelet:
    """It acts on what it sees of pods."""

    def __init__(self, api: KubeApi, node: KubeApi, name: str = NODE) -> None:
        """`name`: the node's, whose client `node` is."""
        self._api, self._node, self.name = api, node, name
        self._tasks: set[asyncio.Task[None]] = set()
        self._mirror: Mirror[Object] = Mirror(
            api, paths.pods(), lambda item: item, label_selector=names.DEVBOX_LABEL, on_change=self._changed
        )
        self._policies: Mirror[Object] = Mirror(api, paths.networkpolicies(), lambda item: item, on_change=self._policy_changed)
        self._ending: set[str] = set()
        self.idle = False
        """It does nothing: pods stay where they are."""
        self.binds = True
        """New pods come to this node."""
        self.mounting = False
        """Pods that mount code go on doing that."""
        self.lost = False
        """Neither it nor its pods are heard of; it does nothing, either."""
        self.exposed: list[str] = []
        """Pods that no NetworkPolicy held while they had processes, and when that was."""

    @contextlib.asynccontextmanager
    async def working(self) -> AsyncIterator[None]:
        """While it watches."""
        mirrors = [asyncio.create_task(mirror.run()) for mirror in (self._policies, self._mirror)]
        try:
            await self._policies.synced.wait()
            await self._mirror.synced.wait()
            yield
        finally:
            for each in (*mirrors, *self._tasks):
                each.cancel()
            await asyncio.gather(*mirrors, *self._tasks, return_exceptions=True)
        assert not self.exposed, f"no NetworkPolicy held these: {', '.join(self.exposed)}"

    def _changed(self, _: object, old: Object | None, new: Object | None) -> None:
        if new is None or self.idle or self.lost:
            return
        spec, metadata = new["spec"], new["metadata"]
        if "deletionTimestamp" in metadata:
            if spec.get("nodeName") == self.name and metadata["uid"] not in self._ending:
                self._ending.add(metadata["uid"])
                self._start(self._take_time(new))
        elif self.binds and not spec.get("schedulingGates") and not spec.get("nodeName"):
            self._start(self._run(new))

    def _policy_changed(self, key: tuple[str, str], old: Object | None, new: Object | None) -> None:
        if old is None or (new is not None and new["spec"] == old["spec"]):
            return
        left = list(self._policies.within(key[0]).values())
        for pod in list(self._mirror.within(key[0]).values()):
            if pod["spec"].get("nodeName") == self.name and not _held_by(left, pod):
                self._start(self._look(pod, f"when {key[1]} {'changed' if new else 'went'}"))

    async def _look(self, pod: Object, when: str) -> None:
        """The two watches are not one: what seems to be exposed may be gone already, or held by what is newer."""
        metadata = pod["metadata"]
        with contextlib.suppress(ApiError):
            found = await self._api.request("GET", paths.pods(metadata["namespace"], metadata["name"]))
            over = found["metadata"]["uid"] != metadata["uid"] or found["status"].get("phase") in ("Succeeded", "Failed")
            if not over and not await held(self._api, found):
                self.exposed.append(f"{metadata['namespace']}/{metadata['name']} {when}")

    def _start(self, work: Any) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _run(self, pod: Object) -> None:
        metadata = pod["metadata"]
        binding = {
            "apiVersion": "v1",
            "kind": "Binding",
            "metadata": {"name": metadata["name"]},
            "target": {"apiVersion": "v1", "kind": "Node", "name": self.name},
        }
        path = f"{paths.pods(metadata['namespace'], metadata['name'])}/binding"
        # (It may be gone by now, or bound by an earlier event.)
        with contextlib.suppress(ApiError):
            await self._api.request("POST", path, body=binding, timeout=PATIENT_SECONDS)
            await self._look(pod, "when it started")
            number = next(_numbers)
            mounts = any(one["name"] == names.CLONE_CONTAINER for one in pod["spec"]["initContainers"])
            held = self.mounting and mounts
            address = f"10.204.{number // 250}.{2 + number % 250}"
            await self.says(pod, **(cloning({"running": {"startedAt": moment()}}) if held else running(address)))

    async def _take_time(self, pod: Object) -> None:
        await asyncio.sleep(pod["metadata"].get("deletionGracePeriodSeconds", 0))
        if not self.lost:
            await self.end(pod)

    async def end(self, pod: Object) -> None:
        """The last of its processes ends now; then the object may go."""
        metadata = pod["metadata"]
        with contextlib.suppress(ApiError):
            if pod["spec"].get("nodeName") and not await held(self._api, pod):
                self.exposed.append(f"{metadata['namespace']}/{metadata['name']} in its last moment")
        await gone(self._node, metadata["namespace"], metadata["name"], metadata["uid"])

    def back(self) -> None:
        """It was lost, and sees what there is to do."""
        self.lost = False
        self._ending.clear()
        for pod in list(self._mirror.objects.values()):
            self._changed(None, None, pod)

    @contextlib.asynccontextmanager
    async def beating(self) -> AsyncIterator[None]:
        """While the node is there: Ready, and a Lease that is renewed."""
        await self._beat()
        task = asyncio.create_task(self._beats())
        try:
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def _beats(self) -> None:
        while True:
            await asyncio.sleep(BEAT_SECONDS)
            if not self.lost:
                with contextlib.suppress(ApiError):
                    await self._beat()

    async def _beat(self) -> None:
        at = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases"
        metadata = {"name": self.name, "namespace": "kube-node-lease"}
        renewed = datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
        spec = {"holderIdentity": self.name, "leaseDurationSeconds": 40, "renewTime": renewed}
        body = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": metadata, "spec": spec}
        await self._node.request(
            "PATCH", f"{at}/{self.name}?fieldManager=kubelet&force=true", body=body, content_type=APPLY_PATCH
        )
        found = await self._node.request("GET", paths.core("nodes", "", self.name))
        conditions = (found.get("status") or {}).get("conditions") or ()
        if not any(one["type"] == "Ready" and one["status"] == "True" for one in conditions):
            ready = {"type": "Ready", "status": "True", "reason": "KubeletReady", "lastTransitionTime": moment()}
            path = f"{paths.core('nodes', '', self.name)}/status"
            await self._node.request("PATCH", path, body={"status": {"conditions": [ready]}}, content_type=MERGE_PATCH)

    async def says(self, pod: Object, **status: Any) -> None:
        """A pod's status, merged into what is there."""
        path = f"{paths.pods(pod['metadata']['namespace'], pod['metadata']['name'])}/status"
        await self._api.request("PATCH", path, body={"status": status}, content_type=MERGE_PATCH, timeout=PATIENT_SECONDS)


async def gone(node: KubeApi, namespace: str, name: str, uid: str) -> None:
    """What a kubelet says in the end: no process of the pod is left. (Nobody else may.)"""
    options = {"kind": "DeleteOptions", "apiVersion": "v1", "gracePeriodSeconds": 0, "preconditions": {"uid": uid}}
    with contextlib.suppress(ApiError):  # it was gone before
        await node.request("DELETE", paths.pods(namespace, name), body=options)


async def held(api: KubeApi, pod: Object) -> bool:
    """Some NetworkPolicy selects the pod, in both directions: what nothing allows is denied."""
    return _held_by((await api.list(paths.networkpolicies(pod["metadata"]["namespace"])))[0], pod)


def _held_by(policies: Sequence[Object], pod: Object) -> bool:
    specs = [item["spec"] for item in policies if set(item["spec"]["policyTypes"]) == {"Ingress", "Egress"}]
    return any(selects(LabelSelector.model_validate(spec["podSelector"]), pod["metadata"]["labels"]) for spec in specs)


def _confined() -> dict[str, Any]:
    """The end of `devbox-init`, which has seen that the NetworkPolicies work."""
    message = names.INIT_CONFINED
    done = {"exitCode": 0, "reason": "Completed", "message": message, "startedAt": moment(1), "finishedAt": moment()}
    return _container(names.INIT_CONTAINER, {"terminated": done}, ready=True)


def cloning(state: Mapping[str, Any], restarts: int = 0) -> dict[str, Any]:
    """The status of a pod whose repositories are cloned, or could not be: `devbox-clone` is in that state."""
    clone = {**_container(names.CLONE_CONTAINER, dict(state), ready=False), "restartCount": restarts}
    return {"phase": "Pending", "startTime": moment(), "initContainerStatuses": [_confined(), clone]}


def running(address: str) -> dict[str, Any]:
    """The status of a pod whose agent runs."""
    return {
        "phase": "Running",
        "podIP": address,
        "podIPs": [{"ip": address}],
        "startTime": moment(),
        "conditions": [
            {"type": kind, "status": "True"} for kind in ("PodScheduled", "Initialized", "ContainersReady", "Ready")
        ],
        "initContainerStatuses": [_confined()],
        "containerStatuses": [_container(names.CONTAINER, {"running": {"startedAt": moment()}}, ready=True)],
    }


def ended(
    phase: str, *, code: int = 0, ran: float = 60.0, container: str = "", more: Mapping[str, str] = NOTHING
) -> dict[str, Any]:
    """The status of a pod whose agent ended with a code after so many seconds; `container`: the reason, `more`: of the pod itself."""
    reason = container or ("Completed" if code == 0 else "Error")
    state = {"exitCode": code, "reason": reason, "startedAt": moment(ran), "finishedAt": moment()}
    unready = [{"type": "Ready", "status": "False"}]
    return {
        "phase": phase,
        "conditions": unready,
        "containerStatuses": [_container(names.CONTAINER, {"terminated": state}, ready=False)],
        **more,
    }


def waiting(reason: str, message: str = "") -> dict[str, Any]:
    """The status of a pod whose agent can't be started."""
    return {
        "phase": "Pending",
        "conditions": [{"type": "Ready", "status": "False"}],
        "containerStatuses": [_container(names.CONTAINER, {"waiting": {"reason": reason, "message": message}}, ready=False)],
    }


def _container(name: str, state: dict[str, Any], *, ready: bool) -> dict[str, Any]:
    base = {"name": name, "image": "localhost/agent", "imageID": "", "restartCount": 0}
    return {**base, "ready": ready, "started": ready, "state": state}
