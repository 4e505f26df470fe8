"""Every way in which a devbox ends, while its processes ignore that: no packet of theirs may pass until the last of them is gone.

Goes in: a `World`. Comes out: `Verdict`s. What a pod may reach hangs on objects that go before its processes do, in whatever order the
garbage collector, a person or a tool takes them. An ending is held only if nothing of the devbox was counted until its cgroup was empty, if
it lived on for most of its grace period, and if it and the control sent all the while. Two more controls are told to end at the same time:
a pod that no policy holds, and one with a policy that it owns and no other, which is what a devbox would be without that of its namespace.
"""

import contextlib
import json
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final, NamedTuple

from tests.support.workspace import Workspace

from devbox_api import names
from devbox_stage.kubectl import Result
from devbox_stage.stage import PROJECT, RELEASE, RELEASE_NAMESPACE
from devbox_stage.waiting import NotYet, wait_for

from .births import Counted, policy_like_ours
from .counters import listed
from .faults import sending
from .matrix import nothing_escaped
from .report import Verdict
from .stubborn import Stubborn, bare, command, started, targets, until_the_last_process
from .world import World

GRACE: Final = 12
EXTRA: Final = 40.0
"""A kubelet may be this much later than the grace period."""
TENANT: Final = "probes-tenant"
FREE: Final = "free"
OWNED: Final = "owned"


class Ending(NamedTuple):
    """One way."""

    name: str
    tell: Callable[[World, Stubborn], list[str]]
    """Begins it. Returns what should have been refused, and was not."""
    alone: bool = False
    """It takes the namespace, or what the devbox refers to, with it: it has a namespace of its own."""


class Batch(NamedTuple):
    """Some of them at once, when all is over."""

    counted: Counted
    gateways: list[str]
    """Addresses that the gateway's pods had."""
    grace: int
    tried: int
    """By the control."""


def _delete(what: str, cascade: str) -> Callable[[World, Stubborn], list[str]]:
    def tell(world: World, one: Stubborn) -> list[str]:
        if what == "Devbox":  # (without a release, `edit` has no rights to those)
            _administrator(world, one, "delete", f"dbx/{one.owner}", f"--cascade={cascade}", "--wait=false")
        else:
            _tenant(world, one, "delete", f"pod/{one.pod.name}", f"--cascade={cascade}", "--wait=false")
        return []

    return tell


def _pruned(world: World, one: Stubborn) -> list[str]:
    """All at once, in the foreground; what is in use is asked for again."""
    _tenant(world, one, "delete", f"dbx/{one.owner}", "--cascade=foreground", "--wait=false")
    for kind in ("gatewayconfigs", "secrets", "networkpolicies", "configmaps", "serviceaccounts"):
        world.kubectl(*("-n", one.pod.namespace, "delete", kind, "--all", "--cascade=foreground", "--wait=false"), check=False)
    return []


def _evicted(world: World, one: Stubborn) -> list[str]:
    body = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": one.pod.name, "namespace": one.pod.namespace}}
    _tenant(world, one, "create", "--raw", f"{one.path}/eviction", "-f", "-", stdin=json.dumps(body))
    return []


def _forced(world: World, one: Stubborn) -> list[str]:
    """Refused in every way; it goes on as before. Then it is told to end like any other."""
    eviction = {
        "apiVersion": "policy/v1",
        "kind": "Eviction",
        "metadata": {"name": one.pod.name, "namespace": one.pod.namespace},
    }
    eviction["deleteOptions"] = {"gracePeriodSeconds": 0}
    tries = {
        "delete --force": _tenant(
            world, one, "delete", "pod", one.pod.name, "--force", "--grace-period=0", "--wait=false", check=False
        ),
        "delete --force of all": _tenant(
            world, one, "delete", "pods", "-l", names.DEVBOX_LABEL, "--force", "--grace-period=0", "--wait=false", check=False
        ),
        "an eviction": _tenant(
            world, one, "create", "--raw", f"{one.path}/eviction", "-f", "-", stdin=json.dumps(eviction), check=False
        ),
    }
    passed = [what for what, said in tries.items() if "outlive its confinement" not in said.err]
    return passed + _delete("pod", "foreground")(world, one)


def _owners_edited(world: World, one: Stubborn) -> list[str]:
    """By somebody with `edit`: refused, or the operator ends the pod. The policy that denies everything keeps whatever it has."""
    patch = json.dumps({"metadata": {"ownerReferences": None}})
    _tenant(world, one, "patch", "pod", one.pod.name, "--type=merge", "-p", patch, check=False)
    dangling = {"apiVersion": "v1", "kind": "ConfigMap", "name": "gone", "uid": "5e3b1d1c-0000-4000-8000-000000000000"}
    patch = json.dumps({"metadata": {"ownerReferences": [dangling]}})
    passed = []
    for name in (names.DENY_POLICY, one.pod.name):
        said = world.kubectl(
            *("-n", one.pod.namespace, "patch", "networkpolicy", name, "--type=merge", "-p", patch), check=False
        )
        passed += [f"an owner on {name}"] if "confines" not in said.err else []
    return passed + _delete("Devbox", "foreground")(world, one)


def _labels_edited(world: World, one: Stubborn) -> list[str]:
    """Pod, both policies: nobody takes away what they are found by, or themselves."""
    where = ("-n", one.pod.namespace)
    tries = {
        "the pod's label": ("label", "pod", one.pod.name, f"{names.DEVBOX_LABEL}-"),
        "another label of the pod": ("label", "pod", one.pod.name, f"{names.DEVBOX_LABEL}=other", "--overwrite"),
        "the policy's label": ("label", "networkpolicy", names.DENY_POLICY, f"{names.MANAGED_BY_LABEL}-"),
        "the policy": ("delete", "networkpolicy", names.DENY_POLICY, "--wait=false"),
        "all policies": ("delete", "networkpolicies", "-l", names.MANAGED_SELECTOR, "--cascade=foreground", "--wait=false"),
    }
    said = {what: world.kubectl(*where, *arguments, check=False) for what, arguments in tries.items()}
    passed = [what for what, one_said in said.items() if "confine" not in one_said.err]
    return passed + _delete("Devbox", "foreground")(world, one)


def _namespace(world: World, one: Stubborn) -> list[str]:
    world.kubectl("delete", "namespace", one.pod.namespace, "--wait=false")
    return []


ENDINGS: Final = (
    Ending("Devbox deleted", _delete("Devbox", "background")),
    Ending("Devbox deleted in the foreground", _delete("Devbox", "foreground")),
    Ending("Devbox deleted, its pod orphaned", _delete("Devbox", "orphan")),
    Ending("pod deleted", _delete("pod", "background")),
    Ending("pod deleted in the foreground", _delete("pod", "foreground")),
    Ending("pod evicted", _evicted),
    Ending("pod deleted by force (refused), then in the foreground", _forced),
    Ending("owners edited by hand, then deleted in the foreground", _owners_edited),
    Ending("labels and policies edited by hand, then deleted in the foreground", _labels_edited),
    Ending("pruned with all that it refers to", _pruned, alone=True),
    Ending("namespace deleted", _namespace, alone=True),
)
SHORT: Final = (ENDINGS[0], ENDINGS[1], ENDINGS[4], ENDINGS[6], ENDINGS[10])


def _tenant(world: World, one: Stubborn, *arguments: str, stdin: str | None = None, check: bool = True) -> Result:
    """As somebody with the role `edit` there."""
    return world.kubectl("-n", one.pod.namespace, f"--as={TENANT}", *arguments, stdin=stdin, check=check)


def _administrator(world: World, one: Stubborn, *arguments: str) -> Result:
    return world.kubectl("-n", one.pod.namespace, *arguments)


def endings(world: World, chosen: Sequence[Ending] = ENDINGS, grace: int = GRACE) -> list[Verdict]:
    """All at once, since every pod has addresses of its own; then those that take something of the release away."""
    verdicts = _batch(world, chosen, grace)
    if chosen is ENDINGS:
        last = Ending("labels and policies edited by hand, then deleted in the foreground", _labels_edited)
        verdicts += _batch(world, [last._replace(name=f"operator down: {last.name}")], grace, lacking=_without_operator)
        verdicts += _batch(world, [last._replace(name=f"helm uninstall: {last.name}")], grace, lacking=_without_release)
    return [*verdicts, nothing_escaped(world)]


def _batch(
    world: World,
    chosen: Sequence[Ending],
    grace: int,
    lacking: Callable[[World], contextlib.AbstractContextManager[None]] | None = None,
) -> list[Verdict]:
    """`lacking`: what is taken away when all run, and given back when none does; without it, with controls of their own."""
    where = targets(world)
    homes = [_home(world) for _ in range(1 + sum(one.alone for one in chosen))]
    try:
        dying = _made(chosen, homes, world, where, grace)
        others = _controls(world, homes[0], where, grace) if lacking is None else []
        sources = {address for one in [*dying, *others] for address in one.pod.addresses} | world.control.addresses
        gateways = world.gateway_pods()
        world.prove([host for host, _ in where], sources)
        world.sinkhole.counters.reset()
        with sending(world.control, where) as stop, lacking(world) if lacking else contextlib.nullcontext():
            passed = [_told(world, *each) for each in zip(chosen, dying, strict=True)]
            before = []
            for one in others:
                one.told = time.monotonic()
                world.kubectl("-n", one.pod.namespace, "delete", "pod", one.pod.name, "--cascade=foreground", "--wait=false")
                before.append(one.counted(world.sinkhole.counters.node()))
            until_the_last_process([*dying, *others], grace + EXTRA)
            sent, _ = stop()
            counted = Counted(world.sinkhole.counters.node(), world.sinkhole.counters.sinkhole())
        batch = Batch(counted, gateways, grace, sent)
        return [
            *(_judged(world, *each, batch) for each in zip(chosen, dying, passed, strict=True)),
            *(_control(*each, counted) for each in zip(others, before, strict=True)),
        ]
    finally:
        for home in homes:
            home.delete()


def _told(world: World, ending: Ending, one: Stubborn) -> list[str]:
    one.told = time.monotonic()
    return ending.tell(world, one)


def _home(world: World) -> Workspace:
    home = world.make()
    subjects = [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": TENANT}]
    home.apply(
        {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "RoleBinding",
            "metadata": {"name": TENANT},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "edit"},
            "subjects": subjects,
        }
    )
    home.secret("anthropic", home.key().value.reveal())
    home.gateway_config()
    return home


def _made(
    chosen: Sequence[Ending], homes: Sequence[Workspace], world: World, where: Sequence[tuple[str, int]], grace: int
) -> list[Stubborn]:
    alone = iter(homes[1:])
    placed = [(next(alone) if one.alone else homes[0], f"e{number}") for number, one in enumerate(chosen)]
    for home, name in placed:
        home.devbox(name, command=command(where), terminationGracePeriodSeconds=grace)
    return [started(world, home.name, home.ready(name), name) for home, name in placed]


def _controls(world: World, home: Workspace, where: Sequence[tuple[str, int]], grace: int) -> list[Stubborn]:
    """A pod that nothing holds, and one that its own policy holds, as long as it is there."""
    home.apply(bare(FREE, where, grace, {"probes": FREE}), bare(OWNED, where, grace, {"probes": OWNED}))
    item: Any = home.get("pod", OWNED)
    policy: Any = policy_like_ours(OWNED)
    owner = {"apiVersion": "v1", "kind": "Pod", "name": OWNED, "uid": item["metadata"]["uid"]}
    policy["metadata"]["ownerReferences"] = [owner]
    home.apply(policy)
    made = [started(world, home.name, FREE, ""), started(world, home.name, OWNED, "")]
    held = made[1]

    def attempt() -> None:
        world.sinkhole.counters.reset()
        time.sleep(1)
        if passed := held.counted(world.sinkhole.counters.node()):
            raise NotYet(f"{passed} packets passed within a second")

    wait_for("the control's own policy holds it", attempt, seconds=60)
    return made


def _judged(world: World, ending: Ending, one: Stubborn, passed: list[str], batch: Batch) -> Verdict:
    leaks = world.leaks(one.pod.addresses, batch.counted.node, batch.gateways)
    arrived = batch.counted.of(one.pod.addresses).sinkhole
    shown = f"{listed(leaks)}; in the sinkhole: {listed(arrived)}; {one.sent} tried in all; lived {one.lived:.1f} s"
    shown += f"; not refused: {', '.join(passed)}" if passed else ""
    passing = sum(each.number for each in batch.counted.of(world.control.addresses).node)
    held = not leaks and not arrived and not passed and one.sent > 0 and passing > 0 and one.lived >= batch.grace - 2
    return Verdict(ending.name, "0 packets until its cgroup is empty", shown, f"{passing} packets of {batch.tried} tried", held)


def _control(one: Stubborn, before: int, counted: Counted) -> Verdict:
    packets = one.counted(counted.node)
    what = "a pod that no policy holds" if one.pod.name == FREE else "a pod with a policy that it owns, and no other"
    shown = f"{packets} packets, {packets - before} of them after it was told to end; lived {one.lived:.1f} s"
    return Verdict(f"control: {what}, deleted in the foreground", "its packets pass", "", shown, packets > before)


@contextlib.contextmanager
def _without_operator(world: World) -> Iterator[None]:
    """None of its replicas runs."""
    found: Any = world.kubectl.get("deployment", "devbox-operator", RELEASE_NAMESPACE)
    where = ("-n", RELEASE_NAMESPACE)
    world.kubectl(*where, "scale", "deployment/devbox-operator", "--replicas=0")

    def gone() -> None:
        if world.kubectl.all("pods", RELEASE_NAMESPACE, "app.kubernetes.io/component=operator"):
            raise NotYet("a replica runs")

    try:
        wait_for("the operator is down", gone, seconds=60)
        yield
    finally:
        world.kubectl(*where, "scale", "deployment/devbox-operator", f"--replicas={found['spec']['replicas']}")
        world.kubectl(*where, "rollout", "status", "deployment/devbox-operator", "--timeout=90s", timeout=120)


@contextlib.contextmanager
def _without_release(world: World) -> Iterator[None]:
    """`helm uninstall`; then installed again, as it was, with Helm taking what stayed for its own."""
    where = ("--namespace", RELEASE_NAMESPACE)
    values = world.kubectl.helm("get", "values", RELEASE, *where, "--output=yaml").out
    world.kubectl.helm("uninstall", RELEASE, *where, "--wait", "--timeout=3m")
    try:
        yield
    finally:
        chart = str(PROJECT / "charts" / "devbox-gateway")
        flags = (*where, "--create-namespace", "--values=-", "--wait", "--timeout=3m")
        world.kubectl.helm("install", RELEASE, chart, *flags, stdin=values)
