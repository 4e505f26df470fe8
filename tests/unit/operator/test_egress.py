"""One EgressPolicy, against an API server in memory: its document, its status, and whom it wakes."""

from ipaddress import ip_network
from typing import Any

import orjson
import pytest

from devbox_api import names
from devbox_api.conditions import Reason
from devbox_common.ranges import Network
from devbox_operator.configs.egress import EgressReconciler, accepted
from devbox_operator.documents import objects as documents
from devbox_operator.kit.writer import Writer
from devbox_operator.seen.index import Index, references
from devbox_operator.seen.keys import Kind, WorkKey
from devbox_operator.seen.secrets import StoredView
from devbox_operator.settings import EgressSettings, Settings
from devbox_operator.watch.tools import Tools

PLACE = "/apis/devbox-gateway.io/v1alpha1/namespaces/team-a/egresspolicies/web"
DOCUMENT = "/api/v1/namespaces/rel-credentials/secrets/egress-eg-1"
KEY = ("team-a", "web")


class Api:
    """Answers writes, records them, and shows documents to the mirror."""

    def __init__(self, stored: dict[tuple[str, str], StoredView]) -> None:
        self.stored, self.writes = stored, list[tuple[str, str, Any]]()
        self.bodies: dict[tuple[str, str], dict[str, Any]] = {}

    async def apply(self, path: str, body: dict[str, Any], **_: object) -> dict[str, Any]:
        self.writes.append(("apply", path, body))
        metadata = {**body["metadata"], "uid": "s-1", "resourceVersion": "1"}
        self.bodies[(metadata["namespace"], metadata["name"])] = body
        self.stored[(metadata["namespace"], metadata["name"])] = StoredView.of({**body, "metadata": metadata})
        return body

    async def request(self, method: str, path: str, *, body: Any = None, **_: object) -> dict[str, Any]:
        self.writes.append((method, path, body))
        if method == "DELETE":
            self.stored.pop(("rel-credentials", path.rsplit("/", 1)[1]))
        return {"metadata": {}}


class Bench:
    """The reconciler, and one policy for it to find."""

    def __init__(self, settings: Settings) -> None:
        self.item: dict[str, Any] | None = None
        self.added: list[WorkKey] = []
        self.own: tuple[Network, ...] = ()
        self.index = Index()
        mirror = type("Mirror", (), {"objects": {}, "within": lambda self, _: self.objects})()
        self.api = Api(mirror.objects)
        watches = type("Watches", (), {"stored": mirror})()
        queue = type("Queue", (), {"add": lambda _, key: self.added.append(key), "forget": lambda *_: None})()
        writer = Writer(self.api, lambda: True)  # type: ignore[arg-type]
        self.reconciler = EgressReconciler(Tools(self, watches, self.index, writer, settings, queue, queue, queue))  # type: ignore[arg-type]

    def ranges(self) -> tuple[Network, ...]:
        return self.own

    def server_time(self) -> None:
        """Nobody knows how old it is."""

    async def get(self, path: str) -> dict[str, Any] | None:
        assert path == PLACE
        return self.item

    async def look(self, *, generation: int = 1, **spec: Any) -> list[str]:
        """Reconcile a policy with this spec; returns the writes."""
        status = (self.item or {}).get("status", {})
        metadata = {"name": "web", "namespace": "team-a", "uid": "eg-1", "generation": generation}
        self.item = {"metadata": metadata, "spec": spec, "status": status}
        return await self.again()

    async def again(self) -> list[str]:
        self.api.writes.clear()
        await self.reconciler.reconcile(KEY)
        for _, path, body in self.api.writes:
            if path == f"{PLACE}/status" and self.item:
                self.item["status"] = {**self.item["status"], **body["status"]}
        return [f"{verb} {path.rsplit('/', 2)[1]}" for verb, path, _ in self.api.writes if "events" not in path]

    def document(self) -> dict[str, Any]:
        import base64

        (key,) = self.api.stored
        found: dict[str, Any] = orjson.loads(base64.b64decode(self.api.bodies[key]["data"][names.EGRESS_KEY]))
        return found


@pytest.fixture
def bench(settings: Settings) -> Bench:
    return Bench(settings)


async def test_a_policy_has_a_document_before_anybody_uses_it(bench: Bench) -> None:
    assert await bench.look(allowedHostnames=["github.com"]) == ["apply secrets", "PATCH web"]
    assert bench.document()["hostnames"] == ["github.com"]
    assert await bench.again() == [], "the steady state writes nothing"


async def test_an_edit_is_one_write_and_wakes_nobody(bench: Bench, devbox: Any) -> None:
    view = devbox(spec={"egressPolicyRef": {"name": "web"}})
    bench.index.put(view.key, references(view, {}))
    await bench.look(allowedHostnames=["github.com"])
    assert bench.added == [WorkKey(Kind.DEVBOX, "team-a", "agent")]
    assert bench.item is not None
    assert (bench.item["status"]["usedBy"], bench.item["status"]["devboxes"]) == (["team-a/agent"], 1)
    bench.added.clear()
    assert await bench.look(generation=2, allowedHostnames=["gitlab.com"]) == ["apply secrets", "PATCH web"]
    assert bench.document()["hostnames"] == ["gitlab.com"]
    assert bench.added == []


async def test_a_policy_that_goes_takes_its_document_and_wakes_its_users(bench: Bench, devbox: Any) -> None:
    view = devbox(spec={"egressPolicyRef": {"name": "web"}})
    bench.index.put(view.key, references(view, {}))
    await bench.look()
    bench.item = None
    bench.added.clear()
    assert await bench.again() == ["DELETE secrets"]
    assert bench.added == [WorkKey(Kind.DEVBOX, "team-a", "agent")]


async def test_a_policy_that_is_being_deleted_allows_nothing_any_more(bench: Bench) -> None:
    await bench.look()
    assert bench.item is not None
    bench.item["metadata"]["deletionTimestamp"] = "2026-11-23T12:00:00Z"
    assert await bench.again() == ["DELETE secrets"]


async def test_what_was_stored_before_a_rule_existed_is_not_written(bench: Bench) -> None:
    await bench.look()
    assert await bench.look(generation=2, allowedCIDRs=["nonsense"]) == ["DELETE secrets", "PATCH web"]
    assert bench.item is not None
    assert {c["type"]: c["reason"] for c in bench.item["status"]["conditions"]}["Accepted"] == "Invalid"


def test_a_private_range_is_told_and_takes_nothing_from_the_rest(egress: Any, settings: Settings) -> None:
    document = documents.egress_document(egress(allowedHostnames=["github.com"], allowedCIDRs=["10.20.0.0/16"]).policy)
    finding = accepted(document, settings, ())
    assert (finding.status, finding.reason) == ("False", Reason.RANGE_NOT_PERMITTED)
    assert "egress.permittedCIDRs: [10.20.0.0/16]" in finding.message
    permitted = EgressSettings.model_validate({"permittedCIDRs": ["10.0.0.0/8"]})
    assert accepted(document, settings.model_copy(update={"egress": permitted}), ()).status == "True"


async def test_a_public_range_of_the_clusters_own_is_told_as_a_private_one_is(bench: Bench) -> None:
    def message() -> str:
        assert bench.item is not None
        (found,) = (c["message"] for c in bench.item["status"]["conditions"] if c["type"] == "Accepted")
        return str(found)

    await bench.look(allowedCIDRs=["34.118.224.0/20"])
    assert "34.118.224.0/20" not in message()
    bench.own = (ip_network("34.118.0.0/16"),)
    await bench.again()
    assert "34.118.224.0/20 is the cluster's own" in message()
    assert "egress.permittedCIDRs: [34.118.224.0/20]" in message()
