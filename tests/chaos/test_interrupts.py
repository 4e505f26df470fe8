"""Ctrl-C in a script with the synchronous client, at a real API server: what was half made is deleted, and one error says so."""

import asyncio
import signal
import sys
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from tests.support.release import Release

from devbox_gateway import AsyncDevboxGateway, DevboxGateway

from .clients import IMAGE, at_work, nothing, wait_for

SCRIPT = """
import sys
from devbox_gateway import DevboxGateway
client = DevboxGateway(kubeconfig=sys.argv[1], namespace=sys.argv[2])
print("begun", flush=True)
client.devboxes.create(name="agent", image=sys.argv[3])
"""


async def interrupted(release: Release, namespace: str, moment: Callable[[], Awaitable[object]]) -> str:
    """What the script says on stderr."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-X", "dev", "-c", SCRIPT, str(release.plane.admin_kubeconfig), namespace, IMAGE,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    try:
        assert process.stdout is not None
        assert await process.stdout.readline() == b"begun\n"
        await moment()
        process.send_signal(signal.SIGINT)
        _, said = await asyncio.wait_for(process.communicate(), 60)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode == -signal.SIGINT
    return said.decode()


def check(said: str) -> None:
    lines = said.splitlines()
    assert lines[0] == "Traceback (most recent call last):", said
    assert lines[-1] == "KeyboardInterrupt", said
    # (Python puts an empty line under a function that had not begun when the signal came.)
    assert len([line for line in lines if line and not line.startswith(" ")]) == 2, said


async def test_a_devbox_that_is_being_made_when_ctrl_c_comes(release: Release) -> None:
    async with at_work(release) as (_, client):

        async def there() -> None:
            await wait_for(lambda: one(client))

        moments: list[Callable[[], Awaitable[object]]] = [
            there,
            *(lambda s=s: asyncio.sleep(s) for s in (0.0, 0.02, 0.1, 0.5, 1.5)),
        ]
        for moment in moments:
            check(await interrupted(release, client.namespace, moment))
            await wait_for(lambda: nothing(client))


async def one(client: AsyncDevboxGateway) -> bool | None:
    return True if await client.devboxes.list() else None


@pytest.mark.parametrize("way", ["in one line", "from a function"])
def test_a_client_that_nobody_holds(release: Release, way: str) -> None:
    """Its objects do."""
    where: dict[str, Any] = {"kubeconfig": release.plane.admin_kubeconfig, "namespace": "default"}
    if way == "in one line":
        assert DevboxGateway(**where).devboxes.list() == []
        return

    def made() -> Any:
        client = DevboxGateway(**where)
        client.secrets.create(name="key", value="sk-ant-first")
        return client.secrets.from_name("key")

    secret = made()
    assert secret.get_info().name == "key"
    secret.delete()
