"""A devbox's life through the Python client on a real cluster: restarts, images that do not come, Ctrl-C, what is not running."""

import asyncio
import signal
import sys
import time
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from tests.support.workspace import IMAGE, Workspace

from devbox_cluster.paths import kubeconfig
from devbox_gateway import AsyncDevboxGateway, NotReadyError
from devbox_gateway.objects.devbox import AsyncDevbox

SCRIPT = """
import sys
from devbox_gateway import DevboxGateway
client = DevboxGateway(kubeconfig=sys.argv[1], namespace=sys.argv[2])
client.devboxes.from_id(sys.argv[3]).cmd.exec("echo begun; sleep 1236 & sleep 1236", stdout=lambda text: print(text, flush=True))
"""


@pytest_asyncio.fixture
async def client(workspace: Workspace) -> AsyncIterator[AsyncDevboxGateway]:
    async with AsyncDevboxGateway(kubeconfig=kubeconfig(), namespace=workspace.name) as made:
        yield made


async def devbox_of(client: AsyncDevboxGateway) -> AsyncDevbox:
    return await client.devboxes.create(image=IMAGE, spec={"terminationGracePeriodSeconds": 1}, timeout=90)


async def test_commands_right_after_a_restart_run_in_the_new_pod(client: AsyncDevboxGateway) -> None:
    async with await devbox_of(client) as devbox:
        await devbox.file.write(file_path="/tmp/before", contents="x")
        for _ in range(3):
            await devbox.restart()
            await devbox.await_running(timeout=90)
            seen = await devbox.cmd.exec("ls /tmp/before; hostname")
            info = await devbox.get_info()
            assert (seen.exit_code, (await seen.stdout()).strip()) == (0, info.pod)
            execution = await devbox.cmd.exec_async("echo there")
            assert await (await execution.result()).stdout() == "there\n"


@pytest.mark.parametrize(
    ("image", "reason", "seconds"),
    [("localhost/My-Agent:1", "InvalidImageName", 30), ("localhost/nope:1", "ErrImage|ImagePull", 75)],
)
async def test_an_image_that_never_comes(client: AsyncDevboxGateway, image: str, reason: str, seconds: float) -> None:
    started = time.monotonic()
    with pytest.raises(NotReadyError, match=reason) as caught:
        await client.devboxes.create(image=image, timeout=300)
    assert time.monotonic() - started < seconds
    assert image in str(caught.value) or reason == "InvalidImageName"
    assert "deleted again" in str(caught.value)


async def test_a_command_in_what_is_not_running(client: AsyncDevboxGateway) -> None:
    devbox = await client.devboxes.create_async(image="localhost/My-Agent:1")
    while "InvalidImageName" not in (await devbox.get_info()).message:  # noqa: ASYNC110 (the kubelet's work)
        await asyncio.sleep(0.1)
    with pytest.raises(NotReadyError, match="is not running: InvalidImageName"):
        await devbox.cmd.exec("true")
    await devbox.shutdown()


async def test_ctrl_c_ends_a_command_and_says_one_thing(client: AsyncDevboxGateway) -> None:
    async with await devbox_of(client) as devbox:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-X", "dev", "-c", SCRIPT, str(kubeconfig()), client.namespace, devbox.id,
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        try:
            assert process.stdout is not None
            assert await asyncio.wait_for(process.stdout.readline(), 60) == b"begun\n"
            process.send_signal(signal.SIGINT)
            _, said = await asyncio.wait_for(process.communicate(), 60)
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        lines = said.decode().splitlines()
        assert [line for line in lines if not line.startswith(" ")] == [
            "Traceback (most recent call last):",
            "KeyboardInterrupt",
        ], lines
        left = await devbox.cmd.exec("cat /proc/[0-9]*/cmdline | tr '\\0' ' '")
        assert "sleep 1236" not in (await left.stdout()).replace("cat /proc", "")
