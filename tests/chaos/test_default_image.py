"""Devboxes that name no image, on a real API server, as a person with the Python client makes them."""

from time import monotonic
from typing import Any

import pytest
from tests.support.fake_kubelet import FakeKubelet
from tests.support.release import Release

from devbox_api import names
from devbox_gateway import NotReadyError
from devbox_operator.kit import paths

from .clients import at_work, nothing, said, wait_for


async def test_a_devbox_without_an_image(release: Release) -> None:
    """Refused at once, and told why, where the release has none; else it has the release's, and another one is a restart."""
    async with at_work(release) as (made, client):
        began = monotonic()
        with pytest.raises(NotReadyError) as caught:
            await client.devboxes.create(timeout=60)
        assert monotonic() - began < 20, "it did not wait for what will not come"
        assert caught.value.reason == "ImageMissing"
        assert "set spec.image" in str(caught.value)
        await wait_for(lambda: nothing(client))
        waiting = await client.devboxes.create_async(name="agent", spec={"terminationGracePeriodSeconds": 1})
        box = paths.devboxes(client.namespace, "agent")

        async def container() -> Any:
            return next((pod["spec"]["containers"][0] for pod in await made.pods(client.namespace)), None)

        async def ready() -> bool | None:
            return True if said(await made.api.request("GET", box), "Ready")[0] == "True" else None

        async def restart_required() -> str | None:
            status, _, message = said(await made.api.request("GET", box), "RestartRequired")
            return message if status == "True" else None

        async with FakeKubelet(made.api, made.node).working():
            await made.alone(devboxes={"defaultImage": "registry.example/devbox:1"})
            await wait_for(ready)
            first = await container()
            assert (first["image"], first["command"]) == ("registry.example/devbox:1", list(names.STAY))
            await made.alone(devboxes={"defaultImage": "registry.example/devbox:2"})
            assert "the chart's default image changed" in await wait_for(restart_required)
            assert await container() == first, "what runs is left alone"
            await made.alone()
            await wait_for(missing(made, box))
            await waiting.restart()
            after = await client.devboxes.create_async(name="after")
            await wait_for(missing(made, paths.devboxes(client.namespace, "after")))
            assert await container() == first, "it asked for a restart, and nothing could follow"
            await after.shutdown()
            await made.alone(devboxes={"defaultImage": "registry.example/devbox:2"})

            async def newer() -> bool | None:
                seen = await container()
                return True if seen and seen["image"] == "registry.example/devbox:2" else None

            await wait_for(newer)
            await wait_for(ready)
            await waiting.shutdown()


def missing(made: Any, box: str) -> Any:
    """Asks whether the operator says that the image is missing."""

    async def look() -> bool | None:
        return True if said(await made.api.request("GET", box), "Accepted")[:2] == ("False", "ImageMissing") else None

    return look
