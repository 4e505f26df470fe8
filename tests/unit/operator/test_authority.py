"""The CA through its life: made, narrowed, near its end, renewed; and what people are told. The clock is the test's."""

import base64
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from structlog.testing import capture_logs

from devbox_api import names
from devbox_api.conditions import ConditionType, Reason
from devbox_common.kube import Object
from devbox_operator.devbox.compile import compile_devbox
from devbox_operator.devbox.outcome import HasPod, NoPod
from devbox_operator.devbox.status import devbox_status
from devbox_operator.kit import metrics, paths
from devbox_operator.release import certificates
from devbox_operator.release.certificates import Pair
from devbox_operator.release.system import SystemReconciler
from devbox_operator.report.authority import ending, outlived
from devbox_operator.report.conditions import Regarding, events, merge
from devbox_operator.seen.index import Index
from devbox_operator.seen.snapshot import Authority
from devbox_operator.settings import Settings
from devbox_operator.watch.tools import Tools

BEGIN = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
DAY = timedelta(days=1)
CA, LEAF = (paths.secrets("rel", name) for name in (names.CA_SECRET, names.LEAF_SECRET))
BOX = Regarding("Devbox", "team-a", "agent", "uid-1")


class World:
    """The release's Secrets, and the operator that keeps them."""

    def __init__(self, settings: Settings) -> None:
        self.now = BEGIN
        self.secrets: dict[str, Object] = {}
        self.writes: list[str] = []
        self.bundle = ""
        self.authority: Authority | None = None
        self.index = Index()
        parts: Any = {"observer": self, "watches": None, "writer": self, "queue": None, "activity": None, "dials": None}
        tools = Tools(index=self.index, settings=settings, **parts)
        self.system = SystemReconciler(tools, owner=None, now=lambda: self.now)

    async def get(self, path: str) -> Object | None:
        return self.secrets.get(path)

    async def create(self, collection: str, body: Object) -> Object:
        return await self.apply(f"{collection}/{body['metadata']['name']}", body)

    async def apply(self, path: str, body: Object) -> Object:
        found = self.secrets.get(path)
        if found and "resourceVersion" in body["metadata"]:
            assert body["metadata"]["resourceVersion"] == found["metadata"]["resourceVersion"]
        self.writes.append(path)
        annotations = {
            **((found or {"metadata": {}})["metadata"].get("annotations") or {}),
            **body["metadata"].get("annotations", {}),
        }
        metadata = {**body["metadata"], "annotations": annotations, "uid": "u", "resourceVersion": str(len(self.writes))}
        self.secrets[path] = {**body, "metadata": metadata}
        return self.secrets[path]

    @property
    def ca(self) -> Pair:
        data = self.secrets[CA]["data"]
        return Pair(base64.b64decode(data["ca.crt"]), base64.b64decode(data["ca.key"]))

    def wish(self, when: str) -> None:
        self.secrets[CA]["metadata"]["annotations"][names.RENEWED_AT_ANNOTATION] = when


@pytest.fixture
def world(settings: Settings) -> World:
    return World(settings)


def first_release(pair: Pair) -> Pair:
    """As version 0.1.0 made it: nothing said of addresses, nor of what it is good for."""
    certificate, key = certificates._load(pair)
    builder = (
        x509.CertificateBuilder()
        .subject_name(certificate.subject)
        .issuer_name(certificate.issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(certificate.not_valid_before_utc)
        .not_valid_after(certificate.not_valid_after_utc)
    )
    for extension in certificate.extensions:
        value = extension.value
        if isinstance(value, x509.ExtendedKeyUsage):
            continue
        if isinstance(value, x509.NameConstraints):
            value = x509.NameConstraints(value.permitted_subtrees, None)
        builder = builder.add_extension(value, critical=extension.critical)
    return certificates._pem(builder.sign(key, hashes.SHA256()), key)


def end_of(pair: Pair) -> datetime:
    return x509.load_pem_x509_certificate(pair.certificate).not_valid_after_utc


async def test_a_ca_of_the_first_release_is_narrowed_with_its_key_and_end_and_its_leaf_stays(world: World) -> None:
    await world.system.certificates()
    old, leaf = first_release(world.ca), world.secrets[LEAF]
    world.secrets[CA]["data"]["ca.crt"] = base64.b64encode(old.certificate).decode()
    world.writes.clear()
    world.now += 30 * DAY
    await world.system.certificates()
    assert world.writes == [CA]
    assert world.secrets[LEAF] is leaf, "the gateway's certificate is good under both"
    new = x509.load_pem_x509_certificate(world.ca.certificate)
    assert new.extensions.get_extension_for_class(x509.NameConstraints).value.excluded_subtrees
    assert (world.ca.key, end_of(world.ca)) == (old.key, end_of(old))
    assert world.ca.certificate.decode().strip() in world.bundle
    await world.system.certificates()
    assert world.writes == [CA], "once"


def test_a_ca_that_somebody_else_made_is_left_as_it_is() -> None:
    made = certificates.make_ca("rel", BEGIN)
    assert certificates.narrowed_ca(made, "rel") is None
    leaf = certificates.make_leaf(made, "rel", 90, BEGIN)
    assert certificates.narrowed_ca(leaf, "rel") is None


async def test_it_is_renewed_when_somebody_asks_for_it_and_then_no_more(world: World) -> None:
    await world.system.certificates()
    before = world.ca
    world.now += 3400 * DAY
    await world.system.certificates()
    leaf = world.secrets[LEAF]
    world.writes.clear()
    world.wish((world.now + 2 * DAY).isoformat())
    assert await world.system.certificates() == 12 * 3600
    assert not world.writes, "a time that has not come"
    world.now += 2 * DAY
    await world.system.certificates()
    assert world.writes == [CA]
    assert world.secrets[LEAF] is leaf
    assert world.ca.key == before.key
    assert end_of(world.ca) == world.now + certificates.CA_DAYS * DAY
    assert world.authority == Authority(world.now, end_of(world.ca), end_of(before))
    for _ in range(2):
        world.now += DAY
        await world.system.certificates()
    assert world.writes == [CA]
    assert world.authority
    assert world.authority.earlier_end == end_of(before)


@pytest.mark.parametrize("wish", ["soon", "2026-13-01T00:00:00Z", ""])
async def test_a_wish_that_is_no_time_changes_nothing(world: World, wish: str) -> None:
    await world.system.certificates()
    world.writes.clear()
    world.wish(wish)
    await world.system.certificates()
    assert not world.writes


async def test_the_log_and_the_metric_tell_of_the_end(world: World) -> None:
    await world.system.certificates()
    end = end_of(world.ca)
    told = []
    for days in (400, 366, 364, 200, 91, 89, 40, 29, 1):
        world.now = end - days * DAY
        with capture_logs() as lines:
            await world.system.certificates()
            await world.system.certificates()
        told += [(days, line["within"]) for line in lines if line["event"] == "ca_ends"]
    assert told == [(364, "a year"), (89, "90 days"), (29, "30 days")]
    value = metrics.CERTIFICATE_END.labels("ca")._value.get()
    assert value == end.timestamp()
    assert metrics.CERTIFICATE_END.labels("gateway")._value.get() <= end.timestamp()


def status(settings: Settings, shot: Any, pod: Any) -> Any:
    outcome = HasPod(1, 0, pod) if pod else NoPod(1, 0)
    return devbox_status(shot, compile_devbox(shot, settings), outcome, settings)


@pytest.mark.parametrize(
    ("days", "words"), [(366, None), (364, "less than a year"), (89, "less than 90 days"), (29, "30 days")]
)
def test_a_devbox_says_that_what_it_trusts_ends(settings: Settings, snapshot: Any, days: int, words: str | None) -> None:
    shot = snapshot()
    shot = replace(shot, system=replace(shot.system, authority=Authority(shot.now - DAY, shot.now + days * DAY)))
    found = [one for one in status(settings, shot, None).conditions if one.type == ConditionType.TRUST_ENDING]
    assert len(found) == (words is not None)
    for one in found:
        assert (one.status, one.reason) == ("True", Reason.CA_EXPIRING)
        assert words
        assert words in one.message
        assert "kubectl -n rel annotate secret devbox-gateway-ca devbox-gateway.io/renewed-at=" in one.message


def test_each_word_is_an_event(now: datetime) -> None:
    said: list[str] = []
    old: Any = ()
    for days in (500, 364, 363, 89, 88, 29, 28):
        finding = ending(Authority(now, now + 500 * DAY), "rel", now + (500 - days) * DAY)
        new = merge(old, {ConditionType.TRUST_ENDING: finding} if finding else {}, 1, now)
        said += [f"{days} {event['type']}" for event in events(BOX, old, new, now)]
        old = new
    assert said == ["364 Warning", "89 Warning", "29 Warning"]


def test_a_pod_that_is_older_than_the_renewal_is_told_when_its_own_end_is_near(pod: Any, devbox: Any, now: datetime) -> None:
    renewed = Authority(now, now + 3653 * DAY, now + 200 * DAY)
    older, newer = pod(devbox(), created=now - DAY), pod(devbox(), created=now + DAY)
    assert outlived(renewed, older, now) == now + 200 * DAY
    assert outlived(renewed, newer, now) is None
    assert outlived(Authority(now, now + 3653 * DAY, now + 900 * DAY), older, now) is None, "not for years"
    assert outlived(Authority(now, now + 3653 * DAY), older, now) is None


def test_its_devbox_asks_for_a_restart(settings: Settings, snapshot: Any, devbox: Any, pod: Any, now: datetime) -> None:
    box = devbox()
    shot = snapshot(box)
    renewed = Authority(now, now + 3653 * DAY, now + 20 * DAY)
    shot = replace(shot, system=replace(shot.system, authority=renewed))
    made = pod(box, created=now - DAY, spec_hash=compile_devbox(shot, settings).spec_hash)
    (found,) = [one for one in status(settings, shot, made).conditions if one.type == ConditionType.RESTART_REQUIRED]
    assert (found.status, found.reason) == ("True", Reason.CA_RENEWED)
    assert f"{now + 20 * DAY:%Y-%m-%d}" in found.message
    assert "annotate dbx agent" in found.message
