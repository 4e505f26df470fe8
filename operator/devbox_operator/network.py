"""NetworkPolicies of devbox pods: ours, and whether somebody else's opens what ours closes.

Goes in: a pod and the namespace's policies. Comes out: a plain NetworkPolicy; names of foreign policies. Pure.
"""

from collections.abc import Iterable, Mapping
from typing import Any, Final

from devbox_api import names
from devbox_api.shared import LabelSelector
from devbox_common.kube import Object

from .credentials import selects
from .model import PodView, PolicyView

GATEWAY_PODS: Final = {"app.kubernetes.io/name": "devbox-gateway", "app.kubernetes.io/component": "gateway"}


def policy_spec(devbox: str, release_namespace: str) -> dict[str, Any]:
    """Nothing in; out to two ports of the gateway's pods, by whatever address family. Complete, with the API server's defaults,
    so that equal means equal."""
    return {
        "podSelector": {"matchLabels": {names.DEVBOX_LABEL: devbox}},
        "policyTypes": ["Ingress", "Egress"],
        "egress": [
            {
                "to": [
                    {
                        "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": release_namespace}},
                        "podSelector": {"matchLabels": dict(GATEWAY_PODS)},
                    }
                ],
                # Not the canary's: `devbox-init` tries that one to see whether policies work.
                "ports": [{"protocol": "TCP", "port": port} for port in (names.DATA_PORT, names.EGRESS_PORT)],
            }
        ],
    }


def policy(pod: PodView, release_namespace: str) -> Object:
    """The pod's own policy. Owned by the pod, not the Devbox: it must outlive the pod's last packet, and garbage collection
    takes an owner's children in any order."""
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {
            "name": pod.name,
            "namespace": pod.namespace,
            "labels": {names.MANAGED_BY_LABEL: names.MANAGED_BY, names.DEVBOX_LABEL: pod.devbox},
            "ownerReferences": [owner_reference(pod)],
        },
        "spec": policy_spec(pod.devbox, release_namespace),
    }


def in_place(pod: PodView, policies: Iterable[PolicyView], release_namespace: str) -> bool:
    """The pod's policy is there, and as it should be."""
    wanted = policy_spec(pod.devbox, release_namespace)
    return any(p.name == pod.name and pod.uid in p.owners and dict(p.spec) == wanted for p in policies)


def foreign(pod: PodView, policies: Iterable[PolicyView], release_namespace: str) -> list[str]:
    """Names of policies that are not ours, select the pod, and allow something. (A policy with no rule only closes.)

    Ours is what says exactly what ours says: labels and names can be copied. The pod's own one does not count, whatever it says:
    attach.py puts it right before anything else.
    """
    ours = policy_spec(pod.devbox, release_namespace)
    return sorted(
        other.name
        for other in policies
        if dict(other.spec) != ours
        and not (other.name == pod.name and pod.uid in other.owners)
        and (other.spec.get("ingress") or other.spec.get("egress"))
        and _selects(other.spec, pod.labels)
    )


def owner_reference(pod: PodView) -> Object:
    """For what has to go with the pod."""
    return {"apiVersion": "v1", "kind": "Pod", "name": pod.name, "uid": pod.uid}


def _selects(spec: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    wanted = (spec.get("podSelector") or {}).get("matchLabels") or {}
    if any(labels.get(key) != value for key, value in wanted.items()):
        return False  # (most are another devbox's; a model of each would be the price of every look)
    return selects(LabelSelector.model_validate(spec.get("podSelector") or {}), labels)
