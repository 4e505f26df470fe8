"""Two operators at work at the same time, since they share no Lease: they may not make anything twice, and must come to rest.

Goes in: a stage. Comes out: rows. The second one's proxy gives its Lease another name at the API server, so that neither knows of the
other. That must not happen (the chart's names are fixed); here it is the worst that a lost Lease could lead to.
"""

import asyncio
import json
from time import monotonic as now
from typing import Final

from tests.chaos.report import Row, timed
from tests.chaos.world import eventually
from tests.support.fleet import GATEWAYS, Fleet
from tests.support.release import ACCOUNT, NAMESPACE

from devbox_operator.kit import paths

from .stage import CONVERGE_SECONDS, Stage
from .suspensions import at_rest, resume, suspend

OTHER: Final = "devbox-operator-too"
RESTORE_SECONDS: Final = 5.0
CALM_SECONDS: Final = 2.0
"""Without a write of either: they have come to rest."""
SETTLE_SECONDS: Final = 30.0
RESYNC_SECONDS: Final = 10
"""Both look at everything this often, so that what they don't agree on shows while they are watched."""


async def two_operators(stage: Stage, long: bool) -> list[Row]:
    """Devboxes are made, changed, damaged by hand, suspended, resumed and deleted."""
    stage.stop()
    await stage.expire_lease()
    _allow(stage)
    pair = [
        await stage.start(leading=False, resyncSeconds=RESYNC_SECONDS),
        await stage.start(leading=False, lease=OTHER, resyncSeconds=RESYNC_SECONDS),
    ]
    for replica in pair:
        await eventually(replica.operator.leads, 60)
    fleet = Fleet(stage.api)
    spaces = [await stage.namespace() for _ in range(20 if long else 4)]
    async with fleet.watching():
        for space in spaces:
            await fleet.create((space, "agent"))
        made = await _all_converged(stage, spaces)
        twice = fleet.duplicates()  # (A change before the agent has started is another pod, by right.)
        for space in spaces:
            await _change(stage, space)
        changed = await _all_converged(stage, spaces)
        restored = [await _restored(stage, space) for space in spaces]
        settled = await _settled(stage)
        quiet = await _writes(stage, 60.0 if long else RESYNC_SECONDS * 1.2)
        for space in spaces:
            await suspend(stage, space)
        suspended = [await at_rest(stage, space) for space in spaces]
        for space in spaces:
            await resume(stage, space)
        resumed = await _all_converged(stage, spaces)
        both = [await replica.operator.leads() for replica in pair]
        shares = [len(replica.proxy.writes) for replica in pair]
        for space in spaces:
            await stage.api.request("DELETE", paths.devboxes(space, "agent"))
        gone = [await stage.gone(space) for space in spaces]
    stage.stop()
    stage.release.plane.kubectl("-n", NAMESPACE, "delete", f"role/{OTHER}", f"rolebinding/{OTHER}", f"lease/{OTHER}")
    worst = max(restored)
    rest = f"{_worst([settled])}; {quiet[0]} writes in {quiet[1]:.0f} s"
    return [
        timed(f"two operators that share no Lease: {len(spaces)} Devboxes made", f"all there ≤{CONVERGE_SECONDS:g} s, no pod twice",
            f"{_worst(made)}; {len(twice)} twice; writes: {shares[0]} and {shares[1]}",
            None not in made, not twice and all(both) and all(shares)),
        timed("the same, changed", f"as it should be ≤{CONVERGE_SECONDS:g} s", _worst(changed), None not in changed),
        timed("the same: a NetworkPolicy deleted by hand", f"restored ≤{RESTORE_SECONDS:g} s", f"{worst:.1f} s", worst <= RESTORE_SECONDS),
        timed("the same: they come to rest", f"≤{SETTLE_SECONDS:g} s, and then no write", rest,
            settled is not None, settled is None or quiet[0] == 0),
        timed("the same, suspended and resumed", f"as it should be ≤{CONVERGE_SECONDS:g} s",
            f"{_worst(suspended)}, {_worst(resumed)}", None not in (*suspended, *resumed)),
        timed("the same, deleted", "nothing is left", _worst(gone), None not in gone),
    ]  # fmt: skip


def _allow(stage: Stage) -> None:
    """The operator's account may hold the other Lease, too."""
    about = {"name": OTHER, "namespace": NAMESPACE}
    rule = {"apiGroups": ["coordination.k8s.io"], "resources": ["leases"], "resourceNames": [OTHER], "verbs": ["get", "update"]}
    kind = {"apiVersion": "rbac.authorization.k8s.io/v1", "metadata": about}
    role = {**kind, "kind": "Role", "rules": [rule]}
    reference = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": OTHER}
    subject = {"kind": "ServiceAccount", "name": ACCOUNT, "namespace": NAMESPACE}
    binding = {**kind, "kind": "RoleBinding", "roleRef": reference, "subjects": [subject]}
    for item in (role, binding):
        stage.release.plane.kubectl("apply", "-f", "-", stdin=json.dumps(item))


async def _change(stage: Stage, space: str) -> None:
    """One gateway less, and the other's credential is another key of the Secret."""
    left = GATEWAYS[0].lower()
    await stage.patch(paths.secrets(space, left), {"stringData": {"other": "sk-two"}})
    gateways = [{"name": GATEWAYS[0], "gatewayRef": {"name": left}, "secretRef": {"name": left, "key": "other"}}]
    await stage.patch(paths.devboxes(space, "agent"), {"spec": {"gateways": gateways}})


async def _all_converged(stage: Stage, spaces: list[str]) -> list[float | None]:
    start = now()
    found = [await stage.converged(space, seconds=max(1.0, start + CONVERGE_SECONDS - now())) for space in spaces]
    return [None if one is None else now() - start for one in found]


async def _restored(stage: Stage, space: str) -> float:
    """Seconds until a policy that was deleted is there again. (In the garbage collector's name: nobody else may.)"""
    path = paths.networkpolicies(space, (await stage.pods(space))[0]["metadata"]["name"])
    async with stage.as_collector() as api:
        await api.request("DELETE", path)
    start = now()

    async def there() -> bool:
        return await stage.get(path) is not None

    await eventually(there, 60, every=0.02)
    return now() - start


async def _settled(stage: Stage) -> float | None:
    """Seconds until neither writes any more; None if they go on."""
    start = now()
    while now() - start < SETTLE_SECONDS:
        if (await _writes(stage, CALM_SECONDS))[0] == 0:
            return now() - start - CALM_SECONDS
    return None


async def _writes(stage: Stage, seconds: float) -> tuple[int, float]:
    """Of both, in this time."""
    before = sum(len(replica.proxy.writes) for replica in stage.replicas)
    await asyncio.sleep(seconds)
    return sum(len(replica.proxy.writes) for replica in stage.replicas) - before, seconds


def _worst(seconds: list[float | None]) -> str:
    late = seconds.count(None)
    return f"{late} of {len(seconds)} not in time" if late else f"{max(one for one in seconds if one is not None):.1f} s"
