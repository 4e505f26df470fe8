"""Pods that end or can't start, in the words of a kubelet, a node's controller and the API server: a new pod with new tokens where that is
right, else a condition that says what it is, and a pause that grows.

Goes in: a stage. Comes out: rows. Quotas are the API server's own; what a kubelet would say, a test says in its place.
"""

import asyncio
import itertools
from collections.abc import Callable, Mapping
from time import monotonic as now
from typing import Any, Final

from tests.chaos.report import Row, timed
from tests.chaos.world import eventually
from tests.support.fake_kubelet import ended, gone, waiting

from devbox_common.kube import ApiError, Object
from devbox_operator.kit import paths

from .stage import Stage
from .traffic import Agent, Traffic, traffic

BACK_SECONDS: Final = 10.0
REFUSED_SECONDS: Final = 12.0
EVICTED: Final[Mapping[str, str]] = {"reason": "Evicted", "message": "The node was low on resource: memory."}
OOM: Final = "OOMKilled"
LOST: Final[Mapping[str, str]] = {"reason": "NodeLost", "message": "Node node-1 which was running pod is unresponsive"}


async def pod_failures(stage: Stage, long: bool) -> list[Row]:
    """One after the other; the short form leaves out what differs from others by a word, and what takes a pause."""
    await stage.alone()
    async with traffic(stage) as cars:
        rows = [
            await _back(stage, cars, "evicted", "OnFailure", ended("Failed", code=137, more=EVICTED)),
            await _back(stage, cars, "node lost: its pod removed", "Always", None),
            await _left(stage, cars, "OnFailure", ended("Succeeded"), "PodSucceeded"),
            await _left(stage, cars, "Never", ended("Failed", code=1), "PodFailed"),
            await _image(stage, cars),
            await _quota(stage, cars),
            await _restricted(stage, cars),
            await _refused(stage, cars),
        ]
        if long:
            rows += [
                await _back(stage, cars, "evicted", "Always", ended("Failed", code=137, more=EVICTED)),
                await _back(stage, cars, "node lost: its pod Failed", "Always", ended("Failed", code=137, more=LOST)),
                await _back(
                    stage, cars, "out of memory, and the pod Failed", "OnFailure", ended("Failed", code=137, container=OOM)
                ),
                await _left(stage, cars, "Never", ended("Succeeded"), "PodSucceeded"),
                await _pause(stage, cars),
            ]
        return rows


async def _started(stage: Stage, cars: Traffic, **spec: Any) -> tuple[str, Agent]:
    space = await stage.namespace()
    await stage.create(space, **spec)
    return space, await cars.agent(space)


async def _condition(stage: Stage, space: str, wanted: Callable[[Object], bool], seconds: float = 20.0) -> Object:
    """PodReady, once it is as wanted."""
    found: list[Object] = []

    async def there() -> bool:
        box = await stage.get(paths.devboxes(space, "agent")) or {}
        found[:] = [c for c in box.get("status", {}).get("conditions", ()) if c["type"] == "PodReady"]
        return bool(found) and wanted(found[0])

    await eventually(there, seconds, every=0.05)
    return found[0]


async def _back(stage: Stage, cars: Traffic, what: str, policy: str, status: Object | None) -> Row:
    """Another pod, with tokens of its own; the old one's are dead."""
    space, old = await _started(stage, cars, restartPolicy=policy)
    start = now()
    if status is None:
        await gone(stage.node, space, old.name, old.uid)
    else:
        await cars.kubelet.says(old.pod, **status)
    new = old
    async with asyncio.timeout(40):
        while new.uid == old.uid:
            await asyncio.sleep(0.1)
            new = await cars.agent(space)
    took = now() - start
    fine = (await cars.answers(new)).fine
    dead = (await cars.answers(new, token=old.tokens["ANTHROPIC"])).status
    measured = f"{took:.1f} s; the new pod's token {'works' if fine else 'does not work'}, the old one's: {dead}"
    right = fine and dead in (401, 403) and new.name != old.name
    demand = f"another pod with other tokens ≤{BACK_SECONDS:g} s"
    return timed(f"{what}, restartPolicy {policy}", demand, measured, took <= BACK_SECONDS, right)


async def _left(stage: Stage, cars: Traffic, policy: str, status: Object, reason: str) -> Row:
    """Its end is the end."""
    space, old = await _started(stage, cars, restartPolicy=policy)
    await cars.kubelet.says(old.pod, **status)
    said = await _condition(stage, space, lambda c: c["reason"] == reason)
    await asyncio.sleep(1)
    pods = await stage.pods(space)
    box = await stage.get(paths.devboxes(space, "agent")) or {}
    same = [pod["metadata"]["uid"] for pod in pods] == [old.uid]
    measured = f"{box['status']['phase']}: {said['message']}; {'no' if same else 'another'} new pod"
    return Row(
        f"{status['phase']}, and restartPolicy is {policy}",
        f"left, with the condition {reason}",
        measured,
        same and box["status"]["phase"] == status["phase"],
    )


async def _image(stage: Stage, cars: Traffic) -> Row:
    """The kubelet tries again by itself: no new pod."""
    space, old = await _started(stage, cars)
    text = 'Back-off pulling image "localhost/agent"'
    await cars.kubelet.says(old.pod, **waiting("ImagePullBackOff", text))
    said = await _condition(stage, space, lambda c: "ImagePullBackOff" in c["message"])
    same = [pod["metadata"]["uid"] for pod in await stage.pods(space)] == [old.uid]
    return Row(
        "image can't be pulled",
        "the condition says so, the pod stays",
        f"{said['reason']}: {said['message']}",
        same and text in said["message"],
    )


async def _pause(stage: Stage, cars: Traffic) -> Row:
    """The second failure in a row waits 10 s, and the condition says why."""
    space, agent = await _started(stage, cars)
    await cars.kubelet.says(agent.pod, **ended("Failed", code=1, ran=1))
    first = agent
    async with asyncio.timeout(30):
        while agent.uid == first.uid:
            await asyncio.sleep(0.1)
            agent = await cars.agent(space)
    start = now()
    await cars.kubelet.says(agent.pod, **ended("Failed", code=1, ran=1))
    said = await _condition(stage, space, lambda c: c["reason"] == "PodFailed")
    second = agent
    async with asyncio.timeout(40):
        while agent.uid == second.uid:
            await asyncio.sleep(0.1)
            agent = await cars.agent(space)
    took = now() - start
    return Row(
        "a pod that fails twice in a row",
        "the third ≥9 s later, PodFailed meanwhile",
        f"{took:.1f} s; {said['message']}",
        took >= 9,
    )


async def _quota(stage: Stage, cars: Traffic) -> Row:
    """The API server refuses the pod; once there is room, it comes."""
    space = await stage.namespace()
    quota = {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "none"}, "spec": {"hard": {"pods": "0"}}}
    path = paths.core("resourcequotas", space)
    await stage.api.request("POST", path, body=quota)

    async def counted() -> bool:
        return "hard" in ((await stage.get(f"{path}/none")) or {}).get("status", {})

    await eventually(counted, 20)
    await stage.create(space)
    said = await _condition(stage, space, lambda c: c["reason"] == "PodRefused")
    await stage.api.request("DELETE", f"{path}/none")
    start = now()
    agent = await cars.agent(space)
    took = now() - start
    fine = "exceeded quota" in said["message"] and (await cars.answers(agent)).fine
    return Row(
        "quota exceeded, then lifted",
        "PodRefused with the API server's words; then it runs",
        f"{said['message'][:60]}…; {took:.1f} s",
        fine,
    )


async def _refused(stage: Stage, cars: Traffic) -> Row:
    """Somebody's admission policy has something against it, as Pod Security has against others: its words, pauses, then it runs."""
    space = await stage.namespace()
    head = {"apiVersion": "admissionregistration.k8s.io/v1", "metadata": {"name": space}}
    rules = [{"apiGroups": [""], "apiVersions": ["v1"], "resources": ["pods"], "operations": ["CREATE"]}]
    says = {"expression": "false", "message": "pods of this team need a cost centre"}
    policy = {**head, "kind": "ValidatingAdmissionPolicy",
              "spec": {"matchConstraints": {"resourceRules": rules}, "validations": [says]}}  # fmt: skip
    here = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": space}}}
    binding = {**head, "kind": "ValidatingAdmissionPolicyBinding",
               "spec": {"policyName": space, "validationActions": ["Deny"], "matchResources": here}}  # fmt: skip
    at = "/apis/admissionregistration.k8s.io/v1"
    await stage.api.request("POST", f"{at}/validatingadmissionpolicies", body=policy)
    await stage.api.request("POST", f"{at}/validatingadmissionpolicybindings", body=binding)
    probe = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "probe"},
        "spec": {"containers": [{"name": "c", "image": "i"}]},
    }

    async def in_force() -> bool:
        try:
            await stage.api.request("POST", f"{paths.pods(space)}?dryRun=All", body=probe)
        except ApiError as error:
            return says["message"] in error.message
        return False

    await eventually(in_force, 20)
    await stage.create(space)
    said = await _condition(stage, space, lambda c: c["reason"] == "PodRefused")
    await asyncio.sleep(REFUSED_SECONDS)
    tries = [call.begun for call in stage.replicas[0].proxy.writes if call.path == paths.pods(space)]
    pauses = [after - before for before, after in itertools.pairwise(tries)]
    await stage.api.request("DELETE", f"{at}/validatingadmissionpolicybindings/{space}")
    start = now()
    agent = await cars.agent(space)
    took = now() - start
    await stage.api.request("DELETE", f"{at}/validatingadmissionpolicies/{space}")
    fine = says["message"] in said["message"] and (await cars.answers(agent)).fine
    return timed(
        f"refused by an admission policy for {REFUSED_SECONDS:g} s, then not any more",
        "PodRefused with its words, and pauses that grow; then it runs",
        f"{said['message'][-45:]!r}; tried after {', '.join(f'{pause:.1f}' for pause in pauses)} s; {took:.1f} s",
        2 <= len(pauses) <= 12 and pauses[-1] > 2 * pauses[0],
        fine,
    )


async def _restricted(stage: Stage, cars: Traffic) -> Row:
    """Pod Security at its strictest has nothing against a devbox."""
    space = await stage.namespace()
    labels = {f"pod-security.kubernetes.io/{mode}": "restricted" for mode in ("enforce", "audit", "warn")}
    await stage.patch(paths.core("namespaces", "", space), {"metadata": {"labels": labels}})
    await stage.create(space)
    fine = (await cars.answers(await cars.agent(space))).fine
    return Row("Pod Security: restricted is enforced", "the devbox runs", "it runs" if fine else "it does not", fine)
