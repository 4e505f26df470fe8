"""Faults while devboxes probe without a pause: no packet of theirs may pass in any of them.

Goes in: a `World`. Comes out: `Verdict`s. The devbox and the control send the same packets all the time; the control's, which have to be
counted all along, show that the counting works during the fault. Called by the integration tests and by __main__.py.
"""

import contextlib
import json
import subprocess
import time
from collections.abc import Callable, Iterator
from typing import Final

from devbox_cluster.local import LocalCluster
from devbox_demo.kubectl import environment
from devbox_demo.stage import RELEASE_NAMESPACE

from . import pods
from .names import ALLOWED, KEPT, PUBLIC
from .pods import Pod, running
from .proxied import policy
from .report import Verdict
from .shell import ProbeError
from .world import GATEWAY, World

TUNNELS: Final = 100
CUT_SECONDS: Final = 2.0
_WITHOUT_PAUSE: Final = """
import json, socket, sys, threading, time
targets = json.loads(sys.argv[1])
sent = 0
def send():
    global sent
    udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    udp.setblocking(False)
    held = []
    while True:
        for host, port in targets:
            try:
                udp.sendto(b"probe", (host, 9999))
            except OSError:
                pass
            tcp = socket.socket()
            tcp.setblocking(False)
            tcp.connect_ex((host, port))
            held = [*held[-50:], tcp]
            sent += 2
        time.sleep(0.01)
threading.Thread(target=send, daemon=True).start()
print("up", flush=True)
sys.stdin.readline()
print(sent, flush=True)
"""


@contextlib.contextmanager
def sending(pod: Pod, targets: list[tuple[str, int]]) -> Iterator[Callable[[], int]]:
    """The pod sends to all targets a hundred times a second. Gives a function that ends it, and says how many packets it tried."""
    argv = [pods.PYTHON, "-c", _WITHOUT_PAUSE, json.dumps(targets)]
    line = pod.kubectl.exec_command(pod.namespace, pod.name, pod.container, argv)
    with subprocess.Popen(line, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment()) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        stdin, stdout = process.stdin, process.stdout

        def end() -> int:
            stdin.write("\n")
            stdin.flush()
            return int(stdout.readline())

        try:
            assert stdout.readline() == "up\n"
            yield end
        finally:
            process.kill()


def under(world: World, name: str, fault: Callable[[], None], *, after: float = 2.0) -> Verdict:
    """Both pods send before, during, and `after` seconds after the fault."""
    targets = [
        (PUBLIC, 443),
        ("169.254.169.254", 80),
        ("10.200.1.1", 443),
        (world.stranger.address, pods.PORT),
        (world.cluster_ip("kubernetes", "default"), 443),
    ]
    counters = world.sinkhole.counters
    counters.reset()
    with sending(world.devbox, targets) as end, sending(world.control, targets) as end_control:
        time.sleep(after)
        fault()
        before = _of(world, world.control)
        time.sleep(after)
        goes_on = _of(world, world.control) > before
        sent, sent_control = end(), end_control()
    leaks = world.leaks({world.devbox.address})
    shown = "; ".join(one.shown for one in leaks) or "0 packets"
    control = f"{_of(world, world.control)} packets of {sent_control} tried"
    return Verdict(name, "0 packets", f"{shown} of {sent} tried", control, not leaks and goes_on and sent > 0)


def _of(world: World, pod: Pod) -> int:
    return sum(one.number for one in world.sinkhole.counters.node() if one.source == pod.address)


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


_TUNNELS: Final = """
import json, select, sys, time, types
inside = types.ModuleType("inside")
exec(sys.argv[1], inside.__dict__)
target, number, other = sys.argv[2], int(sys.argv[3]), sys.argv[4]
kept = [inside.tunnel({"target": other + ":443"}) for _ in range(5)]
opened = [inside.tunnel({"target": target + ":443"}) for _ in range(number)]
print(len(opened), flush=True)
sys.stdin.readline()
start = time.monotonic()
left, last = list(opened), 0.0
while left and time.monotonic() - start < 10:
    for sock in select.select(left, [], [], 0.05)[0]:
        try:
            over = not sock.recv(65536)
        except OSError:
            over = True
        if over:
            left.remove(sock)
            last = time.monotonic() - start
ended = len(select.select(kept, [], [], 0)[0])
print(json.dumps([len(left), last, len(kept) - ended]), flush=True)
"""


def tightened(world: World, number: int = TUNNELS) -> list[Verdict]:
    """A policy loses a host while tunnels to it are open: all are cut, and those to a host that it keeps are not.

    Needs a release with the forward proxy."""
    if 3128 not in world.gateway_service_ports():
        raise ProbeError("this release has no forward proxy (port 3128 of Service gateway), so there are no tunnels to cut")
    policy(world, "tightened", allowedHostnames=[ALLOWED, KEPT])
    world.home.devbox("tightened", egressPolicyRef={"name": "tightened"})
    pod = running(world.kubectl, world.home.name, world.home.ready("tightened"))
    world.sinkhole.counters.reset()
    argv = [pods.PYTHON, "-c", _TUNNELS, pods.SCRIPT, ALLOWED, str(number), KEPT]
    line = pod.kubectl.exec_command(pod.namespace, pod.name, pod.container, argv)
    with subprocess.Popen(line, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment()) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            opened = int(process.stdout.readline())
            policy(world, "tightened", allowedHostnames=[KEPT])
            process.stdin.write("\n")
            process.stdin.flush()
            left, last, kept = json.loads(process.stdout.readline())
        finally:
            process.kill()
    leaks = world.leaks({pod.address})
    held = opened == number and left == 0 and last <= CUT_SECONDS and kept == 5 and not leaks
    measured = f"{opened} open; {left} left; the last cut after {last:.2f} s; {len(leaks)} leaks"
    return [
        Verdict(
            f"policy tightened, {number} tunnels open",
            f"all cut within {CUT_SECONDS:.0f} s",
            measured,
            f"{kept} of 5 to a host that stays are open",
            held,
        )
    ]
