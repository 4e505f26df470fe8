"""What is done to a pod, against an API server in memory: the order, the interruptions, and that digests are never lost."""

import base64
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import pytest

from devbox_api import names
from devbox_api.conditions import Reason
from devbox_common.kube import ApiError
from devbox_common.redacted import Redacted
from devbox_operator.attach import network
from devbox_operator.attach.attaching import Attacher
from devbox_operator.attach.denial import Denial
from devbox_operator.attach.wanted import Attachment, AttachmentSpec, PodBinding
from devbox_operator.documents.objects import stored_route
from devbox_operator.kit.writer import Writer
from devbox_operator.seen.namespaced import PolicyView
from devbox_operator.seen.pods import PodView
from devbox_operator.seen.secrets import SecretView, StoredView
from devbox_operator.settings import Settings

ROUTE = "/api/v1/namespaces/rel-credentials/secrets/route-pod-1"
DENIAL = "/apis/networking.k8s.io/v1/namespaces/team-a/networkpolicies/devbox-gateway-deny"
SECRET = "/api/v1/namespaces/team-a/secrets/agent-1"
POD = "/api/v1/namespaces/team-a/pods/agent-1"
BINDINGS = (PodBinding("A", "gateway-a", "credential-a"), PodBinding("B", "gateway-b", "credential-b"))


class Api:
    """Objects by path, with resourceVersions; every write is recorded."""

    def __init__(self) -> None:
        self.objects: dict[str, dict[str, Any]] = {}
        self.writes: list[str] = []
        self.reads: list[str] = []
        self.version = 0
        self.issued = 0
        self.now = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
        self.fail_on = ""
        self.token_error: ApiError | None = None
        self.patches: list[Any] = []
        self.denied = ""
        self.merged: dict[str, dict[str, str]] = {}
        """By path: data that a merge wrote, which an apply leaves alone as long as the object is there."""

    def _store(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        self.version += 1
        stored = {**body, "metadata": {**body["metadata"], "resourceVersion": str(self.version), "uid": f"u{self.version}"}}
        self.objects[path] = stored
        return stored

    def _write(self, what: str) -> None:
        if self.fail_on and self.fail_on in what:
            self.fail_on = ""
            raise ApiError(0, "Unreachable", "cut")
        self.writes.append(what)

    async def get(self, path: str) -> dict[str, Any] | None:
        self.reads.append(path)
        return self.objects.get(path)

    async def inhabited(self, _: str) -> bool:
        return True

    async def apply(self, path: str, body: dict[str, Any], **_: object) -> dict[str, Any]:
        self._write(f"apply {path.rsplit('/', 2)[1]}")
        wanted = body["metadata"].get("resourceVersion")
        if wanted and self.objects.get(path, {"metadata": {"resourceVersion": None}})["metadata"]["resourceVersion"] != wanted:
            raise ApiError(409, "Conflict", "changed")
        others = self.merged.get(path, {}) if path in self.objects else {}
        return self._store(path, {**body, "data": {**others, **body["data"]}} if others else body)

    async def request(self, method: str, path: str, *, body: Any = None, **_: object) -> dict[str, Any]:
        if method == "GET":
            if path not in self.objects:
                raise ApiError(404, "NotFound", "not there")
            return self.objects[path]
        if path.endswith("/token"):
            return self._token(body)
        if method == "PATCH" and "/pods/" in path:
            self.patches.append(body)
            if self.denied:
                raise ApiError(422, "Invalid", self.denied)
        elif method == "PATCH" and "/secrets/" in path:
            self._write("merge secrets")
            self.merged[path] = {**self.merged.get(path, {}), **body["data"]}
            return self._store(path, {**self.objects[path], "data": {**self.objects[path]["data"], **body["data"]}})
        self._write(f"{method} {path.rsplit('/', 2)[1] if method != 'POST' else path.rsplit('/', 1)[1]}")
        if method == "POST":
            path = f"{path}/{body['metadata']['name']}"
            if path in self.objects:
                raise ApiError(409, "AlreadyExists", "there")
            return self._store(path, body)
        return {"metadata": {}}

    def _token(self, body: dict[str, Any]) -> dict[str, Any]:
        if self.token_error:
            raise self.token_error
        self.issued += 1
        expires = self.now + timedelta(seconds=body["spec"]["expirationSeconds"])
        claims = {
            "n": self.issued,
            "iat": int(self.now.timestamp()),
            "exp": int(expires.timestamp()),
            "kubernetes.io": {"pod": {"uid": body["spec"]["boundObjectRef"]["uid"]}, "serviceaccount": {"uid": "sa-1"}},
        }
        jwt = f"e30.{base64.urlsafe_b64encode(orjson.dumps(claims)).rstrip(b'=').decode()}.c2ln"
        self.writes.append("token")
        return {"status": {"token": jwt, "expirationTimestamp": expires.isoformat()}}


@dataclass(frozen=True)
class Job:
    """A pod that belongs to no Devbox."""

    namespace: str = "team-a"
    name: str = "agent-1"
    uid: str = "pod-1"
    owner_name: str = "agent"
    labels: dict[str, str] | None = None
    gates: tuple[str, ...] = (names.SCHEDULING_GATE,)
    init: None = None
    init_hash: str = ""

    @property
    def gated(self) -> bool:
        return bool(self.gates)


class Bench:
    """One pod and what the mirrors show of it."""

    def __init__(self, settings: Settings, gated: PodView | Job) -> None:
        self.api, self.pod = Api(), gated
        self.begins(settings)

    def begins(self, settings: Settings) -> None:
        """An operator with these settings."""
        writer = Writer(self.api, lambda: True)  # type: ignore[arg-type]
        self.settings, self.attacher = settings, Attacher(writer, settings, Denial(self.api, self.denial, writer))

    def denial(self, namespace: str) -> PolicyView | None:
        """As a mirror shows it that knows everything."""
        item = self.api.objects.get(DENIAL)
        return replace(PolicyView.of(item), intact=not network.flaws(item)) if item else None

    async def attach(self, *, bindings: Any = BINDINGS, account: str = "sa-1", **wanted: Any) -> Attachment:
        policy = f"/apis/networking.k8s.io/v1/namespaces/team-a/networkpolicies/{self.pod.name}" in self.api.objects
        spec = network.policy_spec("agent", "rel")
        secret = self.api.objects.get(SECRET)
        attached = await self.attacher.attach(
            self.pod,
            "devbox-uid",
            AttachmentSpec(bindings, **wanted),
            policies=[PolicyView("team-a", self.pod.name, (self.pod.uid,), spec)] if policy else [],
            route=StoredView.of(self.api.objects[ROUTE]) if ROUTE in self.api.objects else None,
            token_secret=SecretView.of(secret) if secret and self.settings.source_secrets == "All" else None,
            service_account=account,
            now=self.api.now,
        )
        if attached.opened:
            self.pod = replace(self.pod, gates=())
        return attached

    def route(self) -> Any:
        return stored_route(StoredView.of(self.api.objects[ROUTE])).route

    def secret_values(self) -> dict[str, str]:
        return {key: base64.b64decode(value).decode() for key, value in self.api.objects[SECRET]["data"].items()}


@pytest.fixture
def bench(settings: Settings, devbox: Any, pod: Any) -> Bench:
    return Bench(settings, pod(devbox(), name="agent-1", gates=(names.SCHEDULING_GATE,), phase="Pending", ready=False))


async def test_the_order_policy_tokens_route_secret_gate_and_then_nothing(bench: Bench) -> None:
    attached = await bench.attach()
    policies = ["POST networkpolicies", "POST networkpolicies"]
    assert bench.api.writes == [*policies, *["token"] * 3, "POST secrets", "apply secrets", "PATCH pods"]
    assert attached.issued
    assert set(attached.expires) == {"A", "B", "egress"}
    bench.api.writes.clear()
    await bench.attach()
    assert bench.api.writes == [], "the steady state writes nothing"


async def test_a_pod_of_another_owner_is_given_gateways_all_the_same(bench: Bench, settings: Settings) -> None:
    other = Bench(settings, Job())
    for each in (bench, other):
        await each.attach()
    assert other.api.writes == bench.api.writes
    policy = "/apis/networking.k8s.io/v1/namespaces/team-a/networkpolicies/agent-1"
    assert other.api.objects[policy]["spec"] == bench.api.objects[policy]["spec"]
    assert other.secret_values().keys() == bench.secret_values().keys()
    assert [binding.name for binding in other.route().bindings] == ["A", "B"]


async def test_what_is_not_resolved_keeps_the_gate_closed_but_confined(bench: Bench) -> None:
    attached = await bench.attach(complete=False)
    assert bench.api.writes == ["POST networkpolicies", "POST networkpolicies"]
    assert (attached.confined, attached.issued, attached.opened) == (True, False, False)


async def test_the_secret_holds_what_the_route_lists(bench: Bench) -> None:
    await bench.attach()
    for binding in bench.route().bindings:
        assert bench.secret_values()[binding.name] == f"gws_{binding.token}"
        assert binding.digests == (names.token_digest(binding.token),)
        assert binding.audience == f"devbox-gateway.io/{binding.name}"


@pytest.mark.parametrize("step", ["POST networkpolicies", "POST secrets", "apply secrets", "PATCH pods"])
async def test_an_interruption_anywhere_is_made_good(bench: Bench, step: str) -> None:
    bench.api.fail_on = step
    with pytest.raises(ApiError):
        await bench.attach()
    assert bench.pod.gated
    attached = await bench.attach()
    assert attached.opened
    listed = {binding.name: binding for binding in bench.route().bindings}
    for name, value in bench.secret_values().items():
        if name in listed:
            assert names.token_digest(value.removeprefix("gws_")) in listed[name].digests


async def test_a_renewal_keeps_the_old_digests_and_reaches_route_and_secret(bench: Bench) -> None:
    await bench.attach()
    first = {binding.name: binding for binding in bench.route().bindings}
    bench.api.now += timedelta(days=25)
    bench.api.writes.clear()
    await bench.attach()
    assert bench.api.writes == ["token", "token", "token", "apply secrets", "apply secrets"]
    for binding in bench.route().bindings:
        assert binding.token != first[binding.name].token
        assert binding.digests == (*first[binding.name].digests, names.token_digest(binding.token))
        assert bench.secret_values()[binding.name] == f"gws_{binding.token}"


async def test_a_route_that_changed_meanwhile_is_not_overwritten(bench: Bench) -> None:
    await bench.attach()
    bench.api.now += timedelta(days=25)
    original = bench.api.apply

    async def another_writer_first(path: str, body: dict[str, Any], **_: object) -> dict[str, Any]:
        if path == ROUTE:
            bench.api._store(ROUTE, bench.api.objects[ROUTE])
        return await original(path, body)

    bench.api.apply = another_writer_first  # type: ignore[method-assign]
    before = bench.secret_values()
    with pytest.raises(ApiError) as caught:
        await bench.attach()
    assert caught.value.conflict
    assert bench.secret_values() == before, "no token reaches the pod whose digest is not listed"


async def test_a_service_account_that_was_made_anew_brings_new_tokens(bench: Bench) -> None:
    await bench.attach()
    bench.api.writes.clear()
    await bench.attach(account="sa-2")
    assert bench.api.writes[:3] == ["token", "token", "token"]


async def test_a_name_that_went_from_the_spec_goes_from_the_route(bench: Bench) -> None:
    await bench.attach()
    await bench.attach(bindings=BINDINGS[:1])
    assert [binding.name for binding in bench.route().bindings] == ["A"]
    assert set(bench.secret_values()) == {"A", "HTTPS_PROXY", "env.sh"}


async def test_a_binding_that_may_not_be_used_any_more_leads_nowhere_and_heals(bench: Bench) -> None:
    await bench.attach()
    token = bench.route().bindings[0].token
    await bench.attach(bindings=(PodBinding("A", "", "", lacks="credential"), BINDINGS[1]), complete=False)
    binding = bench.route().bindings[0]
    assert (binding.gateway, binding.credential, binding.lacks, binding.token) == ("", "", "credential", token)
    await bench.attach()
    assert bench.route().bindings[0].gateway == "gateway-a"
    assert bench.route().bindings[0].token == token


@pytest.mark.row("S16")
async def test_a_way_out_without_its_policy_says_so(bench: Bench) -> None:
    await bench.attach(egress_policy="egress-e")
    assert (bench.route().egress.policy, bench.route().egress.lacks) == ("egress-e", "")
    await bench.attach(egress_policy=None, egress_lacks="policy", complete=False)
    assert (bench.route().egress.policy, bench.route().egress.lacks) == (None, "policy")


async def test_a_binding_in_doubt_goes_on_leading_where_it_led_and_nowhere_else(bench: Bench) -> None:
    await bench.attach()
    same = PodBinding("A", "", "", frozenset({("gateway-a", "credential-a")}), "credential")
    other = BINDINGS[1]
    await bench.attach(bindings=(same, other), complete=False)
    found = {binding.name: (binding.gateway, binding.credential) for binding in bench.route().bindings}
    assert found["A"] == ("gateway-a", "credential-a")
    assert bench.route().bindings[0].lacks == ""
    for kept in ({("gateway-a", "credential-b")}, {("gateway-b", "credential-a")}, set[tuple[str, str]]()):
        await bench.attach()
        await bench.attach(bindings=(PodBinding("A", "", "", frozenset(kept)), other), complete=False)
        found = {binding.name: (binding.gateway, binding.credential) for binding in bench.route().bindings}
        assert found["A"] == ("", ""), kept
    await bench.attach(bindings=(PodBinding("A", "", "", frozenset({("gateway-a", "credential-a")})), other), complete=False)
    found = {binding.name: (binding.gateway, binding.credential) for binding in bench.route().bindings}
    assert found["A"] == ("", ""), "what leads nowhere is not led anywhere by a doubt"


async def test_a_deleted_token_secret_comes_back(bench: Bench) -> None:
    await bench.attach()
    before = bench.secret_values()
    del bench.api.objects[SECRET]
    await bench.attach()
    assert bench.secret_values() == before


async def test_where_secrets_can_not_be_read_the_route_says_what_was_written(devbox: Any, pod: Any, settings: Settings) -> None:
    named = settings.model_copy(update={"source_secrets": "Named"})
    bench = Bench(named, pod(devbox(), name="agent-1", gates=(names.SCHEDULING_GATE,)))
    await bench.attach()
    bench.api.writes.clear()
    await bench.attach()
    assert bench.api.writes == []


async def test_a_refused_token_is_a_condition_with_the_api_servers_words(bench: Bench) -> None:
    bench.api.token_error = ApiError(403, "Forbidden", "admission says no")
    attached = await bench.attach()
    assert attached.problem is not None
    assert (attached.problem.reason, attached.problem.message) == (Reason.TOKEN_REFUSED, "admission says no")
    assert not attached.opened


async def test_a_token_that_fails_for_the_moment_is_tried_again(bench: Bench) -> None:
    bench.api.token_error = ApiError(503, "ServiceUnavailable", "later")
    with pytest.raises(ApiError):
        await bench.attach()
    bench.api.token_error = None
    assert (await bench.attach()).opened


async def test_the_way_out_has_a_token_of_its_own_with_a_policy_or_without(bench: Bench) -> None:
    await bench.attach()
    egress = bench.route().egress
    assert egress.policy is None, "nothing is allowed"
    assert bench.secret_values()["HTTPS_PROXY"] == f"http://devbox:gws_{egress.token}@gateway.rel.svc:3128"
    assert egress.digests == (names.token_digest(egress.token),)
    assert egress.token not in {binding.token for binding in bench.route().bindings}


async def test_another_policy_is_one_write_and_no_new_token(bench: Bench) -> None:
    await bench.attach()
    before = bench.route().egress
    bench.api.writes.clear()
    await bench.attach(egress_policy="egress-1")
    assert bench.api.writes == ["apply secrets"]
    assert bench.route().egress == before.model_copy(update={"policy": "egress-1"})


async def test_the_way_outs_digests_are_kept(bench: Bench) -> None:
    await bench.attach()
    first = bench.route().egress
    bench.api.now += timedelta(days=25)
    await bench.attach()
    second = bench.route().egress
    assert second.digests == (*first.digests, names.token_digest(second.token))


async def test_a_running_pod_of_an_older_version_gets_the_way_outs_token(bench: Bench) -> None:
    await bench.attach()
    item = bench.api.objects[ROUTE]
    older = orjson.loads(base64.b64decode(item["data"]["route.json"])) | {"egress": None}
    item["data"] = {"route.json": base64.b64encode(orjson.dumps(older)).decode()}
    await bench.attach()
    assert bench.route().egress.token


async def test_what_runs_is_served_no_more_also_where_the_namespaces_policy_can_not_be_made(bench: Bench) -> None:
    await bench.attach()
    del bench.api.objects[DENIAL]
    bench.api.fail_on = "POST networkpolicies"
    await bench.attach(served=False)
    assert not bench.route().confined


async def test_an_unconfined_pod_is_served_nothing_and_heals_with_one_write_each(bench: Bench) -> None:
    await bench.attach()
    whole = bench.route()
    bench.api.writes.clear()
    await bench.attach(served=False)
    assert bench.api.writes == ["apply secrets"]
    assert (bench.route().confined, bench.route().requires) == (False, ("confined",)), "an older gateway refuses it, too"
    await bench.attach()
    assert bench.api.writes == ["apply secrets", "apply secrets"]
    assert bench.route() == whole


async def test_an_unconfined_pod_does_not_start(bench: Bench) -> None:
    attached = await bench.attach(served=False)
    assert bench.api.writes == ["POST networkpolicies", "POST networkpolicies"]
    assert not attached.opened


async def test_only_the_image_that_was_looked_at_starts(bench: Bench) -> None:
    await bench.attach()
    (gate,) = bench.api.patches
    image = bench.pod.init.image if bench.pod.init else ""
    assert image
    assert {"op": "test", "path": "/spec/initContainers/0/image", "value": image} in gate[:-1]
    assert gate[-1]["op"] == "remove"


async def test_a_gate_that_may_not_be_opened_is_a_condition_with_the_api_servers_words(bench: Bench) -> None:
    bench.api.denied = "ValidatingAdmissionPolicy 'x' with binding 'x' denied request: the operator may open a pod's gate"
    attached = await bench.attach()
    assert not attached.opened
    assert attached.refused is not None
    assert attached.refused.reason == "PodRefused"
    assert bench.api.denied in attached.refused.message


async def test_what_somebody_added_to_our_policy_goes(bench: Bench) -> None:
    original = bench.api.request

    async def with_a_foreign_field(method: str, path: str, **request: Any) -> dict[str, Any]:
        answer = await original(method, path, **request)
        if method == "POST" and path.endswith("networkpolicies") and answer["metadata"]["name"] == "agent-1":
            return {**answer, "spec": {**answer["spec"], "ingress": [{}]}}
        return answer

    bench.api.request = with_a_foreign_field  # type: ignore[method-assign]
    await bench.attach()
    assert bench.api.writes[:3] == ["POST networkpolicies", "POST networkpolicies", "PATCH networkpolicies"]


async def test_the_namespaces_own_policy_is_there_first_and_read_live_before_the_gate_opens(bench: Bench) -> None:
    await bench.attach()
    first, *_ = bench.api.objects
    assert first == DENIAL
    bench.api.reads.clear()
    bench.api.writes.clear()
    bench.pod = replace(bench.pod, gates=(names.SCHEDULING_GATE,))
    await bench.attach()
    assert (bench.api.reads, bench.api.writes) == ([DENIAL], ["PATCH pods"]), "one look, and no write for each devbox"


async def test_a_policy_of_the_namespace_that_went_behind_the_mirrors_back_is_back_before_the_gate_opens(bench: Bench) -> None:
    await bench.attach()
    stale = PolicyView.of(bench.api.objects.pop(DENIAL))
    writer = Writer(bench.api, lambda: True)  # type: ignore[arg-type]
    bench.attacher = Attacher(writer, bench.settings, Denial(bench.api, lambda _: stale, writer))
    bench.pod = replace(bench.pod, gates=(names.SCHEDULING_GATE,))
    bench.api.writes.clear()
    await bench.attach()
    assert bench.api.writes == ["POST networkpolicies", "PATCH pods"]


async def test_a_running_pod_gets_the_namespaces_policy_back(bench: Bench) -> None:
    await bench.attach()
    del bench.api.objects[DENIAL]
    bench.api.writes.clear()
    await bench.attach()
    assert bench.api.writes == ["POST networkpolicies"]


async def test_a_gate_stays_closed_while_the_namespaces_policy_can_not_be_written(bench: Bench) -> None:
    await bench.attach()
    bench.pod = replace(bench.pod, gates=(names.SCHEDULING_GATE,))
    del bench.api.objects[DENIAL]
    bench.api.fail_on = "POST networkpolicies"
    with pytest.raises(ApiError):
        await bench.attach()
    assert bench.pod.gated


async def test_no_token_in_any_error_or_repr(bench: Bench) -> None:
    await bench.attach()
    route = bench.route()
    assert route.bindings[0].token not in repr(route)
    assert "gws_" not in repr(SecretView.of(bench.api.objects[SECRET]))


def encoded(**values: str) -> dict[str, Redacted]:
    return {name: Redacted(base64.b64encode(value.encode()).decode()) for name, value in values.items()}


async def test_what_the_agent_may_read_is_given_once_before_it_starts(bench: Bench) -> None:
    await bench.attach(secret_env=encoded(PASSWORD="first", OTHER="o"))
    assert bench.api.writes[-3:] == ["apply secrets", "merge secrets", "PATCH pods"], "all is there before the gate opens"
    given = {"secret-env.PASSWORD": "first", "secret-env.OTHER": "o"}
    assert given.items() <= bench.secret_values().items()
    bench.api.writes.clear()
    assert (await bench.attach(secret_env=encoded(PASSWORD="first", OTHER="o"))).changed == ()
    attached = await bench.attach(secret_env=encoded(PASSWORD="second", OTHER="o"))
    assert attached.changed == ("PASSWORD",)
    assert bench.api.writes == [], "a pod that runs keeps what it was given"
    bench.api.now += timedelta(days=25)
    attached = await bench.attach(secret_env=encoded(PASSWORD="second", OTHER="o"))
    assert attached.changed == ("PASSWORD",), "also once its tokens were renewed"
    assert given.items() <= bench.secret_values().items()
    assert (await bench.attach(secret_env={})).changed == (), "what can't be had now is no other value"
    assert given.items() <= bench.secret_values().items()


@pytest.mark.parametrize("source_secrets", ["All", "Named"])
async def test_a_token_secret_that_was_lost_is_whole_again(bench: Bench, source_secrets: str) -> None:
    await bench.attach(secret_env=encoded(PASSWORD="first"))
    bench.begins(bench.settings.model_copy(update={"source_secrets": source_secrets}))
    del bench.api.objects[SECRET]
    bench.api.now += timedelta(days=25)
    attached = await bench.attach(secret_env=encoded(PASSWORD="second"))
    assert bench.secret_values()["secret-env.PASSWORD"] == "second", "nobody knows the first one any more"
    assert attached.changed == ("PASSWORD",)


async def test_a_pod_that_waits_has_the_value_of_the_moment_in_which_it_starts(bench: Bench) -> None:
    bench.api.fail_on = "PATCH pods"
    with pytest.raises(ApiError):
        await bench.attach(secret_env=encoded(PASSWORD="first"))
    assert (await bench.attach(secret_env=encoded(PASSWORD="second"))).changed == ()
    assert bench.secret_values()["secret-env.PASSWORD"] == "second"
    assert (await bench.attach(secret_env=encoded(PASSWORD="second"))).changed == ()
    assert (await bench.attach(secret_env=encoded(PASSWORD="first"))).changed == ("PASSWORD",)


async def test_no_value_is_in_the_route(bench: Bench) -> None:
    await bench.attach(secret_env=encoded(PASSWORD="hunter2"))
    route = str(bench.api.objects[ROUTE])
    assert "PASSWORD" in route
    assert "hunter2" not in route
    assert base64.b64encode(b"hunter2").decode() not in route
