"""The demo's claims as assertions: examples/ unchanged, real SDKs in real pods, an upstream that tells what it received."""

import base64
import json

import pytest
from tests.support import INSTALL_TEST_CRDS

from devbox_demo import attacks, calls, from_python, rotation
from devbox_demo.calls import CALLS, Call
from devbox_demo.outcome import Outcome
from devbox_stage.kubectl import Kubectl
from devbox_stage.stage import RELEASE_NAMESPACE, Stage


def holds(outcome: Outcome) -> None:
    """An outcome without a problem."""
    assert outcome.problem is None, "\n".join([outcome.problem or "", *outcome.agent, *outcome.upstream])


@pytest.mark.row("S1", "S10", "S26")
def test_the_environment_holds_addresses_and_tokens(examples: Stage) -> None:
    holds(calls.environment(examples))


@pytest.mark.row("S3", "S6", "S7", "S8", "S11", "S13", "S14", "S15", "S16", "S18", "S28")
@pytest.mark.parametrize("call", CALLS, ids=lambda call: call.title)
def test_a_client_works_unchanged_and_the_upstream_sees_the_real_key(examples: Stage, call: Call) -> None:
    (outcome,) = calls.make_calls(examples, [call])
    holds(outcome)


@pytest.mark.row("S17")
def test_a_stream_arrives_event_by_event(examples: Stage) -> None:
    holds(calls.streamed(examples))


@pytest.mark.row("S9", "S24", "S25")
def test_a_devbox_is_made_used_and_ended_from_python(examples: Stage) -> None:
    holds(from_python.work_from_python(examples))
    for kind in ("devboxes", "gatewayconfigs", "secrets"):
        # (A pod's own Secret goes with the pod.)
        left = [one["metadata"] for one in examples.kubectl.all(kind, examples.namespace)]
        own = [one for one in left if "ownerReferences" not in one and "deletionTimestamp" not in one]
        assert [one["name"] for one in own if one["name"].startswith("from-python")] == []


@pytest.mark.row("S2", "S26")
def test_the_key_is_nowhere_in_the_pod(examples: Stage) -> None:
    holds(attacks.key_is_nowhere(examples))


@pytest.mark.row("S4", "S26")
def test_the_token_works_in_its_own_devbox_alone(examples: Stage) -> None:
    holds(attacks.token_elsewhere(examples))


@pytest.mark.row("S20")
def test_a_direct_call_to_the_api_is_cut(examples: Stage) -> None:
    holds(attacks.behind_the_gateways_back(examples))


@pytest.mark.row("S21")
def test_a_key_rotates_under_a_running_agent(examples: Stage) -> None:
    holds(rotation.rotate(examples))


@pytest.mark.row("S2")
def test_the_key_is_in_no_object_event_or_log(examples: Stage, cluster: Kubectl) -> None:
    """The user's Secret and the gateway's mirrored one hold it, and nothing else in the cluster does."""
    secrets = {key.value.reveal() for key in examples.keys.values()}
    forms = {form for value in secrets for form in (value, base64.b64encode(value.encode()).decode())}
    kinds = cluster("api-resources", "--verbs=list", "-o", "name").out.split()
    # Twice the same events; a kind that only warns; kinds that test_install.py makes and removes meanwhile.
    left_out = ("events.events.k8s.io", "componentstatuses", *INSTALL_TEST_CRDS)
    listed = [kind for kind in kinds if kind not in left_out]
    text = cluster("get", ",".join(listed), "--all-namespaces", "-o", "json", "--show-managed-fields", timeout=120).out
    holders = sorted(
        (one["kind"], one["metadata"].get("namespace", ""), one["metadata"]["name"])
        for one in json.loads(text)["items"]
        if any(form in json.dumps(one) for form in forms)
    )
    credentials = f"{RELEASE_NAMESPACE}-credentials"
    assert [holder[:2] for holder in holders] == sorted(
        [("Secret", credentials)] * len(examples.keys) + [("Secret", examples.namespace)] * len(examples.keys)
    )
    for component in ("operator", "gateway"):
        chosen = ("-l", f"app.kubernetes.io/component={component}", "--all-containers", "--tail=-1")
        log = cluster("-n", RELEASE_NAMESPACE, "logs", *chosen).out
        assert log, f"the {component} logs nothing"
        assert not any(form in log for form in forms), f"a key is in the {component}'s log"
        assert "gws_eyJ" not in log, f"a token is in the {component}'s log"
