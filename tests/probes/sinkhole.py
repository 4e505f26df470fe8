"""A network namespace in which everything ends that pods send to addresses outside the cluster.

Goes in: the pods' bridge and the cluster's ranges. Comes out: a running `Sinkhole`, in which every address is a local one, a program
answers (catcher.py), and what arrives is counted (counters.py). On the node: one routing rule for packets that come from pods, one route
table, a pair of devices, and an nftables chain that drops (and counts) what a pod would send out of any other device, so that no packet of
a pod leaves the machine. What an earlier run left is removed first. Needs root.
"""

import contextlib
import fcntl
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from devbox_cluster import config
from devbox_cluster.network import has_ipv6
from devbox_cluster.paths import cache_dir

from .counters import Counters
from .shell import INSIDE, NAMESPACE, ProbeError, ip, nft, run

DEVICE: Final = "dbxprobe0"
PEER: Final = "dbxprobe1"
NEAR: Final = "100.127.255.1"
FAR: Final = "100.127.255.2"
"""The two ends of the link; in the range for carriers' own networks, which no probe uses."""
NEAR6: Final = "fd42:7f::1"
FAR6: Final = "fd42:7f::2"
NEAR_MAC: Final = "02:00:00:00:7f:01"
FAR_MAC: Final = "02:00:00:00:7f:02"
TABLE: Final = 8479
PRIORITY: Final = 100
OWN: Final = (config.NODE_POD_CIDR, f"{config.NODE_ADDRESS}/32")
OWN6: Final = (config.NODE_POD_CIDR6, f"{config.NODE_ADDRESS6}/128", "fe80::/10", "ff00::/8")
"""What pods reach on the node as ever. Service addresses have become pods' by the time that packets are routed."""

_GUARD: Final = f"""
table inet {NAMESPACE}-guard {{
  chain uplink {{
    type filter hook forward priority -300; policy accept;
    iifname "{config.POD_DEVICE}" oifname != {{ "{config.POD_DEVICE}", "{DEVICE}" }} counter drop
  }}
  chain source {{
    type nat hook postrouting priority 90; policy accept;
    oifname "{DEVICE}" ip saddr {config.NODE_POD_CIDR} snat ip to ip saddr
    oifname "{DEVICE}" ip6 saddr {config.NODE_POD_CIDR6} snat ip6 to ip6 saddr
  }}
}}
"""
"""`uplink`: the lock on the machine's door. `source`: pods keep their address on the way, in place of CNI's masquerading."""


@dataclass(frozen=True)
class Sinkhole:
    """The running one."""

    counters: Counters

    def proof(self, addresses: Sequence[str], source: str) -> None:
        """Raises ProbeError unless the kernel itself says that a pod's packets to each address (of `source`'s family) go into the
        sinkhole."""
        for address in (one for one in addresses if (":" in one) == (":" in source)):
            route = ip(f"route get {address} from {source} iif {config.POD_DEVICE}")
            if f"dev {DEVICE}" not in route:
                raise ProbeError(f"packets to {address} would go elsewhere: {route.strip()}")

    @property
    def escaped(self) -> int:
        """How many packets of pods the lock on the machine's door had to drop: they were on their way out."""
        listed = json.loads(run("nft", "-j", "list", "chain", "inet", f"{NAMESPACE}-guard", "uplink"))
        rules = [item["rule"]["expr"] for item in listed["nftables"] if "rule" in item]
        return sum(int(part["counter"]["packets"]) for rule in rules for part in rule if "counter" in part)


@contextlib.contextmanager
def sinkhole(answers: dict[str, list[list[str]]] | None = None) -> Iterator[Sinkhole]:
    """One at a time on the machine. `answers`: what its DNS says, name → the answers of one look-up after the other."""
    if os.geteuid() != 0:
        raise ProbeError("the packet-level tests make network namespaces and routes on the node: run them as root")
    if not run("ip", "-o", "link", "show", config.POD_DEVICE, check=False):
        raise ProbeError(
            f"there is no device {config.POD_DEVICE}: the packet-level tests need the local cluster (CLUSTER=local)"
        )
    with (cache_dir() / "probes.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        remove()
        try:
            _make()
            counters = Counters()
            counters.install()
            with _catcher(answers or {}):
                yield Sinkhole(counters)
        finally:
            remove()


def _make() -> None:
    # The lock first, the rule last: at no moment is there a way out.
    nft(_GUARD)
    ip(f"netns add {NAMESPACE}")
    ip(f"link add {DEVICE} address {NEAR_MAC} type veth peer name {PEER} address {FAR_MAC} netns {NAMESPACE}")
    ip(f"addr add {NEAR}/30 dev {DEVICE}")
    ip(f"link set {DEVICE} up")
    for line in (
        "link set lo up",
        f"addr add {FAR}/30 dev {PEER}",
        f"link set {PEER} up",
        # AnyIP: every address is this namespace's own, also to answer from; but for the pods', to which the answers go.
        "route add local 0.0.0.0/0 dev lo",
        f"route add default via {NEAR}",
        f"rule add to {config.POD_CIDR} lookup main priority 10",
        f"rule add to {NEAR} lookup main priority 10",
        "rule add lookup local priority 20",
        "rule del lookup local priority 0",
    ):
        ip(f"-n {NAMESPACE} {line}")
    for own in OWN:
        ip(f"route add throw {own} table {TABLE}")
    ip(f"route add default via {FAR} dev {DEVICE} table {TABLE}")
    ip(f"rule add iif {config.POD_DEVICE} lookup {TABLE} priority {PRIORITY}")
    if has_ipv6():
        _make6()


def _make6() -> None:
    # Where every address is the namespace's own, answers to neighbour discovery would be, too: so it is told.
    ip(f"-6 addr add {NEAR6}/126 dev {DEVICE} nodad")
    ip(f"-6 neigh add {FAR6} lladdr {FAR_MAC} dev {DEVICE} nud permanent")
    for line in (
        f"addr add {FAR6}/126 dev {PEER} nodad",
        f"neigh add {NEAR6} lladdr {NEAR_MAC} dev {PEER} nud permanent",
        "route add local ::/0 dev lo",
        f"route add default via {NEAR6}",
        f"rule add to {config.POD_CIDR6} lookup main priority 10",
        f"rule add to {NEAR6} lookup main priority 10",
        "rule add lookup local priority 20",
        "rule del lookup local priority 0",
    ):
        ip(f"-n {NAMESPACE} -6 {line}")
    for own in OWN6:
        ip(f"-6 route add throw {own} table {TABLE}")
    ip(f"-6 route add default via {FAR6} dev {DEVICE} table {TABLE}")
    ip(f"-6 rule add iif {config.POD_DEVICE} lookup {TABLE} priority {PRIORITY}")


def remove() -> None:
    """Everything that a run made, whether it ended well or not; programs in the namespace are ended by their pids."""
    for family in ("-4", "-6"):
        while f"lookup {TABLE}" in ip(f"{family} rule show", check=False):
            ip(f"{family} rule del iif {config.POD_DEVICE} lookup {TABLE} priority {PRIORITY}")
        ip(f"{family} route flush table {TABLE}", check=False)
    if NAMESPACE in ip("netns list").split():
        for pid in ip(f"netns pids {NAMESPACE}").split():
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(pid), signal.SIGKILL)
        ip(f"netns del {NAMESPACE}")
    ip(f"link del {DEVICE}", check=False)
    for table in (f"inet {NAMESPACE}", f"inet {NAMESPACE}-guard", f"bridge {NAMESPACE}"):
        run("nft", "delete", "table", *table.split(), check=False)


@contextlib.contextmanager
def _catcher(answers: dict[str, list[list[str]]]) -> Iterator[None]:
    """The program that answers; it dies with us."""
    command = ["setpriv", "--pdeathsig", "KILL", *INSIDE, sys.executable, "-m", "tests.probes.catcher"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            process.stdin.write(json.dumps(answers) + "\n")
            process.stdin.flush()
            started = time.monotonic()
            if process.stdout.readline() != "up\n":
                raise ProbeError(f"the sinkhole's program did not start within {time.monotonic() - started:.0f} s")
            yield
        finally:
            process.kill()
