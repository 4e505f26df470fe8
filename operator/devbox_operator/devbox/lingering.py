"""A pod that is being deleted and does not go: what that waits for, until when, and whether the next one may be made beside it.

Goes in: the pod, the nodes whose kubelet is not heard, what the next pod would mount, the time. Comes out: an `Ending`. Pure.

Who deletes a pod gives its processes a time to end, and the node says when they have. A node that is lost says nothing, and the pod's
object stays until the node is back or its Node object goes, which may be never. The next pod has another name and other tokens, the
gateway serves nobody whose deletion has begun, and the NetworkPolicies hold both: so it is made after a bound, unless both would write to
one claim.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from devbox_api.conditions import Reason
from devbox_api.judge.shown import command
from devbox_operator.kit.encoding import format_time
from devbox_operator.seen.claims import claim_name
from devbox_operator.seen.pods import PodView
from devbox_operator.seen.snapshot import Snapshot
from devbox_operator.settings import Settings


@dataclass(frozen=True)
class Ending:
    """How far a pod's end is."""

    reason: Reason
    message: str
    follows: bool = False
    """The next pod is made now, though this one is still there."""
    stuck: bool = False
    """It goes on like this until somebody does something."""
    again: datetime | None = None
    """When there is something else to say."""


@dataclass(frozen=True)
class Endings:
    """What is known about the ends of one Devbox's pods."""

    silent: Mapping[str, datetime | None] = field(default_factory=dict)
    """Snapshot.silent."""
    claims: frozenset[str] = frozenset()
    """That the next pod mounts."""
    bound: timedelta = timedelta(seconds=60)
    """How long after its time a pod is waited for."""
    last: str = ""
    """Why no pod follows; empty: one does."""

    def shared(self, pod: PodView) -> frozenset[str]:
        """Claims that the next pod would write to while processes of this one may."""
        if not pod.node or pod.ended:
            return frozenset()
        return self.claims if pod.claims is None else self.claims & pod.claims

    def of(self, pod: PodView, now: datetime) -> Ending:
        """Of a pod that is being deleted."""
        if pod.ends is None or now < pod.ends:
            by = f", at {format_time(pod.ends)} at the latest" if pod.ends else ""
            return Ending(Reason.WAITING, f"pod {pod.name} ends{by}{self._then()}", again=pod.ends)
        if pod.node in self.silent and not pod.ended:
            return self._lost(pod, pod.ends + self.bound, now)
        return self._late(pod, pod.ends, now)

    def _then(self, at: datetime | None = None) -> str:
        if self.last:
            return f"; {self.last}"
        return f"; a new one follows, at {format_time(at)} at the latest" if at else "; a new one follows"

    def _lost(self, pod: PodView, at: datetime, now: datetime) -> Ending:
        """Nobody is there to end it."""
        shared = sorted(self.shared(pod))
        message = f"node {pod.node} {silence(self.silent[pod.node])}, and nobody else can end pod {pod.name}"
        if not shared and not self.last:
            return Ending(Reason.NODE_LOST, f"{message}{self._then(at)}", follows=now >= at, again=None if now >= at else at)
        why = self._then() if self.last else f", which may still write to PersistentVolumeClaim {', '.join(shared)}"
        advice = "bring the node back, or give it the taint node.kubernetes.io/out-of-service; or, once it is certain that it is off: "
        delete = command("kubectl", "delete", "node", pod.node)
        return Ending(Reason.NODE_LOST, f"{message}{why}; {advice}{delete}", stuck=True)

    def _late(self, pod: PodView, ends: datetime, now: datetime) -> Ending:
        """Its node answers and takes longer, or there are no processes any more and something else keeps the object."""
        at, over = ends + self.bound, not pod.node or pod.ended
        what = "has ended, and its object is still there" if over else f"was to end by {format_time(ends)}"
        if now < at:
            wait = self._then(at) if over else f"; node {pod.node} is given until {format_time(at)}{self._then()}"
            return Ending(Reason.WAITING, f"pod {pod.name} {what}{wait}", again=at)
        if over and not self.last:
            return Ending(Reason.WAITING, f"pod {pod.name} {what}{self._then(at)}", follows=True)
        which = "" if over else f", and node {pod.node}, which answers, has not ended it"
        shown = command("kubectl", "-n", pod.namespace, "describe", "pod", pod.name)
        hint = "what keeps it (a finalizer, a volume, a process that can't be ended) may be found by: "
        return Ending(Reason.POD_STUCK, f"pod {pod.name} {what}{which}; {hint}{shown}", stuck=True)


def silence(since: datetime | None) -> str:
    """What is said of a node whose kubelet is not heard."""
    return f"is not Ready since {format_time(since)}" if since else "does not exist any more"


def endings(snapshot: Snapshot, settings: Settings, last: str = "") -> Endings:
    """Of a Devbox."""
    box = snapshot.devbox.box
    claims = {v.persistent_volume_claim.claim_name for v in box.spec.volumes if v.persistent_volume_claim}
    return Endings(
        silent=snapshot.silent,
        claims=frozenset(claims | ({claim_name(box)} if box.spec.workspace else set())),
        bound=timedelta(seconds=settings.keeping.lost_node_seconds),
        last=last,
    )
