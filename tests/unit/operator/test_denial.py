"""The namespace's own NetworkPolicy: what makes it wrong, how it is put right, and that a late deletion meets nobody's pod."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from devbox_api import names
from devbox_common.kube import ApiError
from devbox_operator.attach import network
from devbox_operator.attach.denial import UNUSED, Denial
from devbox_operator.kit.encoding import format_time
from devbox_operator.kit.writer import Writer
from devbox_operator.seen.namespaced import PolicyView

NOW = datetime(2026, 11, 29, 12, 0, tzinfo=UTC)
MARK = names.UNUSED_SINCE_ANNOTATION


class Server:
    """One object, with versions and preconditions as the API server has them."""

    def __init__(self, item: dict[str, Any] | None = None) -> None:
        self.item: dict[str, Any] | None = None
        self.version = 0
        self.people = False
        self.writes: list[str] = []
        self.ignores = False
        if item is not None:
            self.put(item)

    def put(self, item: dict[str, Any]) -> dict[str, Any]:
        self.version += 1
        self.item = {**item, "metadata": {"uid": "u", **item["metadata"], "resourceVersion": str(self.version)}}
        return self.item

    async def get(self, _: str) -> dict[str, Any] | None:
        await asyncio.sleep(0)
        return self.item

    async def inhabited(self, _: str) -> bool:
        return self.people

    async def request(self, method: str, path: str, *, body: Any, **_: Any) -> dict[str, Any]:
        await asyncio.sleep(0)
        self.writes.append(method)
        if method == "POST":
            if self.item is not None:
                raise ApiError(409, "AlreadyExists", "there")
            return self.put(body)
        if self.item is None:
            raise ApiError(404, "NotFound", "gone")
        metadata = self.item["metadata"]
        if method == "DELETE":
            if body["preconditions"] != {"uid": metadata["uid"], "resourceVersion": metadata["resourceVersion"]}:
                raise ApiError(409, "Conflict", "changed")
            self.item = None
            return {}
        if isinstance(body, dict):
            if body["metadata"]["resourceVersion"] != metadata["resourceVersion"]:
                raise ApiError(409, "Conflict", "changed")
            return self.put({**self.item, "metadata": {**metadata, "annotations": body["metadata"]["annotations"]}})
        if self.ignores:
            return self.item
        changed = self.put(patched(self.item, body))
        if "deletionTimestamp" in metadata and not changed["metadata"].get("finalizers"):
            self.item = None
        return changed

    def seen(self, _: str) -> PolicyView | None:
        return replace(PolicyView.of(self.item), intact=not network.flaws(self.item)) if self.item else None

    def denial(self) -> Denial:
        return Denial(self, self.seen, Writer(self, lambda: True))  # type: ignore[arg-type]


def patched(item: dict[str, Any], operations: list[dict[str, Any]]) -> dict[str, Any]:
    """A JSON patch, as far as it is used."""
    item = {**item, "metadata": {**item["metadata"], "annotations": dict(item["metadata"].get("annotations") or {})}}
    for operation in operations:
        *way, last = [part.replace("~1", "/") for part in operation["path"].split("/")[1:]]
        place = item
        for part in way:
            place = place[part]
        match operation["op"]:
            case "test":
                assert place[last] == operation["value"]
            case "remove":
                del place[last]
            case _:
                place[last] = operation["value"]
    return item


def ours(**metadata: Any) -> dict[str, Any]:
    item = network.denial("team-a")
    return {**item, "metadata": {**item["metadata"], **metadata}}


def marked(since: datetime) -> dict[str, Any]:
    return ours(annotations={MARK: format_time(since)})


OWNER = [{"apiVersion": "v1", "kind": "ConfigMap", "name": "gone", "uid": "gone"}]
WRONG = {
    "it allows something": {**ours(), "spec": {**network.DENIAL, "egress": [{}]}},
    "it selects others": {**ours(), "spec": {**network.DENIAL, "podSelector": {}}},
    "it holds one direction": {**ours(), "spec": {**network.DENIAL, "policyTypes": ["Ingress"]}},
    "it has an owner": ours(ownerReferences=OWNER),
    "it has a finalizer": ours(finalizers=["example.com/never"]),
    "it has lost its label": ours(labels=None),
    "it has another's label": ours(labels={names.MANAGED_BY_LABEL: "Helm", "team": "a"}),
    "it is about to go": ours(finalizers=["orphan"], deletionTimestamp="2026-11-29T12:00:00Z"),
}


@pytest.mark.parametrize("what", [None, *WRONG])
async def test_whatever_is_wrong_with_it_is_put_right_once_for_a_crowd(what: str | None) -> None:
    server = Server(WRONG[what] if what else None)
    denial = server.denial()
    await asyncio.gather(*(denial.ensure("team-a") for _ in range(20)))
    assert server.item is not None
    assert network.repairs(server.item) == []
    assert "deletionTimestamp" not in server.item["metadata"]
    assert len(server.writes) == (2 if what == "it is about to go" else 1)
    await denial.ensure("team-a")
    await denial.confirm("team-a")
    assert len(server.writes) == (2 if what == "it is about to go" else 1), "an intact one is left alone"


async def test_other_labels_stay() -> None:
    server = Server(ours(labels={"team": "a"}))
    await server.denial().confirm("team-a")
    assert server.item is not None
    assert server.item["metadata"]["labels"] == {"team": "a", names.MANAGED_BY_LABEL: names.MANAGED_BY}


async def test_what_does_not_stay_as_it_is_written_is_an_error() -> None:
    server = Server(WRONG["it allows something"])
    server.ignores = True
    with pytest.raises(ApiError, match="does not stay as it is written"):
        await server.denial().confirm("team-a")


async def test_an_unused_one_is_marked_first_and_goes_after_ten_minutes() -> None:
    server = Server(ours())
    denial = server.denial()
    await denial.retire("team-a", NOW)
    assert server.item is not None
    assert server.item["metadata"]["annotations"] == {MARK: "2026-11-29T12:00:00Z"}
    await denial.retire("team-a", NOW + UNUSED - timedelta(seconds=1))
    assert server.item is not None
    await denial.retire("team-a", NOW + UNUSED)
    assert server.item is None
    await denial.retire("team-a", NOW + UNUSED)


@pytest.mark.parametrize("word", ["", "yesterday", "29.11.2026", "9999-99-99T00:00:00Z"])
async def test_a_mark_that_is_no_time_is_written_anew(word: str) -> None:
    server = Server(ours(annotations={MARK: word}))
    await server.denial().retire("team-a", NOW)
    assert server.item is not None
    assert server.item["metadata"]["annotations"][MARK] == format_time(NOW)


async def test_an_old_mark_does_not_count_where_somebody_is() -> None:
    server = Server(marked(NOW - timedelta(days=1)))
    server.people = True
    await server.denial().retire("team-a", NOW)
    assert server.item is not None
    assert server.writes == []


async def test_a_deletion_that_comes_late_finds_another_version() -> None:
    """The sweep has looked, and its DELETE is under way; meanwhile a gate is about to open."""
    server = Server(marked(NOW - timedelta(days=1)))
    denial = server.denial()
    late = asyncio.Event()

    original = server.request

    async def request(method: str, path: str, **options: Any) -> dict[str, Any]:
        if method == "DELETE":
            await late.wait()
        return await original(method, path, **options)

    server.request = request  # type: ignore[method-assign]
    sweeping = asyncio.create_task(denial.retire("team-a", NOW))
    await asyncio.sleep(0)
    await denial.confirm("team-a")
    late.set()
    await sweeping
    assert server.item is not None
    assert network.repairs(server.item) == [], "the mark is gone, so no later deletion counts either"


async def test_a_deletion_that_comes_first_is_made_good_before_the_gate_opens() -> None:
    server = Server(marked(NOW - timedelta(days=1)))
    denial = server.denial()
    await denial.retire("team-a", NOW)
    assert server.item is None
    await denial.confirm("team-a")
    assert server.item is not None


def test_it_is_no_foreign_policy_whatever_it_says(devbox: Any, pod: Any) -> None:
    view = PolicyView("team-a", names.DENY_POLICY, (), dict(network.DENIAL))
    assert network.foreign(pod(devbox()), [view, replace(view, spec={**network.DENIAL, "egress": [{}]})], "rel") == []


def test_an_older_operator_takes_it_for_none_either() -> None:
    """It counted policies that select the pod and have a rule."""
    assert not network.DENIAL.get("ingress")
    assert not network.DENIAL.get("egress")
