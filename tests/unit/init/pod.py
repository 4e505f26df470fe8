"""`python -m tests.unit.init.pod SCENE`, in a network of tests/support/netns.py: a pod's first seconds, with real addresses.

Goes in: a `Scene` as JSON. Comes out, on standard output, as JSON: the exit code of `devbox-init`, its first and its last words. The
gateway's ports are listeners of this process; a policy that is at work is a listener that is not there.
"""

import json
import socket
import struct
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.support.gateway_process import FILES

from .asked import asked

V4: Final = "10.203.0.1"
V6: Final = "fd00:203::1"
ASK: Final = 3128
DATA: Final = 8443
CANARY: Final = 8479
PORTS: Final = 100
"""To call from, where they are few: more than a test takes, and no more than a listener's queue."""
NO_IPV6: Final = "ip -6 addr flush dev lo scope global"
DEVICES: Final = "ip link add eth0 type veth peer name net1 && ip link set eth0 up && ip link set net1 up"
"""Two of them; each has an fe80:: address by itself."""
NO_IPV4: Final = f"ip addr del {V4}/24 dev lo"


@dataclass(frozen=True)
class Scene:
    """What the pod finds."""

    named: tuple[str, ...] = (V4, V6)
    """The gateway's addresses in the hosts file."""
    data: tuple[str, ...] = (V4, V6)
    """Where its data port answers, and the one where it is asked which pod it is."""
    canary: tuple[str, ...] = ()
    full: bool = False
    """At first there is no port left to call the canary from, and the data port can be called."""
    before: str = "true"
    later: str = "true"
    """Commands: before it starts, and once it has said something."""
    arguments: tuple[str, ...] = ("--seconds=1",)


def play(scene: Scene) -> tuple[int, str, str]:
    """Exit code, first and last words."""
    with ExitStack() as stack:
        log = Path(stack.enter_context(tempfile.TemporaryDirectory())) / "log"
        with Path("/etc/hosts").open("a", encoding="ascii") as hosts:
            hosts.writelines(f"{address} gateway.test\n" for address in scene.named)
        for address in scene.data:
            stack.enter_context(asked(address, DATA, CANARY, port=ASK))
        for port, addresses in ((DATA, scene.data), (CANARY, scene.canary)):
            for address in addresses:
                family = socket.AF_INET6 if ":" in address else socket.AF_INET
                stack.enter_context(socket.create_server((address, port), family=family, backlog=128))
        subprocess.run(["sh", "-c", scene.before], check=True)
        held = stack.enter_context(_all_ports_taken(scene.canary)) if scene.full else None
        ports = (f"--ask-port={ASK}", f"--data-port={DATA}", f"--canary-port={CANARY}")
        command = [*FILES, sys.executable, "-m", "devbox_init", "--gateway=gateway.test", *ports, f"--termination-log={log}"]
        with subprocess.Popen([*command, *scene.arguments], stdout=subprocess.PIPE, text=True) as agent:
            assert agent.stdout is not None
            first = agent.stdout.readline().strip()
            if held is not None:
                held.close()
            subprocess.run(["sh", "-c", scene.later], check=True)
            agent.communicate(timeout=20)
        return agent.returncode, first, log.read_text(encoding="utf-8")


def _all_ports_taken(addresses: tuple[str, ...]) -> ExitStack:
    """Connections to the canary's addresses from every port that there is: from the same ones other addresses can be called."""
    Path("/proc/sys/net/ipv4/ip_local_port_range").write_text(f"40000 {40000 + PORTS - 1}", encoding="ascii")
    with ExitStack() as stack:
        for address in addresses * PORTS:
            one = stack.enter_context(socket.create_connection((address, CANARY)))
            # It ends by a reset, and the port is free.
            one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        return stack.pop_all()


if __name__ == "__main__":
    sys.stdout.write(json.dumps(play(Scene(**json.loads(sys.argv[1])))))
