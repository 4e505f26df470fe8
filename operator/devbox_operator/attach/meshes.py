"""Labels and annotations by which service meshes leave a devbox's pod alone.

Goes in: nothing. Comes out: two mappings, the same for every pod. A sidecar would hide the pod's address from the gateway, and needs rights
that a devbox does not have. It, and the proxy of a node in its place (Istio's ambient mode), takes every connection before anybody has
answered it: devbox-init would find an answer at the canary, where there is none.
"""

from typing import Final

LABELS: Final = {
    # Istio, by sidecar and in ambient mode; and what is built on it.
    "sidecar.istio.io/inject": "false",
    "istio.io/dataplane-mode": "none",
    # Kuma, Kong Mesh.
    "kuma.io/sidecar-injection": "disabled",
}
ANNOTATIONS: Final = {
    # (Versions of Istio and Kuma from before the labels.)
    "sidecar.istio.io/inject": "false",
    "kuma.io/sidecar-injection": "disabled",
    "linkerd.io/inject": "disabled",
    # Consul, and its redirection of a pod's connections.
    "consul.hashicorp.com/connect-inject": "false",
    "consul.hashicorp.com/transparent-proxy": "false",
    # AWS App Mesh, Open Service Mesh, NGINX Service Mesh.
    "appmesh.k8s.aws/sidecarInjectorWebhook": "disabled",
    "openservicemesh.io/sidecar-injection": "disabled",
    "injector.nsm.nginx.com/auto-inject": "false",
}
"""Cilium has none: its mesh is the CNI itself, and lets through what NetworkPolicies do."""
