"""How often the operator writes for one Devbox: at most twelve times from its creation to its end, without the fields of its life."""

import asyncio
from collections import Counter
from collections.abc import Sequence
from typing import Any, Final

import pytest
from tests.support.fake_kubelet import FakeKubelet
from tests.support.fleet import GATEWAYS, HOSTS
from tests.support.release import Release

from devbox_api import names
from devbox_common.kube import Object
from devbox_operator.kit import paths

from .operator.proxy import Call
from .operator.stage import Stage, stage
from .world import eventually

pytestmark = pytest.mark.row("S23")
MOST: Final = 12
STATUS: Final = "PATCH devboxes/status"
NOT_ITS_OWN: Final = {"POST serviceaccounts/token", "PATCH gatewayconfigs/status"}
"""A TokenRequest stores nothing; the count of a GatewayConfig's users is written once for all that come within two seconds."""
CODE: Final = {"name": "app", "repository": f"https://{HOSTS[GATEWAYS[0]]}/org/app", "gateway": GATEWAYS[0]}
WHOLE: Final[Object] = {"workspace": {"size": "1Gi"}, "codeMounts": [CODE], "lifecycle": {"ttl": "24h"}}


def kinds(calls: Sequence[Call]) -> Counter[str]:
    """How often what was written, of one Devbox's own."""
    written = Counter(call.kind for call in calls if call.writes and call.status < 300)
    return Counter({kind: count for kind, count in written.items() if kind not in NOT_ITS_OWN})


async def calm(calls: list[Call]) -> None:
    """Until nothing was written for two seconds."""

    async def still() -> bool:
        before = len(calls)
        await asyncio.sleep(2)
        return not kinds(calls[before:])

    await eventually(still, 60)


async def life(on: Stage, space: str, name: str, **spec: Any) -> Counter[str]:
    """What was written from its creation to its end."""
    calls, path = on.replicas[0].proxy.calls, paths.devboxes(space, name)
    start = len(calls)
    await on.create(space, name, **spec)
    await runs(on, space, name)
    await calm(calls)
    await on.api.request("DELETE", path)

    async def gone() -> bool:
        pods = [pod for pod in await on.pods(space) if pod["metadata"]["labels"][names.DEVBOX_LABEL] == name]
        return not pods and await on.get(path) is None

    await eventually(gone, 60)
    await calm(calls)
    return kinds(calls[start:])


async def runs(on: Stage, space: str, name: str) -> None:
    """Until its agent does."""

    async def so() -> bool:
        return ((await on.get(paths.devboxes(space, name)) or {}).get("status") or {}).get("phase") == "Running"

    await eventually(so, 60)


async def test_writes_of_one_devbox(release: Release) -> None:
    async with stage(release) as on:
        await on.alone()
        space = await on.namespace()
        async with FakeKubelet(on.api, on.node).working():
            # (The first of a namespace brings what all of them share, and keeps it there.)
            await on.create(space, "first")
            await runs(on, space, "first")
            await calm(on.replicas[0].proxy.calls)
            plain, whole = await life(on, space, "plain"), await life(on, space, "whole", **WHOLE)
    print(f"plain: {plain.total()}, {plain}\nwhole: {whole.total()}, {whole}")  # noqa: T201 (shown for a test that fails, and by -rP)
    assert plain.total() <= MOST
    # (How often a status is written depends on how busy the machine is.)
    assert whole - plain - Counter({STATUS: MOST}) == Counter({"POST persistentvolumeclaims": 1})
