"""Everything is deleted, in any order, with an operator and without: nothing hangs, nothing is left, nothing is made anew.

Goes in: a stage. Comes out: rows. Pods are on a node and end as a kubelet ends them. What is deleted while there is no operator leaves its
documents in the credentials namespace, where they serve nobody; they go when one is back.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import permutations
from pathlib import Path
from time import monotonic as now
from typing import Final

import yaml
from tests.chaos.report import Row, timed
from tests.chaos.world import eventually
from tests.support.fake_kubelet import FakeKubelet
from tests.support.fleet import GRACE_SECONDS, leftovers

from devbox_api import names
from devbox_cluster.paths import PROJECT
from devbox_common.kube import ApiError
from devbox_operator.kit import paths

from .stage import Stage

GONE_SECONDS: Final = 30.0
BOXES: Final = 8
POLICY: Final = {
    "apiVersion": names.API_VERSION,
    "kind": "EgressPolicy",
    "metadata": {"name": "web"},
    "spec": {"allowedHostnames": ["github.com"]},
}
EXAMPLES: Final = sorted(Path(PROJECT, "examples").glob("*.yaml"))
ORDERS: Final = tuple(permutations(("Devbox", "GatewayConfig", "EgressPolicy", "Secret")))
"""What a person, or a tool that prunes, may delete first, second and so on."""


@dataclass(frozen=True)
class Scenario:
    """Something that people do."""

    what: str
    begin: Callable[[Stage, str], Awaitable[None]]
    act: Callable[[Stage, str], Awaitable[str]]
    """Returns what hangs; nothing if nothing does."""


async def deletion_orders(stage: Stage, long: bool) -> list[Row]:
    """All of it."""
    rows: list[Row] = []
    async with FakeKubelet(stage.api, stage.node).working():
        replica = await stage.alone()
        for scenario in _scenarios(ORDERS if long else ORDERS[:1]):
            space = await _begun(stage, scenario)
            before, took = len(replica.proxy.calls), await _acted(stage, scenario, space)
            await stage.gone(space, GONE_SECONDS)
            posts = [call for call in replica.proxy.calls[before:] if call.method == "POST" and f"/{space}/" in call.path]
            made = [] if scenario.act is not _namespace else [call for call in posts if "/events" not in call.path]
            rows.append(await _row(stage, f"operator at work: {scenario.what}", space, took, len(made)))
        scenarios = _scenarios(ORDERS if long else ORDERS[-1:])
        spaces = [await _begun(stage, scenario) for scenario in scenarios]
        stage.stop()
        times = [await _acted(stage, *pair) for pair in zip(scenarios, spaces, strict=True)]
        await stage.alone()
        for scenario, space, took in zip(scenarios, spaces, times, strict=True):
            await stage.gone(space, GONE_SECONDS)
            rows.append(await _row(stage, f"no operator: {scenario.what}; then there is one", space, took, 0))
    return rows


def _scenarios(orders: Sequence[Sequence[str]]) -> list[Scenario]:
    return [
        Scenario(f"a namespace with {BOXES} devboxes deleted", lambda stage, space: _boxes(stage, space, BOXES), _namespace),
        *(
            Scenario(
                f"{' → '.join(order)} deleted", lambda stage, space: _boxes(stage, space, 1), partial(_one_by_one, order=order)
            )
            for order in orders
        ),
        Scenario("kubectl delete -f examples/", _apply_examples, _examples),
        *(
            Scenario(
                f"pruned as Argo CD does it ({propagation}), by name {way}",
                lambda stage, space: _boxes(stage, space, 2),
                partial(_pruned, propagation=propagation, backwards=way == "backwards"),
            )
            for propagation in ("Foreground", "Background")
            for way in ("forwards", "backwards")
        ),
    ]


async def _begun(stage: Stage, scenario: Scenario) -> str:
    space = await stage.namespace()
    await scenario.begin(stage, space)
    return space


async def _acted(stage: Stage, scenario: Scenario, space: str) -> float | str:
    """Seconds, or what hangs."""
    start = now()
    return await scenario.act(stage, space) or now() - start


async def _row(stage: Stage, what: str, space: str, took: float | str, posted: int) -> Row:
    left = ", ".join(f"{count} {kind}" for kind, count in (await leftovers(stage.api, of_namespace=space)).items())
    said = f"{took} hangs" if isinstance(took, str) else f"{took:.1f} s"
    in_time, measured = isinstance(took, float) and took <= GONE_SECONDS, f"{said}; made: {posted}; left: {left or 'nothing'}"
    return timed(what, f"≤{GONE_SECONDS:g} s, nothing made, nothing left", measured, in_time, not left and not posted)


async def _boxes(stage: Stage, space: str, count: int) -> None:
    await stage.api.request("POST", paths.egresspolicies(space), body=POLICY)
    for number in range(count):
        await stage.create(space, "agent" if not number else f"agent-{number}", egressPolicyRef={"name": "web"})

    async def ready() -> bool:
        boxes = (await stage.api.list(paths.devboxes(space)))[0]
        return all((box.get("status") or {}).get("phase") == "Running" for box in boxes)

    await eventually(ready, 60, every=0.2)


async def _namespace(stage: Stage, space: str) -> str:
    path = paths.core("namespaces", "", space)
    await stage.api.request("DELETE", path)
    return await _without(stage, path)


async def _one_by_one(stage: Stage, space: str, order: Sequence[str]) -> str:
    """A Devbox and what it refers to, each gone before the next."""
    for kind in order:
        for path in _paths(kind, space):
            await _insist(stage, path)
            if hangs := await _without(stage, path):
                return hangs
    return ""


def _paths(kind: str, space: str) -> list[str]:
    return {
        "Devbox": [paths.devboxes(space, "agent")],
        "GatewayConfig": [paths.gatewayconfigs(space, "anthropic"), paths.gatewayconfigs(space, "openai")],
        "EgressPolicy": [paths.egresspolicies(space, "web")],
        "Secret": [paths.secrets(space, "anthropic"), paths.secrets(space, "openai")],
    }[kind]


async def _insist(stage: Stage, path: str) -> None:
    """Delete; what is in use is refused at once, and goes with the annotation that the refusal names."""
    try:
        await stage.api.request("DELETE", path)
    except ApiError as error:
        if names.FORCE_DELETE_ANNOTATION not in error.message:
            raise
        await stage.patch(path, {"metadata": {"annotations": {names.FORCE_DELETE_ANNOTATION: "true"}}})
        await stage.api.request("DELETE", path)


async def _examples(stage: Stage, space: str) -> str:
    """As people do it; then what stage.namespace() made, so that nothing may be left."""
    files = [f"--filename={path}" for path in EXAMPLES]
    await _kubectl(stage, "delete", *files, "--namespace", space, f"--timeout={GONE_SECONDS:g}s")
    for path in (*_paths("GatewayConfig", space), *_paths("Secret", space)):
        if await stage.get(path) is not None:
            await _insist(stage, path)
    return ""


async def _pruned(stage: Stage, space: str, *, propagation: str, backwards: bool) -> str:
    """Custom resources, then Secrets, none waiting for another; the next sync asks again for what was refused."""
    kinds = ("Devbox", "EgressPolicy", "GatewayConfig")
    others = [paths.devboxes(space, "agent-1"), *(path for kind in kinds for path in _paths(kind, space))]
    left = [*sorted(others, key=lambda path: path.rpartition("/")[2], reverse=backwards), *_paths("Secret", space)]
    options = {"kind": "DeleteOptions", "apiVersion": "v1", "propagationPolicy": propagation}
    deadline = now() + GONE_SECONDS
    while left and now() < deadline:
        for path in left:
            try:
                await stage.api.request("DELETE", path, body=options)
            except ApiError as error:
                if not error.not_found and "is used by" not in error.message:
                    raise
        await asyncio.sleep(0.2)
        left = [path for path in left if await stage.get(path) is not None]
    return ", ".join(left)


async def _apply_examples(stage: Stage, space: str) -> None:
    """With the grace period that all Devboxes have here."""
    items = [item for path in EXAMPLES for item in yaml.safe_load_all(path.read_text()) if item]
    for item in items:
        if item["kind"] == "Devbox":
            item["spec"]["terminationGracePeriodSeconds"] = GRACE_SECONDS
    await _kubectl(stage, "apply", "--filename=-", "--namespace", space, stdin=yaml.safe_dump_all(items))


async def _kubectl(stage: Stage, *arguments: str, stdin: str | None = None) -> None:
    await asyncio.to_thread(stage.release.plane.kubectl, *arguments, stdin=stdin)


async def _without(stage: Stage, path: str) -> str:
    """Wait until the object is gone. Returns its path if it hangs."""

    async def gone() -> bool:
        return await stage.get(path) is None

    try:
        await eventually(gone, GONE_SECONDS, every=0.1)
    except TimeoutError:
        return path
    return ""
