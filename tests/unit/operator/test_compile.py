"""Snapshot in, desired state out; and the status that follows from it."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from devbox_api import names
from devbox_api.conditions import REASONS, Reason
from devbox_api.devbox import DevboxStatus
from devbox_common.redacted import Redacted
from devbox_operator.attach import network
from devbox_operator.attach.wanted import Attachment
from devbox_operator.devbox import lifecycle
from devbox_operator.devbox.compile import compile_devbox, new_pod
from devbox_operator.devbox.lifecycle import Create, Keep
from devbox_operator.devbox.outcome import HasPod, NoPod, Outcome, PodPostponed, PodRefused
from devbox_operator.devbox.status import devbox_status
from devbox_operator.report.conditions import Regarding, events, merge
from devbox_operator.report.problem import Problem
from devbox_operator.report.statuses import difference
from devbox_operator.seen.initview import InitView
from devbox_operator.seen.namespaced import PolicyView
from devbox_operator.seen.snapshot import FORBIDDEN, INVALID, NOT_FOUND, UNREADABLE, System
from devbox_operator.settings import Devboxes, Settings, Size

CREDENTIAL = names.credential_name("team-a", "anthropic", "api-key")
DONE = Attachment(confined=True, issued=True, opened=True, expires={}, renew_at=None)
WAITS = replace(DONE, issued=False, opened=False)


def conditions(status: DevboxStatus) -> dict[str, tuple[str, str]]:
    return {condition.type: (condition.status, condition.reason) for condition in status.conditions}


def test_a_resolved_binding_names_its_documents(snapshot: Any, settings: Settings) -> None:
    desired = compile_devbox(snapshot(), settings)
    (binding,) = desired.bindings
    assert (binding.gateway, binding.credential) == ("gateway-gw-1", CREDENTIAL)
    assert desired.complete
    assert desired.step == Create(1, 0)


def test_documents_that_are_not_there_yet_keep_the_gate_closed(snapshot: Any, settings: Settings) -> None:
    desired = compile_devbox(snapshot(documents=frozenset()), settings)
    assert desired.missing == (CREDENTIAL, "gateway-gw-1")
    assert not desired.complete
    assert not desired.problems


def test_every_problem_is_told_with_the_first_ones_reason(snapshot: Any, devbox: Any, settings: Settings) -> None:
    gateways = [{"name": "A", "gatewayRef": {"name": "anthropic"}}, {"name": "B", "gatewayRef": {"name": "nobody"}}]
    shot = snapshot(
        devbox(spec={"gateways": gateways}),
        gateways={("team-a", "anthropic"): snapshot().gateways[("team-a", "anthropic")], ("team-a", "nobody"): None},
        secrets={("team-a", "anthropic"): NOT_FOUND},
    )
    desired = compile_devbox(shot, settings)
    status = devbox_status(shot, desired, NoPod(incarnation=1, failures=0), settings)
    found = next(c for c in status.conditions if c.type == "CredentialsResolved")
    assert found.reason == "SecretNotFound"
    assert "Secret team-a/anthropic" in found.message
    assert "GatewayConfig team-a/nobody does not exist" in found.message
    assert conditions(status)["Ready"] == ("False", "SecretNotFound")
    assert conditions(status)["Stalled"] == ("True", "SecretNotFound")


def test_a_devbox_of_another_namespace_is_told_nothing_of_the_secrets_there(
    snapshot: Any, devbox: Any, gateway: Any, secret: Any, settings: Settings
) -> None:
    gateways = [{"name": "A", "gatewayRef": {"name": "anthropic", "namespace": "shared"}}]
    config = gateway(
        namespace="shared", spec={"allowedNamespaces": {"from": "All"}, "credential": {"secretRef": {"name": "vault"}}}
    )
    granted = {"prod-eu": "sk-1", "internal-billing": "sk-2"}
    states = [
        NOT_FOUND,
        FORBIDDEN,
        *(secret(granted, name="vault", grant=hosts) for hosts in ("api.anthropic.com", "db.corp.example")),
    ]
    for state in states:
        shot = snapshot(
            devbox(spec={"gateways": gateways}),
            gateways={("shared", "anthropic"): config},
            secrets={("shared", "vault"): state},
        )
        desired = compile_devbox(shot, settings)
        (problem,) = desired.problems
        assert desired.bindings[0].lacks == "credential", "nor whether it is granted"
        told = [word for word in ("vault", "prod-eu", "billing", "corp.example") if word in problem.message]
        assert not told, (problem.reason, told)
        assert "shared/anthropic" in problem.message


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        (FORBIDDEN, (Reason.SECRET_FORBIDDEN, True)),
        (UNREADABLE, (Reason.SECRET_FORBIDDEN, True)),
        ({"api-key": "sk-new\t"}, (Reason.SECRET_INVALID, True)),
        ({"api-key": ""}, (Reason.SECRET_INVALID, False)),
        ({}, (Reason.KEY_AMBIGUOUS, False)),
        (NOT_FOUND, (Reason.SECRET_NOT_FOUND, False)),
        (None, (Reason.SECRET_NOT_GRANTED, False)),
    ],
    ids=str,
)
def test_a_secret_in_doubt_keeps_its_credential_for_a_while_and_says_until_when(
    snapshot: Any, secret: Any, settings: Settings, state: Any, expected: tuple[Reason, bool]
) -> None:
    found = state if isinstance(state, str) else secret(state) if state is not None else secret({"api-key": "sk"}, grant="")
    until = "2026-11-23T12:02:00Z"
    mirrored = {("team-a", "anthropic"): {CREDENTIAL: until}}
    desired = compile_devbox(snapshot(secrets={("team-a", "anthropic"): found}, mirrored=mirrored), settings)
    (binding,) = desired.bindings
    assert binding.problem is not None
    reason, kept = expected
    assert binding.problem.reason == reason
    assert binding.lacks == ("grant" if reason is Reason.SECRET_NOT_GRANTED else "credential")
    assert binding.kept == (frozenset({("gateway-gw-1", CREDENTIAL)}) if kept else frozenset())
    assert binding.problem.message.endswith(f"still in use, until {until}") == kept
    assert not desired.complete, "a new pod waits"
    over = compile_devbox(snapshot(secrets={("team-a", "anthropic"): found}), settings)
    assert not over.bindings[0].kept, "once it is gone there is nothing to keep"


@pytest.mark.row("S29")
def test_a_key_that_looks_like_a_mistake_is_used_and_told_without_it(snapshot: Any, secret: Any, settings: Settings) -> None:
    shot = snapshot(secrets={("team-a", "anthropic"): secret({"api-key": "Bearer sk-ant-hunter2"})})
    desired = compile_devbox(shot, settings)
    assert (desired.problems, desired.bindings[0].credential) == ([], CREDENTIAL)
    status = devbox_status(shot, desired, NoPod(1, 0), settings)
    (told,) = [each for each in status.conditions if each.type == "CredentialsResolved"]
    assert (told.status, told.reason) == ("True", "SecretDoubtful")
    assert "Secret team-a/anthropic, key api-key: the value begins with the word of a scheme (Bearer" in told.message
    assert "hunter2" not in told.message


@pytest.mark.row("S29")
def test_of_anothers_key_no_doubt_is_told(snapshot: Any, devbox: Any, gateway: Any, secret: Any, settings: Settings) -> None:
    config = gateway(spec={"allowedNamespaces": {"from": "All"}}, namespace="shared")
    shot = snapshot(
        devbox(spec={"gateways": [{"name": "ANTHROPIC", "gatewayRef": {"name": "anthropic", "namespace": "shared"}}]}),
        gateways={("shared", "anthropic"): config},
        secrets={("shared", "anthropic"): secret({"api-key": "Bearer sk-ant-hunter2"}, namespace="shared")},
    )
    desired = compile_devbox(shot, settings)
    assert (desired.problems, desired.doubts) == ([], [])


@pytest.mark.parametrize(
    ("volumes", "reason"),
    [
        ({("ConfigMap", "conf"): None}, Reason.VOLUME_NOT_FOUND),
        ({("ConfigMap", "conf"): False}, Reason.VOLUME_NOT_MOUNTABLE),
        ({("ConfigMap", "conf"): True}, None),
    ],
)
def test_volumes(snapshot: Any, settings: Settings, volumes: Any, reason: Reason | None) -> None:
    refused = compile_devbox(snapshot(volumes=volumes), settings).refused
    assert (refused.reason if refused else None) == reason


def test_a_running_devbox_is_ready(snapshot: Any, pod: Any, devbox: Any, settings: Settings) -> None:
    view = devbox(status={"incarnation": 1})
    desired = compile_devbox(snapshot(view), settings)
    current = pod(view, spec_hash=desired.spec_hash)
    shot = snapshot(view, pods=(current,))
    desired = compile_devbox(shot, settings)
    assert desired.step == Keep(current)
    status = devbox_status(shot, desired, HasPod(1, 0, current, DONE), settings)
    assert {kind: state for kind, (state, _) in conditions(status).items()} == {
        "Accepted": "True",
        "CredentialsResolved": "True",
        "TokensIssued": "True",
        "EgressConfined": "True",
        "PodReady": "True",
        "RestartRequired": "False",
        "Ready": "True",
        "Reconciling": "False",
        "Stalled": "False",
    }
    assert (status.phase, status.pod_uid, status.pod_ips) == ("Running", "pod-1", ("10.0.0.7",))
    assert status.gateways[0].url == "https://gateway.rel.svc"
    assert status.gateway_names == "ANTHROPIC"
    again = devbox_status(
        replace(
            shot, devbox=replace(view, box=view.box.model_copy(update={"status": status})), now=shot.now + timedelta(hours=1)
        ),
        desired,
        HasPod(1, 0, current, DONE),
        settings,
    )
    assert difference(status, again) == {}, "the steady state writes nothing"


@pytest.mark.parametrize(
    ("changes", "attached", "phase", "reason"),
    [
        ({"gates": (names.SCHEDULING_GATE,), "phase": "Pending", "ready": False}, WAITS, "Pending", "Waiting"),
        ({"phase": "Pending", "ready": False, "trouble": "ErrImagePull: no"}, DONE, "Starting", "PodPending"),
        ({"ready": False}, DONE, "Starting", "PodNotReady"),
        ({}, DONE, "Running", "Ready"),
        ({"ready": False, "restarts": 2, "ran_for": 0.5, "exit_code": 0}, DONE, "Starting", "CommandEnded"),
        ({"ready": True, "restarts": 2, "ran_for": 0.5, "exit_code": 0}, DONE, "Starting", "CommandEnded"),
        ({"ready": True, "restarts": 2, "ran_for": 60.0, "exit_code": 1}, DONE, "Running", "Ready"),
        ({"deleting": True}, None, "Restarting", "Waiting"),
    ],
)
def test_phases_and_pod_ready(
    snapshot: Any, pod: Any, devbox: Any, settings: Settings, *, changes: Any, attached: Any, phase: str, reason: str
) -> None:
    view = devbox()
    current = pod(view, **changes)
    shot = snapshot(view, pods=(current,))
    status = devbox_status(shot, compile_devbox(shot, settings), HasPod(1, 0, current, attached), settings)
    assert (status.phase, conditions(status)["PodReady"][1]) == (phase, reason)


@pytest.mark.parametrize(("phase", "reason"), [("Succeeded", "PodSucceeded"), ("Failed", "PodFailed")])
def test_a_command_that_is_done(snapshot: Any, pod: Any, devbox: Any, settings: Settings, *, phase: str, reason: str) -> None:
    view = devbox(spec={"restartPolicy": "Never"})
    current = pod(view, phase=phase, ready=False, exit_code=3)
    shot = snapshot(view, pods=(current,))
    status = devbox_status(shot, compile_devbox(shot, settings), HasPod(1, 0, current), settings)
    assert (status.phase, conditions(status)["Ready"]) == (phase, ("False", reason))
    assert conditions(status)["Stalled"] == ("True", reason), "nothing follows by itself"
    assert conditions(status)["Reconciling"][0] == "False"


def test_a_container_that_gets_over_it_is_ready(snapshot: Any, pod: Any, devbox: Any, settings: Settings) -> None:
    view = devbox()
    current = pod(view, restarts=1, ran_for=1.0)
    shot = snapshot(view, pods=(current,), now=current.started + timedelta(seconds=11))
    status = devbox_status(shot, compile_devbox(shot, settings), HasPod(1, 0, current, DONE), settings)
    assert conditions(status)["PodReady"] == ("True", "Ready")


def test_what_a_running_pod_can_not_take_up_asks_for_a_restart(
    snapshot: Any, pod: Any, devbox: Any, settings: Settings
) -> None:
    view = devbox()
    current = pod(view, spec_hash="an older spec")
    shot = snapshot(view, pods=(current,))
    status = devbox_status(shot, compile_devbox(shot, settings), HasPod(1, 0, current, DONE), settings)
    assert conditions(status)["RestartRequired"] == ("True", "SpecChanged")
    assert conditions(status)["Ready"][0] == "True"


def test_a_grace_period_of_0_that_was_stored_before_counts_as_1_and_is_told(
    snapshot: Any, pod: Any, devbox: Any, settings: Settings
) -> None:
    for seconds, counts in ((0, 1), (1, 1), (60, 60)):
        view = devbox(spec={"terminationGracePeriodSeconds": seconds})
        shot = snapshot(view, pods=(pod(view),))
        desired = compile_devbox(shot, settings)
        status = devbox_status(shot, desired, HasPod(1, 0, pod(view), DONE), settings)
        accepted = next(c for c in status.conditions if c.type == "Accepted")
        told = "spec.terminationGracePeriodSeconds is 0, which counts as 1; write 1 or more"
        assert (accepted.status, accepted.message) == ("True", told if seconds == 0 else "")
        assert new_pod(shot, 1, settings)["spec"]["terminationGracePeriodSeconds"] == counts


def test_a_foreign_policy_is_named(snapshot: Any, pod: Any, devbox: Any, settings: Settings) -> None:
    view = devbox()
    current = pod(view)
    ours = PolicyView("team-a", current.name, (current.uid,), network.policy_spec("agent", "rel"))
    shot = snapshot(view, pods=(current,), policies=(ours, PolicyView("team-a", "allow-dns", (), {"egress": [{}]})))
    status = devbox_status(shot, compile_devbox(shot, settings), HasPod(1, 0, current, DONE), settings)
    confined = next(c for c in status.conditions if c.type == "EgressConfined")
    assert (confined.status, confined.reason) == ("False", "ForeignPolicy")
    assert "team-a/allow-dns" in confined.message
    assert conditions(status)["Ready"] == ("False", "ForeignPolicy")


def test_an_egress_policy_names_its_document(snapshot: Any, devbox: Any, egress: Any, settings: Settings) -> None:
    view = devbox(spec={"egressPolicyRef": {"name": "web"}})
    waits = compile_devbox(snapshot(view, egress=egress()), settings)
    assert (waits.egress, waits.missing, waits.complete) == ("egress-eg-1", ("egress-eg-1",), False)
    documents = {*snapshot().documents, "egress-eg-1"}
    assert compile_devbox(snapshot(view, egress=egress(), documents=documents), settings).complete
    assert compile_devbox(snapshot(), settings).egress is None, "without one, nothing waits"


@pytest.mark.parametrize(("found", "reason"), [(NOT_FOUND, "EgressPolicyNotFound"), (INVALID, "EgressPolicyNotAccepted")])
def test_an_egress_policy_that_can_not_be_used(
    snapshot: Any, devbox: Any, pod: Any, settings: Settings, *, found: str, reason: str
) -> None:
    """A new pod waits for it, as for anything else that is missing; one that runs goes on, with no other host to reach."""
    view = devbox(spec={"egressPolicyRef": {"name": "web"}})
    shot = snapshot(view, egress=found)
    desired = compile_devbox(shot, settings)
    assert (desired.egress, desired.complete) == (None, False)
    assert desired.step == Create(1, 0), "the pod is made, gated"
    status = devbox_status(shot, desired, HasPod(1, 0, pod(view), DONE), settings)
    assert conditions(status)["Accepted"] == conditions(status)["Ready"] == ("False", reason)
    assert conditions(status)["EgressConfined"] == ("True", "Confined")
    assert "EgressPolicy team-a/web" in next(c.message for c in status.conditions if c.type == "Ready")


def test_a_pod_that_devbox_init_holds_back(snapshot: Any, devbox: Any, pod: Any, settings: Settings) -> None:
    view = devbox()
    current = pod(view, phase="Pending", ready=False, started=None, init=InitView())
    shot = snapshot(view, pods=(current,))
    status = devbox_status(shot, compile_devbox(shot, settings), HasPod(1, 0, current, DONE), settings)
    ready = next(c for c in status.conditions if c.type == "Ready")
    assert (ready.reason, status.phase) == ("PodPending", "Starting")
    assert "devbox-init lets its agent run once the gateway answers" in ready.message
    refused = pod(view, phase="Pending", ready=False, started=None, init=InitView(refused=True))
    status = devbox_status(shot, compile_devbox(shot, settings), HasPod(1, 0, refused, DONE), settings)
    assert conditions(status)["Ready"] == ("False", "NotEnforced")
    assert conditions(status)["Stalled"] == ("True", "NotEnforced")


@pytest.mark.parametrize("namespace", ["kube-system", "kube-public", "rel", "rel-credentials"])
def test_no_devbox_is_made_where_the_system_or_the_release_is(
    snapshot: Any, devbox: Any, settings: Settings, namespace: str
) -> None:
    shot = snapshot(devbox(namespace=namespace))
    desired = compile_devbox(shot, settings)
    assert desired.refused is not None
    status = devbox_status(shot, desired, NoPod(0, 0), settings)
    assert conditions(status)["Accepted"] == conditions(status)["Ready"] == ("False", "NamespaceReserved")
    assert "in another namespace" in desired.refused.message


def test_a_refused_pod_shows_the_api_servers_words(snapshot: Any, settings: Settings) -> None:
    outcome = PodRefused(2, 0, Problem(Reason.POD_REFUSED, "exceeded quota: q"))
    shot = snapshot()
    status = devbox_status(shot, compile_devbox(shot, settings), outcome, settings)
    ready = next(c for c in status.conditions if c.type == "Ready")
    assert (ready.reason, ready.message) == ("PodRefused", "exceeded quota: q")


def test_an_installation_that_is_not_finished_is_not_the_users_fault(snapshot: Any, settings: Settings) -> None:
    shot = snapshot(system=System((), ""))
    status = devbox_status(shot, compile_devbox(shot, settings), NoPod(0, 0), settings)
    assert conditions(status)["Ready"] == ("False", "SystemNotReady")
    assert conditions(status)["Stalled"][0] == "False"


def test_times_move_and_events_come_on_transitions_alone(snapshot: Any, settings: Settings) -> None:
    shot = snapshot(secrets={("team-a", "anthropic"): NOT_FOUND})
    desired = compile_devbox(shot, settings)
    status = devbox_status(shot, desired, NoPod(1, 0), settings)
    about = Regarding("Devbox", "team-a", "agent", "u")
    first = events(about, (), status.conditions, shot.now)
    assert [event["reason"] for event in first] == ["SecretNotFound"]
    assert first[0]["type"] == "Warning"
    assert events(about, status.conditions, status.conditions, shot.now) == []
    later = shot.now + timedelta(minutes=1)
    findings = {"Ready": replace_status("True", Reason.READY)}
    (ready,) = merge(status.conditions, findings, 4, later)  # type: ignore[arg-type]
    assert ready.last_transition_time == "2026-11-23T12:01:00Z"
    (event,) = events(about, status.conditions, (ready,), later)
    assert (event["type"], event["reason"]) == ("Normal", "Ready")


def replace_status(status: str, reason: Reason) -> Any:
    from devbox_operator.report.conditions import Finding

    return Finding(status, reason)  # type: ignore[arg-type]


def test_conditions_carry_only_reasons_of_their_type(snapshot: Any, pod: Any, devbox: Any, settings: Settings) -> None:
    """(Ready, Stalled and Reconciling repeat another condition's reason; the page says so.)"""
    view = devbox()
    outcomes: list[Outcome] = [
        NoPod(0, 0),
        HasPod(1, 0, pod(view), DONE),
        HasPod(1, 0, pod(view), WAITS),
        PodPostponed(1, 1, None, "x"),
    ]
    for outcome in outcomes:
        shot = snapshot(view)
        for condition in devbox_status(shot, compile_devbox(shot, settings), outcome, settings).conditions:
            if condition.type not in ("Ready", "Stalled", "Reconciling"):
                assert condition.type in REASONS[Reason(condition.reason)].types, condition


@pytest.mark.row("S23")
def test_a_size_that_the_chart_lacks_is_said_with_those_that_it_has(snapshot: Any, devbox: Any, settings: Settings) -> None:
    some = settings.model_copy(update={"devboxes": Devboxes(sizes={"SMALL": Size(), "LARGE": Size()})})
    assert compile_devbox(snapshot(devbox(spec={"resourceSize": "LARGE"})), some).refused is None
    for chosen, words in ((some, "known are SMALL, LARGE"), (settings, "there are none")):
        refused = compile_devbox(snapshot(devbox(spec={"resourceSize": "HUGE"})), chosen).refused
        assert refused is not None
        assert refused.reason == Reason.SIZE_UNKNOWN
        assert f"no size HUGE (spec.resourceSize); {words}" in refused.message


def test_a_devbox_without_an_image_needs_a_default_one(snapshot: Any, pod: Any, devbox: Any, settings: Settings) -> None:
    some = settings.model_copy(update={"devboxes": Devboxes(default_image="r.example/devbox:1")})
    other = settings.model_copy(update={"devboxes": Devboxes(default_image="r.example/devbox:2")})
    view = devbox(spec={"image": None}, status={"incarnation": 1}, annotations={"devbox-gateway.io/restarted-at": "1"})
    missing = compile_devbox(snapshot(view), settings)
    assert missing.refused is not None
    assert missing.refused.reason == Reason.IMAGE_MISSING
    assert "set spec.image" in missing.refused.message
    assert "devboxes.defaultImage" in missing.refused.message
    desired = compile_devbox(snapshot(view), some)
    assert desired.refused is None
    runs = pod(view, spec_hash=desired.spec_hash, spec_fields=desired.spec_fields)
    assert isinstance(compile_devbox(snapshot(view, pods=(runs,)), some).step, lifecycle.Replace), "a restart was asked for"
    assert compile_devbox(snapshot(view, pods=(runs,)), settings).step == Keep(runs), "and waits where no other could follow"
    current = replace(runs, restarted_at="1")
    shot = snapshot(view, pods=(current,))
    for chosen, expected in ((some, "False"), (other, "True")):
        desired = compile_devbox(shot, chosen)
        assert desired.step == Keep(current), "it goes on"
        found = {c.type: c for c in devbox_status(shot, desired, HasPod(1, 0, current, DONE), chosen).conditions}
        assert found["RestartRequired"].status == expected
    assert found["RestartRequired"].message.startswith("the chart's default image changed after pod")


def test_a_secret_that_the_agent_may_not_read_holds_up_a_new_pod(
    snapshot: Any, pod: Any, devbox: Any, secret: Any, settings: Settings
) -> None:
    view = devbox(spec={"secretEnv": [{"name": "PASSWORD", "secretRef": {"name": "anthropic"}}]}, status={"incarnation": 1})
    desired = compile_devbox(snapshot(view), settings)
    assert [problem.reason for problem in desired.problems] == [Reason.SECRET_GRANTED], (
        "a gateway uses it, so it is the gateway's"
    )
    assert (desired.complete, desired.secret_env.given) == (False, {})
    plain = devbox(spec={"gateways": [], "secretEnv": view.box.spec.secret_env}, status={"incarnation": 1})
    readable = replace(secret(grant=None), mountable=True, values={"api-key": Redacted("aHVudGVyMg==")})
    shot = snapshot(plain, secrets={("team-a", "anthropic"): readable})
    desired = compile_devbox(shot, settings)
    assert desired.complete
    assert desired.secret_env.given["PASSWORD"].reveal() == "aHVudGVyMg=="
    assert "aHVud" not in repr(desired)
    current = pod(plain, spec_hash=desired.spec_hash, spec_fields=desired.spec_fields)
    shot = replace(shot, pods=(current,))
    for changed, expected in (((), ("False", "UpToDate")), (("PASSWORD",), ("True", "SecretChanged"))):
        outcome = HasPod(1, 0, current, replace(DONE, changed=changed))
        status = devbox_status(shot, compile_devbox(shot, settings), outcome, settings)
        assert conditions(status)["RestartRequired"] == expected
        assert conditions(status)["Ready"] == ("True", "Ready")
    message = next(c.message for c in status.conditions if c.type == "RestartRequired")
    assert "PASSWORD" in message
    assert "kubectl -n team-a annotate dbx agent devbox-gateway.io/restarted-at=" in message
