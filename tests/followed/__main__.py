"""Which files a request passes through, and which an apply, in their order:

    python -m tests.support.netns .venv/bin/python -m tests.followed [--request | --apply]

A real gateway, and a real operator on a real API server, from the sources (compiled code tells no profiler what it calls). Comes out: each
file once, in the order of its first call, and how many there are of each package. What the process does beside it in that moment counts as
well: a watch's news, a Lease. docs/results/files-passed.md has what came out.
"""

import asyncio
import json
import os
import signal
import sys
import tempfile
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final

from tests.chaos.world import eventually, world
from tests.support.release import Release, installed

HOOK: Final = Path(__file__).with_name("hook")
SECONDS: Final = 60.0
NAMESPACE: Final = "followed"
OBJECTS: Final = (
    {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "key", "annotations": {"devbox-gateway.io/allowed-hosts": "api.example"}},
        "stringData": {"api-key": "sk-not-a-real-key-at-all"},
    },
    {
        "apiVersion": "devbox-gateway.io/v1alpha1",
        "kind": "GatewayConfig",
        "metadata": {"name": "api"},
        "spec": {
            "endpoint": "https://api.example",
            "authMechanism": {"type": "Bearer"},
            "credential": {"secretRef": {"name": "key"}},
        },
    },
)
DEVBOX: Final = {
    "apiVersion": "devbox-gateway.io/v1alpha1",
    "kind": "Devbox",
    "metadata": {"name": "agent"},
    "spec": {
        "image": "registry.example/agent:1",
        "command": ["sleep", "infinity"],
        "gateways": [{"name": "API", "gatewayRef": {"name": "api"}}],
    },
}


class Follower:
    """Notes what one process calls while something happens."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "followed"
        os.environ["DEVBOX_FOLLOWED"] = str(self._path)
        os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, (str(HOOK), os.environ.get("PYTHONPATH"))))

    async def during(self, pid: int, happens: Callable[[], Awaitable[object]]) -> list[str]:
        """The files that the process called meanwhile."""
        self._path.unlink(missing_ok=True)
        os.kill(pid, signal.SIGUSR2)
        try:
            await happens()
        finally:
            os.kill(pid, signal.SIGUSR2)
        await eventually(self._path.exists, SECONDS)
        await eventually(lambda: self._path.stat().st_size, SECONDS)
        return self._path.read_text(encoding="utf-8").splitlines()


async def requests(follower: Follower) -> None:
    """The first of a connection, and the one behind it."""
    async with world() as made:

        async def idle() -> bool:
            return await made.gateway.metric("devbox_gateway_connections") == 0

        devbox = made.devbox()
        await made.known(1)
        await made.warm(devbox)
        await eventually(idle, SECONDS)
        pid = made.gateway.process.process.pid
        client = made.client(devbox, made.gateway)

        async def ask() -> None:
            assert (await client.request(path="/")).status == 200

        show("a connection and its first request", await follower.during(pid, ask))
        show("the next request", await follower.during(pid, ask))


async def applies(follower: Follower, release: Release) -> None:
    """A Devbox, until its pod's gate is open."""
    plane = release.plane
    await release.authorise()
    plane.kubectl("create", "namespace", NAMESPACE)
    plane.kubectl("apply", "-n", NAMESPACE, "-f", "-", stdin=json.dumps({"apiVersion": "v1", "kind": "List", "items": OBJECTS}))
    operator = release.operator()
    await eventually(operator.leads, SECONDS)

    def open_gate() -> bool:
        pods = json.loads(plane.kubectl("get", "pods", "-n", NAMESPACE, "-o", "json"))["items"]
        return bool(pods) and not any(pod["spec"].get("schedulingGates") for pod in pods)

    async def apply() -> None:
        plane.kubectl("apply", "-n", NAMESPACE, "-f", "-", stdin=json.dumps(DEVBOX))
        await eventually(open_gate, SECONDS, every=0.2)

    show("an apply of a Devbox, until its pod's gate is open", await follower.during(operator.process.pid, apply))


def show(what: str, files: list[str]) -> None:
    """On stdout."""
    counted = ", ".join(f"{number} of {package}" for package, number in Counter(file.split("/")[0] for file in files).items())
    print(f"\n{what}: {counted}", *(f"  {file}" for file in files), sep="\n")  # noqa: T201


def main(words: list[str]) -> None:
    """All that is asked for."""
    with tempfile.TemporaryDirectory() as folder:
        follower = Follower(Path(folder))
        if words != ["--apply"]:
            asyncio.run(requests(follower))
        if words != ["--request"]:
            with installed() as release:
                asyncio.run(applies(follower, release))


if __name__ == "__main__":
    main(sys.argv[1:])
