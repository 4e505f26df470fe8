"""Is a devbox's pod confined, as far as can be seen, and what follows if it is not.

Goes in: the pod, the namespace's NetworkPolicies, the settings. Comes out: the condition EgressConfined, whether Ready waits for
it, and whether the gateway serves the pod. Pure.

Three things have to be true: our policy is there, nobody else's opens what it closes (they are not evaluated: one that has a rule
counts, whatever the rule says), and `devbox-init` has seen in the pod itself that policies work. What it says counts where its image is
the release's: that of a pod can be changed where the chart's admission policies are not in force. And where nobody else can reach what it
must not reach, it would see nothing (visibility.py): then no new gate is opened.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from devbox_api import names
from devbox_api.conditions import Reason
from devbox_api.judge.shown import command
from devbox_operator.attach import init, network
from devbox_operator.attach.bearer import LABEL, Bearer
from devbox_operator.report.conditions import Finding, bad, good, unknown
from devbox_operator.seen.initview import InitView
from devbox_operator.seen.namespaced import PolicyView
from devbox_operator.seen.visibility import AWAY_SECONDS, SEEN, Sight, Visibility
from devbox_operator.settings import Settings

IMAGE: Final = 200
"""Characters of an image's reference that are shown."""
SHOWN: Final = 4
"""Gateways by address."""
_NO_IMAGE: Final = re.compile(r"[^A-Za-z0-9._:/@-]")
"""What stands in no image's reference, though the API server lets it be written there."""


@dataclass(frozen=True)
class Confinement:
    """What is known."""

    finding: Finding
    blocks: bool = False
    """The Devbox is not Ready while the finding is not True."""


def foreign(pod: Bearer, policies: Iterable[PolicyView], settings: Settings) -> list[str]:
    """Names of policies that may open a way around the gateway, less those that the chart's values trust."""
    found = network.foreign(pod, policies, settings.release_namespace)
    return [name for name in found if name not in settings.egress.trusted_policies]


def served(pod: Bearer, policies: Iterable[PolicyView], settings: Settings) -> bool:
    """The gateway may serve the pod, and a new one may start."""
    return settings.egress.foreign_policies == "Warn" or not foreign(pod, policies, settings)


def confinement(
    pod: Bearer | None,
    policies: Sequence[PolicyView],
    settings: Settings,
    *,
    in_force: bool,
    visibility: Visibility = SEEN,
) -> Confinement:
    """`in_force`: the pod's own policy is there."""
    if pod is None:
        return Confinement(bad(Reason.WAITING, "there is no pod yet"), blocks=True)
    others = foreign(pod, policies, settings)
    if others:
        return Confinement(_foreign(pod, others, settings), blocks=settings.egress.foreign_policies == "Refuse")
    if not believed(pod, settings):
        return _not_ours(pod, settings)
    if pod.gated and not relied_upon(visibility, settings):
        return Confinement(_not_visible(visibility, settings), blocks=True)
    if visibility.sight is Sight.CLOSED and not settings.egress.require_enforcement:
        return Confinement(_not_visible(visibility, settings))
    if pod.init is not None and pod.init.refused:
        return Confinement(_not_enforced(pod, pod.init), blocks=not pod.init.finished)
    if not in_force:
        return Confinement(bad(Reason.WAITING, "the pod's NetworkPolicy is not there yet"), blocks=True)
    if pod.init is None:
        message = f"pod {pod.name} was made by an older version, which did not try whether NetworkPolicies work"
        return Confinement(unknown(Reason.WAITING, message))
    if not pod.init.enforced:
        look = command("kubectl", "-n", pod.namespace, "logs", pod.name, "-c", names.INIT_CONTAINER)
        message = f"{names.INIT_CONTAINER} has not yet seen the pod's NetworkPolicy work; what it waits for: {look}"
        return Confinement(bad(Reason.WAITING, message), blocks=True)
    return Confinement(good(Reason.CONFINED))


def relied_upon(visibility: Visibility, settings: Settings) -> bool:
    """A new agent may start: its `devbox-init` can see what there is to be seen, or it need not."""
    return visibility.seen or not settings.egress.require_enforcement


def believed(pod: Bearer, settings: Settings) -> bool:
    """Its `devbox-init` is of the release's image. (A pod of the first version has none, and says nothing.)"""
    return pod.init is None or settings.image.admits(pod.init.image)


def _not_ours(pod: Bearer, settings: Settings) -> Confinement:
    image = _NO_IMAGE.sub("?", pod.init.image)[:IMAGE] if pod.init else ""
    found = f"{names.INIT_CONTAINER} of pod {pod.name} has the image {image}, which is not of {settings.image.reference}"
    if not pod.gated and not init.made_with(pod.init_hash, settings):
        advice = "an older release made the pod; restart the Devbox, or name that repository in the chart's image.mirrors"
        message = f"{found}: {advice}"
        return Confinement(unknown(Reason.FOREIGN_IMAGE, message))
    gated = ", and the pod stays gated" if pod.gated else ""
    delete = command("kubectl", "-n", pod.namespace, "delete", "pod", pod.name)
    advice = (
        f"what it says does not count{gated}. If a registry mirror's webhook puts it there, name its repository in the chart's value "
        f"image.mirrors; else somebody changed it: {delete}"
    )
    return Confinement(bad(Reason.FOREIGN_IMAGE, f"{found}; {advice}"), blocks=True)


def _not_visible(visibility: Visibility, settings: Settings) -> Finding:
    release = settings.release_namespace
    match visibility.sight:
        case Sight.CLOSED:
            shown = ", ".join(visibility.closed[:SHOWN]) + (" and others" if visibility.closed[SHOWN:] else "")
            found = (
                f"the gateway at {shown} answers the operator on its data port and not on its canary, port {names.CANARY_PORT}: "
                "something closes that one for everybody, and a devbox would take it for its own NetworkPolicy at work. Open it to the "
                f"gateway's pods where it is closed: a NetworkPolicy in namespace {release}, a policy of the CNI's own, a firewall of the "
                "nodes, a security group. (Or somebody sends it more connections than it takes)"
            )
        case Sight.AWAY:
            look = command("kubectl", "-n", release, "get", "pods", "-l", "app.kubernetes.io/component=gateway")
            found = (
                f"no gateway answered the operator for {AWAY_SECONDS:g} s, so that nobody can tell whether its canary is closed for "
                f"everybody; let the operator's pods reach the gateway's on ports {names.DATA_PORT} and {names.CANARY_PORT}; are they "
                f"there: {look}"
            )
        case _:
            return bad(
                Reason.WAITING, "the operator has not yet reached a gateway's canary, which it tries before new agents start"
            )
    if not settings.egress.require_enforcement:
        return unknown(Reason.CANNOT_BE_SEEN, found)
    anyway = "the chart's value egress.requireEnforcement=false would start them, unconfined"
    return unknown(
        Reason.CANNOT_BE_SEEN, f"until it can be seen no new agent starts ({anyway}), and those that run go on: {found}"
    )


def _foreign(pod: Bearer, others: Sequence[str], settings: Settings) -> Finding:
    listed = ", ".join(f"{pod.namespace}/{name}" for name in others)
    refuses = settings.egress.foreign_policies == "Refuse"
    return bad(
        Reason.FOREIGN_POLICY,
        f"policies add up, and {listed} also apply to the pod and allow something; delete them, or exclude pods "
        f"with the label {LABEL} from their podSelector"
        + ("; until then the gateway serves this devbox nothing" if refuses else ""),
    )


def _not_enforced(pod: Bearer, init: InitView) -> Finding:
    """In the container's own words, which name the address family; its image is the release's."""
    words = init.words or f"{names.INIT_CONTAINER} did not see NetworkPolicies work, and left no word on why"
    return bad(Reason.NOT_ENFORCED, f"pod {pod.name}: {words}")
