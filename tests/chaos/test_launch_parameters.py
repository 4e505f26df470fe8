"""Launch parameters that need the release: sizes that its chart has, launch commands; as a person with the Python client gives them."""

from time import monotonic
from typing import Any

import pytest
from tests.support.fake_kubelet import FakeKubelet
from tests.support.release import Release

from devbox_api import names
from devbox_gateway import NotReadyError
from devbox_operator.kit import paths

from .clients import at_work, nothing, said, wait_for

pytestmark = pytest.mark.row("S23")
IMAGE = "registry.example/agent:1"
SPEC = {"terminationGracePeriodSeconds": 1}


async def test_a_size_is_the_charts_and_one_that_it_lacks_is_said(release: Release) -> None:
    async with at_work(release) as (made, client), FakeKubelet(made.api, made.node).working():
        began = monotonic()
        with pytest.raises(NotReadyError) as caught:
            await client.devboxes.create(image=IMAGE, launch_parameters={"resource_size_request": "HUGE"}, timeout=120)
        assert monotonic() - began < 60, "it did not wait for what will not come"
        assert caught.value.reason == "SizeUnknown"
        assert "no size HUGE (spec.resourceSize); known are " in str(caught.value)
        assert "X_SMALL" in str(caught.value)
        await wait_for(lambda: nothing(client))

        async def container() -> Any:
            return next(pod["spec"]["containers"][0] for pod in await made.pods(client.namespace))

        launch = {"resource_size_request": "X_SMALL", "launch_commands": ["npm ci"]}
        devbox = await client.devboxes.create(name="agent", image=IMAGE, launch_parameters=launch, spec=SPEC, timeout=120)
        first = await container()
        assert first["resources"] == {
            "requests": {"cpu": "125m", "memory": "256Mi"},
            "limits": {"cpu": "500m", "memory": "1Gi"},
        }
        # (The chart's admission policies let it through, the startup probe too.)
        assert first["command"][3:] == [names.LAUNCH, "1", "npm ci", *names.STAY]
        assert first["startupProbe"]["exec"]["command"] == ["sh", "-c", "test -e /run/devbox-gateway/launch/done"]

        # Other amounts of that size, then none of that name: what runs is left alone.
        box = paths.devboxes(client.namespace, "agent")

        def says(condition: str, reason: str) -> Any:
            async def look() -> str | None:
                _, found, message = said(await made.api.request("GET", box), condition)
                return message if found == reason else None

            return look

        await made.alone(devboxes={"sizes": {"X_SMALL": {"limits": {"memory": "2Gi"}}}})
        assert "the chart's devboxes.sizes changed" in await wait_for(says("RestartRequired", "SpecChanged"))
        await made.alone(devboxes={"sizes": {}})
        assert "there are none" in await wait_for(says("Accepted", "SizeUnknown"))
        assert await container() == first
        await devbox.shutdown()
