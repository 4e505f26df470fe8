"""`helm uninstall` with Devboxes there, an operator at work and without one, and what comes after it. docs/install.md says what stays.

Goes in: a stage. Comes out: rows; the release is there again afterwards. Nobody ends the operator's process while the release goes, so it
works on without its rights, which is worse than what happens in a cluster.
"""

import asyncio
from time import monotonic as now
from typing import Final

from tests.chaos.report import Row, timed
from tests.support.fake_kubelet import FakeKubelet
from tests.support.fleet import leftovers
from tests.support.release import CREDENTIALS, NAMESPACE

from devbox_api import names
from devbox_operator.kit import paths

from .stage import Stage

ENDS_SECONDS: Final = 30.0
KEPT: Final = {"service/gateway", f"secret/{names.CA_SECRET}"}
"""Of the release namespace, less what Kubernetes itself puts into every one."""
NOT_OURS: Final = {"configmap/kube-root-ca.crt", "serviceaccount/default"}
ADMISSION: Final = "/apis/admissionregistration.k8s.io/v1"
GUARDS: Final = {
    f"{NAMESPACE}-{name}"
    for name in (
        "devbox-pods",
        "devbox-networkpolicies",
        "devbox-deny",
        "ephemeral-containers",
        "forced-deletion",
        "forced-deletion-by-eviction",
    )
}
"""What a devbox that goes on running is confined by."""
CRDS: Final = [f"{plural}.{names.GROUP}" for plural in ("devboxes", "gatewayconfigs", "egresspolicies")]
OURS: Final = {"Pod": 1, "NetworkPolicy": 1, "token Secret": 1, "ServiceAccount": 1, "CA bundle": 1}
"""What a Devbox has in its own namespace."""


async def uninstall(stage: Stage, long: bool) -> list[Row]:
    """Away, and back; and away for good."""
    release = stage.release
    async with FakeKubelet(stage.api, stage.node).working():
        await asyncio.to_thread(release.helm_install)
        await stage.alone()
        await stage.collector_is_ready()
        spaces = [await stage.namespace() for _ in range(2)]
        for space in spaces:
            await stage.create(space)
            assert await stage.converged(space) is not None, await stage.problems(space)
        pods = [await stage.pods(space) for space in spaces]
        rows = [await _away(stage, spaces, "operator at work")]
        stage.stop()
        start = now()
        await stage.api.request("DELETE", paths.devboxes(spaces[1], "agent"))
        rows.append(_row("no release: a Devbox deleted", "gone, with all that is its own", await stage.gone(spaces[1]), start))
        start = now()
        await asyncio.to_thread(release.helm_install, again=True)
        await release.authorise()
        await stage.alone()
        back = await stage.converged(spaces[0])
        same = [pod["metadata"]["uid"] for pod in await stage.pods(spaces[0])] == [pods[0][0]["metadata"]["uid"]]
        rows.append(
            _row("installed again, with the Devbox that stayed", "works, with the same pod", back if same else None, start)
        )
        await stage.create(spaces[1])
        assert await stage.converged(spaces[1]) is not None, await stage.problems(spaces[1])
        stage.stop()
        rows.append(await _away(stage, spaces, "no operator"))
        if long:
            rows.append(await _without_crds(stage, spaces))
        # For whatever comes after: as it was, with accounts whose tokens are good.
        await asyncio.to_thread(release.helm_install)
        await release.authorise()
    return rows


async def _away(stage: Stage, spaces: list[str], who: str) -> Row:
    """What an uninstall leaves is what the page says."""
    start = now()
    await asyncio.to_thread(stage.release.helm, "uninstall", "devbox-gateway", "--wait", f"--timeout={ENDS_SECONDS:g}s")
    took = now() - start
    wrong = []
    deadline = start + ENDS_SECONDS
    while (left := await _release(stage)) != KEPT and now() < deadline:  # noqa: ASYNC110 (another process)
        await asyncio.sleep(0.1)  # (the garbage collector has the gateway's certificate, the Lease)
    if left != KEPT:
        wrong.append(f"in {NAMESPACE}: {sorted(left ^ KEPT)}")
    if await stage.get(paths.core("namespaces", "", CREDENTIALS)) is not None:
        wrong.append(f"{CREDENTIALS} is there")
    for space in spaces:
        found = await leftovers(stage.api, of_namespace=space)
        if found != OURS or await stage.get(paths.devboxes(space, "agent")) is None:
            wrong.append(f"of a Devbox: {found}")
        for pod in await stage.pods(space):
            wrong += await stage.unconfined(space, pod)
    for kind in ("validatingadmissionpolicies", "validatingadmissionpolicybindings"):
        there = {item["metadata"]["name"] for item in (await stage.api.list(f"{ADMISSION}/{kind}"))[0]}
        if (left := {name for name in there if name.startswith(NAMESPACE)}) != GUARDS:
            wrong.append(f"{kind}: {sorted(left ^ GUARDS)}")
    # (That their objects are there says nothing of what they hold: both policies are read.)
    return timed(
        f"{who}: `helm uninstall --wait` with {len(spaces)} devboxes",
        f"≤{ENDS_SECONDS:g} s; what docs/install.md says stays",
        f"{took:.1f} s; {'; '.join(wrong) or 'that'}",
        took <= ENDS_SECONDS,
        not wrong,
    )


async def _release(stage: Stage) -> set[str]:
    """Everything in the release namespace that is somebody's."""
    kinds = (
        "services,secrets,configmaps,serviceaccounts,deployments,roles,rolebindings,networkpolicies,leases,poddisruptionbudgets"
    )
    command = ("--namespace", NAMESPACE, "get", kinds, "--output=name", "--ignore-not-found")
    said = await asyncio.to_thread(stage.release.plane.kubectl, *command)
    return {line.replace(".coordination.k8s.io", "") for line in said.split()} - NOT_OURS


async def _without_crds(stage: Stage, spaces: list[str]) -> Row:
    """Not what the page says to do first; and still it ends, and takes the Devboxes' pods with it."""
    start = now()
    await asyncio.to_thread(stage.release.plane.kubectl, "delete", "crd", *CRDS, f"--timeout={ENDS_SECONDS:g}s")
    times = [await stage.gone(space, 60) for space in spaces]
    return _row(
        "no release: the CRDs deleted with Devboxes there", "gone, with their pods", None if None in times else 0, start
    )


def _row(what: str, demand: str, done: float | None, start: float) -> Row:
    took = now() - start
    measured = f"{took:.1f} s" if done is not None else f"not after {took:.0f} s"
    return timed(what, f"{demand} ≤{ENDS_SECONDS:g} s", measured, took <= ENDS_SECONDS, done is not None)
