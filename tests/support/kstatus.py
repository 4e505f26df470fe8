"""What Flux, Argo CD's libraries and kpt make of a custom resource: the generic algorithm of kstatus (sigs.k8s.io/cli-utils, pkg/kstatus).

Goes in: an object as the API server has it. Comes out: kstatus' word for it. Written from its documentation's rules, in its order. Pure.
"""

from typing import Final, Literal

from devbox_common.kube import Object

Status = Literal["Terminating", "InProgress", "Failed", "Current"]
ABNORMAL: Final[dict[str, Status]] = {"Reconciling": "InProgress", "Stalled": "Failed"}


def kstatus(item: Object) -> Status:
    """The rules for kinds that it has no rules of their own for."""
    metadata, status = item["metadata"], item.get("status") or {}
    if metadata.get("deletionTimestamp"):
        return "Terminating"
    if status.get("observedGeneration", metadata["generation"]) != metadata["generation"]:
        return "InProgress"
    conditions = {condition["type"]: condition["status"] for condition in status.get("conditions", ())}
    for kind, word in ABNORMAL.items():
        if conditions.get(kind) == "True":
            return word
    # No word about Ready: it is taken for a kind that has nothing to do.
    return "Current" if conditions.get("Ready", "True") == "True" else "InProgress"
