"""`python -m tests.unit.cluster.kernel_rules FOLDER`, in a network of its own: what `make cluster-down` leaves of a node's real rules.

Goes in: a folder with what iptables-save, ip6tables-save and `ipset save` printed on a running cluster (tests/unit/cluster/captured).
Comes out, on standard output, as JSON: what there is of rules, sets and tables of nft before `up` and after `down`, what `down` told of,
and traces while the cluster was there and afterwards.
"""

import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, Final

from devbox_cluster.network import Network, remove_dead_rules, traces

OTHERS: Final = """*filter
:INPUT ACCEPT [0:0]
:FORWARD DROP [0:0]
:OUTPUT ACCEPT [0:0]
:MINE - [0:0]
-A INPUT -p tcp -m tcp --dport 22 -m comment --comment "it's \\"mine\\": -j KUBE-NO" -j MINE
-A FORWARD -m mark --mark 0x20000/0x20000 -j ACCEPT
-A MINE -j RETURN
COMMIT
*nat
:PREROUTING ACCEPT [0:0]
:INPUT ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
:POSTROUTING ACCEPT [0:0]
-A POSTROUTING -s 172.17.0.0/16 ! -o docker0 -j MASQUERADE
COMMIT
"""
LATER: Final = "-A OUTPUT -d 192.0.2.1 -j REJECT"
"""Somebody's who came while the cluster was there."""
UNKNOWN: Final = '-A INPUT -m comment --comment "a rule of the next kube-thing" -j ACCEPT'
"""A rule of a component's next version, which nothing here knows."""


def run(*command: str, stdin: str | None = None) -> str:
    return subprocess.run(command, input=stdin, capture_output=True, text=True, check=True).stdout


def state() -> dict[str, Any]:
    """Without counters, and what iptables-save says of the time. (Chains of the kernel that are empty are no rules.)"""
    saved = {command: run(f"{command}-save") for command in ("iptables", "ip6tables")}
    lines = {
        command: [line for line in text.splitlines() if line.startswith(("-A", "*"))]
        + re.findall(r"^:(\S+ \w+)", text, re.MULTILINE)
        for command, text in saved.items()
    }
    return {**lines, "sets": run("ipset", "list", "-name").split(), "tables": sorted(run("nft", "list", "tables").splitlines())}


def main() -> None:
    """Entry point."""
    captured = Path(sys.argv[1])
    run("iptables-restore", stdin=OTHERS)
    before = state()
    with tempfile.TemporaryDirectory() as folder:
        network = Network(Path(folder))
        network.up(ipv6=False)
        run("ipset", "restore", stdin=(captured / "ipset").read_text(encoding="utf-8"))
        for command in ("iptables", "ip6tables"):
            saved = (captured / command).read_text(encoding="utf-8")
            own = re.sub(
                r"^:\S+ [A-Z].*\n", "", saved, flags=re.MULTILINE
            )  # (the policies of the kernel's own chains are this machine's)
            run(f"{command}-restore", "--noflush", stdin=own)
        during = traces()
        run("iptables", *LATER.split())
        later = state()
        told = network.down()
        after = state()
        report: dict[str, Any] = {
            "before": before,
            "during": during,
            "later": later,
            "after": after,
            "told": told,
            "left": traces(),
        }
        network.up(ipv6=False)
        run("iptables-restore", "--noflush", stdin=f"*filter\n{UNKNOWN}\nCOMMIT\n")
        report["told of the next version"] = network.down()
        # What the versions before this one left.
        dead = [
            line for line in (captured / "iptables").read_text(encoding="utf-8").splitlines() if "explicitly ACCEPT" in line
        ]
        run("iptables-restore", "--noflush", stdin="\n".join(["*filter", *dead, "COMMIT\n"]))
        report["dead"] = {"put": len(dead), "seen": len(traces())}
        remove_dead_rules()
        report["left of the dead"] = traces()
    sys.stdout.write(json.dumps(report))


if __name__ == "__main__":
    main()
