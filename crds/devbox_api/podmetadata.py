"""Labels and annotations that a Devbox may put on its pod: any but those by which its network or its sandbox could be opened.

Goes in: nothing. Comes out: `PodMetadata`, with one CEL rule made of the lists here. Used by devbox.py.

Such keys are known by their domain, which stands in front of the slash or, with container runtimes, is the whole key or its beginning. One
regular expression is what a rule pays for once a key; CEL's cost is counted before it is run (tests/unit/api/test_podmetadata.py).
"""

from typing import Annotated, Any, Final

from pydantic import Field

from . import names
from .schema import ApiModel, cel, rules
from .shared import LabelValue

DOMAINS: Final = (
    # Kubernetes, with the profiles of AppArmor and seccomp, and this operator.
    *("kubernetes.io", "k8s.io", names.GROUP),
    # Meshes, whose sidecars stand between a pod and the gateway.
    *("istio.io", "linkerd.io", "kuma.io"),
    # A second network, as Multus and those that follow its convention are asked for one.
    *(
        "cni.cncf.io",
        "multus-cni.io",
        "networking.gke.io",
        "network.openshift.io",
        "tke.cloud.tencent.com",
        "vpc.amazonaws.com",
    ),
    # CNIs, for addresses, routes, ways out, and exceptions to their policies.
    *("projectcalico.org", "cilium.io", "antrea.io", "ovn.org", "spidernet.io"),
    # Container runtimes, for devices, mounts and what a sandbox is made of.
    *("cri-o.io", "crio.io", "nri.io"),
)
"""Each with all that is under it: k8s.v1.cni.cncf.io/networks, cpu-quota.crio.io."""
BEGINNINGS: Final = ("io.kubernetes", "io.cilium", "io.containerd", "io.katacontainers", "dev.gvisor", "run.oci", "org.systemd")
"""Domains written the other way round, as runtimes do: io.katacontainers.config.hypervisor.kernel_params."""
HARMLESS: Final = ("cluster-autoscaler.kubernetes.io/safe-to-evict",)
"""Whole keys that are allowed all the same."""


def _any(domains: tuple[str, ...]) -> str:
    return "(" + "|".join(domain.replace(".", "[.]") for domain in domains) + ")"


# (Prefixes of annotations may be written in capitals: whoever reads them may not care.)
STEERING: Final = f"(?i)^(([^/]*[.])?{_any(DOMAINS)}(/|$)|{_any(BEGINNINGS)}([./]|$))"


def _not_steering(kind: str) -> Any:
    harmless = ", ".join(f"'{key}'" for key in HARMLESS)
    return rules(
        cel(
            f"self.all(k, k in [{harmless}] || !k.matches('{STEERING}'))",
            f"{kind} that steer Kubernetes, a mesh, the pod's networks or its sandbox could open the devbox; remove it, or choose another "
            "prefix, e.g. example.com/",
        )
    )


class PodMetadata(ApiModel):
    """Labels and annotations for the pod, but none that steer Kubernetes, a mesh, the pod's networks or its sandbox."""

    labels: dict[str, LabelValue] = Field(default={}, max_length=32, json_schema_extra=_not_steering("labels"))
    """E.g. team: a. Refused are prefixes such as kubernetes.io, istio.io, cilium.io and all under them."""
    annotations: dict[str, Annotated[str, Field(max_length=4096)]] = Field(
        default={}, max_length=32, json_schema_extra=_not_steering("annotations")
    )
    """E.g. prometheus.io/scrape. Refused are prefixes such as kubernetes.io (but for cluster-autoscaler.kubernetes.io/safe-to-evict),
    k8s.v1.cni.cncf.io, networking.gke.io, cni.projectcalico.org, and keys such as io.katacontainers.… and dev.gvisor.…"""
