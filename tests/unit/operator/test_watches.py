"""What the operator watches, against an API server in memory: where the cluster's own ranges are seen, and whom a change wakes."""

import asyncio
import base64
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from typing import Any, cast

import orjson
import pytest

from devbox_api import names
from devbox_api.conditions import Reason
from devbox_common.kube import ApiError, Page
from devbox_operator.attach import network
from devbox_operator.configs.gateways import GatewayReconciler
from devbox_operator.kit import paths
from devbox_operator.release.system import SystemReconciler
from devbox_operator.seen.floor import Place
from devbox_operator.seen.index import Index, References
from devbox_operator.seen.index import Source as IndexSource
from devbox_operator.seen.keys import CERTIFICATES, FLOOR, Kind, WorkKey
from devbox_operator.seen.secrets import SecretView
from devbox_operator.seen.snapshot import FORBIDDEN, NOT_FOUND, UNREADABLE
from devbox_operator.settings import Keeping, Settings
from devbox_operator.watch import mirrors
from devbox_operator.watch.mirrors import Watches
from devbox_operator.watch.observe import Observer
from devbox_operator.watch.sources import REFUSED_SECONDS
from devbox_operator.watch.tools import Tools

POLICIES = "/apis/devbox-gateway.io/v1alpha1/egresspolicies"


class Api:
    """Lists, and watches that say what the test sends."""

    def __init__(self) -> None:
        self.items: dict[str, list[dict[str, Any]]] = {}
        self.errors: dict[str, list[int]] = {}
        """Statuses of the next answers; the last one stays."""
        self.asked: list[str] = []
        self.events: dict[str, asyncio.Queue[dict[str, Any]]] = {}

    async def pages(self, path: str, _: Any, **__: Any) -> AsyncGenerator[Page]:
        self.asked.append(path)
        if statuses := self.errors.get(path):
            raise ApiError(statuses.pop(0) if len(statuses) > 1 else statuses[0], "Error", "no")
        yield Page(self.items.get(path, []), "1")

    async def watch(self, path: str, _: str, __: Any, *, opened: Any, **___: Any) -> AsyncGenerator[dict[str, Any]]:
        opened()
        queue = self.events.setdefault(path, asyncio.Queue())
        while True:
            yield await queue.get()

    def send(self, path: str, item: dict[str, Any], kind: str = "ADDED") -> None:
        self.events[path].put_nowait({"type": kind, "object": item})


def thing(name: str, **fields: Any) -> dict[str, Any]:
    return {"metadata": {"name": name, "resourceVersion": "2"}, **fields}


def node(name: str, *cidrs: str, address: str = "10.0.0.1") -> dict[str, Any]:
    return thing(name, spec={"podCIDRs": cidrs}, status={"addresses": [{"type": "InternalIP", "address": address}]})


class World:
    """Watches, and what stands on them."""

    def __init__(self, settings: Settings) -> None:
        self.api = Api()
        self.added: list[WorkKey] = []
        self.index = Index()
        self.later: dict[WorkKey, float] = {}
        self.watches = Watches(self.api, settings, self.index, self._add)  # type: ignore[arg-type]
        self.observer = Observer(self.api, self.watches, self.index, settings)  # type: ignore[arg-type]

    def _add(self, key: WorkKey, after: float = 0.0) -> None:
        if after:
            self.later[key] = after
        else:
            self.added.append(key)

    def ranges(self) -> list[str]:
        return list(map(str, self.observer.ranges()))


@pytest.fixture
async def world(settings: Settings) -> AsyncIterator[World]:
    world = World(settings)
    world.api.items[paths.core("nodes")] = [
        node("a", "34.118.0.0/24", "2600:1f14:1::/80"),
        node("b", "34.118.1.0/24", "nonsense"),
    ]
    world.api.items[paths.SERVICE_CIDRS] = [thing("kubernetes", spec={"cidrs": ["34.120.0.0/20"]})]
    yield world
    await world.watches.stop()


async def until(condition: Any) -> None:
    async with asyncio.timeout(5):
        while not condition():  # noqa: ASYNC110 (conditions of several kinds)
            await asyncio.sleep(0.01)


async def test_the_clusters_ranges_are_those_of_nodes_and_services(world: World) -> None:
    await world.watches.start()
    assert world.ranges() == ["34.118.0.0/23", "34.120.0.0/20", "2600:1f14:1::/80"]
    assert "10.0.0.1" in world.observer.floor(), "a range that can't be read does not take the node's address away"


async def test_what_the_settings_name_is_added(settings: Settings) -> None:
    named = Settings.model_validate(
        {**settings.model_dump(by_alias=True), "clusterCIDRs": ["2600:1f14:8::/56", "34.118.0.0/16"]}
    )
    world = World(named)
    world.api.items[paths.core("nodes")] = [node("a", "34.118.1.0/24")]
    await world.watches.start()
    assert world.ranges() == ["34.118.0.0/16", "2600:1f14:8::/56"]
    await world.watches.stop()


async def test_gateways_that_come_and_go_are_told_and_stand_in_the_floor(world: World, settings: Settings) -> None:
    path, told = paths.endpointslices(settings.release_namespace), list[int]()
    world.watches.on_gateways = lambda: told.append(1)
    ports = [{"name": "data", "port": 8443}, {"name": "canary", "port": 8479}]
    world.api.items[path] = [thing("a", endpoints=[{"addresses": ["10.42.0.7"]}], ports=ports)]
    await world.watches.start()
    assert world.watches.places() == {"10.42.0.7": Place("10.42.0.7", 8443, 8479)}
    assert "10.42.0.7" in world.observer.floor()
    told.clear()
    world.added.clear()
    away = [{"addresses": ["10.42.0.7"], "conditions": {"ready": False}}, {"addresses": ["10.42.1.7"]}]
    world.api.send(path, thing("a", endpoints=away, ports=ports) | {"kind": "EndpointSlice"}, "MODIFIED")
    await until(lambda: set(world.watches.places()) == {"10.42.1.7"})
    assert told
    assert FLOOR in world.added
    assert {"10.42.0.7", "10.42.1.7"} <= world.observer.floor()


async def test_devboxes_that_wait_for_their_gate(world: World) -> None:
    gate = {"spec": {"schedulingGates": [{"name": names.SCHEDULING_GATE}]}}
    for name, more in (("waits", gate), ("runs", {})):
        labels = {names.DEVBOX_LABEL: name}
        metadata = {"name": f"{name}-1", "namespace": "team-a", "uid": name, "resourceVersion": "2", "labels": labels}
        world.api.items.setdefault(paths.pods(), []).append({"metadata": metadata, "spec": {}, "status": {}, **more})
    await world.watches.start()
    assert world.watches.gated() == [("team-a", "waits")]


async def test_an_endpoint_within_them_is_told(world: World, settings: Settings, gateway: Any) -> None:
    await world.watches.start()
    nobody = cast(Any, None)
    reconciler = GatewayReconciler(Tools(world.observer, world.watches, world.index, nobody, settings, nobody, nobody, nobody))
    for endpoint, reason in (
        ("https://34.118.1.7", Reason.ENDPOINT_REFUSED),
        ("https://34.118.2.7", Reason.ACCEPTED),
    ):
        assert reconciler._accepted(gateway(spec={"endpoint": endpoint})).reason == reason
    assert "is a node" in reconciler._accepted(gateway(spec={"endpoint": "https://34.118.1.1"})).message


@pytest.mark.parametrize("status", [403, 404], ids=["rights of an older release", "Kubernetes before 1.33"])
async def test_a_cluster_without_service_cidrs_is_one_like_others(world: World, status: int) -> None:
    world.api.errors[paths.SERVICE_CIDRS] = [status]
    began = time.monotonic()
    await world.watches.start()
    assert time.monotonic() - began < 2
    assert world.ranges() == ["34.118.0.0/23", "2600:1f14:1::/80"]
    await asyncio.sleep(0.5)
    assert world.api.asked.count(paths.SERVICE_CIDRS) <= 4


async def test_service_cidrs_that_come_later_are_seen(world: World) -> None:
    world.api.errors[paths.SERVICE_CIDRS] = [404]
    await world.watches.start()
    world.added.clear()
    del world.api.errors[paths.SERVICE_CIDRS]
    await until(lambda: world.ranges() == ["34.118.0.0/23", "34.120.0.0/20", "2600:1f14:1::/80"])
    assert FLOOR in world.added


async def test_a_refusal_of_everything_at_the_start_of_an_api_server_hides_no_range(world: World) -> None:
    """What is needed is asked for again; what may lack is asked for after it."""
    refusing = [403, 403]
    real = world.api.pages

    async def pages(path: str, params: Any, **_: Any) -> AsyncGenerator[Page]:
        if path == paths.core("nodes") and refusing:
            refusing.pop()
            raise ApiError(403, "Forbidden", "no")
        if path == paths.SERVICE_CIDRS and refusing:
            raise ApiError(403, "Forbidden", "no")
        async for page in real(path, params):
            yield page

    world.api.pages = pages  # type: ignore[method-assign, assignment]
    await world.watches.start()
    assert "34.120.0.0/20" in world.ranges()


async def test_one_kind_that_is_silent_is_what_the_operator_goes_by(world: World) -> None:
    await world.watches.start()
    always = world.watches._always()
    assert {world.watches.nodes, *world.watches._gateways.values(), *world.watches.accounts.values()} <= set(always)
    for mirror in always:
        before, mirror.last_event = mirror.last_event, 1.0
        assert world.watches.last_event() == 1.0
        mirror.last_event = before
    assert world.watches.last_event() > 1.0


SECRETS = paths.secrets("team-a")
SOURCE = ("team-a", "anthropic")
SOURCE_KEY = WorkKey(Kind.SOURCE, *SOURCE)


async def _read(world: World) -> None:
    """A source Secret that was read once, and then its watch ends."""
    world.index.put(("team-a", "agent"), References(sources=frozenset({IndexSource(*SOURCE, None)})))
    metadata = {"name": "anthropic", "namespace": "team-a", "uid": "s", "resourceVersion": "1"}
    world.api.items[SECRETS] = [{"metadata": metadata, "data": {}}]
    assert isinstance(await world.watches.sources.read(SOURCE), SecretView)
    await until(lambda: SECRETS in world.api.events)


async def _ends(world: World, status: int) -> None:
    world.api.errors[SECRETS] = [status]
    world.api.events[SECRETS].put_nowait({"type": "ERROR"})  # no event: the watch ends as it does with nonsense
    mirror = world.watches.sources._mirrors["team-a", ""]
    await until(lambda: mirror.last_error is not None and mirror.last_error.status == status)


async def test_a_secret_that_may_not_be_read_any_more_is_looked_at_once_that_is_more_than_a_moment(world: World) -> None:
    await _read(world)
    await _ends(world, 403)
    assert await world.watches.sources.read(SOURCE) == FORBIDDEN
    assert world.later == {SOURCE_KEY: REFUSED_SECONDS}
    assert world.watches.sources.refused_for(SOURCE) < 5
    world.added.clear()
    del world.api.errors[SECRETS]
    await until(lambda: SOURCE_KEY in world.added)
    assert isinstance(await world.watches.sources.read(SOURCE), SecretView)
    assert world.watches.sources.refused_for(SOURCE) == REFUSED_SECONDS, "with the watch open a refusal is none of the moment"


async def test_a_secret_without_an_answer_counts_for_minutes_and_then_as_refused(settings: Settings) -> None:
    world = World(settings.model_copy(update={"keeping": Keeping(stale_seconds=1)}))
    await _read(world)
    await _ends(world, 500)
    assert isinstance(await world.watches.sources.read(SOURCE), SecretView)
    assert world.later == {SOURCE_KEY: 2.0}
    await asyncio.sleep(1.0)
    assert await world.watches.sources.read(SOURCE) == UNREADABLE
    await world.watches.stop()


async def test_nodes_are_needed(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mirrors, "SYNC_SECONDS", 0.2)
    world.api.errors[paths.core("nodes")] = [403]
    with pytest.raises(ApiError, match="403"):
        await world.watches.start()


async def test_a_nodes_range_that_changes_is_the_floors_affair_and_nothing_else_of_it_is(world: World) -> None:
    await world.watches.start()
    await until(lambda: paths.core("nodes") in world.api.events)
    world.added.clear()
    same = node("a", "34.118.0.0/24", "2600:1f14:1::/80")
    world.api.send(paths.core("nodes"), {**same, "status": {**same["status"], "conditions": []}})
    world.api.send(paths.core("nodes"), node("c", "34.118.8.0/24"))
    await until(lambda: "34.118.8.0/24" in world.ranges())
    assert world.added == [FLOOR]


async def test_conditions_that_rest_on_ranges_are_looked_at_when_those_change(world: World, settings: Settings) -> None:
    policy = {"metadata": {"name": "web", "namespace": "team-a", "uid": "eg-1", "generation": 1}, "spec": {}}
    broken = {"metadata": {"name": "old", "namespace": "team-a", "uid": "eg-2"}, "spec": {"allowedCIDRs": ["nonsense"]}}
    world.api.items[POLICIES] = [policy, broken]
    await world.watches.start()
    world.index.put_default(("team-a", "anthropic"), None)
    written: list[dict[str, Any]] = []

    class Writer:
        async def apply(self, _: str, body: dict[str, Any]) -> None:
            metadata = {**body["metadata"], "uid": "f", "resourceVersion": str(len(written) + 3)}
            written.append(orjson.loads(base64.b64decode(body["data"][names.FLOOR_KEY])))
            world.watches.stored.note({**body, "metadata": metadata})

    queue = type("Queue", (), {"add": lambda _, key: world.added.append(key)})()
    tools = Tools(
        world.observer, world.watches, world.index, cast(Any, Writer()), settings, queue, cast(Any, None), cast(Any, None)
    )
    system = SystemReconciler(tools, owner=None)
    expected = [
        WorkKey(Kind.GATEWAY, "team-a", "anthropic"),
        *(WorkKey(Kind.EGRESS, "team-a", name) for name in ("old", "web")),
    ]
    world.added.clear()
    await system.floor()
    assert written[-1]["ranges"] == ["34.118.0.0/23", "34.120.0.0/20", "2600:1f14:1::/80"]
    assert written[-1]["bridges"] == ["34.118.0.0/31", "34.118.1.0/31", "2600:1f14:1::/127"]
    assert world.added == expected
    world.added.clear()
    await system.floor()
    assert (len(written), world.added) == (1, []), "the steady state writes nothing and wakes nobody"
    await until(lambda: paths.SERVICE_CIDRS in world.api.events)
    world.api.send(paths.SERVICE_CIDRS, thing("more", spec={"cidrs": ["34.121.0.0/20"]}))
    await until(lambda: FLOOR in world.added)
    world.added.clear()
    await system.floor()
    assert "34.121.0.0/20" in written[-1]["ranges"]
    assert world.added == expected


def own(uid: str = "u") -> dict[str, Any]:
    item = network.denial("team-a")
    return {**item, "metadata": {**item["metadata"], "uid": uid, "resourceVersion": "2"}}


async def test_a_denying_policy_that_goes_or_changes_wakes_whoever_has_pods_there(world: World) -> None:
    policies, pods = paths.networkpolicies(), paths.pods()
    labelled = {"metadata": {"name": "p", "namespace": "team-a", "uid": "p", "labels": {names.DEVBOX_LABEL: "orphan"}}}
    world.api.items[policies] = [own()]
    world.api.items[pods] = [{"metadata": {**labelled["metadata"], "resourceVersion": "2"}}]
    await world.watches.start()
    found = world.watches.denial("team-a")
    assert found is not None
    assert (found.intact, found.marked) == (True, False)
    key = WorkKey(Kind.DEVBOX, "team-a", "orphan")
    item = own()
    marked = {
        **item,
        "metadata": {**item["metadata"], "resourceVersion": "3", "annotations": {names.UNUSED_SINCE_ANNOTATION: "x"}},
    }
    changed = {**item, "metadata": {**item["metadata"], "resourceVersion": "4", "finalizers": ["example.com/never"]}}
    steps = (("MODIFIED", marked, False), ("MODIFIED", changed, True), ("DELETED", changed, True))
    for kind, sent, woken in steps:
        world.added.clear()
        world.api.send(policies, sent, kind)
        await becomes(world, None if kind == "DELETED" else network.flaws(sent) == [], marked=sent is marked)
        assert (key in world.added) == woken, kind


async def becomes(world: World, intact: bool | None, *, marked: bool) -> None:
    """The mirror has the policy so; None: not at all."""
    async with asyncio.timeout(5):
        while True:
            found = world.watches.denial("team-a")
            if found is None if intact is None else found is not None and (found.intact, found.marked) == (intact, marked):
                return
            await asyncio.sleep(0)


SECRETS = paths.secrets("team-a")


def source(version: int, data: dict[str, str], grant: str | None = "api.anthropic.com") -> dict[str, Any]:
    annotations = {} if grant is None else {names.ALLOWED_HOSTS_ANNOTATION: grant}
    metadata = {"name": "keys", "namespace": "team-a", "uid": "s", "resourceVersion": str(version), "annotations": annotations}
    return {"metadata": metadata, "data": data}


class Source:
    """A Secret in the world, which is read anew where what is kept of it is not enough."""

    def __init__(self, world: World) -> None:
        self.world, self.reads = world, 0
        self.error = 0
        self.meanwhile: Callable[[], None] = lambda: None
        """What happens while an answer is on its way."""
        world.api.request = self._request  # type: ignore[attr-defined]
        self.item = source(2, {"a": "QQ==", "b": "Qg==", "c": "Qw=="})
        world.api.items[SECRETS] = [self.item]

    async def _request(self, method: str, path: str) -> dict[str, Any]:
        assert (method, path) == ("GET", paths.secrets("team-a", "keys"))
        self.reads += 1
        if self.error:
            raise ApiError(self.error, "NotFound" if self.error == 404 else "Error", "no")
        item = self.item
        self.meanwhile()
        await asyncio.sleep(0.05)
        return item

    def refer(self, *keys: str | None) -> None:
        sources = frozenset(IndexSource("team-a", "keys", key) for key in keys)
        self.world.index.put(("team-a", "box"), References(sources=sources))

    async def values(self) -> dict[str, str]:
        view = await self.world.watches.sources.read(("team-a", "keys"))
        assert isinstance(view, SecretView)
        return {key: value.reveal() for key, value in view.values.items()}


async def test_of_a_secret_only_the_keys_that_are_referred_to_are_kept(world: World) -> None:
    secret = Source(world)
    secret.refer("a")
    assert await secret.values() == {"a": "QQ=="}
    assert secret.reads == 0, "the list had it"
    secret.refer("a", "c")
    assert await secret.values() == {"a": "QQ==", "c": "Qw=="}
    assert await secret.values() == {"a": "QQ==", "c": "Qw=="}
    assert secret.reads == 1, "another key is read once"
    secret.refer("c")
    assert set(await secret.values()) >= {"c"}
    assert secret.reads == 1


async def test_a_key_that_changes_later_is_seen_at_once(world: World) -> None:
    secret = Source(world)
    secret.refer("a")
    await secret.values()
    await until(lambda: SECRETS in world.api.events)
    world.added.clear()
    world.api.send(SECRETS, source(3, {"a": "QUE=", "b": "Qg=="}), "MODIFIED")
    await until(lambda: world.added)
    assert WorkKey(Kind.DEVBOX, "team-a", "box") in world.added
    assert await secret.values() == {"a": "QUE="}
    world.api.send(SECRETS, source(4, {"a": "QUE="}, grant=None), "MODIFIED")
    await until(lambda: len(world.added) > 3)
    assert await secret.values() == {}, "the grant is gone"


async def test_a_secret_that_nobody_refers_to_is_a_name_and_read_when_somebody_does(world: World) -> None:
    secret = Source(world)
    await world.watches.sources.read(("team-a", ""))
    (view,) = world.watches.sources._mirrors[("team-a", "")].objects.values()
    assert (view.keys, dict(view.values), view.allowed_hosts) == ((), {}, None)
    secret.refer(None)
    assert await secret.values() == {}, "it has several keys, so none is meant"
    assert secret.reads == 1
    secret.item = source(5, {"only": "Tw=="})
    await until(lambda: SECRETS in world.api.events)
    world.api.send(SECRETS, secret.item, "MODIFIED")
    await until(lambda: WorkKey(Kind.DEVBOX, "team-a", "box") in world.added)
    assert await secret.values() == {"only": "Tw=="}


async def test_what_a_secret_read_again_shows_first_is_told_as_its_watch_would_have(world: World) -> None:
    """Of another Devbox that uses it, a key was replaced, or the grant taken away, a moment before its watch said so."""
    secret = Source(world)
    secret.refer("a")
    await secret.values()
    secret.refer("a", "c")
    secret.item = source(3, {"a": "QUE=", "c": "Qw=="})
    world.added.clear()
    assert await secret.values() == {"a": "QUE=", "c": "Qw=="}
    assert {WorkKey(Kind.SOURCE, "team-a", "keys"), WorkKey(Kind.DEVBOX, "team-a", "box")} <= set(world.added)
    world.added.clear()
    secret.refer("a", "b", "c")
    await secret.values()
    assert secret.reads == 2
    assert not world.added, "the same version is no news"


async def test_a_grant_that_goes_while_the_secret_is_read_again_stays_gone(world: World) -> None:
    secret = Source(world)
    secret.refer("a")
    await secret.values()
    await until(lambda: SECRETS in world.api.events)
    secret.refer("a", "c")
    secret.meanwhile = lambda: world.api.send(SECRETS, source(3, {"a": "QQ==", "c": "Qw=="}, grant=None), "MODIFIED")
    assert await secret.values() == {}
    secret.refer("a", "b", "c")
    secret.item = source(3, {"a": "QQ==", "c": "Qw=="}, grant=None)
    secret.meanwhile = lambda: world.api.send(SECRETS, source(4, {}), "DELETED")
    assert await world.watches.sources.read(("team-a", "keys")) == NOT_FOUND


async def test_the_wish_for_another_ca_certificate_is_seen_at_once(world: World) -> None:
    path, wish = paths.secrets("rel"), {names.RENEWED_AT_ANNOTATION: "2026-11-29T12:00:00Z"}
    metadata = {"name": names.CA_SECRET, "namespace": "rel", "uid": "ca", "resourceVersion": "1"}
    world.api.items[path] = [{"metadata": metadata, "data": {}}]
    await world.watches.start()
    await until(lambda: path in world.api.events)
    await asyncio.sleep(0)
    for annotations, expected in (({"example.com/note": "x"}, []), (wish, [CERTIFICATES])):
        world.added.clear()
        for _ in world.watches.certificates:  # (both watches of the path take from one queue here)
            world.api.send(path, {"metadata": {**metadata, "resourceVersion": "3", "annotations": annotations}, "data": {}})
        await until(world.api.events[path].empty)
        await asyncio.sleep(0.05)
        assert sorted(set(world.added)) == expected


@pytest.mark.parametrize(("status", "found"), [(404, NOT_FOUND), (403, FORBIDDEN)])
async def test_one_that_can_not_be_read_again_is_not_there(world: World, status: int, found: str) -> None:
    secret = Source(world)
    await world.watches.sources.read(("team-a", ""))
    secret.refer("a")
    secret.error = status
    assert await world.watches.sources.read(("team-a", "keys")) == found
    secret.error = 500
    with pytest.raises(ApiError):
        await secret.values()


async def test_a_node_that_falls_silent_wakes_those_whose_pods_are_there(world: World) -> None:
    """And nobody else; the floor is looked at where a node is found elsewhere, not where it is silent."""
    nodes, pods = paths.core("nodes"), paths.pods()
    for name, place in (("one", "a"), ("two", "b")):
        metadata = {
            "namespace": "team-a",
            "name": f"{name}-1",
            "uid": name,
            "resourceVersion": "2",
            "labels": {names.DEVBOX_LABEL: name},
        }
        world.api.items.setdefault(pods, []).append({"metadata": metadata, "spec": {"nodeName": place}})
    await world.watches.start()
    one = WorkKey(Kind.DEVBOX, "team-a", "one")
    for version, status in enumerate(("Unknown", "True", "False"), start=3):
        world.added.clear()
        item = node("a", "34.118.0.0/24", "2600:1f14:1::/80")
        item["metadata"]["resourceVersion"] = str(version)
        item["status"]["conditions"] = [{"type": "Ready", "status": status, "lastTransitionTime": "2026-11-23T12:00:00Z"}]
        world.api.send(nodes, item, "MODIFIED")
        await until(lambda: world.added)
        assert set(world.added) == {one}
        (pod,) = world.watches.pods(("team-a", "one"))
        assert bool(world.observer._silent([pod])) is (status != "True")
    world.added.clear()
    world.api.send(nodes, item, "DELETED")
    await until(lambda: one in world.added)
    assert FLOOR in world.added
    assert world.observer._silent([pod]) == {"a": None}
