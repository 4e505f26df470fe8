"""A Devbox is deleted with `--cascade=orphan` while there is no operator, and what it used with it: its pod and the documents stay.

Goes in: a stage. Comes out: rows. An operator that starts finds the Route and the credentials, which are older than itself, by their
labels, and takes them away; and it ends the pod, which nobody looks after any more.
"""

import asyncio
from time import monotonic as now
from typing import Final

from tests.chaos.report import Row, timed
from tests.chaos.world import eventually
from tests.support.fleet import leftovers

from devbox_api import names
from devbox_operator.kit import paths

from .stage import Stage
from .traffic import traffic

SWEPT_SECONDS: Final = 15.0
GONE_SECONDS: Final = 30.0
DOCUMENTS: Final = (names.ROUTE_TYPE, names.GATEWAY_TYPE, names.CREDENTIAL_TYPE)
ORPHAN: Final = {"kind": "DeleteOptions", "apiVersion": "v1", "propagationPolicy": "Orphan"}


async def orphans(stage: Stage, long: bool) -> list[Row]:
    """The Devbox, its GatewayConfigs and Secrets go; then an operator comes."""
    await stage.alone()
    async with traffic(stage) as cars:
        space = await stage.namespace()
        await stage.create(space)
        agent = await cars.agent(space)
        assert (await cars.answers(agent)).fine
        stage.stop()
        await stage.api.request("DELETE", paths.devboxes(space, "agent"), body=ORPHAN)

        async def orphaned() -> bool:
            pod = await stage.get(paths.pods(space, agent.name))
            assert pod is not None, "nobody is there to end it"
            return await stage.get(paths.devboxes(space, "agent")) is None and not pod["metadata"].get("ownerReferences")

        await eventually(orphaned, GONE_SECONDS)
        for name in ("anthropic", "openai"):
            force = {"metadata": {"annotations": {names.FORCE_DELETE_ANNOTATION: "true"}}}
            await stage.patch(paths.gatewayconfigs(space, name), force)
            await stage.api.request("DELETE", paths.gatewayconfigs(space, name))
            await stage.api.request("DELETE", paths.secrets(space, name))
        kept = await _documents(stage, space)
        assert kept == {names.ROUTE_TYPE: 1, names.GATEWAY_TYPE: 2, names.CREDENTIAL_TYPE: 2}, kept
        start = now()
        await stage.alone()
        while (left := await _documents(stage, space)) and now() - start < GONE_SECONDS:  # noqa: ASYNC110 (another process)
            await asyncio.sleep(0.1)
        took = now() - start
        refused = await cars.refused(agent)

        async def only_shared() -> bool:
            return set(await leftovers(stage.api, of_namespace=space)) <= {"ServiceAccount", "CA bundle"}

        try:
            await eventually(only_shared, GONE_SECONDS)
            ended = f"{now() - start:.1f} s"
        except TimeoutError:
            ended = f"left: {await leftovers(stage.api, of_namespace=space)}"
        return [
            timed(
                "no operator: a Devbox orphans its pod, its GatewayConfigs and Secrets go; then there is one",
                f"documents gone ≤{SWEPT_SECONDS:g} s after its start",
                f"{took:.1f} s" if not left else f"left: {left}",
                not left and took <= SWEPT_SECONDS,
            ),
            Row("the orphaned pod's token", "refused", "refused" if refused is not None else "served", refused is not None),
            Row(
                "the orphaned pod",
                f"ended, its policy and tokens with it ≤{GONE_SECONDS:g} s",
                ended,
                not ended.startswith("left"),
            ),
        ]


async def _documents(stage: Stage, space: str) -> dict[str, int]:
    found = await leftovers(stage.api, of_namespace=space)
    return {kind: count for kind, count in found.items() if kind in DOCUMENTS}
