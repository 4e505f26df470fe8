"""A pod's number: the first pod of a Devbox is incarnation 1, and no number is used for two pods.

Goes in: a Devbox and pods. Comes out: the name that a number gives; the Devbox's pods, by number. Pure. The number is in three places: the
status (`incarnation`, the last one that was announced), the pod's annotation, and, mixed with the Devbox's UID, the pod's name. A
number that its pod's name does not bear out counts for none: annotations can be edited, names can't. announce.py writes it.
"""

import hashlib
from collections.abc import Iterable
from dataclasses import replace

from devbox_api.devbox import Devbox
from devbox_api.workspace import WorkspaceStatus
from devbox_operator.seen.pods import PodView
from devbox_operator.seen.resources import DevboxView


def pod_name(devbox: Devbox, incarnation: int) -> str:
    """The name of that incarnation's pod: known before it exists, and never used twice."""
    digest = hashlib.sha256(f"{devbox.uid}/{incarnation}".encode()).hexdigest()[:10]
    return f"{devbox.name}-{digest}"


def own(view: DevboxView, pods: Iterable[PodView]) -> list[PodView]:
    """The Devbox's pods, the newest incarnation first; 0 where the name does not bear it out."""
    mine = (pod for pod in pods if pod.owner == view.box.uid)
    known = (pod if pod.name == pod_name(view.box, pod.incarnation) else replace(pod, incarnation=0) for pod in mine)
    return sorted(known, key=lambda pod: -pod.incarnation)


def strays(pods: Iterable[PodView], uid: str | None) -> list[PodView]:
    """Pods with a Devbox's name on them that it does not control. `uid`: the Devbox's; None where there is none: then those that no
    Devbox controls at all."""
    return [pod for pod in pods if not pod.deleting and (pod.owner != uid if uid else not pod.owner)]


def announced(
    view: DevboxView, number: int, failures: int, version: str, workspace: WorkspaceStatus | None = None
) -> DevboxView:
    """The Devbox as the announcement of its next pod leaves it."""
    changes = {
        "incarnation": number,
        "failures": failures or None,
        "pod_name": pod_name(view.box, number),
        "pod_uid": None,
        "pod_ips": (),
        "suspended_at": None,
        "workspace": workspace,
    }
    status = view.box.status.model_copy(update=changes)
    return replace(view, version=version, box=view.box.model_copy(update={"status": status}))
