"""`python -m tests.probes [PART…]`: the packet-level tests in full; the status is 1 if anything leaked.

Prints the tables of docs/confinement.md and docs/results/lab/confinement-matrix.md, and writes them to .bench/probes.json.
`--installed`: with the release that is there, whatever it is. Needs root, the local cluster and the images.
"""

import base64
import contextlib
import sys
import time
from collections.abc import Callable, Iterator
from typing import Final

from tests.support.workspace import Workspace

from devbox_cluster import images
from devbox_cluster.paths import kubeconfig
from devbox_stage import stage, upstream
from devbox_stage.kubectl import Kubectl
from devbox_stage.upstream import Upstream

from .names import OWN_RANGE
from .parts import PARTS
from .report import RESULT, failed, show, write
from .shell import ProbeError
from .world import world

INSTALLED: Final = "--installed"


@contextlib.contextmanager
def _namespaces(kubectl: Kubectl, standin: Upstream) -> Iterator[Callable[..., Workspace]]:
    made: list[Workspace] = []

    def make(**labels: str) -> Workspace:
        one = Workspace(kubectl, standin)
        made.append(one)
        one.create(labels)
        return one

    try:
        yield make
    finally:
        for one in made:
            one.delete()


def _install(kubectl: Kubectl) -> Upstream:
    """The stand-in and the chart of this work tree."""
    references = images.ensure()
    address, ca = upstream.deploy(kubectl, references["demo"])
    standin = upstream.connect(kubectl, address, ca)
    # (adminFrom: what keeps devboxes from the admin port has to be their own policy, and the control pod has to get there.)
    admin: dict[str, object] = {"adminFrom": [{"namespaceSelector": {}}]}
    values = {**upstream.gateway_values(address, ca), "clusterCIDRs": [OWN_RANGE], "networkPolicy": admin}
    stage.install(kubectl, references["devbox-gateway"], values)
    return standin


def _installed(kubectl: Kubectl) -> Upstream:
    """Those that are there."""
    service, secret = (
        kubectl.get("service", "standin", upstream.NAMESPACE),
        kubectl.get("secret", "standin-tls", upstream.NAMESPACE),
    )
    if service is None or secret is None:
        raise ProbeError("nothing is installed; leave --installed away")
    return upstream.connect(kubectl, str(service["spec"]["clusterIP"]), base64.b64decode(secret["data"]["ca.crt"]).decode())


def main(arguments: list[str]) -> int:
    """Entry point."""
    installed = INSTALLED in arguments
    arguments = [one for one in arguments if one != INSTALLED]
    if unknown := set(arguments) - set(PARTS):
        print(f"there is no part {', '.join(sorted(unknown))}; there are: {', '.join(PARTS)}")  # noqa: T201
        return 2
    kubectl = Kubectl(kubeconfig())
    standin = _installed(kubectl) if installed else _install(kubectl)
    results = {}
    try:
        with _namespaces(kubectl, standin) as make, world(kubectl, make) as made:
            for name in arguments or PARTS:
                started = time.monotonic()
                results[name] = PARTS[name](made)
                show(f"{name} ({time.monotonic() - started:.0f} s)", results[name])
    except ProbeError as error:
        print(f"probes: {error}")  # noqa: T201
        return 2
    write(results)
    missed = [line for verdicts in results.values() for line in failed(verdicts)]
    print("\n".join([*missed, f"{len(missed)} did not hold; {RESULT}"]))  # noqa: T201
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
