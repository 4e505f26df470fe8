"""What the Python client and `kubectl devbox` say of a devbox that is suspended and resumed, at a real API server with an operator and a
kubelet's words."""

import asyncio
import json
import subprocess
import sys
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest
from tests.support.fake_kubelet import FakeKubelet, ended
from tests.support.release import Release

from devbox_gateway import AsyncDevboxGateway, DevboxGateway, NotReadyError, PermissionDeniedError
from devbox_gateway.objects.devbox import AsyncDevbox
from devbox_operator.kit import paths

from .clients import IMAGE, account, at_work, refused, wait_for

pytestmark = pytest.mark.row("S23")
QUICK: dict[str, Any] = {"image": IMAGE, "timeout": 60, "spec": {"terminationGracePeriodSeconds": 1}}


def of_status(devbox: AsyncDevbox, *words: str) -> Callable[[], Coroutine[Any, Any, bool | None]]:
    """Asks whether its status is one of these."""

    async def look() -> bool | None:
        return (await devbox.get_info()).status in words or None

    return look


async def test_suspend_and_resume(release: Release) -> None:
    async with at_work(release) as (made, client):
        kubelet = FakeKubelet(made.api, made.node)
        async with kubelet.working():
            devbox = await client.devboxes.create(name="agent", **QUICK)
            before = (await devbox.get_info()).pod
            await devbox.suspend()
            assert (await devbox.get_info()).status == "suspending"
            info = await devbox.await_suspended(timeout=60)
            assert (info.status, info.reason, info.pod) == ("suspended", "SuspendedBySpec", None)
            assert [one.id for one in await client.devboxes.list()] == [devbox.id]
            (seen,) = await client.devboxes.list()
            assert (await seen.get_info()).status == "suspended", "whoever looks"

            for use in (
                devbox.cmd.exec("true"),
                devbox.cmd.exec_async("true"),
                devbox.file.read(file_path="a"),
                devbox.file.write(file_path="a", contents="a"),
                devbox.logs(),
                devbox.restart(),
                devbox.await_running(timeout=60),
            ):
                said = await refused(NotReadyError, use)
                assert said == "SuspendedBySpec: devbox 'agent' is suspended; devbox.resume()"

            kubelet.idle = True
            await devbox.resume_async()
            await wait_for(of_status(devbox, "resuming"))
            kubelet.idle = False
            info = await devbox.resume(timeout=60)
            assert (info.status, info.pod != before) == ("running", True)
            await devbox.resume(timeout=60)
            assert (await devbox.get_info()).pod == info.pod, "one that runs is left alone"
            await devbox.suspend()
            await devbox.shutdown()


async def test_the_synchronous_client(release: Release) -> None:
    def whole(namespace: str) -> list[str]:
        with DevboxGateway(kubeconfig=release.plane.admin_kubeconfig, namespace=namespace) as client:
            devbox = client.devboxes.create(name="agent", **QUICK)
            devbox.suspend()
            words = [devbox.await_suspended(timeout=60).status]
            return [*words, devbox.resume(timeout=60).status]

    async with at_work(release) as (made, client), FakeKubelet(made.api, made.node).working():
        assert await asyncio.to_thread(whole, client.namespace) == ["suspended", "running"]


async def test_a_command_that_is_done_can_not_be_suspended(release: Release) -> None:
    async with at_work(release) as (made, client):
        kubelet = FakeKubelet(made.api, made.node)
        async with kubelet.working():
            once = {"terminationGracePeriodSeconds": 1, "restartPolicy": "Never"}
            devbox = await client.devboxes.create(name="agent", **{**QUICK, "spec": once})
            (pod,) = await made.pods(client.namespace)
            await kubelet.says(pod, **ended("Succeeded"))
            await wait_for(of_status(devbox, "shutdown"))
            await devbox.suspend()
            said = await refused(NotReadyError, devbox.await_suspended(timeout=60))
            assert said.startswith("NotSuspended: devbox 'agent' will not be suspended: its command ended")
            assert (await devbox.get_info()).status == "shutdown"
            assert "PodSucceeded" in await refused(NotReadyError, devbox.resume(timeout=60))


def typed(release: Release, namespace: str, *words: str, code: int = 0) -> str:
    """stdout, or, of what fails, stderr."""
    where = ["--kubeconfig", str(release.plane.admin_kubeconfig), "-n", namespace]
    line = [sys.executable, "-m", "devbox_gateway.cli", *where, *words]
    done = subprocess.run(line, capture_output=True, text=True, timeout=90, check=False)
    assert done.returncode == code, f"{words}: {done.returncode} {done.stdout}{done.stderr}"
    return done.stderr if code else done.stdout


async def test_at_a_terminal(release: Release) -> None:
    async with at_work(release) as (made, client), FakeKubelet(made.api, made.node).working():
        await client.devboxes.create(name="agent", unique_name=True, **QUICK)

        async def cli(*words: str, code: int = 0) -> str:
            return await asyncio.to_thread(typed, release, client.namespace, *words, code=code)

        name = "devbox.devbox-gateway.io/agent"
        assert await cli("suspend", "agent") == f"{name} is being suspended\n"
        assert await cli("wait", "agent", "--for", "suspended") == f"{name} suspended\n"
        assert (await cli("ls")).splitlines()[1].split()[:3] == ["agent", "suspended", "SuspendedBySpec"]
        assert "Suspended" in await cli("get", "agent")
        says = "SuspendedBySpec: devbox 'agent' is suspended; kubectl devbox resume NAME"
        for words, code in (
            (("exec", "agent", "--", "true"), 125),
            (("shell", "agent"), 125),
            (("logs", "agent"), 5),
            (("cp", "agent:a", "b"), 5),
            (("wait", "agent"), 5),
            (("restart", "agent"), 5),
        ):
            assert says in await cli(*words, code=code), words
        assert json.loads(await cli("get", "agent", "-o", "json"))["status"]["suspendedBy"] == "Spec"
        table = release.plane.kubectl("-n", client.namespace, "get", "dbx", "agent").splitlines()
        assert table[1].split()[:2] == ["agent", "Suspended"]
        assert await cli("resume", "agent", "--wait") == f"{name} ready\n"
        assert await cli("suspend", "agent", "--wait") == f"{name} suspended\n"
        assert await cli("resume", "agent") == f"{name} resumed\n"
        assert await cli("wait", "agent") == f"{name} ready\n"
        assert "no devbox 'nope'" in await cli("suspend", "agent", "nope", code=3)
        assert (await cli("ls", "-o", "json")).count('"suspend"') == 0, "none is suspended where one is not there"
        assert "here it is 'suspend'" in await cli("pause", "agent", code=2)


async def test_who_may_not_change_it_is_told_so(release: Release, tmp_path: Path) -> None:
    async with at_work(release) as (made, client):
        await client.devboxes.create_async(name="agent", unique_name=True, image=IMAGE)
        kubeconfig = await account(made.api, release.plane, client.namespace, "view", tmp_path)
        async with AsyncDevboxGateway(kubeconfig=kubeconfig, namespace=client.namespace) as viewer:
            devbox = viewer.devboxes.from_id("agent")
            assert "cannot patch" in await refused(PermissionDeniedError, devbox.suspend())
        item = await made.api.request("GET", paths.devboxes(client.namespace, "agent"))
        assert "suspend" not in item["spec"]
