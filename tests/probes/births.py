"""The first three seconds of many devboxes' lives: each sends to forbidden addresses from its first instruction on.

Goes in: a `World` and a number. Comes out: `Verdict`s: what was counted behind the policies, and how much was sent. Two controls are
born at the same moment: pods with no policy, whose packets all have to be counted, and pods that have a devbox's policy but no
init container to wait for it, whose count is what that container is there for (shown, not judged: it depends on the CNI's speed).

`devbox-init` tries the canary until the policy is in force, and so far these packets do arrive. They are told apart by where they went
(TCP to the gateway's canary, which the agent does not try here) and have a row of their own; of all else nothing may be counted.
"""

import re
import secrets
from collections.abc import Container, Sequence
from typing import Any, Final, NamedTuple

from tests.support.workspace import IMAGE

from devbox_stage.kubectl import Object
from devbox_stage.stage import RELEASE_NAMESPACE
from devbox_stage.waiting import NotYet, wait_for

from . import pods
from .counters import Packets, listed
from .report import Verdict
from .world import World, is_canary

SECONDS: Final = 3
TARGETS: Final = ("203.0.113.7", "140.82.112.3", "169.254.169.254", "10.200.1.1", "192.168.7.7")
TARGETS6: Final = ("2001:db8::7", "fd12:3456::1")
_BURST: Final = f"""
import socket, sys, time
targets = sys.argv[1:]
families = {{host: socket.AF_INET6 if ":" in host else socket.AF_INET for host in targets}}
udps = {{family: socket.socket(family, socket.SOCK_DGRAM) for family in families.values()}}
for udp in udps.values():
    udp.setblocking(False)
query = bytes.fromhex("abcd01000001000000000000") + b"\\x04leak\\x07example\\0\\0\\x01\\0\\x01"
start, sent, held = time.monotonic(), 0, []
while time.monotonic() - start < {SECONDS}:
    for host in targets:
        for port, data in ((9999, b"x"), (53, query)):
            try:
                udps[families[host]].sendto(data, (host, port))
                sent += 1
            except OSError:
                pass
        tcp = socket.socket(families[host])
        tcp.setblocking(False)
        sent += 1
        tcp.connect_ex((host, 443))
        held = [*held[-20:], tcp]
    time.sleep(0.02)
print("sent", sent, flush=True)
time.sleep(3600)
"""


def command(targets: Sequence[str]) -> list[str]:
    """The very first instruction of bash is a datagram; Python, which takes a while to start, goes on."""
    first = f'echo x >/dev/udp/{targets[0]}/9999; exec {pods.PYTHON} -c "$0" "$@"'
    return ["/bin/bash", "-c", first, _BURST, *targets]


def births(world: World, number: int = 50, controls: int = 10) -> list[Verdict]:
    """All at once."""
    inside = [world.neighbour.address, world.cluster_ip("kube-dns", "kube-system"), world.cluster_ip("kubernetes", "default")]
    if world.neighbour.address6:
        inside += [*TARGETS6, world.neighbour.address6]
    everything = [*TARGETS, *inside]
    mark = secrets.token_hex(3)
    world.prove(everything, world.devbox.addresses)
    world.sinkhole.counters.reset()
    groups = {
        "devboxes": [f"d{mark}-{n}" for n in range(number)],
        "late": [f"l{mark}-{n}" for n in range(controls)],
        "free": [f"f{mark}-{n}" for n in range(controls)],
    }
    objects = [_devbox(name, everything) for name in groups["devboxes"]]
    objects += [pods.manifest(name, command(everything), labels={"probes": "late"}) for name in groups["late"]]
    objects += [pods.manifest(name, command(everything), labels={"probes": "free"}) for name in groups["free"]]
    world.home.apply(policy_like_ours("late"), *objects)
    try:
        born = {who: _sent(world, names, devboxes=who == "devboxes") for who, names in groups.items()}
        counted = Counted(world.sinkhole.counters.node(), world.sinkhole.counters.sinkhole())
    finally:
        world.home.kubectl("-n", world.home.name, "delete", "devboxes", "--wait=false", *groups["devboxes"], timeout=120)
        world.home.kubectl("-n", world.home.name, "delete", "pods", "--wait=false", *groups["late"], *groups["free"])
    return [
        _devboxes(world, f"{number} devboxes, first {SECONDS} s", born["devboxes"], counted),
        _canary(world, born["devboxes"], counted),
        _late(world, f"{controls} pods with the policy alone", born["late"], counted),
        _free(world, f"control: {controls} pods without a policy", born["free"], counted),
    ]


class Counted(NamedTuple):
    """The counters' rows of all that was born."""

    node: list[Packets]
    sinkhole: list[Packets]

    def of(self, sources: Container[str]) -> "Counted":
        """Those of some pods."""
        return Counted(*([one for one in rows if one.source in sources] for rows in self))

    @property
    def number(self) -> str:
        """For people."""
        node, sinkhole = (sum(one.number for one in rows) for rows in self)
        return f"{node} packets, {sinkhole} of them to the sinkhole"


Born = dict[frozenset[str], int]
"""A pod's addresses → how much its program says that it sent."""


def _all(born: Born) -> set[str]:
    return {address for addresses in born for address in addresses}


def _pods(born: Born, packets: list[Packets]) -> str:
    sources = {one.source for one in packets}
    return f"{sum(not addresses.isdisjoint(sources) for addresses in born)} of {len(born)} pods"


def _devboxes(world: World, name: str, born: Born, counted: Counted) -> Verdict:
    """Nothing may have been counted but what went to the gateway's two ports, and to the canary."""
    canary = world.canary_addresses()
    leaks = [one for one in world.leaks(_all(born), counted.node) if not is_canary(one, canary)]
    arrived = counted.of(_all(born)).sinkhole
    shown = f"on the node: {listed(leaks)}; in the sinkhole: {listed(arrived)}; {sum(born.values())} tries"
    return Verdict(name, "0 packets past the gateway", shown, "", not leaks and not arrived and all(born.values()))


def _canary(world: World, born: Born, counted: Counted) -> Verdict:
    canary = world.canary_addresses()
    tried = [one for one in counted.of(_all(born)).node if is_canary(one, canary)]
    shown = f"{sum(one.number for one in tried)} packets of {_pods(born, tried)}"
    return Verdict("… devbox-init's own probes of the canary, before the policy was in force", "shown", shown, "", None)


def _late(world: World, name: str, born: Born, counted: Counted) -> Verdict:
    leaks = Counted(world.leaks(_all(born), counted.node), counted.of(_all(born)).sinkhole)
    shown = f"{leaks.number}, of {_pods(born, leaks.node)}; {sum(born.values())} tries"
    return Verdict(name, "shown", shown, "", None)


def _free(world: World, name: str, born: Born, counted: Counted) -> Verdict:
    """Something from each address must have been counted, on the node and in the sinkhole, or the counting shows nothing."""
    seen = Counted(world.leaks(_all(born), counted.node), counted.of(_all(born)).sinkhole)
    every = all({one.source for one in rows} == _all(born) for rows in seen)
    return Verdict(name, "packets of each", f"{seen.number}; {sum(born.values())} tries", "", every)


def _sent(world: World, names: list[str], *, devboxes: bool) -> Born:
    """Of all of them, once all have ended."""

    def attempt() -> Born:
        found = [one for one in world.kubectl.all("pods", world.home.name) if _owner(one, devboxes=devboxes) in names]
        running = [one for one in found if one["status"].get("phase") == "Running"]
        if len(running) < len(names):
            raise NotYet(f"{len(running)} of {len(names)} run")
        made = {}
        for one in running:
            logged = world.kubectl("-n", world.home.name, "logs", one["metadata"]["name"], "-c", "devbox").out
            if (said := re.search(r"sent (\d+)", logged)) is None:
                raise NotYet(f"{one['metadata']['name']} has not ended")
            made[frozenset(pods.addresses(one["status"]))] = int(said.group(1))
        return made

    return wait_for("the first seconds of all", attempt, seconds=240, interval=2)


def _owner(pod: Object, *, devboxes: bool) -> str:
    labels = pod["metadata"].get("labels", {})
    return str(labels.get("devbox-gateway.io/devbox" if devboxes else "app", ""))


def _devbox(name: str, targets: Sequence[str]) -> Object:
    spec: dict[str, Any] = {
        "image": IMAGE,
        "command": command(targets),
        "gateways": [{"name": "ANTHROPIC", "gatewayRef": {"name": "anthropic"}}],
        "terminationGracePeriodSeconds": 1,
    }
    return {"apiVersion": "devbox-gateway.io/v1alpha1", "kind": "Devbox", "metadata": {"name": name}, "spec": spec}


def policy_like_ours(label: str) -> Object:
    """What a devbox's policy says, for pods that are none; they carry the label `probes`."""
    gateway = {
        "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": RELEASE_NAMESPACE}},
        "podSelector": {"matchLabels": {"app.kubernetes.io/component": "gateway"}},
    }
    spec = {
        "podSelector": {"matchLabels": {"probes": label}},
        "policyTypes": ["Ingress", "Egress"],
        "egress": [{"to": [gateway], "ports": [{"protocol": "TCP", "port": 8443}]}],
    }
    return {"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": {"name": label}, "spec": spec}
