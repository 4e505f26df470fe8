"""A Devbox with a pod of the first version, in a namespace where nothing is made any more: it is told, and nothing is tried."""

from typing import Any

import pytest

from devbox_operator.devbox.reconcile import DevboxReconciler
from devbox_operator.seen.index import Index
from devbox_operator.settings import Settings
from devbox_operator.watch.tools import Tools


class Cluster:
    """Observer, watches and writer at once. (The chart's admission policies would refuse whatever else is written.)"""

    bundle = "PEM"

    def __init__(self, shot: Any) -> None:
        self.shot = shot
        self.statuses: list[Any] = []
        self.events: list[Any] = []

    async def get(self, *_: Any, **__: Any) -> dict[str, Any]:
        box = self.shot.devbox.box
        metadata = {"name": box.name, "namespace": box.namespace, "uid": box.uid, "generation": 3, "resourceVersion": "7"}
        return {"metadata": metadata, "spec": box.spec.model_dump(mode="json", by_alias=True, exclude_none=True)}

    def server_time(self) -> None:
        return None

    async def snapshot(self, _: Any) -> Any:
        return self.shot

    def pods(self, _: Any) -> Any:
        return self.shot.pods

    def routes(self, _: Any) -> list[Any]:
        return []

    async def merge(self, path: str, body: Any, *, kind: str) -> dict[str, Any]:
        assert kind == "DevboxStatus"
        self.statuses.append(body["status"])
        return {"metadata": {"resourceVersion": "8"}}

    def forget(self, _: Any) -> None:
        """Nobody asks when its pod was in use."""

    async def create(self, path: str, body: Any) -> None:
        assert body["kind"] == "Event"
        self.events.append(body)


@pytest.mark.parametrize("namespace", ["kube-system", "rel"])
async def test_a_pod_in_a_reserved_namespace_is_left_and_its_devbox_told(
    snapshot: Any, devbox: Any, pod: Any, settings: Settings, namespace: str
) -> None:
    view = devbox(namespace=namespace, status={"incarnation": 1})
    cluster: Any = Cluster(snapshot(view, pods=(pod(view),)))
    nobody: Any = None
    tools = Tools(cluster, cluster, Index(), cluster, settings, queue=nobody, activity=cluster, dials=nobody)
    await DevboxReconciler(tools, nobody, nobody).reconcile((namespace, "agent"))
    (status,) = cluster.statuses
    told = {condition["type"]: (condition["status"], condition["reason"]) for condition in status["conditions"]}
    assert told["Accepted"] == told["Ready"] == ("False", "NamespaceReserved")
    assert told["PodReady"] == ("True", "Ready")
    assert "NamespaceReserved" in {event["reason"] for event in cluster.events}
