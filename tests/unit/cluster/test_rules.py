"""What `make cluster-down` takes away of the machine's iptables rules, and what it leaves: on what kube-router, kubelet and CNI wrote on a
running cluster (captured/: iptables-save, ip6tables-save, ipset save), as text, and by the kernel's own tools in a network of its own.
"""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from tests.support import netns

from devbox_cluster import rules

CAPTURED = Path(__file__).parent / "captured"
COMMANDS = ("iptables", "ip6tables")
MISSING = [
    name for name in ("iptables", "nft", "ipset") if not shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin:/sbin")
]


def captured(command: str) -> str:
    return (CAPTURED / command).read_text(encoding="utf-8")


@pytest.mark.parametrize("command", COMMANDS)
def test_all_that_a_cluster_wrote_is_named_in_what_removes_it(command: str) -> None:
    saved = captured(command)
    script = rules.removal(saved).splitlines()
    chains = [line[1:].split()[0] for line in saved.splitlines() if line.startswith((":KUBE-", ":CNI-"))]
    assert len(chains) > 5
    assert {line[3:] for line in script if line.startswith("-X ")} == set(chains)
    in_kernels = [
        line for line in saved.splitlines() if line.startswith("-A ") and not line.startswith(("-A KUBE-", "-A CNI-"))
    ]
    assert {"D".join(("-", line[2:])) for line in in_kernels} == {line for line in script if line.startswith("-D ")}
    accepting = [line for line in script if line.endswith("-j ACCEPT")]
    assert [line.split()[1] for line in sorted(accepting)] == ["FORWARD", "INPUT", "OUTPUT"], (
        "they lead to no chain of kube-router's"
    )
    assert len(rules.traces(saved)) == len(chains) + len(in_kernels)


def test_what_is_others_is_not_named() -> None:
    saved = """*filter
:INPUT ACCEPT [0:0]
:KUBE-FIREWALL - [0:0]
:MINE - [0:0]
-A INPUT -j KUBE-FIREWALL
-A INPUT -p tcp -m comment --comment "mine, not KUBE-FIREWALL's -j" -m tcp --dport 22 -j MINE
-A INPUT -m mark --mark 0x20000/0x20000 -j ACCEPT
-A FORWARD -m comment --comment KUBERNETES -j ACCEPT
-A KUBE-FIREWALL -j DROP
COMMIT
*nat
:OUTPUT ACCEPT [0:0]
-A OUTPUT -m set --match-set MINE dst -j ACCEPT
COMMIT
"""
    expected = ["*filter", "-D INPUT -j KUBE-FIREWALL", ":KUBE-FIREWALL - [0:0]", "-X KUBE-FIREWALL", "COMMIT"]
    assert rules.removal(saved).splitlines() == expected
    assert rules.removal(saved.replace("KUBE-FIREWALL -j DROP", "MINE -j DROP").replace("KUBE-FIREWALL", "OWN")) == ""


@pytest.mark.parametrize(
    "broken", ["", "*filter\n", "-A INPUT -j KUBE-X\n", "*filter\n-A\n:\n-A INPUT\nCOMMIT\n", '*filter\n-A INPUT --comment "']
)
def test_what_is_cut_off_removes_nothing(broken: str) -> None:
    assert rules.removal(broken) == ""


def test_a_rule_that_nobody_knows_is_told_if_it_is_new_and_speaks_of_kubernetes() -> None:
    before = '*filter\n-A INPUT -m comment --comment "kubernetes\' own" -j ACCEPT\nCOMMIT\n'
    now = before.replace(
        "COMMIT", "-A INPUT -m mark --mark 1 -m comment --comment kubeX -j ACCEPT\n-A INPUT -s 192.0.2.1 -j DROP\nCOMMIT"
    )
    assert rules.news(before, now) == ["rule -t filter -A INPUT -m mark --mark 1 -m comment --comment kubeX -j ACCEPT"]


@pytest.fixture(scope="module")
def report() -> dict[str, Any]:
    """Of kernel_rules.py."""
    if os.geteuid() != 0 or not netns.possible():
        pytest.skip("rules of the kernel are root's, in a network of its own")
    if MISSING:
        pytest.skip(f"not here: {', '.join(MISSING)}")
    command = netns.command([sys.executable, "-m", "tests.unit.cluster.kernel_rules", str(CAPTURED)])
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_by_the_kernel_nothing_of_the_cluster_is_left_and_all_of_others(report: dict[str, Any]) -> None:
    assert len(report["during"]) > 20
    assert report["left"] == []
    assert report["told"] == []
    before, after = report["before"], report["after"]
    assert after["sets"] == before["sets"]
    assert after["tables"] == before["tables"], "also those that iptables makes when it looks"
    added = "-A OUTPUT -d 192.0.2.1/32 -j REJECT --reject-with icmp-port-unreachable"
    for command, others in (("iptables", [added]), ("ip6tables", [])):
        assert len(report["later"][command]) > len(before[command]) + 10
        assert sorted(after[command]) == sorted([*before[command], *others])


def test_by_the_kernel_what_the_next_version_would_leave_is_told(report: dict[str, Any]) -> None:
    (told,) = report["told of the next version"]
    assert "a rule of the next kube-thing" in told


def test_by_the_kernel_what_an_earlier_down_left_hinders_no_up(report: dict[str, Any]) -> None:
    assert report["dead"] == {"put": 3, "seen": 3}
    assert report["left of the dead"] == []
