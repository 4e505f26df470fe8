"""A devbox's pod, as it is observed.

Goes in: the API's object (a plain dict). Comes out: a `PodView`, bounded (bounds.py): whoever may write a pod may make it some MiB large,
and thousands are mirrored. Pure.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

import orjson

from devbox_api import names
from devbox_common.kube import Object
from devbox_operator.kit.encoding import parse_time
from devbox_operator.seen import bounds
from devbox_operator.seen.initview import InitView
from devbox_operator.seen.launchview import LaunchView
from devbox_operator.seen.mountview import MountView, starved
from devbox_operator.seen.startview import StartView, never_ran

_EMPTY: Final[Mapping[str, Any]] = {}


@dataclass(frozen=True)
class PodView:
    """A devbox's pod."""

    namespace: str
    name: str
    uid: str
    devbox: str
    """The label: the Devbox's name."""
    owner: str
    """The UID of the Devbox that controls it; empty if none does (somebody else may)."""
    labels: Mapping[str, str] | None = field(hash=False)
    """None: too many to be kept, so that any selector may select them."""
    incarnation: int
    spec_hash: str
    restarted_at: str
    gates: tuple[str, ...]
    deleting: bool
    phase: str
    ready: bool
    ips: tuple[str, ...]
    created: datetime
    started: datetime | None
    """When the container of now, or the last one, started."""
    finished: datetime | None
    """When the pod's last container ended."""
    ran_for: float | None
    """Seconds that the container's last run took."""
    restarts: int
    exit_code: int | None
    trouble: str
    """Why it does not run, in the kubelet's or the scheduler's words."""
    grace: int = 30
    """Seconds that its processes have to end. At least 1: with 0 the object would go, and the pod's confinement with it, before they do."""
    init: InitView | None = None
    init_hash: str = ""
    mounts: MountView | None = None
    """Of a pod that mounts code."""
    launch: LaunchView | None = None
    """Of a pod with launch commands."""
    start: StartView | None = None
    """Of one with a container that does not begin."""
    starved: bool = False
    """Its container had more memory than its limit, and was ended for that."""
    spec_fields: Mapping[str, str] = field(default_factory=dict, hash=False)
    """What the pod was made of, by field of the Devbox (pod.spec_fields); empty where an older version made it."""
    node: str = ""
    """Where it was bound to; empty: it never ran."""
    ends: datetime | None = None
    """Of one that is being deleted: when its processes' time is over."""
    claims: frozenset[str] | None = frozenset()
    """PersistentVolumeClaims that it mounts. None: too many to be kept, so that it may mount any."""

    @property
    def owner_name(self) -> str:
        """What the label says, whoever controls it."""
        return self.devbox

    @property
    def held(self) -> bool:
        """The agent has never run, whatever is done before it."""
        return self.init is not None and self.started is None

    @property
    def preparing(self) -> bool:
        """A container of the release's own is at work before the agent, or is to be: `devbox-init`, `devbox-clone`."""
        return self.preparing_confinement or (self.held and self.mounts is not None and not self.mounts.cloned)

    @property
    def preparing_confinement(self) -> bool:
        """`devbox-init` has not let anything else run yet."""
        return self.held and self.init is not None and not self.init.finished

    @property
    def gated(self) -> bool:
        """Our gate holds it back."""
        return names.SCHEDULING_GATE in self.gates

    @property
    def ended(self) -> bool:
        """The pod will not run any more."""
        return self.phase in ("Succeeded", "Failed")

    @classmethod
    def of(cls, item: Object) -> "PodView":
        """From the API's object."""
        metadata, spec, status = item["metadata"], item.get("spec") or _EMPTY, item.get("status") or _EMPTY
        annotations = metadata.get("annotations") or _EMPTY
        controller = next((o for o in metadata.get("ownerReferences") or () if o.get("controller") and _devbox(o)), _EMPTY)
        conditions = {c["type"]: c for c in status.get("conditions") or ()}
        container = next((c for c in status.get("containerStatuses") or () if c["name"] == names.CONTAINER), _EMPTY)
        state, last = container.get("state") or _EMPTY, container.get("lastState") or _EMPTY
        ended = state.get("terminated") or last.get("terminated") or _EMPTY
        ran = _EMPTY if never_ran(ended) else ended
        begin, end = parse_time(ran.get("startedAt")), parse_time(ran.get("finishedAt"))
        incarnation = str(annotations.get(names.INCARNATION_ANNOTATION, ""))
        return cls(
            namespace=metadata["namespace"],
            name=metadata["name"],
            uid=metadata["uid"],
            devbox=(metadata.get("labels") or _EMPTY).get(names.DEVBOX_LABEL, ""),
            owner=controller.get("uid", ""),
            labels=bounds.labels(metadata.get("labels") or {}),
            incarnation=int(incarnation) if incarnation.isdecimal() and len(incarnation) < 10 else 0,
            spec_hash=bounds.word(annotations.get(names.SPEC_HASH_ANNOTATION, "")),
            restarted_at=bounds.word(annotations.get(names.RESTARTED_AT_ANNOTATION, "")),
            gates=tuple(gate["name"] for gate in (spec.get("schedulingGates") or ())[: bounds.MOST_GATES]),
            deleting="deletionTimestamp" in metadata,
            phase=status.get("phase", "Pending"),
            ready=conditions.get("Ready", _EMPTY).get("status") == "True",
            ips=tuple(ip["ip"] for ip in status.get("podIPs") or () if ip.get("ip")),
            created=parse_time(metadata.get("creationTimestamp")) or datetime.now(UTC),
            started=parse_time((state.get("running") or _EMPTY).get("startedAt")) or begin,
            finished=end,
            ran_for=(end - begin).total_seconds() if begin and end else None,
            restarts=int(container.get("restartCount") or 0),
            exit_code=ended.get("exitCode"),
            trouble=_trouble(status, state, conditions)[: bounds.MOST_TROUBLE],
            grace=max(1, int(spec.get("terminationGracePeriodSeconds", 30))),
            init=InitView.of(spec, status),
            mounts=MountView.of(spec, status),
            launch=LaunchView.of(spec, status),
            start=StartView.of(status),
            starved=starved(ended),
            init_hash=bounds.word(annotations.get(names.INIT_HASH_ANNOTATION, "")),
            spec_fields=_fields(annotations.get(names.SPEC_FIELDS_ANNOTATION, "")),
            node=spec.get("nodeName") or "",
            ends=parse_time(metadata.get("deletionTimestamp")),
            claims=bounds.claims(spec.get("volumes") or ()),
        )


def _devbox(owner: Mapping[str, Any]) -> bool:
    return bool(owner.get("kind") == "Devbox" and str(owner.get("apiVersion", "")).startswith(f"{names.GROUP}/"))


def _fields(text: str) -> Mapping[str, str]:
    if len(text) > bounds.MOST_FIELDS:
        return {}
    try:
        found = orjson.loads(text)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


_PASSING: Final = ("PodInitializing", "ContainerCreating")


def _trouble(status: Object | Mapping[str, Any], state: Mapping[str, Any], conditions: Mapping[str, Any]) -> str:
    """What passes by itself within seconds is none: each word of it would be a write of the status."""
    scheduled = conditions.get("PodScheduled") or _EMPTY
    # (A gate is our own doing, and gone a moment after the API server wrote that it blocks.)
    unscheduled = scheduled if scheduled.get("status") == "False" and scheduled.get("reason") != "SchedulingGated" else _EMPTY
    states = [container.get("state") or _EMPTY for container in status.get("initContainerStatuses") or ()]
    waits = [one.get("waiting") or _EMPTY for one in (*states, state)]
    for part in (status, *(one for one in waits if one.get("reason") not in _PASSING), unscheduled):
        text = ": ".join(filter(None, (part.get("reason"), part.get("message"))))
        if text:
            return text
    return ""
