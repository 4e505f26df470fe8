"""Pods whose processes ignore that they should end, and how long those really live.

Goes in: a `World`. Comes out: `Stubborn` pods, which send to forbidden addresses from their first instruction to their last, and when the
kernel had none of their processes left.
"""

import concurrent.futures
import json
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from devbox_stage.kubectl import Object
from devbox_stage.waiting import NotYet, wait_for

from . import pods
from .counters import Packets
from .pods import Pod
from .world import World

CGROUPS: Final = Path("/sys/fs/cgroup")
CLASSES: Final = ("", "burstable", "besteffort")
"""Of quality of service: the folders below `kubepods`."""
ASK_SECONDS: Final = 2.0
OUTSIDE: Final = ("169.254.169.254", "203.0.113.7", "10.200.1.1")
OUTSIDE6: Final = ("2001:db8::7", "fd00:ec2::254")
_SENDS: Final = """
import json, signal, socket, sys, time
for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
    signal.signal(number, signal.SIG_IGN)
targets, sent, held, told = json.loads(sys.argv[1]), 0, [], 0.0
families = {host: socket.AF_INET6 if ":" in host else socket.AF_INET for host, _ in targets}
while True:
    # New ones now and then: what passed once is known to the node, which lets the rest of that conversation pass.
    udps = {family: socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) for family in families.values()}
    for host, port in targets:
        try:
            udps[families[host]].sendto(b"probe", (host, 9999))
        except OSError:
            pass
        tcp = socket.socket(families[host])
        tcp.setblocking(False)
        tcp.connect_ex((host, port))
        held = [*held[-50:], tcp]
        sent += 2
    if time.monotonic() - told > 0.5:
        told = time.monotonic()
        print(sent, flush=True)
    time.sleep(0.02)
"""


def targets(world: World) -> list[tuple[str, int]]:
    """The metadata address, the API server (by its Service and as it is), the internet, a private range, a pod; over both families."""
    api_server = world.kubectl.get("endpoints", "kubernetes", "default")
    assert api_server is not None
    (subset, *_) = api_server["subsets"]
    found = [(host, 443) for host in OUTSIDE]
    found += [(world.cluster_ip("kubernetes", "default"), 443), (subset["addresses"][0]["ip"], subset["ports"][0]["port"])]
    found += [(world.stranger.address, pods.PORT)]
    if world.stranger.address6:
        found += [*((host, 443) for host in OUTSIDE6), (world.stranger.address6, pods.PORT)]
    return found


def command(where: Sequence[tuple[str, int]]) -> list[str]:
    """What it runs."""
    return [pods.PYTHON, "-c", _SENDS, json.dumps(where)]


def bare(name: str, where: Sequence[tuple[str, int]], grace: int, labels: Mapping[str, str]) -> Object:
    """The same program in a pod that is no devbox."""
    made = pods.manifest(name, command(where), labels=labels)
    made["spec"]["terminationGracePeriodSeconds"] = grace
    return made


@dataclass
class Stubborn:
    """One that runs, and is about to be told to end."""

    pod: Pod
    uid: str
    owner: str
    """Its Devbox's name; empty where it is none."""
    sent: int = 0
    """What it says that it has sent, last time that it could be asked."""
    told: float = 0.0
    """When it was told (monotonic seconds)."""
    ended: float = 0.0
    """When the kernel had none of its processes left."""

    @property
    def lived(self) -> float:
        """Seconds from then on."""
        return self.ended - self.told

    @property
    def path(self) -> str:
        """In the API."""
        return f"/api/v1/namespaces/{self.pod.namespace}/pods/{self.pod.name}"

    def look(self) -> bool:
        """A process of it lives. Remembers when that ended."""
        if self.ended:
            return False
        if alive(self.uid):
            return True
        self.ended = time.monotonic()
        return False

    def ask(self) -> None:
        """How much it has sent: it writes that into its log."""
        said = self.pod.kubectl(
            "-n", self.pod.namespace, "logs", self.pod.name, "-c", self.pod.container, "--tail=1", check=False
        )
        if said.out.strip().isdecimal():
            self.sent = int(said.out)

    def counted(self, packets: Sequence[Packets]) -> int:
        """Of its addresses."""
        return sum(one.number for one in packets if one.source in self.pod.addresses)


def alive(uid: str) -> bool:
    """The kernel has a process in the pod's cgroup."""
    places = [
        place / f"pod{uid}" for top in (CGROUPS, *CGROUPS.iterdir()) for place in (top / "kubepods" / name for name in CLASSES)
    ]
    # (What goes away meanwhile is passed over.)
    for folder in (folder for place in places for folder, _, _ in os.walk(place)):
        try:
            if Path(folder, "cgroup.procs").read_text(encoding="ascii").strip():
                return True
        except OSError:
            continue
    return False


def started(world: World, namespace: str, pod: str, owner: str) -> Stubborn:
    """The pod, once its program sends."""
    running = pods.running(world.kubectl, namespace, pod)
    item: Any = world.kubectl.get("pod", pod, namespace)
    made = Stubborn(running, item["metadata"]["uid"], owner)

    def attempt() -> None:
        made.ask()
        if not made.sent or not alive(made.uid):
            raise NotYet("it has not sent anything yet")

    wait_for(f"pod {pod} sends", attempt, seconds=60)
    return made


def until_the_last_process(dying: Sequence[Stubborn], seconds: float) -> None:
    """Wait for the kernel's word, asking them meanwhile how much they send. What still lives after that has not ended."""
    deadline, asked = time.monotonic() + seconds, 0.0
    with concurrent.futures.ThreadPoolExecutor(2) as threads:
        asking: list[concurrent.futures.Future[None]] = []
        while (living := [one for one in dying if one.look()]) and time.monotonic() < deadline:
            if time.monotonic() - asked > ASK_SECONDS and all(one.done() for one in asking):
                asking, asked = [threads.submit(one.ask) for one in living], time.monotonic()
            time.sleep(0.1)
