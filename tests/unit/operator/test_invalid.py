"""A Devbox that breaks a rule which is newer than it: told at once, and served nothing after a while."""

import base64
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import pytest

from devbox_api import names
from devbox_api.route import DevboxRef, PodRef, Route
from devbox_operator.devbox.reconcile import DevboxReconciler
from devbox_operator.documents import objects as documents
from devbox_operator.kit.encoding import format_time
from devbox_operator.seen.index import Index
from devbox_operator.seen.secrets import StoredView
from devbox_operator.settings import Settings
from devbox_operator.watch.tools import Tools

KEY = ("team-a", "agent")
ROUTE = Route(pod=PodRef(uid="pod-1", name="agent-1", namespace="team-a"), devbox=DevboxRef(name="agent", uid="d"), bindings=())


def item(ago: float | None) -> dict[str, Any]:
    """`ago`: seconds since it was told."""
    metadata = {"name": "agent", "namespace": "team-a", "uid": "d", "generation": 1, "resourceVersion": "1"}
    status: dict[str, Any] = {}
    if ago is not None:
        since = format_time(datetime.now(UTC) - timedelta(seconds=ago))
        said = {"type": "Accepted", "status": "False", "reason": "Invalid", "message": "", "lastTransitionTime": since}
        status["conditions"] = [said]
    return {"metadata": metadata, "spec": {"image": 7}, "status": status}


class Cluster:
    """Observer, watches and writer at once."""

    def __init__(self, found: dict[str, Any]) -> None:
        self.found = found
        made = documents.route(ROUTE, "rel-credentials", "content")
        self.view = StoredView.of({**made, "metadata": {**made["metadata"], "uid": "r", "resourceVersion": "7"}})
        self.written: list[Any] = []

    async def get(self, *_: Any, **__: Any) -> dict[str, Any]:
        return self.found

    def routes(self, key: Any) -> list[StoredView]:
        assert key == KEY
        return [self.view]

    def pods(self, _: Any) -> list[Any]:
        return []

    async def merge(self, *_: Any, **__: Any) -> None:
        pass

    async def apply(self, path: str, body: Any) -> None:
        assert path.endswith("/secrets/route-pod-1")
        self.written.append(body)


@pytest.mark.parametrize(("ago", "left"), [(None, 600), (0, 600), (590, 10), (601, None), (86400, None)])
async def test_its_routes_serve_nothing_ten_minutes_after_it_was_told(
    settings: Settings, ago: float | None, left: float | None
) -> None:
    cluster: Any = Cluster(item(ago))
    nobody: Any = None
    tools = Tools(cluster, cluster, Index(), cluster, settings, queue=nobody, activity=nobody, dials=nobody)
    due = await DevboxReconciler(tools, nobody, nobody).reconcile(KEY)
    if left is not None:
        assert due == pytest.approx(left, abs=2)
        assert not cluster.written
        return
    assert due is None
    (body,) = cluster.written
    written = orjson.loads(base64.b64decode(body["data"][names.ROUTE_KEY]))
    assert (written["confined"], written["requires"]) == (False, ["confined"])
    assert body["metadata"]["resourceVersion"] == "7", "tokens that were listed since are not lost"
