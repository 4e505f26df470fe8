"""What the gateway makes of the objects it mirrors: whole ones are known at once, broken ones fail closed."""

import base64
from ipaddress import ip_address
from typing import Any

import orjson
import pytest

from devbox_api import names
from devbox_api.route import FloorDocument as Document
from devbox_common import clock
from devbox_common.access import Access
from devbox_common.kube import KubeApi
from devbox_common.redacted import Redacted
from devbox_operator.documents.credentials import usable
from devbox_proxy.known import state as state_module
from devbox_proxy.known.facts import Pod
from devbox_proxy.known.floor import Floor, Own, compile_floor
from devbox_proxy.known.state import ClusterState, Seen, pod_of

from .identities import BINDING, ROUTE

GATEWAY = {
    "version": 1,
    "name": "a",
    "namespace": "n",
    "uid": "g",
    "endpoint": "https://api.example",
    "auth": {"type": "Bearer"},
}


@pytest.fixture
async def state() -> ClusterState:
    """One that follows nothing: the tests call what the mirrors would."""
    api = KubeApi(Access("http://127.0.0.1:1"))
    await api.close()
    return ClusterState(api, "credentials", ())


def secret(kind: str, key: str, value: bytes, *, version: str = "1", grant: str | None = None) -> dict[str, Any]:
    annotations = {} if grant is None else {names.ALLOWED_HOSTS_ANNOTATION: grant}
    return {
        "type": kind,
        "metadata": {"resourceVersion": version, "annotations": annotations},
        "data": {key: base64.b64encode(value).decode()},
    }


def route(**change: Any) -> dict[str, Any]:
    return secret(names.ROUTE_TYPE, names.ROUTE_KEY, orjson.dumps(ROUTE.model_dump(mode="json") | change))


def gateway(**change: Any) -> dict[str, Any]:
    return secret(names.GATEWAY_TYPE, names.GATEWAY_KEY, orjson.dumps(GATEWAY | change))


def put(state: ClusterState, name: str, new: dict[str, Any] | None, old: dict[str, Any] | None = None) -> None:
    state._on_document(("credentials", name), Seen(old) if old else None, Seen(new) if new else None)


async def test_every_listed_token_leads_to_its_route_and_goes_with_it(state: ClusterState) -> None:
    put(state, "route-uid-1", route())
    assert set(state.known.tokens) == set(BINDING.digests)
    renewed = route(bindings=[BINDING.model_dump(mode="json") | {"digests": ["d" * 64]}])
    put(state, "route-uid-1", renewed, route())
    assert set(state.known.tokens) == {"d" * 64}
    put(state, "route-uid-1", None, renewed)
    assert not state.known.tokens
    assert not state.known.routes


@pytest.mark.parametrize(
    "broken", [route(requires=["quota"]), route(version=2), route(pod=None), secret(names.ROUTE_TYPE, "other", b"{}")]
)
async def test_a_route_that_cannot_be_honoured_is_not_served_by_the_one_before(
    state: ClusterState, broken: dict[str, Any]
) -> None:
    put(state, "route-uid-1", route())
    put(state, "route-uid-1", broken, route())
    assert state.known.unsupported == {"uid-1"}
    put(state, "route-uid-1", route(), broken)
    assert not state.known.unsupported
    assert state.known.tokens


async def test_fields_of_a_newer_operator_are_ignored(state: ClusterState) -> None:
    put(state, "route-uid-1", route(comment="newer"))
    put(state, "gateway-g", gateway(comment="newer", timeouts={"total": 5}))
    assert state.known.tokens
    assert state.known.gateways["gateway-g"] is not None


@pytest.mark.parametrize(
    "change",
    [
        {"version": 2},
        {"requires": ["quota"]},
        {"requires": ["rules"], "rules": [{"paths": ["v1"]}]},
        {"ca_bundle": "MIIB"},
        {"timeouts": {"idle": 0}},
        {"endpoint": "ftp://api.example"},
        {"endpoint": "https://"},
        {"auth": {}},
    ],
)
async def test_a_gateway_that_cannot_be_honoured_leads_nowhere(state: ClusterState, change: dict[str, Any]) -> None:
    put(state, "gateway-g", gateway())
    put(state, "gateway-g", gateway(**change), gateway())
    assert state.known.gateways == {"gateway-g": None}
    put(state, "gateway-g", None, gateway(**change))
    assert state.known.gateways == {}


async def test_a_gateway_with_restrictions_that_are_known_is_served(state: ClusterState) -> None:
    known = ["rules", "maxRequestBody", "redactResponses"]
    put(state, "gateway-g", gateway(requires=known, rules=[{"paths": ["/v1"]}], max_request_body=1024, redact_responses="All"))
    api = state.known.gateways["gateway-g"]
    assert api is not None
    assert (api.rules is not None, api.max_body, api.redact_body) == (True, 1024, True)


def credential(value: bytes, grant: str | None = "api.example, *.corp.example") -> dict[str, Any]:
    return secret(names.CREDENTIAL_TYPE, names.CREDENTIAL_KEY, value, version="7", grant=grant)


async def test_a_credential_is_taken_as_it_is_but_for_the_newline_at_its_end(state: ClusterState) -> None:
    put(state, "credential-1", credential(b"sk-real\n"))
    known = state.known.credentials["credential-1"]
    assert (known.value.reveal(), known.version, known.allowed_hosts) == ("sk-real", "7", ("api.example", "*.corp.example"))
    assert "sk-real" not in repr(state.known)


@pytest.mark.parametrize(
    "value",
    [b"", b"\n", b"sk\nreal", b"sk\r\nX-Injected: 1", b"sk\0", b"sk\x7f", b"\xff\xfe", b"sk\t", b"\tsk", b"sk ", b"s" * 8193],
)
async def test_a_credential_that_is_no_header_value_is_none(state: ClusterState, value: bytes) -> None:
    put(state, "credential-1", credential(b"sk-before"))
    put(state, "credential-1", credential(value), credential(b"sk-before"))
    assert not state.known.credentials


@pytest.mark.parametrize(
    "value",
    [b"sk-1", b"sk-1\n", b"sk\t1", b"sk-1\t", b" sk-1", b"sk\x7f", b"sk\xa0", "pässwort".encode(), "\u200bsk".encode()],
    ids=repr,
)
async def test_operator_and_gateway_judge_alike(state: ClusterState, value: bytes) -> None:
    put(state, "credential-1", credential(value))
    taken = state.known.credentials.get("credential-1")
    assert (taken.value if taken else None) == (judged if isinstance(judged := operators_judgement(value), Redacted) else None)


def operators_judgement(value: bytes) -> object:
    return usable(Redacted(base64.b64encode(value).decode()))


async def test_no_error_quotes_a_secret(
    state: ClusterState, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    put(state, "credential-1", credential(b"sk-very\nsecret"))
    put(state, "route-uid-1", route(bindings=[{"name": "A", "token": "eyJ-very-secret"}]))
    output = capsys.readouterr()
    told = output.out + output.err + caplog.text  # where it goes depends on what ran before
    assert "document_unreadable" in told
    assert "secret" not in told


async def test_without_a_grant_a_credential_goes_nowhere(state: ClusterState) -> None:
    for grant in (None, "", "*", " , "):
        put(state, "credential-1", credential(b"sk", grant))
        assert not state.known.credentials["credential-1"].granted_to("api.example")


def floor(*addresses: str, **fields: Any) -> dict[str, Any]:
    return secret(names.FLOOR_TYPE, names.FLOOR_KEY, orjson.dumps({"version": 1, "addresses": addresses, **fields}))


async def test_the_floor_is_unknown_until_it_is_written(state: ClusterState) -> None:
    assert state.floor is None
    put(state, "floor", floor("10.0.0.1", "FD00:0::1"))
    known = Floor(frozenset({"10.0.0.1", "fd00::1"}))
    assert state.floor == known, "addresses are compared as such, not as text; an older operator writes no ranges"
    put(state, "floor", floor("no address"), floor("10.0.0.1"))
    assert state.floor == known
    put(state, "floor", floor("10.0.0.1", ranges=["34.118.0.0"]), floor("10.0.0.1"))
    put(state, "floor", floor("10.0.0.1", ranges=["no range"]), floor("10.0.0.1"))
    assert state.floor == compile_floor(Document(addresses=("10.0.0.1",), ranges=("34.118.0.0/32",))), (
        "what can't be read changes nothing"
    )


@pytest.mark.parametrize("new", [None, floor("no address"), floor("10.0.0.1", version=2)], ids=["gone", "broken", "newer"])
async def test_a_floor_that_is_lost_counts_for_a_while_and_then_nothing_is_dialled(
    state: ClusterState, new: dict[str, Any] | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    present = clock.now()
    monkeypatch.setattr(state_module, "now", lambda: present)
    put(state, "floor", floor("10.0.0.1"))
    present += 1000
    assert state.floor is not None
    put(state, "floor", new, floor("10.0.0.1"))
    present += 299
    if new is not None:
        put(state, "floor", new, new)
    assert state.floor is not None
    present += 2
    assert state.floor is None
    put(state, "floor", floor("10.0.0.1"), new)
    assert state.floor is not None


async def test_the_floor_has_the_clusters_ranges_and_where_this_pod_is() -> None:
    api = KubeApi(Access("http://127.0.0.1:1"))
    await api.close()
    state = ClusterState(api, "credentials", (), Own(frozenset({"10.0.0.9"})))
    put(state, "floor", floor("10.0.0.1", ranges=["34.118.224.0/20", "2600:1F14:1:0::/56"], newer="ignored"))
    assert state.floor is not None
    assert state.floor.addresses == {"10.0.0.1", "10.0.0.9"}
    assert ip_address("34.118.224.2") in state.floor.ranges
    assert ip_address("2600:1f14:1::7") in state.floor.ranges
    put(state, "floor", floor("10.0.0.1"), floor("10.0.0.1"))
    assert state.floor == Floor(frozenset({"10.0.0.1", "10.0.0.9"})), "ranges go as they come"


def pod(uid: str, **status: Any) -> Pod:
    return pod_of({"metadata": {"uid": uid, "name": "agent-x", "namespace": "agents"}, "spec": {}, "status": status})


async def test_a_pod_of_the_same_name_is_another_pod(state: ClusterState) -> None:
    key = ("agents", "agent-x")
    state._on_pod(key, None, pod("u1"))
    since = state.known.pods["u1"].seen_at
    state._on_pod(key, pod("u1"), pod("u1", phase="Running"))
    assert state.known.pods["u1"].phase == "Running"
    assert state.known.pods["u1"].seen_at == since, "it does not grow young again"
    state._on_pod(key, pod("u1"), pod("u2"))
    assert set(state.known.pods) == {"u2"}
    state._on_pod(key, pod("u2"), None)
    assert not state.known.pods


async def test_where_pods_are(state: ClusterState) -> None:
    first, second = ("agents", "agent-x"), ("agents", "agent-y")
    at = {"podIPs": [{"ip": "10.244.0.7"}, {"ip": "fd00::7"}]}
    state._on_pod(first, None, pod("u1"))
    assert not state.known.addresses
    state._on_pod(first, pod("u1"), pod("u1", phase="Running", **at))
    assert state.known.addresses == {"10.244.0.7": "u1", "fd00::7": "u1"}
    state._on_pod(first, pod("u1", phase="Running", **at), pod("u1", phase="Succeeded", **at))
    assert not state.known.addresses, "it is another pod's by now, perhaps"
    state._on_pod(second, None, pod("u2", phase="Running", **at))
    state._on_pod(first, pod("u1", phase="Succeeded", **at), None)
    assert state.known.addresses == {"10.244.0.7": "u2", "fd00::7": "u2"}
    state._on_pod(second, pod("u2", phase="Running", **at), pod("u2", phase="Running", podIPs=[{"ip": "10.244.0.9"}]))
    assert state.known.addresses == {"10.244.0.9": "u2"}
    state._on_pod(second, pod("u2", phase="Running", podIPs=[{"ip": "10.244.0.9"}]), None)
    assert not state.known.addresses


async def test_a_route_may_come_before_its_pod_and_goes_with_or_without_it(state: ClusterState) -> None:
    key = ("agents", "agent-x")
    put(state, "route-uid-1", route())
    assert set(state.known.awaited) == {"uid-1"}
    since = state.known.awaited["uid-1"]
    put(state, "route-uid-1", route(confined=False), route())
    assert state.known.awaited["uid-1"] >= since
    state._on_pod(key, None, pod("uid-1"))
    assert not state.known.awaited
    put(state, "route-uid-1", route(), route(confined=False))
    assert not state.known.awaited, "the pod is there"
    state._on_pod(key, pod("uid-1"), None)
    assert not state.known.awaited, "it was there, and is gone"
    put(state, "route-uid-2", route(pod=ROUTE.pod.model_dump(mode="json") | {"uid": "uid-2"}))
    put(state, "route-uid-2", None, route())
    assert not state.known.awaited


def test_what_is_read_of_a_pod() -> None:
    item = {
        "metadata": {"uid": "u", "name": "p", "namespace": "n", "deletionTimestamp": "2026-01-01T00:00:00Z"},
        "spec": {"nodeName": "node-1", "hostNetwork": True},
        "status": {"phase": "Running", "podIPs": [{"ip": "10.0.0.1"}, {"ip": "fd00::1"}, {}]},
    }
    view = pod_of(item)
    assert (view.node, view.ips, view.deleting, view.host_network) == ("node-1", ("10.0.0.1", "fd00::1"), True, True)
    assert pod("u").phase == "Pending"


EGRESS = {
    "version": 1,
    "name": "p",
    "namespace": "n",
    "uid": "p",
    "hostnames": ["a.example", "*.b.example"],
    "cidrs": ["10.0.0.0/8"],
}


def egress(**change: Any) -> dict[str, Any]:
    return secret(names.EGRESS_TYPE, names.EGRESS_KEY, orjson.dumps(EGRESS | change))


async def test_a_policy_is_known_at_once_and_gone_with_its_document(state: ClusterState) -> None:
    put(state, "egress-p", egress())
    policy = state.known.egress["egress-p"]
    assert policy is not None
    assert policy.name == "n/p"
    assert policy.allows_host("x.b.example")
    assert not policy.allows_host("b.example")
    put(state, "egress-p", None, egress())
    assert not state.known.egress


@pytest.mark.parametrize(
    "broken", [egress(requires=["new"]), egress(version=2), egress(cidrs=["10.0.0.1/8"]), egress(name=None)]
)
async def test_a_policy_that_cannot_be_honoured_is_not_served_by_the_one_before(
    state: ClusterState, broken: dict[str, Any]
) -> None:
    put(state, "egress-p", egress())
    put(state, "egress-p", broken, egress())
    assert state.known.egress == {"egress-p": None}


async def test_tokens_of_the_forward_proxy_are_listed_by_themselves(state: ClusterState) -> None:
    bound = {"policy": "egress-p", "token": "t", "digests": ["e" * 64]}
    put(state, "route-uid-1", route(egress=bound, confined=False, requires=["confined"]))
    assert set(state.known.egress_tokens) == {"e" * 64}
    assert "e" * 64 not in state.known.tokens
    assert not state.known.unsupported
    assert not state.known.routes["uid-1"].confined
    put(state, "route-uid-1", None, route(egress=bound))
    assert not state.known.egress_tokens
