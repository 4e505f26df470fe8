"""The mirrored credential of a Secret: written, taken away, and kept for a bounded while where nobody took it away."""

import base64
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from devbox_api import names
from devbox_common import clock
from devbox_operator.configs.sources import UNUSED_SECONDS, SourceReconciler
from devbox_operator.documents import keeping
from devbox_operator.kit.encoding import format_time
from devbox_operator.report.problem import Problem
from devbox_operator.seen.index import Index, References, Source
from devbox_operator.seen.secrets import SecretView, StoredView
from devbox_operator.seen.snapshot import FORBIDDEN, NOT_FOUND, UNREADABLE
from devbox_operator.settings import Settings
from devbox_operator.watch.tools import Tools

KEY = ("team-a", "anthropic")
NAME = names.credential_name(*KEY, "api-key")
KEPT = names.KEPT_UNTIL_ANNOTATION


class Cluster:
    """The credentials namespace, a Secret that is what the test says, and both as the operator knows them."""

    def __init__(self, settings: Settings) -> None:
        self.namespace = settings.credentials_namespace
        self.objects: dict[tuple[str, str], StoredView] = {}
        self.stored = self.sources = self
        self.found: SecretView | str = NOT_FOUND
        self.refused = 3600.0
        self.index = Index()
        self.values: dict[str, str] = {}
        """What was written, by the credential's name."""
        self.index.put(("team-a", "agent"), References(sources=frozenset({Source(*KEY, None)})))
        parts: Any = {"observer": None, "watches": self, "writer": self, "queue": None, "activity": None, "dials": None}
        self.reconciler = SourceReconciler(Tools(index=self.index, settings=settings, **parts))

    # as watches

    async def read(self, _: Any) -> SecretView | str:
        return self.found

    def refused_for(self, _: Any) -> float:
        return self.refused

    def mirrored(self, _: Any) -> dict[str, str]:
        return {view.name: view.annotations.get(KEPT, "") for view in self.objects.values()}

    def within(self, _: Any) -> Mapping[tuple[str, str], StoredView]:
        return self.objects

    # as writer

    async def apply(self, _: str, body: Any) -> None:
        name = body["metadata"]["name"]
        self.values[name] = base64.b64decode(body["data"][names.CREDENTIAL_KEY]).decode()
        before = self.objects.get((self.namespace, name))
        item = {**body, "metadata": {**body["metadata"], "uid": "u", "resourceVersion": "1"}}
        view = StoredView.of(item)
        annotations = {**(before.annotations if before else {}), **view.annotations}  # an apply leaves what others wrote
        self.objects[self.namespace, name] = StoredView.of(
            {**item, "metadata": {**item["metadata"], "annotations": annotations}}
        )

    async def merge(self, path: str, body: Any, *, kind: str) -> None:
        key = (self.namespace, path.rpartition("/")[2])
        view = self.objects[key]
        assert (kind, body["metadata"]["uid"]) == ("Secret", view.uid)
        annotations = {**view.annotations, **body["metadata"]["annotations"]}
        kept = {name: value for name, value in annotations.items() if value is not None}
        self.objects[key] = replace(view, annotations=kept)

    async def delete(self, path: str, *, uid: str, kind: str) -> None:
        assert (uid, kind) == ("u", "Secret")
        del self.objects[self.namespace, path.rpartition("/")[2]]

    # what a test asks

    @property
    def value(self) -> str | None:
        return self.values[NAME] if (self.namespace, NAME) in self.objects else None

    @property
    def kept_until(self) -> str | None:
        return self.objects[self.namespace, NAME].annotations.get(KEPT)

    def kept_for(self, seconds: float) -> None:
        """As written by somebody before."""
        view = self.objects[self.namespace, NAME]
        annotations = {**view.annotations, KEPT: format_time(datetime.now(UTC) + timedelta(seconds=seconds))}
        self.objects[self.namespace, NAME] = replace(view, annotations=annotations)


@pytest.fixture
async def cluster(settings: Settings, secret: Any) -> Cluster:
    cluster = Cluster(settings)
    cluster.found = secret()
    assert await cluster.reconciler.reconcile(KEY) is None
    assert cluster.value == "sk-ant-api-0000"
    return cluster


async def test_what_its_owner_takes_away_goes_at_once(cluster: Cluster, secret: Any) -> None:
    for gone in (NOT_FOUND, secret(grant=None), secret({"api-key": ""}), secret({"api-key": "\n"}), secret({})):
        cluster.found = secret()
        await cluster.reconciler.reconcile(KEY)
        assert cluster.value
        cluster.found = gone
        assert await cluster.reconciler.reconcile(KEY) is None
        assert cluster.value is None


@pytest.mark.parametrize("why", [FORBIDDEN, UNREADABLE])
async def test_what_may_not_be_read_stays_for_two_minutes_at_most(cluster: Cluster, why: str) -> None:
    cluster.found, cluster.refused = why, 6.0
    due = await cluster.reconciler.reconcile(KEY)
    assert due is not None
    assert 100 < due <= 120
    assert cluster.value
    written = cluster.kept_until
    assert written
    assert (await cluster.reconciler.reconcile(KEY) or 0) <= due
    assert cluster.kept_until == written, "another look prolongs nothing"


async def test_a_refusal_of_a_moment_leaves_no_trace(cluster: Cluster) -> None:
    cluster.found, cluster.refused = FORBIDDEN, 1.0
    due = await cluster.reconciler.reconcile(KEY)
    assert due is not None
    assert due < 5
    assert cluster.kept_until is None


async def test_then_it_goes(cluster: Cluster) -> None:
    cluster.found = FORBIDDEN
    cluster.kept_for(-1)
    assert await cluster.reconciler.reconcile(KEY) is None
    assert cluster.value is None


async def test_an_operator_that_was_restarted_goes_on_counting(cluster: Cluster) -> None:
    cluster.found, cluster.refused = FORBIDDEN, 5.0
    cluster.kept_for(20)
    due = await cluster.reconciler.reconcile(KEY)
    assert due is not None
    assert due <= 20


async def test_a_clock_that_was_ahead_prolongs_nothing(cluster: Cluster) -> None:
    cluster.found, cluster.refused = FORBIDDEN, 5.0
    cluster.kept_for(86400)
    due = await cluster.reconciler.reconcile(KEY)
    assert due is not None
    assert due <= 120


async def test_an_unreadable_time_counts_as_over(cluster: Cluster) -> None:
    cluster.found = FORBIDDEN
    key = (cluster.namespace, NAME)
    cluster.kept_for(1)
    annotations = cluster.objects[key].annotations
    assert isinstance(annotations, dict)
    annotations[KEPT] = "tomorrow"
    await cluster.reconciler.reconcile(KEY)
    assert cluster.value is None


@pytest.mark.parametrize("bad", ["sk-new\t", "two\nlines", "\xff", " sk-new", "a" * 9000, "gws_eyJhbGciOi"], ids=repr)
async def test_a_value_that_can_be_none_displaces_nothing_for_ten_minutes(cluster: Cluster, secret: Any, bad: str) -> None:
    cluster.found = secret({"api-key": bad})
    due = await cluster.reconciler.reconcile(KEY)
    assert due is not None
    assert 590 < due <= 600
    assert cluster.value == "sk-ant-api-0000"
    cluster.kept_for(-1)
    await cluster.reconciler.reconcile(KEY)
    assert cluster.value is None


async def test_a_good_one_ends_the_count(cluster: Cluster, secret: Any) -> None:
    for back in (secret(), secret({"api-key": "sk-new"})):
        cluster.found = secret({"api-key": "sk-new\t"})
        await cluster.reconciler.reconcile(KEY)
        assert cluster.kept_until
        cluster.found = back
        assert await cluster.reconciler.reconcile(KEY) is None
        assert cluster.kept_until is None
    assert cluster.value == "sk-new"


async def test_what_is_kept_goes_where_its_owner_grants_it_now(cluster: Cluster, secret: Any) -> None:
    cluster.found = secret({"api-key": "sk-new\t"}, grant="api.openai.com")
    await cluster.reconciler.reconcile(KEY)
    annotations = cluster.objects[cluster.namespace, NAME].annotations
    assert annotations[names.ALLOWED_HOSTS_ANNOTATION] == "api.openai.com"
    cluster.found = secret({"api-key": "sk-new\t"}, grant=None)
    await cluster.reconciler.reconcile(KEY)
    assert cluster.value is None


async def test_one_that_never_was_good_is_not_made(settings: Settings, secret: Any) -> None:
    cluster = Cluster(settings)
    cluster.found = secret({"api-key": "sk\t"})
    assert await cluster.reconciler.reconcile(KEY) is None
    assert not cluster.objects


def test_the_message_says_until_when() -> None:
    source = Source(*KEY, "api-key")
    problem = Problem("SecretInvalid", "it is bad", keeps=True)  # type: ignore[arg-type]
    time = "2026-11-29T17:00:00Z"
    assert (
        keeping.told(problem, source, {NAME: time}).message == f"it is bad; what was read before is still in use, until {time}"
    )
    for nothing in ({}, {NAME: ""}, {"credential-other": time}):
        assert keeping.told(problem, source, nothing) == problem


async def test_one_that_nobody_refers_to_any_more_outlives_the_routes_that_still_lead_to_it(
    cluster: Cluster, secret: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are written anew by their Devboxes' own reconciles: what goes before them is missed by requests meanwhile."""
    passed, start = 0.0, clock.now()
    monkeypatch.setattr("devbox_operator.configs.sources.now", lambda: start + passed)
    used = References(sources=frozenset({Source(*KEY, None)}))
    for _ in range(2):
        cluster.index.put(("team-a", "agent"), None)
        due = await cluster.reconciler.reconcile(KEY)
        assert cluster.value
        assert due == pytest.approx(UNUSED_SECONDS)
        passed += UNUSED_SECONDS / 2
        await cluster.reconciler.reconcile(KEY)
        assert cluster.value, "another look shortens nothing"
        cluster.index.put(("team-a", "agent"), used)
        assert await cluster.reconciler.reconcile(KEY) is None, "and being used again begins anew"
    cluster.index.put(("team-a", "agent"), None)
    await cluster.reconciler.reconcile(KEY)
    passed += UNUSED_SECONDS + 0.1
    assert await cluster.reconciler.reconcile(KEY) is None
    assert cluster.value is None
    cluster.index.put(("team-a", "agent"), used)
    cluster.found = secret(grant=None)
    await cluster.reconciler.reconcile(KEY)
    assert cluster.value is None
