"""The condition CodeMounted: what is said of a devbox's repositories.

Goes in: a spec, its pod, the endpoints of its gateways. Comes out: a `Problem` or a `Finding`. Pure. Words of git, of servers and of
install commands stand in lines of their own behind `>`, so that none looks like advice of ours.
"""

import re
from collections.abc import Mapping
from typing import Final

from devbox_api import names
from devbox_api.conditions import Reason
from devbox_api.devbox import DevboxSpec
from devbox_api.judge import mounts
from devbox_api.judge.endpoints import parse_endpoint
from devbox_api.judge.shown import command, one_line
from devbox_operator.report.conditions import Finding, bad, from_problems, good
from devbox_operator.report.problem import Problem
from devbox_operator.seen.pods import PodView

TRIES: Final = 3
"""Failures in a row after which somebody has to do something, though it is tried again."""
_NO_ROOM: Final = re.compile(r"no space left on device|disk quota exceeded", re.IGNORECASE)
_FULL: Final = (
    "a disk was full: give the workspace more room (spec.workspace.size), or let installCommand remove first what it left there"
)
"""(What devbox-clone says of that, it says itself.)"""
_STARVED: Final = {
    Reason.CLONE_FAILED: "it ran out of memory: clone less (codeMounts[].depth: 1, or no submodules and no lfs)",
    Reason.INSTALL_FAILED: "it ran out of memory: give the devbox more (spec.resources.limits, spec.resourceSize)",
}


def mismatch(spec: DevboxSpec, endpoints: Mapping[str, str | None]) -> Problem | None:
    """A gateway that does not lead to the repository's host: it would be asked for another one's. `endpoints`: by the gateway's name; None
    while it is not known."""
    for mount in spec.code_mounts:
        endpoint = endpoints.get(mount.gateway or "")
        if endpoint is None:
            continue
        try:
            why = mounts.mismatch(mounts.check_repository(mount.repository), parse_endpoint(endpoint))
        except ValueError as error:  # stored before a rule existed
            why = str(error)
        if why is not None:
            advice = "name a gateway whose GatewayConfig has the repository's own host as its endpoint, or correct the address"
            return Problem(Reason.REPOSITORY_MISMATCH, f"code mount {mount.name}: {why}; {advice}")
    return None


def needed(spec: DevboxSpec, pod: PodView | None) -> bool:
    """The agent waits for it. (A pod that was made before the spec had code mounts runs without them.)"""
    return bool(spec.code_mounts) and (pod is None or pod.mounts is not None)


def at_work(pod: PodView) -> bool:
    """Code is being mounted: the phase says so."""
    return pod.held and pod.mounts is not None and not pod.mounts.done and not pod.preparing_confinement


def stalled(pod: PodView | None, failures: int) -> bool:
    """It failed again and again, in this pod or in one after another. `failures`: pods that did, in a row."""
    if pod is None or not pod.held or pod.mounts is None or not pod.mounts.failed:
        return False
    return max(pod.mounts.failures, failures) >= TRIES


def finding(spec: DevboxSpec, pod: PodView | None, problem: Problem | None) -> Finding | None:
    """None: there is nothing to be mounted."""
    if not spec.code_mounts:
        return None
    found = pod.mounts if pod else None
    if pod is not None and not pod.gated and found is None:
        return bad(
            Reason.WAITING, f"pod {pod.name} was made before the spec had code mounts; they are mounted when it is restarted"
        )
    if pod is not None and (pod.started is not None or (found is not None and found.done)):
        return good(Reason.MOUNTED)
    if problem is not None:
        return from_problems([problem], good(Reason.MOUNTED))
    if pod is None or pod.gated or found is None:
        return bad(Reason.WAITING, "code is mounted when the pod has what it needs")
    if found.failed:
        look = command("kubectl", "-n", pod.namespace, "logs", pod.name, "-c", found.failed)
        reason = Reason.CLONE_FAILED if found.failed == names.CLONE_CONTAINER else Reason.INSTALL_FAILED
        why = f"; {_FULL}" if reason == Reason.INSTALL_FAILED and _NO_ROOM.search(found.words) else ""
        why = f"; {_STARVED[reason]}" if found.starved else why
        ours = f"{found.failed} of pod {pod.name} failed, and is tried again{why}; all that it said: {look}"
        # (The cause first: tables and terminals cut what is long.)
        said = [f"> {one_line(line)}" for line in found.words.splitlines()]
        return Finding("False", reason, "\n".join((*said, one_line(ours))))
    if pod.preparing_confinement:
        return bad(Reason.WAITING, f"code is mounted once {names.INIT_CONTAINER} has let it")
    what = "install commands run" if found.cloned else "repositories are cloned"
    return bad(Reason.CLONING, f"{what} in pod {pod.name}, before its agent starts")
