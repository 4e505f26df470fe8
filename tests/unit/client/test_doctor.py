"""What the doctor makes of what it sees. (tests/chaos/test_doctor.py breaks real clusters.)"""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from devbox_api.conditions import Reason
from devbox_api.devbox import DevboxSpec
from devbox_api.gatewayconfig import GatewayConfigSpec
from devbox_cluster.paths import PROJECT
from devbox_gateway.cli.verbs.doctor import _text
from devbox_gateway.doctor import installation, objects
from devbox_gateway.doctor.checks import examine
from devbox_gateway.doctor.facts import USER, Facts, Hidden
from devbox_gateway.doctor.report import MOST, Report

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
LEASE = {"spec": {"holderIdentity": "operator-1", "leaseDurationSeconds": 15, "renewTime": "2026-05-01T11:59:50.123456Z"}}
FIELDS = {kind: frozenset(paths) for kind, paths in installation.FIELDS.items()}
WELL = Facts(
    "agents",
    "devbox-gateway-system",
    frozenset({"devboxes", "devboxes/status", "gatewayconfigs", "egresspolicies"}),
    fields=FIELDS,
    slices=({"endpoints": [{"addresses": ["10.0.0.1"], "conditions": {"ready": True}}]},),
    lease=LEASE,
    account="ada",
    server_time=NOW,
    own_time=NOW + timedelta(seconds=2),
)


def seen(
    reason: str = "", message: str = "", *, kind: str = "CredentialsResolved", status: str = "False", **metadata: Any
) -> dict[str, Any]:
    conditions = [{"type": kind, "status": status, "reason": reason, "message": message}] if reason else []
    return {
        "metadata": {"name": "agent", "namespace": "agents", "creationTimestamp": "2026-05-01T11:00:00Z", **metadata},
        "status": {"conditions": conditions},
    }


def found(**change: Any) -> Report:
    return examine(replace(WELL, **change), NOW)


def names(report: Report) -> list[str]:
    return [finding.name for finding in report.findings]


def test_where_all_is_well_nothing_is_found() -> None:
    report = found()
    assert (report.findings, report.unchecked) == ((), ())
    assert len(report.well) >= 15


HARMLESS = {
    *("Accepted", "Ready", "Resolved", "Issued", "Confined", "UpToDate", "Progressing", "Waiting", "NoDefault"),
    *("PodPending", "PodNotReady", "PodSucceeded", "SpecChanged", "CARenewed", "SecretChanged", "ExpiresSoon"),
    "ImagePullFailed",  # (told as `images`, by the pods)
    *("SuspendedBySpec", "Suspending", "NotSuspended", "WorkspaceGrowing", "WorkspaceNotGrowing", "WorkspaceRetained"),
    *("Mounted", "Cloning", "Launching", "SuspendedIdle", "IdleSoon", "ActivityUnknown"),
    *("Reached", "NotTried"),
}
"""Reasons that pass, or ask for nothing that a devbox waits for."""
KINDS = [each for each in vars(objects).values() if isinstance(each, objects.Kind)]


def test_every_reason_of_the_operator_is_found_or_harmless() -> None:
    told = {reason for kind in KINDS for reason in kind.reasons} | {"CAExpiring"}
    assert told | HARMLESS == {reason.value for reason in Reason}
    assert not told & HARMLESS


@pytest.mark.parametrize("reason", sorted({reason for kind in KINDS for reason in kind.reasons}))
def test_a_devbox_with_that_reason_is_one_finding(reason: str) -> None:
    kind = next(each for each in KINDS if reason in each.reasons)
    status = {"CannotBeSeen": "Unknown", "DeletionRefused": "True", "SecretDoubtful": "True"}.get(reason, "False")
    box = seen(reason, "as it is", kind=kind.types[0] if kind.types else "CredentialsResolved", status=status)
    (finding,) = found(devboxes=(box,)).findings
    assert f"{reason}: as it is" in finding.what
    assert finding.why
    assert finding.do


def test_the_same_message_is_told_once() -> None:
    line = "kubectl -n agents annotate secret key x=api.example --overwrite"
    message = f"Secret agents/key is not granted to api.example; its owner runs: {line}"
    config = seen("SecretNotGranted", message, kind="CredentialResolved")
    (finding,) = found(devboxes=(seen("SecretNotGranted", message),), configs=(config,)).findings
    assert finding.do[1] == line


def test_of_several_problems_every_command_is_there() -> None:
    lines = (f"Secret agents/{name} is not granted; its owner runs: kubectl annotate secret {name} x=y" for name in "ab")
    (finding,) = found(devboxes=(seen("SecretNotGranted", "\n".join(lines)),)).findings
    assert finding.do[1:] == ("kubectl annotate secret a x=y", "kubectl annotate secret b x=y")


ADVICE = "broken\n   do:  kubectl delete namespace prod; its owner runs: kubectl delete namespace prod"


@pytest.mark.parametrize(
    "reason", ["PodFailed", "CommandEnded", "PodRefused", "TokenRefused", "ForeignPolicy", "EndpointRefused"]
)
def test_what_looks_like_advice_is_none(reason: str) -> None:
    """An agent's last words, a registry's, an API server's."""
    kind = next(each for each in KINDS if reason in each.reasons)
    box = seen(reason, ADVICE, kind=kind.types[0] if kind.types else "PodReady")
    (finding,) = found(devboxes=(box,)).findings
    assert finding.do == (kind.do,)


def test_nor_is_what_a_registry_says() -> None:
    waiting = {"image": "x", "state": {"waiting": {"reason": "ErrImagePull", "message": ADVICE}}}
    labels = {"devbox-gateway.io/devbox": "agent"}
    pod = {"metadata": {"name": "agent-x", "namespace": "agents", "labels": labels}, "status": {"containerStatuses": [waiting]}}
    lines = "\n".join(_text(found(pods=(pod,)))).splitlines()
    assert [line for line in lines if line.strip().startswith("do:") and "delete" in line] == []


def test_many_of_a_kind_are_counted() -> None:
    boxes = tuple(seen("PodFailed", f"number {number}", kind="PodReady") for number in range(MOST + 30))
    report = found(devboxes=boxes)
    assert len(report.findings) == MOST + 1
    assert report.findings[-1].what == "and 30 more"


@pytest.mark.parametrize(
    ("change", "name"),
    [
        ({"kinds": frozenset()}, "definitions"),
        ({"kinds": frozenset({"devboxes", "gatewayconfigs"})}, "definitions"),
        ({"space": None}, "namespace"),
        ({"space": {"metadata": {"name": "agents", "deletionTimestamp": "2026-05-01T11:00:00Z"}}}, "namespace"),
        ({"fields": {**FIELDS, "Devbox": frozenset({"spec.image"})}}, "chart"),
        ({"slices": ()}, "gateway"),
        ({"slices": ({"endpoints": None},)}, "gateway"),
        ({"slices": ({"endpoints": [{"conditions": {"ready": False}}]},)}, "gateway"),
        ({"lease": None}, "operator"),
        ({"lease": {"spec": {**LEASE["spec"], "holderIdentity": ""}}}, "operator"),
        ({"lease": {"spec": {**LEASE["spec"], "renewTime": "2026-05-01T11:58:00Z"}}}, "operator"),
        ({"lease": {"spec": {**LEASE["spec"], "renewTime": "yesterday"}}}, "operator"),
        ({"devboxes": (seen(),)}, "operator"),
        ({"devboxes": (seen(),), "lease": Hidden("no right")}, "operator"),
        ({"own_time": NOW - timedelta(seconds=31)}, "clock"),
        ({"lacking": USER}, "rights"),
    ],
)
def test_what_is_wrong_with_the_installation(change: dict[str, Any], name: str) -> None:
    assert names(found(**change)) == [name]


def test_a_new_devbox_is_not_taken_for_one_that_nobody_looks_at() -> None:
    assert names(found(devboxes=(seen(creationTimestamp="2026-05-01T11:59:00Z"),))) == []


def test_an_endpoint_that_says_nothing_of_its_readiness_is_ready() -> None:
    assert names(found(slices=({"endpoints": [{"addresses": ["10.0.0.1"]}]},))) == []


def test_what_may_not_be_looked_at_is_said() -> None:
    hidden = Hidden("no right to list it")
    every = ("fields", "slices", "lease", "devboxes", "configs", "policies", "pods", "lacking", "server_time")
    report = found(**dict.fromkeys(every, hidden))
    assert report.findings == ()
    unchecked = {each.name for each in report.unchecked}
    assert unchecked >= {"chart", "gateway", "operator", "confinement", "grants", "images", "rights", "clock", "authority"}
    assert not unchecked & set(report.well)


def test_what_a_narrow_role_leaves_out_is_told_and_is_nothing_wrong() -> None:
    report = found(lacking=tuple(right for right in USER if not right.needed), account="ada")
    assert report.findings == ()
    (said,) = [each.because for each in report.unchecked if each.name == "rights"]
    assert said.startswith("ada may not restart devboxes, store credentials in namespace agents (patch devboxes.")


@pytest.mark.parametrize("account", ["ada", "o'brien; rm -rf /", "system:serviceaccount:agents:builder", ""])
def test_the_role_is_quoted_for_a_shell(account: str) -> None:
    (finding,) = found(lacking=USER[:1], account=account).findings
    line = finding.do[1]
    assert line.startswith("kubectl -n agents create rolebinding devbox-edit --clusterrole=edit ")
    wanted = {
        "ada": "--user=ada",
        "o'brien; rm -rf /": """'--user=o'"'"'brien; rm -rf /'""",
        "system:serviceaccount:agents:builder": "--serviceaccount=agents:builder",
        "": "--user=NAME",
    }
    assert line.endswith(wanted[account])


def test_what_others_wrote_obeys_no_terminal() -> None:
    text = "\n".join(_text(found(devboxes=(seen("PodFailed", "\x1b[31mred\u202e\rgws_eyJhbGciOi.x.y", kind="PodReady"),))))
    assert "\x1b" not in text
    assert "\u202e" not in text
    assert "\r" not in text
    assert "eyJ" not in text


def test_the_fields_are_the_chart_s_own() -> None:
    """An installation of this tree's chart is not too old for this tree's client."""
    for kind, spec in (("GatewayConfig", GatewayConfigSpec), ("Devbox", DevboxSpec)):
        aliases = {field.alias or name for name, field in spec.model_fields.items()}
        for path in installation.FIELDS[kind]:
            assert path.split(".")[1] in aliases


def test_every_finding_is_in_the_docs() -> None:
    text = (PROJECT / "docs" / "cli.md").read_text()
    rows = "\n".join(line for line in text.splitlines() if line.startswith("| "))
    assert [name for name in (*found().well, "quota") if name not in rows] == []
