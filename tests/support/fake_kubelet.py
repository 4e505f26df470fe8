"""A kubelet's words without a kubelet: pods of a control plane of the test's own are bound, run and end, as their status says.

Goes in: an administrator's client, and the node's. Comes out: devbox pods whose gate is open are on a node, Running, with an address of
their own from 10.204.0.0/16 (in a network of tests/support/netns.py a test can call from it), and go when they are deleted, not at once but
after a while, as processes take one to end. In their last moment a NetworkPolicy has to hold them, whatever else is gone by then: `working`
fails where none did. `says` writes another status, as a kubelet, the scheduler or the eviction manager would. No process runs. Called by
tests/chaos/operator.
"""

import asyncio
import contextlib
import itertools
from collections.abc import AsyncIterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from devbox_api import names
from devbox_api.shared import LabelSelector
from devbox_common.kube import MERGE_PATCH, ApiError, KubeApi, Object
from devbox_common.mirror import Mirror
from devbox_operator import paths
from devbox_operator.credentials import selects

from .control_plane import NODE

LINGERS_SECONDS: Final = 0.3
NOTHING: Final[Mapping[str, str]] = {}


def moment(ago: float = 0.0) -> str:
    """A time as the API has it, so many seconds ago."""
    return (datetime.now(UTC) - timedelta(seconds=ago)).isoformat(timespec="seconds").replace("+00:00", "Z")


class FakeKubelet:
    """It acts on what it sees of pods."""

    def __init__(self, api: KubeApi, node: KubeApi) -> None:
        self._api, self._node = api, node
        self._numbers = itertools.count(2)
        self._tasks: set[asyncio.Task[None]] = set()
        self._mirror: Mirror[Object] = Mirror(
            api, paths.pods(), lambda item: item, label_selector=names.DEVBOX_LABEL, on_change=self._changed
        )
        self._ending: set[str] = set()
        self.idle = False
        """It does nothing: pods stay where they are."""
        self.lingers = LINGERS_SECONDS
        """How long processes live on when they are asked to end; at most for their pod's grace period."""
        self.exposed: list[str] = []
        """Pods that no NetworkPolicy held in their last moment."""

    @contextlib.asynccontextmanager
    async def working(self) -> AsyncIterator[None]:
        """While it watches."""
        task = asyncio.create_task(self._mirror.run())
        try:
            await self._mirror.synced.wait()
            yield
        finally:
            for each in (task, *self._tasks):
                each.cancel()
            await asyncio.gather(task, *self._tasks, return_exceptions=True)
        assert not self.exposed, f"no NetworkPolicy held these while they ended: {', '.join(self.exposed)}"

    def _changed(self, _: object, old: Object | None, new: Object | None) -> None:
        if new is None or self.idle:
            return
        spec, metadata = new["spec"], new["metadata"]
        if "deletionTimestamp" in metadata:
            if metadata["uid"] not in self._ending:
                self._ending.add(metadata["uid"])
                self._start(self.end(new))
        elif not spec.get("schedulingGates") and not spec.get("nodeName"):
            self._start(self._run(new))

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
            "target": {"apiVersion": "v1", "kind": "Node", "name": NODE},
        }
        # (It may be gone by now, or bound by an earlier event.)
        with contextlib.suppress(ApiError):
            await self._api.request("POST", f"{paths.pods(metadata['namespace'], metadata['name'])}/binding", body=binding)
            number = next(self._numbers)
            await self.says(pod, **running(f"10.204.{number // 250}.{2 + number % 250}"))

    async def end(self, pod: Object) -> None:
        """Its processes end in their own time; then the container is gone, and the object may go."""
        metadata = pod["metadata"]
        await asyncio.sleep(min(self.lingers, metadata.get("deletionGracePeriodSeconds", self.lingers)))
        with contextlib.suppress(ApiError):
            if pod["spec"].get("nodeName") and not await held(self._api, pod):
                self.exposed.append(f"{metadata['namespace']}/{metadata['name']}")
        await gone(self._node, metadata["namespace"], metadata["name"], metadata["uid"])

    async def says(self, pod: Object, **status: Any) -> None:
        """A pod's status, merged into what is there."""
        path = f"{paths.pods(pod['metadata']['namespace'], pod['metadata']['name'])}/status"
        await self._api.request("PATCH", path, body={"status": status}, content_type=MERGE_PATCH)


async def gone(node: KubeApi, namespace: str, name: str, uid: str) -> None:
    """What a kubelet says in the end: no process of the pod is left. (Nobody else may.)"""
    options = {"kind": "DeleteOptions", "apiVersion": "v1", "gracePeriodSeconds": 0, "preconditions": {"uid": uid}}
    with contextlib.suppress(ApiError):  # it was gone before
        await node.request("DELETE", paths.pods(namespace, name), body=options)


async def held(api: KubeApi, pod: Object) -> bool:
    """Some NetworkPolicy selects the pod, in both directions: what nothing allows is denied."""
    policies = (await api.list(paths.networkpolicies(pod["metadata"]["namespace"])))[0]
    specs = [item["spec"] for item in policies if set(item["spec"]["policyTypes"]) == {"Ingress", "Egress"}]
    return any(selects(LabelSelector.model_validate(spec["podSelector"]), pod["metadata"]["labels"]) for spec in specs)


def running(address: str) -> dict[str, Any]:
    """The status of a pod whose agent runs; `devbox-init` has seen that the NetworkPolicies work."""
    done = {
        "exitCode": 0,
        "reason": "Completed",
        "message": names.INIT_CONFINED,
        "startedAt": moment(1),
        "finishedAt": moment(),
    }
    return {
        "phase": "Running",
        "podIP": address,
        "podIPs": [{"ip": address}],
        "startTime": moment(),
        "conditions": [
            {"type": kind, "status": "True"} for kind in ("PodScheduled", "Initialized", "ContainersReady", "Ready")
        ],
        "initContainerStatuses": [_container(names.INIT_CONTAINER, {"terminated": done}, ready=True)],
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
