"""From the first release to this one and back, under load (C23).

Goes in: nothing: the case has a control plane of its own, on which Helm installs 0.1.0 from this repository's history. Comes out: rows.
After each `helm upgrade` and `helm rollback` the operator is replaced first, so that both operators' documents are read by both gateways;
then the gateways, one by one. Meanwhile devboxes call with the tokens that they were started with.
"""

import asyncio
import base64
import contextlib
import itertools
import signal
import tempfile
from collections.abc import Sequence
from pathlib import Path
from time import monotonic as now
from typing import Any, Final

from tests.chaos.api import Ask, plain
from tests.chaos.client import Tally
from tests.chaos.report import Row
from tests.chaos.world import eventually
from tests.support.control_plane import ControlPlane, control_plane
from tests.support.fake_kubelet import running
from tests.support.first_release import NAME, released, running_from, sources
from tests.support.fleet import GATEWAYS, HOSTS
from tests.support.release import CREDENTIALS, helm

from devbox_api import names
from devbox_api.route import Route
from devbox_cluster.paths import PROJECT
from devbox_common.kube import Object
from devbox_operator.kit import paths

from .serving import Serving, serving
from .stage import Stage
from .suspensions import at_rest, not_at_rest, suspend
from .traffic import Load, credential

DRAIN_SECONDS: Final = 3
LIVE_SECONDS: Final = 5.0
CLIENTS: Final = 3
"""Of each devbox."""
IMAGE: Final = ("--set", "image.repository=localhost/devbox-gateway")
GIT_IMAGE: Final = ("--set", "devboxes.gitImage=localhost/devbox-gateway-git:1")
CODE: Final = {"name": "app", "repository": f"https://{HOSTS[GATEWAYS[0]]}/org/app", "gateway": GATEWAYS[0]}
WHOLE: Final[Object] = {"workspace": {"size": "1Gi"}, "codeMounts": [CODE], "lifecycle": {"ttl": "24h"}}
"""What the first release does not know, but for suspension."""
CRDS: Final = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"


class Box:
    """A devbox whose agent runs."""

    def __init__(self, space: str, uid: str, address: str, token: str) -> None:
        self.space, self.uid, self.address, self.token = space, uid, address, token


class Course:
    """What there is at the moment: a version, its operator, its gateways; and the devboxes, which stay."""

    def __init__(self, plane: ControlPlane, stage: Stage, gates: Serving) -> None:
        self.plane, self.stage, self.gates = plane, stage, gates
        self.boxes: list[Box] = []
        self.shown: list[str] = []
        """The credentials that the API was shown."""
        self._numbers = itertools.count(2)

    async def record(self, ask: Ask) -> None:
        """What the API does."""
        self.shown.append(credential(ask))
        await plain(ask)

    async def box(self, **spec: Any) -> Box:
        """One more, made by the operator that is there."""
        space = await self.stage.namespace()
        await self.stage.create(space, **spec)
        assert await self.stage.converged(space) is not None, await self.stage.problems(space)
        metadata = (await self.stage.pods(space))[0]["metadata"]
        address = f"10.204.0.{next(self._numbers)}"
        await self.gates.run_pod(space, metadata["name"], address)
        token = await self.gates.token(space, metadata["name"], GATEWAYS[0])
        box = Box(space, metadata["uid"], address, token)
        client = self.gates.client(address, token)
        assert (await client.request()).fine
        self.boxes.append(box)
        return box

    async def replace(self, prefix: Sequence[str], gateways: int) -> list[int]:
        """The other version's operator, then its gateways one by one. Returns the statuses with which the gateways before ended."""
        old = self.stage.replicas[0]
        self.stage.guarded = not prefix
        self.stage.release = await released(self.plane, self.stage.api, list(prefix))
        new = await self.stage.start(leading=False)
        old.operator.signal(signal.SIGTERM)
        await eventually(new.operator.leads, 40)
        self.stage.replicas.remove(old)
        for box in self.boxes:
            assert await self.stage.converged(box.space) is not None, await self.stage.problems(box.space)
        await asyncio.sleep(2)
        before = self.gates.replicas[-gateways:]
        for gateway in before:
            fresh = await self.gates.start(prefix)
            assert bool(fresh.process.egress) is not bool(prefix), "(the first release has no forward proxy)"
            gateway.signal(signal.SIGTERM)
            await asyncio.sleep(DRAIN_SECONDS + 1)
        return [await gateway.process.end() for gateway in before]

    async def state(self) -> list[str]:
        """What is not as it should be, of every devbox."""
        found = []
        for number, box in enumerate(self.boxes):
            pods = await self.stage.pods(box.space)
            found += [f"devbox {number}: {problem}" for problem in await self.stage.problems(box.space)]
            if [pod["metadata"]["uid"] for pod in pods] != [box.uid]:
                found.append(f"devbox {number} has another pod")
            client = self.gates.client(box.address, box.token)
            if not (await client.request()).fine:
                found.append(f"devbox {number}: its first token is refused")
            client.close()
        return found

    async def rotated(self, value: str) -> list[str]:
        """A Secret of each devbox is changed; whose API is not shown the new one in time."""
        late = []
        for number, box in enumerate(self.boxes):
            await self.stage.patch(paths.secrets(box.space, GATEWAYS[0].lower()), {"stringData": {"key": f"{value}-{number}"}})
            client = self.gates.client(box.address, box.token)
            start = now()
            while f"{value}-{number}" not in self.shown and now() - start < LIVE_SECONDS:
                await client.request()
            if f"{value}-{number}" not in self.shown:
                late.append(f"devbox {number} has the key of before")
            client.close()
        return late

    async def says(self, box: Box) -> str:
        """What its first token is answered with."""
        client = self.gates.client(box.address, box.token)
        answer = await client.request()
        client.close()
        return answer.kind

    async def route(self, box: Box) -> Route:
        """Of its pod."""
        item = await self.stage.get(paths.secrets(CREDENTIALS, f"route-{box.uid}"))
        assert item is not None
        return Route.model_validate_json(base64.b64decode(item["data"][names.ROUTE_KEY]))

    async def restart_required(self, box: Box) -> bool:
        """What its status says."""
        item = await self.stage.get(paths.devboxes(box.space, "agent"))
        conditions = {one["type"]: one["status"] for one in (item or {})["status"]["conditions"]}
        return conditions.get("RestartRequired") == "True"

    async def rules(self, box: Box) -> bool:
        """Its GatewayConfig has them."""
        item = await self.stage.get(paths.gatewayconfigs(box.space, GATEWAYS[0].lower()))
        return item is not None and bool(item["spec"].get("rules"))

    async def specs(self) -> dict[str, Object]:
        """Everything that users wrote, by kind and place."""
        found = {}
        for kind in ("devboxes", "gatewayconfigs"):
            for item in (await self.stage.api.list(f"/apis/devbox-gateway.io/v1alpha1/{kind}"))[0]:
                found[f"{kind} {item['metadata']['namespace']}/{item['metadata']['name']}"] = item["spec"]
        return found


async def upgrade(long: bool) -> list[Row]:
    """N-1, N, N-1; in the long form then N again, to show what is lost by a way back."""
    boxes, gateways, rate = (5, 3, 100) if long else (1, 2, 20)
    with control_plane() as plane, tempfile.TemporaryDirectory(prefix="first-release-") as name:
        tree = sources(Path(name))
        first = running_from(tree)
        helm(plane, "install", NAME, str(tree / "charts" / NAME), "--create-namespace", *IMAGE)
        async with contextlib.AsyncExitStack() as stack:
            api = await stack.enter_async_context(plane.admin())
            stage = Stage(await released(plane, api, first), api, await stack.enter_async_context(plane.node()))
            stack.push_async_callback(stage.close)
            stage.guarded = False
            gates = await stack.enter_async_context(serving(plane, api))
            await stage.start()
            for _ in range(gateways):
                await gates.start(first)
            course = Course(plane, stage, gates)
            gates.upstream.ways["/"] = course.record
            for _ in range(boxes):
                await course.box()
            return await _course(course, first, gateways, rate, again=long)


async def _course(course: Course, first: Sequence[str], gateways: int, rate: int, *, again: bool) -> list[Row]:
    made = list(course.boxes)
    clients = [course.gates.client(box.address, box.token) for box in made for _ in range(CLIENTS)]
    loads = [Load(client, len(clients) / rate) for client in clients]
    specs = await course.specs()
    helm(course.plane, "upgrade", NAME, str(PROJECT / "charts" / NAME), "--reset-then-reuse-values", *GIT_IMAGE)
    rows = await _way(course, "upgrade", (), gateways)
    wanted = [await course.restart_required(box) for box in made]
    rows.append(
        Row(
            "C23 upgrade: devboxes that the first release had made",
            "RestartRequired",
            f"{sum(wanted)} of {len(made)}",
            all(wanted),
        )
    )
    ruled, suspended, whole = await _with_rules(course), await _suspended(course), await _whole(course)
    before_all = await _there(course, whole)
    helm(course.plane, "rollback", NAME)
    rows += await _way(course, "rollback", first, gateways)
    rows.append(await _resumed_by_hand(course, suspended))
    rows.append(_untouched("rollback", before_all, await _there(course, whole)))
    said, kept = await course.says(ruled), await course.rules(ruled)
    what = "C23 rollback: rules of a GatewayConfig, which the first release does not know"
    rows.append(Row(what, "(shown)", f"{'there' if kept else 'gone'}; a path that they forbid: {said}", None))
    if again:
        before = await course.route(course.boxes[len(made)])
        helm(course.plane, "upgrade", NAME, str(PROJECT / "charts" / NAME), "--reset-then-reuse-values", *GIT_IMAGE)
        rows += await _way(course, "upgrade again", (), gateways)
        said, kept = await course.says(ruled), await course.rules(ruled)
        after = await course.route(course.boxes[len(made)])
        lost = before.egress is None and after.egress is not None
        token = "another" if lost else "the same"
        measured = f"rules {'there' if kept else 'gone'}; a path that they forbade: {said}; token of the forward proxy: {token}"
        rows.append(Row("C23 upgrade again: what the rollback did not know", "(shown)", measured, None))
        rows += await _whole_again(course, whole, before_all)
    rows += await _kept(course, specs)
    tallies = [await each.end() for each in loads]
    errors = Tally(errors=[error for tally in tallies for error in tally.errors])
    count = sum(len(tally.seconds) for tally in tallies) + len(errors.errors)
    what = f"C23 all along: requests of {len(made)} devboxes that the first release had made"
    return [*rows, Row(what, "0 failed", f"{errors.kinds} in {count}", count > 0 and not errors.errors)]


async def _way(course: Course, way: str, prefix: Sequence[str], gateways: int) -> list[Row]:
    """Helm has been there; the processes follow, and one more devbox is made."""
    statuses = await course.replace(prefix, gateways)
    problems = await course.state() + await course.rotated(f"sk-after-the-{way.replace(' ', '-')}")
    fine = f"{len(course.boxes)} of {len(course.boxes)}"
    newest = await course.route(await course.box())
    assert (newest.egress is None) is bool(prefix), "(the first release's operator gives no token for the forward proxy)"
    demand = "the same pods, their first tokens good, a new key live ≤5 s"
    return [
        Row(f"C23 {way}: running devboxes", demand, ", ".join(problems) or fine, not problems),
        Row(f"C23 {way}: replaced gateways", "end by themselves, status 0", str(statuses), set(statuses) == {0}),
    ]


async def _with_rules(course: Course) -> Box:
    """A devbox whose requests are forbidden by what this version knows and the first release does not."""
    box = await course.box()
    course.boxes.remove(box)
    rules = {"spec": {"rules": [{"paths": ["/allowed"]}]}}
    await course.stage.patch(paths.gatewayconfigs(box.space, GATEWAYS[0].lower()), rules)

    async def forbidden() -> bool:
        return await course.says(box) == "403"

    await eventually(forbidden, 10, every=0.1)
    return box


async def _suspended(course: Course) -> Box:
    """A devbox that is suspended, which the first release knows nothing of."""
    box = await course.box()
    course.boxes.remove(box)
    await suspend(course.stage, box.space)
    assert await at_rest(course.stage, box.space) is not None, await not_at_rest(course.stage, box.space)
    return box


async def _whole(course: Course) -> Box:
    """A devbox with a workspace, code mounts and a time to live, of which the first release knows nothing."""
    box = await course.box(**WHOLE)
    course.boxes.remove(box)
    (pod,) = await course.stage.pods(box.space)
    place = paths.pods(box.space, pod["metadata"]["name"])
    await course.stage.patch(f"{place}/status", {"status": running(box.address)})  # (its agent, too)

    async def runs() -> bool:
        return ((await course.stage.get(paths.devboxes(box.space, "agent")) or {}).get("status") or {}).get(
            "phase"
        ) == "Running"

    await eventually(runs, 40)
    return box


async def _there(course: Course, box: Box) -> dict[str, list[str]]:
    """UIDs of what there is of it."""
    kinds = ("pods", "persistentvolumeclaims")
    found = {kind: (await course.stage.api.list(paths.core(kind, box.space)))[0] for kind in kinds}
    found["devboxes"] = (await course.stage.api.list(paths.devboxes(box.space)))[0]
    return {kind: [item["metadata"]["uid"] for item in items] for kind, items in found.items()}


def _untouched(way: str, before: dict[str, list[str]], after: dict[str, list[str]]) -> Row:
    what = f"C23 {way}: a devbox with a workspace, code mounts and a time to live"
    measured = "so" if before == after else f"{before} became {after}"
    return Row(what, "it, its pod and its claim are as they were", measured, before == after)


async def _whole_again(course: Course, box: Box, before: dict[str, list[str]]) -> list[Row]:
    """Which fields went, since the first release's CRD lacks them, with the first status that was written there; and what comes of it where
    they are written again."""
    place = paths.devboxes(box.space, "agent")
    spec = (await course.stage.get(place) or {"spec": {}})["spec"]
    gone = [field for field in WHOLE if field not in spec]
    await course.stage.patch(place, {"spec": WHOLE})
    took = await course.stage.converged(box.space)
    problems = [] if took is not None else await course.stage.problems(box.space)
    what = "C23 upgrade again: the same, whose spec is written again as it was"
    return [
        _untouched("upgrade again", before, await _there(course, box)),
        Row("C23 upgrade again: fields that were lost meanwhile", "(shown)", ", ".join(gone) or "none", None),
        Row(what, "it has its workspace, of the same claim", f"{problems or 'so'}", not problems),
    ]


async def _resumed_by_hand(course: Course, box: Box) -> Row:
    """What the first release makes of it, and the line that docs/install.md has for it."""
    place = paths.devboxes(box.space, "agent")

    async def judged() -> bool:
        return "Invalid" in await _accepted(course, place)

    with contextlib.suppress(TimeoutError):
        await eventually(judged, 20)
    before, pods = await _accepted(course, place), len(await course.stage.pods(box.space))
    await course.stage.patch(f"{place}/status", {"status": {"phase": "Pending"}})

    async def there() -> bool:
        return len(await course.stage.pods(box.space)) == 1

    with contextlib.suppress(TimeoutError):
        await eventually(there, 40)
    made = len(await course.stage.pods(box.space))
    what = "C23 rollback: a devbox that was suspended, whose phase is written by hand"
    return Row(what, "it gets a pod", f"{pods} pods, {before}; then {made}", made == 1)


async def _accepted(course: Course, place: str) -> str:
    status = (await course.stage.get(place) or {}).get("status") or {}
    found = [f"{one['reason']}: {one['message']}" for one in status.get("conditions", ()) if one["type"] == "Accepted"]
    return "; ".join(found)


def _holds(now: object, written: object) -> bool:
    """What was written is still there. (A newer schema adds the defaults of fields that it has in what is read.)"""
    if isinstance(written, dict):
        return isinstance(now, dict) and all(_holds(now.get(key), value) for key, value in written.items())
    if isinstance(written, list):
        return isinstance(now, list) and len(now) == len(written) and all(map(_holds, now, written))
    return now == written


async def _kept(course: Course, specs: dict[str, Object]) -> list[Row]:
    """What users wrote while the first release was there, and what CRDs are stored as."""
    after = await course.specs()
    lost = [place for place, spec in specs.items() if not _holds(after.get(place), spec)]
    crds = [item for item in (await course.stage.api.list(CRDS))[0] if "devbox-gateway.io" in item["metadata"]["name"]]
    stored = {version for crd in crds for version in crd["status"]["storedVersions"]}
    return [
        Row(
            "C23 all along: what users wrote", "as it was", ", ".join(lost) or f"{len(specs)} of {len(specs)} objects", not lost
        ),
        Row("C23 all along: storage version", "unchanged", ", ".join(sorted(stored)), stored == {"v1alpha1"}),
    ]
