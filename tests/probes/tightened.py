"""An EgressPolicy loses a host while tunnels to it are open and busy: all are cut, and nothing more goes to that host.

Goes in: a `World`. Comes out: `Verdict`s. Tunnels to a host that the policy keeps stay open. Needs a release with the forward proxy.
"""

import json
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, Final

from devbox_stage.kubectl import environment

from . import pods
from .counters import listed
from .matrix import nothing_escaped
from .names import ALLOWED, KEPT, KEPT_PUBLIC, PUBLIC
from .pods import Pod, running
from .proxied import need_proxy, policy
from .report import Verdict
from .world import World

TUNNELS: Final = 100
KEPT_TUNNELS: Final = 5
TRIES: Final = 10
CUT_SECONDS: Final = 2.0
QUIET_SECONDS: Final = 2.0
"""For so long the host must hear nothing more once the last tunnel was cut."""
_PROGRAM: Final = """
import json, select, sys, time, types
inside = types.ModuleType("inside")
exec(sys.argv[1], inside.__dict__)
lost, number, keeps, keep = sys.argv[2], int(sys.argv[3]), sys.argv[4], int(sys.argv[5])
kept = [inside.tunnel({"target": keeps + ":443"}) for _ in range(keep)]
left = [inside.tunnel({"target": lost + ":443"}) for _ in range(number)]
for sock in (*kept, *left):
    sock.setblocking(False)
print(len(left), flush=True)
sys.stdin.readline()
start, last, sent = time.monotonic(), 0.0, 0
while left and time.monotonic() - start < 10:
    for sock in list(left):
        try:
            sent += sock.send(b"x")
            over = not sock.recv(65536)
        except BlockingIOError:
            over = False
        except OSError:
            over = True
        if over:
            left.remove(sock)
            last = time.monotonic() - start
    time.sleep(0.02)
print(json.dumps([len(left), last, sent]), flush=True)
again = sorted({inside.connect({"target": lost + ":443"}) for _ in range(int(sys.argv[6]))})
sys.stdin.readline()
open_still = 0
for sock in kept:
    try:
        sock.send(b"x")
        open_still += sock.recv(1) != b""
    except BlockingIOError:
        open_still += 1
    except OSError:
        pass
print(json.dumps([open_still, again]), flush=True)
"""
"""Writes into every tunnel fifty times a second, from the moment that it is told to."""


def tightened(world: World, number: int = TUNNELS) -> list[Verdict]:
    """All tunnels are open and written to when the policy changes. The time runs from before `kubectl apply`."""
    need_proxy(world)
    policy(world, "tightened", allowedHostnames=[ALLOWED, KEPT])
    world.home.devbox("tightened", egressPolicyRef={"name": "tightened"})
    pod = running(world.kubectl, world.home.name, world.home.ready("tightened"))
    world.prove([PUBLIC, KEPT_PUBLIC], [*pod.addresses, *world.gateway_pods()])
    world.sinkhole.counters.reset()
    with _program(pod, number) as (stdin, stdout):
        opened = int(stdout.readline())
        _tell(stdin)
        policy(world, "tightened", allowedHostnames=[KEPT])
        left, last, sent = json.loads(stdout.readline())
        before = _to_the_lost_host(world)
        time.sleep(QUIET_SECONDS)
        after = _to_the_lost_host(world)
        _tell(stdin)
        kept, again = json.loads(stdout.readline())
    leaks = world.leaks(pod.addresses)
    cut = f"{opened} open, {sent} writes; {left} left; the last cut after {last:.2f} s"
    refused = all(each.startswith("403") for each in again)
    return [
        Verdict(
            f"policy tightened, {number} busy tunnels open",
            f"all cut within {CUT_SECONDS:.0f} s",
            cut,
            f"{kept} of {KEPT_TUNNELS} to a host that stays are open",
            opened == number and left == 0 and last <= CUT_SECONDS and kept == KEPT_TUNNELS,
        ),
        Verdict(
            "… the gateway's packets to that host from then on",
            "0 packets",
            f"{after - before} packets in {QUIET_SECONDS:.0f} s",
            f"{before} packets until then",
            before > 0 and after == before,
        ),
        Verdict(f"… {TRIES} more CONNECTs to that host", "403", ", ".join(again), "", refused),
        Verdict("… what the devbox sent past the gateway", "0 packets", listed(leaks), "", not leaks),
        nothing_escaped(world),
    ]


@contextmanager
def _program(pod: Pod, number: int) -> Iterator[tuple[IO[str], IO[str]]]:
    argv = [pods.PYTHON, "-c", _PROGRAM, pods.SCRIPT, ALLOWED, str(number), KEPT, str(KEPT_TUNNELS), str(TRIES)]
    line = pod.kubectl.exec_command(pod.namespace, pod.name, pod.container, argv)
    with subprocess.Popen(line, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment()) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            yield process.stdin, process.stdout
        finally:
            process.kill()


def _tell(stdin: IO[str]) -> None:
    stdin.write("\n")
    stdin.flush()


def _to_the_lost_host(world: World) -> int:
    gateways = set(world.gateway_pods())
    arrived = world.sinkhole.counters.sinkhole()
    return sum(one.number for one in arrived if one.source in gateways and one.destination == PUBLIC)
