"""The claim of a workspace: which it should be, and what is said of the one that is there.

Goes in: a Devbox, its claim as it was observed. Comes out: the claim to post, what differs, problems and findings. Pure.

A claim is never adopted: it is a Devbox's by its annotation, which holds the Devbox's UID, or by its owner. Where it was there once and is
not any more, none takes its place: an empty one would look as if nothing had happened.
"""

from datetime import datetime

from devbox_api import names
from devbox_api.conditions import Reason
from devbox_api.devbox import Devbox
from devbox_api.judge.shown import command, visible
from devbox_api.workspace import Retain, Workspace, WorkspaceStatus
from devbox_common.kube import Object
from devbox_operator.devbox.pod import owner_reference
from devbox_operator.report.conditions import NOTE, Finding, Regarding, bad, cut, event, good
from devbox_operator.report.problem import Problem
from devbox_operator.seen.claims import PENDING, ClaimView, StorageClassView, claim_name, size
from devbox_operator.seen.pods import PodView
from devbox_operator.seen.snapshot import NOT_FOUND, Snapshot


def body(devbox: Devbox, workspace: Workspace) -> Object:
    """The claim to post."""
    spec = {"accessModes": [workspace.access_mode], "resources": {"requests": {"storage": workspace.size}}}
    metadata = {
        "name": claim_name(devbox),
        "namespace": devbox.namespace,
        "labels": labels(devbox),
        "annotations": {names.WORKSPACE_OF_ANNOTATION: devbox.uid},
    }
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": metadata | ({"ownerReferences": [owner_reference(devbox)]} if workspace.retain == "Delete" else {}),
        "spec": spec | ({"storageClassName": workspace.storage_class_name} if workspace.storage_class_name else {}),
    }


def labels(devbox: Devbox) -> dict[str, str]:
    """By which it is watched."""
    return {names.MANAGED_BY_LABEL: names.MANAGED_BY, names.DEVBOX_LABEL: devbox.name}


def ours(devbox: Devbox, claim: ClaimView | None) -> ClaimView | None:
    """The claim, if it is the Devbox's."""
    return claim if claim is not None and devbox.uid in (claim.workspace_of, *claim.owners) else None


def wanted(snapshot: Snapshot) -> bool:
    """A claim is to be made: there is none of its name, and never was one."""
    box = snapshot.devbox.box
    return bool(box.spec.workspace and snapshot.claim is None and box.status.workspace is None)


def ownership(devbox: Devbox, claim: ClaimView) -> Object | None:
    """A strategic merge patch of the metadata of a claim of ours, by which it goes with its Devbox or outlives it; None: it is as the spec
    says."""
    retain = devbox.spec.workspace is not None and devbox.spec.workspace.retain == "Retain"
    changes: Object = {}
    if retain == (devbox.uid in claim.owners):
        owner = {"$patch": "delete", "uid": devbox.uid} if retain else owner_reference(devbox)
        changes["ownerReferences"] = [owner]
    if not claim.labelled:
        changes["labels"] = labels(devbox)
    if retain and claim.workspace_of != devbox.uid:
        changes["annotations"] = {names.WORKSPACE_OF_ANNOTATION: devbox.uid}
    return {"metadata": {"uid": claim.uid, **changes}} if changes else None


def taken_along(snapshot: Snapshot) -> Problem | None:
    """Why the Devbox must not be deleted now by us: its claim is to outlive it, and would go with it."""
    box, claim = snapshot.devbox.box, snapshot.claim
    if box.spec.workspace is None or box.spec.workspace.retain != "Retain":
        return None
    if claim is None or claim.deleting or box.uid not in claim.owners:
        return None
    what = (
        f"PersistentVolumeClaim {claim.namespace}/{claim.name} is to stay (spec.workspace.retain: Retain), and would go with it"
    )
    return Problem(Reason.DELETION_REFUSED, f"{what}; see the condition Accepted")


def growth(snapshot: Snapshot) -> str | int | None:
    """The size that the claim is to be given; None: it has it, or can't be given it now."""
    workspace, claim = snapshot.devbox.box.spec.workspace, ours(snapshot.devbox.box, snapshot.claim)
    if workspace is None or claim is None or claim.phase != "Bound" or size(workspace.size) <= size(claim.asked):
        return None
    known = snapshot.storage_class
    return None if known == NOT_FOUND or (isinstance(known, StorageClassView) and not known.grows) else workspace.size


def problem(snapshot: Snapshot) -> Problem | None:
    """Why no pod can be made with the claim that there is, or without one."""
    box, claim = snapshot.devbox.box, snapshot.claim
    if box.spec.workspace is None:
        return None
    what = f"PersistentVolumeClaim {box.namespace}/{claim_name(box)}"
    if claim is None:
        return _absent(snapshot, what)
    if ours(box, claim) is None:
        takes = command(
            "kubectl", "-n", box.namespace, "annotate", "pvc", claim.name, f"{names.WORKSPACE_OF_ANNOTATION}={box.uid}"
        )
        return Problem(
            Reason.CLAIM_CONFLICT,
            f"{what} has the name of this Devbox's workspace, and nothing says that it is its; its owner deletes it or, if it is to be the "
            f"workspace, runs: {takes}",
        )
    if claim.deleting:
        return Problem(
            Reason.CLAIM_LOST,
            f"{what}, the workspace, is being deleted, and goes with its files once no pod uses it; copy what is needed out of a pod that "
            "still runs, delete the Devbox, and create it anew",
        )
    if claim.phase == "Lost":
        return Problem(Reason.CLAIM_LOST, f"the volume of {what}, the workspace, does not exist any more. {_anew(box)}")
    return None


def _absent(snapshot: Snapshot, what: str) -> Problem | None:
    box = snapshot.devbox.box
    if snapshot.claim_refused:
        return Problem(Reason.CLAIM_REFUSED, f"{what} of the workspace can't be made: {snapshot.claim_refused}")
    if box.status.workspace is None:
        return None
    return Problem(Reason.CLAIM_LOST, f"{what}, the workspace, does not exist any more. {_anew(box)}")


def _anew(box: Devbox) -> str:
    return (
        "No empty one takes its place by itself: delete the Devbox and create it anew; or, where its files are in another volume, create a "
        f"claim of that name, bound to it, with the annotation {names.WORKSPACE_OF_ANNOTATION}: {box.uid}"
    )


def pending(snapshot: Snapshot, pod: PodView) -> Finding | None:
    """Of a pod that no node has: what keeps it is the claim. (With WaitForFirstConsumer the claim waits for the scheduler, who says himself
    if he finds no node; the volume's side of it is told by its words.)"""
    box, kind = snapshot.devbox.box, snapshot.storage_class
    claim = ours(box, snapshot.claim)
    if pod.node or claim is None or not claim.overdue(snapshot.now):
        return None
    what = f"PersistentVolumeClaim {claim.namespace}/{claim.name} of the workspace"
    shown = command("kubectl", "-n", claim.namespace, "describe", "pvc", claim.name)
    if not claim.storage_class:
        return bad(
            Reason.STORAGE_CLASS_NOT_FOUND,
            f"{what} has no StorageClass, since the cluster has no default one; make one the default, and the claim gets it (annotation "
            "storageclass.kubernetes.io/is-default-class), or delete the Devbox and create it with spec.workspace.storageClassName",
        )
    if kind == NOT_FOUND:
        return bad(
            Reason.STORAGE_CLASS_NOT_FOUND,
            f"StorageClass {claim.storage_class} of {what} does not exist; create it, or delete the Devbox and create it with another "
            "spec.workspace.storageClassName: there are no files yet",
        )
    if isinstance(kind, StorageClassView) and kind.waits and not claim.selected:
        unbound = "volume" in pod.trouble.lower()
        return bad(Reason.CLAIM_PENDING, f"{what} finds no node: {pod.trouble}; see {shown}") if unbound else None
    return bad(
        Reason.CLAIM_PENDING,
        f"{what} is not bound after {PENDING.seconds} s; what StorageClass {claim.storage_class} waits for is told by: {shown}",
    )


def unusable(snapshot: Snapshot, pod: PodView) -> Finding | None:
    """Of a pod whose agent never ran: devbox-init could not write to the workspace."""
    box = snapshot.devbox.box
    if box.spec.workspace is None or pod.init is None or not pod.init.not_writable or not pod.held:
        return None
    return bad(
        Reason.WORKSPACE_NOT_WRITABLE,
        f"pod {pod.name}: {pod.init.words}. Its driver does not give it to the pod's group (fsGroup): set spec.fsGroup to a group that may "
        f"write there; or have it changed where it is stored; or use another storage class. It is tried again by itself",
    )


def running(snapshot: Snapshot, pod: PodView) -> Finding:
    """Of a pod that is Ready."""
    if snapshot.devbox.box.spec.workspace is None or pod.init is None or not pod.init.full:
        return good(Reason.READY)
    return good(
        Reason.WORKSPACE_FULL, f"the workspace had no room when pod {pod.name} started; delete files in it, or raise its size"
    )


def remark(snapshot: Snapshot) -> Finding | None:
    """What of the size is not as the spec says, and keeps no pod from running."""
    box, claim = snapshot.devbox.box, ours(snapshot.devbox.box, snapshot.claim)
    workspace = box.spec.workspace
    if workspace is None or claim is None:
        return None
    what = f"PersistentVolumeClaim {claim.namespace}/{claim.name} of the workspace"
    if claim.phase == "Pending" and size(workspace.size) > size(claim.asked):
        return good(Reason.WORKSPACE_GROWING, f"{what} asks for {claim.asked}, and for {workspace.size} as soon as it is bound")
    if size(workspace.size) > size(claim.asked):
        why = (
            snapshot.claim_refused
            or f"StorageClass {claim.storage_class or '(none)'} does not let its claims grow (allowVolumeExpansion)"
        )
        return good(
            Reason.WORKSPACE_NOT_GROWING,
            f"{what} keeps {claim.asked} of the {workspace.size} that spec.workspace asks for: {why}",
        )
    if claim.phase == "Bound" and size(claim.capacity) < size(claim.asked):
        said = f": {claim.growth}" if claim.growth else ""
        return good(Reason.WORKSPACE_GROWING, f"{what} has {claim.capacity} of {claim.asked}{said}{_restarts(claim)}")
    return None


def _restarts(claim: ClaimView) -> str:
    """Most drivers let the file system grow under a pod that runs."""
    return "; if it stays so, restart the devbox" if claim.growth.startswith("FileSystemResizePending") else ""


def retained(devbox: str, uid: str, claim: ClaimView, now: datetime) -> Object:
    """The Event that says where the files of a Devbox are that is gone."""
    takes = command("kubectl", "-n", claim.namespace, "label", "pvc", claim.name, f"{names.MOUNTABLE_LABEL}=true")
    delete = command("kubectl", "-n", claim.namespace, "delete", "pvc", claim.name)
    what = f"PersistentVolumeClaim {claim.namespace}/{claim.name} ({claim.capacity or claim.asked})"
    # (In one line: kubectl get events shows the first.)
    note = (
        f"{what} keeps the workspace of Devbox {devbox}, which was deleted; so that another one may mount it (spec.volumes): {takes} ; "
        f"to delete it with its files: {delete}"
    )
    regarding = Regarding("Devbox", claim.namespace, devbox, uid)
    return event(regarding, (Reason.WORKSPACE_RETAINED, "Normal", cut(visible(note), NOTE)), now, [claim.uid])


def status(snapshot: Snapshot) -> WorkspaceStatus | None:
    """What the status says of it; of one that is lost, what was."""
    box = snapshot.devbox.box
    claim = ours(box, snapshot.claim)
    if box.spec.workspace is None or claim is None:
        return box.status.workspace
    retain: Retain = "Delete" if box.uid in claim.owners else "Retain"
    return WorkspaceStatus(
        claim_name=claim.name, claim_uid=claim.uid, retain=retain, size=claim.asked, capacity=claim.capacity or None
    )


def again(snapshot: Snapshot) -> datetime | None:
    """When there may be something else to say."""
    claim = ours(snapshot.devbox.box, snapshot.claim)
    return claim.created + PENDING if claim and claim.phase == "Pending" and not claim.overdue(snapshot.now) else None
