"""What the Python client says of a devbox's life, at a real API server with an operator and a kubelet's words: restarts, images that do not
come, secrets that go."""

import asyncio
from typing import Any

import pytest
from tests.support.fake_kubelet import FakeKubelet
from tests.support.release import Release

from devbox_gateway import APIConnectionError, AsyncDevboxGateway, ExecLostError, NotReadyError
from devbox_gateway.objects import pulling
from devbox_gateway.objects.waiting import Progress
from devbox_operator.kit import paths

from .clients import ANTHROPIC, IMAGE, at_work, refused, wait_for

QUICK: dict[str, Any] = {"image": IMAGE, "timeout": 30, "spec": {"terminationGracePeriodSeconds": 1}}


async def test_who_waits_after_a_restart_gets_the_new_pod(release: Release) -> None:
    async with at_work(release) as (made, client), FakeKubelet(made.api, made.node).working():
        devbox = await client.devboxes.create(name="agent", **QUICK)
        for number in range(6):
            before = (await devbox.get_info()).pod
            await devbox.restart()
            # (Every second time by somebody who was not there when it was asked for.)
            who = client.devboxes.from_id(devbox.id) if number % 2 else devbox
            assert (await who.get_info()).status != "running"
            after = await who.await_running(timeout=30)
            assert (after.status, after.pod != before) == ("running", True), f"restart {number}"
        await devbox.restart()
        await devbox.restart()
        info = await devbox.await_running(timeout=30)
        await client.devboxes.create(name="later", **QUICK)  # (by then the operator has come to all that was asked for before)
        assert (await devbox.get_info()).pod == info.pod, "it was replaced once more"


async def test_the_end_of_a_command_is_not_the_end_of_its_restart(release: Release) -> None:
    """What was there before it is no reason to give up."""
    async with at_work(release) as (made, client):
        kubelet = FakeKubelet(made.api, made.node)
        async with kubelet.working():
            devbox = await client.devboxes.create(
                name="agent", **{**QUICK, "spec": {"terminationGracePeriodSeconds": 1, "restartPolicy": "Never"}}
            )
            info = await devbox.get_info()
            pod = await made.api.request("GET", paths.pods(client.namespace, str(info.pod)))
            await kubelet.says(pod, phase="Succeeded")
            await wait_for(lambda: is_status(client, devbox.id, "shutdown"))
            await devbox.restart()
            assert (await devbox.await_running(timeout=30)).pod != info.pod


async def is_status(client: AsyncDevboxGateway, which: str, status: str) -> bool | None:
    return (await client.devboxes.from_id(which).get_info()).status == status or None


@pytest.mark.parametrize(
    ("reason", "message", "seconds"),
    [
        ("InvalidImageName", 'Failed to apply default image tag "A/b": invalid reference format', 10),
        ("ErrImageNeverPull", f'Container image "{IMAGE}" is not present with pull policy of Never', 20),
    ],
)
async def test_an_image_that_never_comes(
    release: Release, reason: str, message: str, seconds: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pulling, "SECONDS", 2.0)
    async with at_work(release) as (made, client):
        kubelet = FakeKubelet(made.api, made.node)
        kubelet.idle = True
        async with kubelet.working():
            making = asyncio.create_task(client.devboxes.create(name="agent", image=IMAGE, timeout=90))
            pods = paths.pods(client.namespace)
            (pod,) = await wait_for(lambda: ungated(made.api, pods))
            state = {"name": "devbox", "ready": False, "restartCount": 0, "image": "", "imageID": ""}
            await kubelet.says(
                pod,
                phase="Pending",
                containerStatuses=[{**state, "state": {"waiting": {"reason": reason, "message": message}}}],
            )
            async with asyncio.timeout(seconds):
                said = await refused(NotReadyError, making)
            assert said.startswith(f"{reason}: devbox "), said
            assert message in said
            assert "deleted again" in said


async def ungated(api: Any, pods: str) -> Any:
    found = (await api.list(pods))[0]
    return found if found and not found[0]["spec"].get("schedulingGates") else None


async def test_what_runs_is_running_also_without_its_secret(release: Release) -> None:
    async with at_work(release) as (made, client), FakeKubelet(made.api, made.node).working():
        gateway = await client.gateway_configs.create(**ANTHROPIC)
        await client.secrets.create(name="key", value="sk-ant-first")
        devbox = await client.devboxes.create(name="agent", gateways={"A": {"gateway": gateway, "secret": "key"}}, **QUICK)
        await client.secrets.delete("key", force=True)
        await wait_for(lambda: has_reason(devbox, "SecretNotFound"))
        assert (await devbox.get_info()).status == "running"


async def has_reason(devbox: Any, reason: str) -> bool | None:
    return (await devbox.get_info()).reason == reason or None


async def test_one_that_is_made_before_its_gateway(release: Release) -> None:
    """(As a `kubectl apply` of them all can have it, in either order.)"""
    async with at_work(release) as (made, client), FakeKubelet(made.api, made.node).working():
        early = {"gateways": [{"name": "A", "gatewayRef": {"name": ANTHROPIC["name"]}, "secretRef": {"name": "key"}}]}
        devbox = await client.devboxes.create_async(name="agent", image=IMAGE, spec=early)
        await wait_for(lambda: has_reason(devbox, "GatewayNotFound"))
        stalled = asyncio.Event()

        def progress(what: Progress) -> None:
            if what.reason == "GatewayNotFound":
                stalled.set()

        waiting = asyncio.create_task(devbox.await_running(timeout=60, progress=progress))
        async with asyncio.timeout(10):
            await stalled.wait()
        await client.gateway_configs.create(**ANTHROPIC)
        await wait_for(lambda: has_reason(devbox, "SecretNotFound"))
        await client.secrets.create(name="key", value="sk-ant-first", allowed_hosts=["api.anthropic.com"])
        await waiting


async def test_a_command_in_what_is_not_running_says_what_it_waits_for(release: Release) -> None:
    async with at_work(release) as (made, client):
        kubelet = FakeKubelet(made.api, made.node)
        kubelet.idle = True
        async with kubelet.working():
            lacking = {"gateways": [{"name": "A", "gatewayRef": {"name": "nope"}, "secretRef": {"name": "key"}}]}
            for name, spec, reason, words in (
                ("lacking", lacking, "GatewayNotFound", "nope"),
                ("slow", {}, "PodPending", "starts"),
            ):
                devbox = await client.devboxes.create_async(name=name, image=IMAGE, spec=spec)
                await wait_for(lambda: has_reason(devbox, reason))  # noqa: B023 (asked at once)
                await wait_for(lambda: has_pod(devbox))  # noqa: B023
                for use in (
                    devbox.cmd.exec("true"),
                    devbox.cmd.exec_async("true"),
                    devbox.file.read(file_path="a"),
                    devbox.file.write(file_path="a", contents="a"),
                    devbox.file.list(),
                ):
                    with pytest.raises(NotReadyError) as caught:
                        await use
                    said = str(caught.value)
                    assert said.startswith(f"{reason}: devbox {name!r} is not running: "), said
                    assert words in said
                    assert said.endswith("; devbox.await_running()")
                    assert caught.value.reason == reason
            gone = client.devboxes.from_id("slow")
            pod = await gone._pod()
            await gone.shutdown()
            await wait_for(lambda: nothing_called(client, "slow"))
            assert "no devbox 'slow'" in str(await gone._reason(pod.partition("/")[2], APIConnectionError("400")))


async def test_a_command_in_what_runs_is_another_matter(release: Release) -> None:
    """(Nobody runs containers here, so that the API server reaches no node.)"""
    async with at_work(release) as (made, client), FakeKubelet(made.api, made.node).working():
        devbox = await client.devboxes.create(name="agent", **QUICK)
        # (The API server says so by a status, or, where it has begun to speak by then, as the command's end.)
        with pytest.raises((APIConnectionError, ExecLostError)) as caught:
            await devbox.cmd.exec("true")
        assert len(str(caught.value)) < 500


async def has_pod(devbox: Any) -> bool | None:
    return (await devbox.get_info()).pod is not None or None


async def nothing_called(client: AsyncDevboxGateway, name: str) -> bool | None:
    return None if any(one.name == name for one in await client.devboxes.list()) else True


async def test_one_that_ends_by_itself_is_kept_alive(release: Release) -> None:
    """Its time is the API server's, and begins anew."""
    async with at_work(release) as (made, client), FakeKubelet(made.api, made.node).working():
        devbox = await client.devboxes.create(name="agent", launch_parameters={"keep_alive_time_seconds": 3600}, **QUICK)
        first = await devbox.get_info()
        assert first.expires_time_ms is not None
        assert first.expires_time_ms - first.create_time_ms == 3_600_000
        await wait_for(lambda: lives_longer(devbox, first.expires_time_ms))
        stays = await client.devboxes.create(name="stays", **QUICK)
        await stays.keep_alive()
        seen = await made.api.request("GET", paths.devboxes(client.namespace, "stays"))
        assert "devbox-gateway.io/kept-alive-at" not in (seen["metadata"].get("annotations") or {})
        assert (await stays.get_info()).expires_time_ms is None


async def lives_longer(devbox: Any, then: Any) -> bool | None:
    """Kept alive again and again: times have whole seconds."""
    await devbox.keep_alive()
    return ((await devbox.get_info()).expires_time_ms or 0) > then or None
