"""Faults while devboxes probe without a pause: no packet of theirs may pass in any of them.

Goes in: a `World`. Comes out: `Verdict`s. The devbox and the control send the same packets all the time; the control's, which have to be
counted all along, show that the counting works during the fault.
"""

import contextlib
import json
import subprocess
import time
from collections.abc import Callable, Iterator
from typing import Final

from devbox_cluster.local import LocalCluster
from devbox_stage.kubectl import environment
from devbox_stage.stage import RELEASE_NAMESPACE

from . import pods
from .counters import listed
from .names import ALLOWED, OTHER_PUBLIC, PUBLIC
from .pods import Pod
from .proxied import policy
from .report import Verdict
from .shell import ProbeError
from .world import GATEWAY, World

TUNNELS: Final = 20
_WITHOUT_PAUSE: Final = """
import json, os, socket, sys, threading, time, types
targets, tunnelled, number = json.loads(sys.argv[1])
inside = types.ModuleType("inside")
exec(sys.argv[2], inside.__dict__)
sent = opened = 0
def send():
    global sent
    families = {host: socket.AF_INET6 if ":" in host else socket.AF_INET for host, _ in targets}
    udps = {family: socket.socket(family, socket.SOCK_DGRAM) for family in families.values()}
    for udp in udps.values():
        udp.setblocking(False)
    held = []
    while True:
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
        time.sleep(0.01)
def tunnel():
    global opened
    held = []
    while True:
        try:
            held = [*held[1 - number:], inside.tunnel({"target": tunnelled})]
            opened += 1
        except (OSError, AssertionError):
            pass
        for sock in list(held):
            try:
                sock.send(b"x")
            except OSError:
                held.remove(sock)
        time.sleep(0.05)
threading.Thread(target=send, daemon=True).start()
if "HTTPS_PROXY" in os.environ:
    threading.Thread(target=tunnel, daemon=True).start()
print("up", flush=True)
sys.stdin.readline()
print(json.dumps([sent, opened]), flush=True)
"""
"""A devbox also has tunnels all the time, the oldest of which makes room for a new one, and writes into them."""


@contextlib.contextmanager
def sending(pod: Pod, targets: list[tuple[str, int]]) -> Iterator[Callable[[], tuple[int, int]]]:
    """The pod sends to all targets a hundred times a second. Gives a function that ends it, and says how many packets it tried
    and how many tunnels it had."""
    what = json.dumps([targets, f"{ALLOWED}:443", TUNNELS])
    line = pod.kubectl.exec_command(
        pod.namespace, pod.name, pod.container, [pods.PYTHON, "-c", _WITHOUT_PAUSE, what, pods.SCRIPT]
    )
    with subprocess.Popen(line, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment()) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        stdin, stdout = process.stdin, process.stdout

        def end() -> tuple[int, int]:
            stdin.write("\n")
            stdin.flush()
            sent, opened = json.loads(stdout.readline())
            return int(sent), int(opened)

        try:
            assert stdout.readline() == "up\n"
            yield end
        finally:
            process.kill()


def under(world: World, name: str, fault: Callable[[], None], *, after: float = 2.0) -> Verdict:
    """Both pods send before, during, and `after` seconds after the fault; the devbox has an EgressPolicy and tunnels meanwhile."""
    targets = [
        (OTHER_PUBLIC, 443),
        ("169.254.169.254", 80),
        ("10.200.1.1", 443),
        (world.stranger.address, pods.PORT),
        (world.cluster_ip("kubernetes", "default"), 443),
    ]
    if world.stranger.address6:
        targets += [("2001:db8::7", 443), (world.stranger.address6, pods.PORT)]
    policy(world, "faults", allowedHostnames=[ALLOWED])
    world.home.devbox("agent", egressPolicyRef={"name": "faults"})
    gateways = set(world.gateway_pods())
    world.prove([PUBLIC, *(host for host, _ in targets)], [*world.devbox.addresses, *gateways])
    counters = world.sinkhole.counters
    counters.reset()
    with sending(world.devbox, targets) as end, sending(world.control, targets) as end_control:
        time.sleep(after)
        fault()
        before = _of(world, world.control)
        time.sleep(after)
        goes_on = _of(world, world.control) > before
        (sent, opened), (sent_control, _) = end(), end_control()
    leaks = world.leaks(world.devbox.addresses, gone=gateways)
    gateways.update(world.gateway_pods())
    leaks += [one for one in counters.sinkhole() if one.source in gateways and one.port != 53 and one.destination != PUBLIC]
    control = f"{_of(world, world.control)} packets of {sent_control} tried"
    shown = f"{listed(leaks)} of {sent} tried, beside {opened} tunnels"
    return Verdict(name, "0 packets", shown, control, not leaks and goes_on and sent > 0 and opened > 0)


def _of(world: World, pod: Pod) -> int:
    return sum(one.number for one in world.sinkhole.counters.node() if one.source in pod.addresses)


def restart_kube_router() -> None:
    """End it by its recorded pid, and let the cluster start what has stopped."""
    cluster = LocalCluster()
    if not cluster.processes.alive("kube-router"):
        raise ProbeError("kube-router does not run: the packet-level tests need the local cluster (CLUSTER=local)")
    cluster.processes.stop("kube-router")
    time.sleep(1)
    cluster.up()


def kill_gateway_pod(world: World) -> None:
    """At once, as when its node fails; the next one is ready when this returns."""
    (victim, *_) = (one["metadata"]["name"] for one in world.kubectl.all("pods", RELEASE_NAMESPACE, GATEWAY))
    world.kubectl("-n", RELEASE_NAMESPACE, "delete", "pod", victim, "--grace-period=0", "--force", "--wait=false")
    world.kubectl("-n", RELEASE_NAMESPACE, "rollout", "status", "deployment", "-l", GATEWAY, "--timeout=90s", timeout=120)


def faults(world: World) -> list[Verdict]:
    """Each of them."""
    return [
        under(world, "nothing happens", lambda: None),
        under(world, "kube-router restarted", restart_kube_router, after=4),
        under(world, "gateway pod killed", lambda: kill_gateway_pod(world)),
    ]
