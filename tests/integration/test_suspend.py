"""A devbox that is suspended and resumed on a real cluster: its stream is cut, its processes have their time, nothing of it is left, and it
comes back. Prints how long each part took.
"""

import asyncio
import statistics
import subprocess
import sys
from collections.abc import AsyncIterator
from time import monotonic
from typing import Final

import pytest
import pytest_asyncio
from tests.support.workspace import Workspace, gone, identities

from devbox_api import names
from devbox_cluster.paths import kubeconfig
from devbox_common.access import find
from devbox_common.kube import KubeApi, Object
from devbox_gateway import AsyncDevboxGateway, NotReadyError
from devbox_operator.kit import paths
from devbox_stage.kubectl import CommandError, Kubectl
from devbox_stage.stage import RELEASE_NAMESPACE

CREDENTIALS: Final = f"{RELEASE_NAMESPACE}-credentials"
GRACE_SECONDS: Final = 6
PATIENT_SECONDS: Final = 60.0
ROUNDS: Final = 5
HEARS_NOTHING: Final = "trap '' TERM; while :; do sleep 0.2; done"
STREAM: Final = """curl -sSN -m 100 -H 'anthropic-version: 2023-06-01' -H "x-api-key: $ANTHROPIC" \\
  -H 'content-type: application/json' "$ANTHROPIC_URL/v1/messages" \\
  -d '{"model": "claude-sonnet-5-5", "max_tokens": 9, "stream": true, "messages": [{"role": "user", "content": "'"$(seq -s ' ' 900)"'"}]}'
code=$?; echo; echo "curl ended with $code\""""
"""A minute and a half of words, a tenth of a second apart."""
PARTS: Final = {
    "suspend": ("pod ends", "stream is cut", "no pod", "suspended", "nothing left"),
    "resume": ("pod", "gate opened", "confined", "agent", "ready"),
}
"""What follows one after the other."""
CUT: Final = ("curl ended with 18\n", "curl ended with 56\n")
"""curl's words for a transfer that was cut."""


class Watch:
    """When what was first so, of a devbox and its newest pod, since `start`."""

    def __init__(self, api: KubeApi, space: str) -> None:
        self._api, self._space, self.start, self.times = api, space, monotonic(), dict[str, float]()

    def asked(self) -> None:
        """From now on."""
        self.start, self.times = monotonic(), {}

    async def until(self, last: str) -> None:
        """Look again and again, until that is so."""
        async with asyncio.timeout(PATIENT_SECONDS):
            while last not in self.times:
                box = await self._api.request("GET", paths.devboxes(self._space, "agent"))
                pods, _ = await self._api.list(paths.pods(self._space), {"labelSelector": names.DEVBOX_LABEL})
                pods.sort(key=lambda pod: str(pod["metadata"]["creationTimestamp"]))
                for what in so_of(box, pods):
                    self.times.setdefault(what, monotonic() - self.start)
                await asyncio.sleep(0.02)


def so_of(box: Object, pods: list[Object]) -> list[str]:
    """What is so."""
    status = box.get("status") or {}
    ready = [one["status"] for one in status.get("conditions") or () if one["type"] == "Ready"]
    current = status.get("observedGeneration") == box["metadata"]["generation"]
    found = {
        "no pod": not pods,
        "suspended": status.get("phase") == "Suspended" and current,
        "ready": ready == ["True"] and current,
    }
    if pods:
        metadata, pod = pods[-1]["metadata"], pods[-1].get("status") or {}
        states = [
            one.get("state") or {} for one in (*(pod.get("initContainerStatuses") or ()), *(pod.get("containerStatuses") or ()))
        ]
        found |= {
            "pod ends": "deletionTimestamp" in metadata,
            "pod": "deletionTimestamp" not in metadata,
            "gate opened": not pods[-1]["spec"].get("schedulingGates"),
            "confined": bool(states) and "terminated" in states[0],
            "agent": len(states) > 1 and "running" in states[-1],
        }
    return [what for what, is_so in found.items() if is_so]


@pytest_asyncio.fixture
async def watch(workspace: Workspace) -> AsyncIterator[Watch]:
    async with KubeApi(await find(kubeconfig())) as api:
        yield Watch(api, workspace.name)


@pytest_asyncio.fixture
async def client(workspace: Workspace) -> AsyncIterator[AsyncDevboxGateway]:
    async with AsyncDevboxGateway(kubeconfig=kubeconfig(), namespace=workspace.name) as made:
        yield made


def cli(workspace: Workspace, verb: str, *words: str, code: int = 0) -> str:
    """stdout, or, of what fails, stderr."""
    line = [sys.executable, "-m", "devbox_gateway.cli", verb, "--kubeconfig", str(kubeconfig()), "-n", workspace.name, *words]
    done = subprocess.run(line, capture_output=True, text=True, timeout=PATIENT_SECONDS + 30, check=False)
    assert done.returncode == code, f"{words}: {done.returncode} {done.stdout[-2000:]!r} {done.stderr}"
    return done.stderr if code else done.stdout


def of_it(cluster: Kubectl, workspace: Workspace, pod: str, uid: str) -> list[str]:
    """What only a devbox with a pod has: pod, token Secret, NetworkPolicy; Route, mirrored credential."""
    credential = names.credential_name(workspace.name, "anthropic", "api-key")
    mine = [one for one in identities(cluster.all("pods,secrets,networkpolicies", workspace.name)) if one.endswith(f"/{pod}")]
    stored = identities(cluster.all("secrets", CREDENTIALS))
    return [*mine, *(one for one in stored if one.endswith((f"/route-{uid}", f"/{credential}")))]


@pytest.mark.row("S23")
async def test_a_devbox_that_streams_is_suspended_and_comes_back(
    cluster: Kubectl, workspace: Workspace, client: AsyncDevboxGateway, watch: Watch
) -> None:
    pod = workspace.working_devbox(command=["sh", "-c", HEARS_NOTHING], terminationGracePeriodSeconds=GRACE_SECONDS)
    workspace.becomes(pod, 200)
    token = workspace.sh(pod, 'printf %s "$ANTHROPIC"')
    uid = (workspace.get("pod", pod) or {})["metadata"]["uid"]
    assert len(of_it(cluster, workspace, pod, uid)) == 5
    devbox = client.devboxes.from_id("agent")

    stream = await asyncio.create_subprocess_exec(
        *workspace.kubectl.exec_command(workspace.name, pod, "devbox", ["sh", "-c", STREAM]),
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    begins = asyncio.Event()
    try:
        reading = asyncio.create_task(read(stream, watch, begins))
        await asyncio.wait_for(begins.wait(), 30)
        watch.asked()
        await devbox.suspend()
        assert (await devbox.get_info()).status == "suspending"
        await asyncio.gather(watch.until("suspended"), devbox.await_suspended(timeout=PATIENT_SECONDS))
        said = await asyncio.wait_for(reading, 30)
    finally:
        if stream.returncode is None:
            stream.kill()
        await stream.wait()
    gone("what the devbox had", lambda: of_it(cluster, workspace, pod, uid))
    watch.times["nothing left"] = monotonic() - watch.start
    down = dict(watch.times)
    assert "message_stop" not in said, "half an answer does not look whole"
    assert said.endswith(CUT), said[-500:]
    assert down["stream is cut"] < GRACE_SECONDS <= down["no pod"] + 0.5, (
        "its processes had their time, and its stream had none"
    )

    info = await devbox.get_info()
    assert (info.status, info.reason, info.pod) == ("suspended", "SuspendedBySpec", None)
    printed = cluster("-n", workspace.name, "get", "dbx", "agent").out
    assert "Suspended" in printed
    with pytest.raises(NotReadyError, match="is suspended"):
        await devbox.cmd.exec("true")
    for verb, code in (
        (("exec", "agent", "--", "true"), 125),
        (("logs", "agent"), 5),
        (("wait", "agent"), 5),
        (("restart", "agent"), 5),
    ):
        assert "is suspended; kubectl devbox resume NAME" in cli(workspace, *verb, code=code), verb
    with pytest.raises(CommandError, match=f"{workspace.name}/agent"):
        cluster("-n", workspace.name, "delete", "gwc", "anthropic", "--timeout=20s")

    watch.asked()
    resumed, _ = await asyncio.gather(devbox.resume(timeout=PATIENT_SECONDS), watch.until("ready"))
    assert (resumed.status, resumed.pod != pod) == ("running", True)
    assert resumed.pod is not None
    workspace.becomes(resumed.pod, 200)
    assert workspace.said(resumed.pod, token) == (401, "token_unknown"), "the token of before is dead"
    figures = {"suspend": [down], "resume": [watch.times]}
    for line in told(figures):
        print(line)  # noqa: T201 (the figures; shown by -rP)


async def read(stream: asyncio.subprocess.Process, watch: Watch, begins: asyncio.Event) -> str:
    """All that it prints."""
    assert stream.stdout is not None
    said = []
    async for line in stream.stdout:
        said.append(line.decode())
        if "content_block_delta" in said[-1]:
            begins.set()
        if said[-1].startswith("curl ended"):
            watch.times["stream is cut"] = monotonic() - watch.start
            break
    return "".join(said)


@pytest.mark.row("S23")
def test_at_a_terminal(workspace: Workspace) -> None:
    """Typed, several times, for the figures."""
    workspace.working_devbox()
    rounds: dict[str, list[dict[str, float]]] = {"suspend": [], "resume": []}
    for _ in range(ROUNDS):
        for verb, word in (("suspend", "suspended"), ("resume", "running")):
            rounds[verb].append(asyncio.run(timed(workspace, verb)))
            assert cli(workspace, "ls").splitlines()[1].split()[1] == word
    for line in told(rounds):
        print(line)  # noqa: T201


async def timed(workspace: Workspace, verb: str) -> dict[str, float]:
    """Of one verb, seconds until each part was so."""
    async with KubeApi(await find(kubeconfig())) as api:
        watch = Watch(api, workspace.name)
        verbs = asyncio.to_thread(cli, workspace, verb, "agent", "--wait")
        await asyncio.gather(verbs, watch.until("suspended" if verb == "suspend" else "ready"))
        return watch.times


def told(figures: dict[str, list[dict[str, float]]]) -> list[str]:
    """For people: p50 of each part."""
    lines = []
    for verb, rounds in figures.items():
        parts = {part: statistics.median(one[part] for one in rounds) for part in PARTS[verb] if part in rounds[0]}
        lines.append(f"{verb}: " + ", ".join(f"{part} {seconds:.2f} s" for part, seconds in parts.items()))
    return lines
