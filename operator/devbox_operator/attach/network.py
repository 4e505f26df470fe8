"""NetworkPolicies of devbox pods: ours, and whether somebody else's opens what ours closes.

Goes in: a pod and the namespace's policies. Comes out: plain NetworkPolicies; names of foreign policies. Pure.
"""

from collections.abc import Iterable, Mapping
from typing import Any, Final

from devbox_api import names
from devbox_api.judge.namespaces import selects
from devbox_api.shared import LabelSelector
from devbox_common.kube import Object
from devbox_operator.attach.bearer import LABEL, Bearer, mark
from devbox_operator.seen.namespaced import PolicyView

GATEWAY_PODS: Final = {"app.kubernetes.io/name": "devbox-gateway", "app.kubernetes.io/component": "gateway"}


def policy_spec(owner_name: str, release_namespace: str) -> dict[str, Any]:
    """Nothing in; out to two ports of the gateway's pods, by whatever address family. Complete, with the API server's defaults,
    so that equal means equal."""
    return {
        "podSelector": {"matchLabels": mark(owner_name)},
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


def policy(pod: Bearer, release_namespace: str) -> Object:
    """The pod's own policy: what it allows. Owned by the pod, and gone with the first word of the pod's deletion; from then on the
    namespace's own (`denial`) is what holds."""
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {
            "name": pod.name,
            "namespace": pod.namespace,
            "labels": {names.MANAGED_BY_LABEL: names.MANAGED_BY, **mark(pod.owner_name)},
            "ownerReferences": [owner_reference(pod)],
        },
        "spec": policy_spec(pod.owner_name, release_namespace),
    }


DENIAL: Final[Mapping[str, Any]] = {
    "podSelector": {"matchExpressions": [{"key": LABEL, "operator": "Exists"}]},
    "policyTypes": ["Ingress", "Egress"],
}
"""Selects every devbox of its namespace, and allows nothing. Complete, with the API server's defaults."""


def denial(namespace: str) -> Object:
    """The namespace's own policy (denial.py). Owned by nobody: it has to be there for as long as any pod is."""
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {
            "name": names.DENY_POLICY,
            "namespace": namespace,
            "labels": {names.MANAGED_BY_LABEL: names.MANAGED_BY},
        },
        "spec": dict(DENIAL),
    }


def flaws(item: Object) -> list[Object]:
    """What makes the namespace's policy another one than ours, as the JSON patch that puts it right. An owner that is gone would have it
    collected, and a finalizer keeps one that is being deleted from being made anew."""
    metadata = item["metadata"]
    found: list[Object] = []
    if item.get("spec") != DENIAL:
        found.append({"op": "replace", "path": "/spec", "value": dict(DENIAL)})
    found += [
        {"op": "remove", "path": f"/metadata/{field}"} for field in ("ownerReferences", "finalizers") if metadata.get(field)
    ]
    labels = metadata.get("labels") or {}
    if labels.get(names.MANAGED_BY_LABEL) != names.MANAGED_BY:
        labels = {**labels, names.MANAGED_BY_LABEL: names.MANAGED_BY}
        found.append({"op": "add", "path": "/metadata/labels", "value": labels})
    return found


def marked(item: Object) -> bool:
    """The sweep has seen the policy's namespace unused."""
    return names.UNUSED_SINCE_ANNOTATION in (item["metadata"].get("annotations") or {})


def repairs(item: Object) -> list[Object]:
    """The flaws, and the mark: what is to be written before the policy is relied upon."""
    path = f"/metadata/annotations/{names.UNUSED_SINCE_ANNOTATION.replace('/', '~1')}"
    return [*flaws(item), *([{"op": "remove", "path": path}] if marked(item) else [])]


def in_place(pod: Bearer, policies: Iterable[PolicyView], release_namespace: str) -> bool:
    """The pod's policy is there, and as it should be."""
    wanted = policy_spec(pod.owner_name, release_namespace)
    return any(p.name == pod.name and pod.uid in p.owners and dict(p.spec) == wanted for p in policies)


def owner_of(view: PolicyView | None, release_namespace: str) -> str:
    """The owner's name, if the policy says exactly what ours says of its pods; else empty."""
    labels = ((view.spec if view else {}).get("podSelector") or {}).get("matchLabels") or {}
    owner_name: str = labels.get(LABEL, "")
    return owner_name if owner_name and view and dict(view.spec) == policy_spec(owner_name, release_namespace) else ""


def foreign(pod: Bearer, policies: Iterable[PolicyView], release_namespace: str) -> list[str]:
    """Names of policies that are not ours, select the pod, and allow something. (A policy with no rule only closes.)

    Ours is what says exactly what ours says: labels and names can be copied. The pod's own one and the namespace's do not count,
    whatever they say: attaching.py and denial.py put them right before anything else.
    """
    ours = policy_spec(pod.owner_name, release_namespace)
    return sorted(
        other.name
        for other in policies
        if dict(other.spec) != ours
        and other.name != names.DENY_POLICY
        and not (other.name == pod.name and pod.uid in other.owners)
        and (other.spec.get("ingress") or other.spec.get("egress"))
        and _selects(other.spec, pod.labels)
    )


def owner_reference(pod: Bearer) -> Object:
    """For what has to go with the pod."""
    return {"apiVersion": "v1", "kind": "Pod", "name": pod.name, "uid": pod.uid}


def _selects(spec: Mapping[str, Any], labels: Mapping[str, str] | None) -> bool:
    if labels is None:
        return True
    wanted = (spec.get("podSelector") or {}).get("matchLabels") or {}
    if any(labels.get(key) != value for key, value in wanted.items()):
        return False  # (most are another devbox's; a model of each would be the price of every look)
    return selects(LabelSelector.model_validate(spec.get("podSelector") or {}), labels)
