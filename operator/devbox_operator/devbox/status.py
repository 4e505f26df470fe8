"""A Devbox's status, from what was observed and done. Pure.

Goes in: snapshot, desired state, outcome. Comes out: a `DevboxStatus`.
"""

import re
from collections.abc import Sequence
from typing import Any, Final

from devbox_api.conditions import ConditionType, Reason
from devbox_api.devbox import DevboxGatewayStatus, DevboxSpec, DevboxStatus
from devbox_api.judge.shown import command
from devbox_api.names import INIT_CONTAINER, RESTARTED_AT_ANNOTATION
from devbox_operator.attach.confinement import Confinement, confinement
from devbox_operator.attach.wanted import Attachment
from devbox_operator.devbox import claim, idleness, launching, lifecycle, lifetime, mounted, starting, suspension
from devbox_operator.devbox.compile import DesiredState
from devbox_operator.devbox.environment import gateway_url
from devbox_operator.devbox.idleness import Idleness
from devbox_operator.devbox.lifetime import Lifetime
from devbox_operator.devbox.lingering import Ending, endings, silence
from devbox_operator.devbox.outcome import (
    AtRest,
    HasPod,
    NoPod,
    Outcome,
    PodLeft,
    PodPostponed,
    PodRefused,
    PodReplaced,
    attached_of,
    pod_of,
)
from devbox_operator.devbox.pod import grace
from devbox_operator.devbox.starting import QUICK
from devbox_operator.kit.encoding import format_time
from devbox_operator.report.authority import ending, outlived
from devbox_operator.report.conditions import Finding, bad, from_doubts, from_problems, good, merge, summarise, unknown
from devbox_operator.report.problem import Problem
from devbox_operator.seen.pods import PodView
from devbox_operator.seen.snapshot import Snapshot
from devbox_operator.settings import Settings

_FIELD: Final = re.compile(r"spec\.[A-Za-z]{1,64}")
_C = ConditionType
_SOMEBODYS: Final = frozenset({Reason.FOREIGN_POLICY, Reason.NOT_ENFORCED, Reason.FOREIGN_IMAGE, Reason.CANNOT_BE_SEEN})
"""Reasons of EgressConfined for which somebody has to do something."""


def devbox_status(
    snapshot: Snapshot,
    desired: DesiredState,
    outcome: Outcome,
    settings: Settings,
    life: Lifetime | None = None,
    *,
    idle: Idleness | None = None,
) -> DevboxStatus:
    """The whole status. `life`: of one that ends by itself; `idle`: of one that something becomes of when nobody works in it."""
    box, pod, attached = snapshot.devbox.box, pod_of(outcome), attached_of(outcome)
    in_force = attached is not None and attached.confined
    confined = confinement(pod, snapshot.policies, settings, in_force=in_force, visibility=snapshot.system.visibility)
    last = outcome.why if isinstance(outcome, PodLeft) else suspension.NONE_FOLLOWS if isinstance(outcome, AtRest) else ""
    end = endings(snapshot, settings, last).of(pod, snapshot.now) if pod is not None and pod.deleting else None
    refused = [problem for problem in (desired.refused, desired.egress_problem) if problem]
    findings: dict[ConditionType, Finding] = {
        _C.ACCEPTED: from_problems(refused, claim.remark(snapshot) or good(Reason.ACCEPTED, _remark(box.spec, life, idle))),
        _C.CREDENTIALS_RESOLVED: from_problems(desired.problems, from_doubts(desired.doubts, good(Reason.RESOLVED))),
        _C.TOKENS_ISSUED: _tokens(outcome),
        _C.EGRESS_CONFINED: confined.finding,
        _C.POD_READY: _pod_ready(snapshot, desired, outcome, end),
        _C.RESTART_REQUIRED: _restart(snapshot, desired, pod, attached.changed if attached else ()),
    }
    code = mounted.finding(box.spec, pod, desired.mount_problem)
    if code is not None:
        findings[_C.CODE_MOUNTED] = code
    blocking = (_C.EGRESS_CONFINED,) if confined.blocks else ()
    mounts = (_C.CODE_MOUNTED,) if mounted.needed(box.spec, pod) else ()
    needed = (_C.ACCEPTED, _C.CREDENTIALS_RESOLVED, _C.TOKENS_ISSUED, *blocking, *mounts, _C.POD_READY)
    if not snapshot.system.ready and pod is None:
        # Nothing that the user wrote is at fault.
        findings[_C.POD_READY] = bad(Reason.WAITING, "the gateway's Service or certificate is not there yet")
    if isinstance(outcome, AtRest):
        suspension.judge(findings, snapshot.devbox, outcome, end)
    else:
        over = _over(snapshot, outcome) or (end is not None and end.stuck)
        summarise(
            findings,
            needed,
            stalled=over
            or _stalled(desired, findings, confined)
            or mounted.stalled(pod, outcome.failures)
            or launching.stalled(pod)
            or starting.stalled(pod, snapshot.now),
        )
        if not snapshot.system.ready and findings[_C.READY].reason == Reason.WAITING:
            findings[_C.READY] = bad(Reason.SYSTEM_NOT_READY, findings[_C.POD_READY].message)
        suspension.remark(findings, snapshot.devbox)
    if found := ending(snapshot.system.authority, settings.release_namespace, snapshot.now):
        findings[_C.TRUST_ENDING] = found
    findings |= idleness.findings(snapshot.devbox, idle)
    findings |= lifetime.findings(snapshot.devbox, life)
    expires = attached.expires if attached else {}
    return DevboxStatus(
        observed_generation=box.generation,
        phase=_phase(snapshot, findings, outcome),
        incarnation=outcome.incarnation or None,
        pod_name=pod.name if pod else (box.status.pod_name if isinstance(outcome, PodPostponed) else None),
        pod_uid=pod.uid if pod else None,
        pod_ips=pod.ips if pod else (),
        failures=outcome.failures or None,
        suspended_by=snapshot.devbox.suspended_by if isinstance(outcome, AtRest) else None,
        suspended_at=_suspended_at(snapshot, outcome),
        resumed_at=box.status.resumed_at if isinstance(outcome, AtRest) and snapshot.devbox.suspended_by == "Idle" else None,
        last_activity=idleness.last_activity(snapshot.devbox, pod, idle),
        expires_at=life.ends_at if life else None,
        kept_alive=(life and life.ahead) or (idle and idle.ahead) or None,
        gateways=tuple(
            DevboxGatewayStatus(
                name=binding.name,
                url=gateway_url(settings.release_namespace),
                endpoint=binding.endpoint,
                expires_at=format_time(expires[binding.name]) if binding.name in expires else None,
            )
            for binding in desired.bindings
        ),
        workspace=claim.status(snapshot),
        gateway_names=",".join(binding.name for binding in desired.bindings) or None,
        conditions=merge(box.status.conditions, findings, box.generation, snapshot.now),
    )


def _suspended_at(snapshot: Snapshot, outcome: Outcome) -> str | None:
    if not (isinstance(outcome, AtRest) and outcome.done):
        return None
    return snapshot.devbox.box.status.suspended_at or format_time(snapshot.now)


def _remark(spec: DevboxSpec, life: Lifetime | None, idle: Idleness | None) -> str:
    """What of an accepted Devbox is not taken as it is written."""
    said = (life.remark if life else "", *(idle.remarks if idle else ()))
    remarks = [remark for remark in dict.fromkeys(said) if remark]
    if (written := spec.termination_grace_period_seconds) not in (None, grace(spec)):
        remarks.append(f"spec.terminationGracePeriodSeconds is {written}, which counts as {grace(spec)}; write 1 or more")
    return "; ".join(remarks)


def _tokens(outcome: Outcome) -> Finding:
    attached, pod = attached_of(outcome), pod_of(outcome)
    if attached is None:
        if pod is None:
            return bad(Reason.WAITING, "there is no pod yet that tokens could be bound to")
        ended = pod.ended or pod.deleting
        return bad(Reason.WAITING, "the pod ended" if ended else "see the condition Accepted")
    if attached.problem:
        return bad(attached.problem.reason, attached.problem.message)
    if not attached.issued:
        return bad(Reason.WAITING, "tokens are issued when every credential is resolved")
    return good(Reason.ISSUED)


def _pod_ready(snapshot: Snapshot, desired: DesiredState, outcome: Outcome, end: Ending | None) -> Finding:
    match outcome:
        case PodRefused(problem=refused):
            return bad(refused.reason, refused.message)
        case PodPostponed(pod=pod, why=why):
            if pod is None:
                return unknown(Reason.POD_FAILED, why)
            return claim.unusable(snapshot, pod) or starting.failure(pod) or bad(Reason.POD_FAILED, why)
        case NoPod(why=why) | PodLeft(pod=None, why=why) | AtRest(pod=None, why=why):
            return bad(Reason.WAITING, why or "see the other conditions")
        case PodReplaced(why=why) if end is not None:
            return bad(end.reason, f"{why}: {end.message}")
        case HasPod(attached=Attachment(refused=Problem() as refused)):
            return bad(refused.reason, refused.message)
        case PodReplaced(pod=pod) | PodLeft(pod=pod) | AtRest(pod=pod) | HasPod(pod=pod):
            assert pod is not None  # noqa: S101 (LeftAlone's, above)
            return bad(end.reason, end.message) if end else _of_pod(snapshot, desired, pod, attached_of(outcome))


def _of_pod(snapshot: Snapshot, desired: DesiredState, pod: PodView, attached: Attachment | None) -> Finding:
    """PodReady of one that is not being deleted."""
    if (unusable := claim.unusable(snapshot, pod)) is not None:
        return unusable
    if pod.phase == "Succeeded":
        return bad(Reason.POD_SUCCEEDED, f"the command of pod {pod.name} ended, and restartPolicy says that this is the end")
    if (cannot := launching.failure(pod) or starting.failure(pod)) is not None:
        return cannot
    if pod.phase == "Failed":
        return bad(Reason.POD_FAILED, f"pod {pod.name} failed: {pod.trouble or starting.ended(pod)}")
    if ended_quickly(snapshot, pod):
        return starting.ends_at_once(pod)
    if pod.ready:
        return claim.running(snapshot, pod)
    if pod.gated and not (attached and attached.opened):
        missing = f" ({', '.join(desired.missing)})" if desired.missing else ""
        return bad(Reason.WAITING, f"pod {pod.name} is gated until credentials and tokens are there{missing}")
    if (kept := claim.pending(snapshot, pod)) is not None:
        return kept
    if pod.preparing_confinement:
        starts = f"pod {pod.name} starts; {INIT_CONTAINER} lets its agent run once the gateway answers and nothing else does"
        return bad(Reason.POD_PENDING, pod.trouble or starts)
    if pod.node in snapshot.silent:
        said = f"node {pod.node} of pod {pod.name} {silence(snapshot.silent[pod.node])}"
        return bad(Reason.NODE_LOST, f"{said}; Kubernetes gives up on its pods after the time that they tolerate that")
    if pod.phase == "Running":
        last = f"the container of pod {pod.name} is not ready"
        if pod.trouble:
            last = f"{pod.trouble}; its last run ended with {starting.ended(pod)}" if pod.exit_code else pod.trouble
        return launching.progress(pod) or bad(Reason.POD_NOT_READY, last)
    return bad(Reason.POD_PENDING, pod.trouble or f"pod {pod.name} starts")


def ended_quickly(snapshot: Snapshot, pod: PodView) -> bool:
    """Restarted again and again, each time soon after its start; one that runs for longer now is over it."""
    if not pod.restarts or pod.ran_for is None or pod.ran_for >= QUICK.total_seconds():
        return False
    return not pod.ready or pod.started is None or snapshot.now - pod.started < QUICK


def _restart(snapshot: Snapshot, desired: DesiredState, pod: PodView | None, secret_env: Sequence[str]) -> Finding:
    box = snapshot.devbox.box
    if pod is None or pod.gated or pod.ended or pod.deleting:
        return bad(Reason.UP_TO_DATE, "")
    annotate = command("kubectl", "-n", box.namespace, "annotate", "dbx", box.name)
    annotate += f" {RESTARTED_AT_ANNOTATION}=$(date +%s) --overwrite"
    if pod.spec_hash == desired.spec_hash and secret_env:
        what = f"the Secrets of {', '.join(secret_env)} (spec.secretEnv) changed after pod {pod.name} was given them; to take it up: "
        return good(Reason.SECRET_CHANGED, f"{what}{annotate}")
    if pod.spec_hash == desired.spec_hash:
        end = outlived(snapshot.system.authority, pod, snapshot.now)
        if end is None:
            return bad(Reason.UP_TO_DATE, "")
        return good(
            Reason.CA_RENEWED,
            f"the gateway's certificate authority was renewed after pod {pod.name} was made, and what the pod trusts ends on "
            f"{end:%Y-%m-%d}; to take it up: {annotate}",
        )
    was, wanted = pod.spec_fields, desired.spec_fields
    differ = [field for field in sorted(was.keys() | wanted.keys()) if was and was.get(field) != wanted.get(field)]
    # What was is read from the pod's annotation, where others may write what is no field.
    changed = [field for field in differ if field in wanted or _FIELD.fullmatch(field)]
    what = f"{', '.join(changed) or 'the spec'} changed after pod {pod.name} was made; to take it up: "
    return good(Reason.SPEC_CHANGED, f"{what}{annotate}")


def _stalled(desired: DesiredState, findings: dict[ConditionType, Finding], confined: Confinement) -> bool:
    user = {Reason.POD_REFUSED, Reason.COMMAND_ENDED, Reason.TOKEN_REFUSED}
    user |= {Reason.STORAGE_CLASS_NOT_FOUND, Reason.WORKSPACE_NOT_WRITABLE}
    if desired.refused or desired.problems or desired.egress_problem or desired.mount_problem:
        return True
    if confined.blocks and confined.finding.reason in _SOMEBODYS:
        return True
    return any(finding.status == "False" and finding.reason in user for finding in findings.values())


def _over(snapshot: Snapshot, outcome: Outcome) -> bool:
    """Nothing follows by itself: the command ended, well or not, and restartPolicy says that this is the end."""
    view, pod = snapshot.devbox, pod_of(outcome)
    if view.deleting:
        return False
    return isinstance(outcome, PodLeft) or (pod is not None and pod.ended and lifecycle.final(view, pod))


def _phase(snapshot: Snapshot, findings: dict[ConditionType, Finding], outcome: Outcome) -> Any:
    pod, attached = pod_of(outcome), attached_of(outcome)
    if snapshot.devbox.deleting:
        return "Terminating"
    if isinstance(outcome, AtRest):
        return "Suspended" if outcome.done else "Suspending"
    if pod and pod.deleting:
        # (It is the pod that goes, and another one follows.)
        return "Terminating" if isinstance(outcome, PodLeft) else "Restarting"
    if pod is None:
        return snapshot.devbox.box.status.phase if isinstance(outcome, PodLeft) else "Pending"
    if pod.ended:
        done = lifecycle.final(snapshot.devbox, pod)
        return pod.phase if done else "Pending"
    if pod.gated and not (attached and attached.opened):
        return "Pending"
    if mounted.at_work(pod):
        return "Mounting"
    return "Running" if findings[_C.POD_READY].status == "True" else "Starting"
