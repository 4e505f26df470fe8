"""The node's address, and what the cluster changes in the kernel's network and settings.

Goes in: the run folder, where what was there before is kept.
"""

import contextlib
import json
import socket
import subprocess
from pathlib import Path
from typing import Any, Final

from . import rules
from .config import (
    CNI_NETWORK,
    NODE_ADDRESS,
    NODE_ADDRESS6,
    NODE_DEVICE,
    POD_CIDR,
    POD_CIDR6,
    POD_DEVICE,
    SERVICE_CIDR,
    SERVICE_CIDR6,
    SOURCE_GUARD,
)
from .progress import ClusterError

NEEDED: Final = ("net.ipv4.ip_forward", "net.bridge.bridge-nf-call-iptables")
"""Pods' packets are routed, and those between pods of one bridge pass the NetworkPolicy rules too."""
NEEDED6: Final = ("net.ipv6.conf.all.forwarding", "net.bridge.bridge-nf-call-ip6tables")
CHANGED: Final = (
    *NEEDED,
    *NEEDED6,
    # by kubelet
    "kernel.keys.root_maxbytes",
    "kernel.keys.root_maxkeys",
    "kernel.panic",
    "kernel.panic_on_oops",
    "vm.overcommit_memory",
    "vm.panic_on_oom",
    # by kube-proxy and kube-router
    "net.ipv4.conf.all.route_localnet",
    "net.netfilter.nf_conntrack_tcp_timeout_close_wait",
    "net.netfilter.nf_conntrack_tcp_timeout_established",
)
"""What is set back in the end."""
IPTABLES: Final = ("iptables", "ip6tables")
CONNECTIONS: Final = {"ipv4": (POD_CIDR, SERVICE_CIDR, NODE_ADDRESS), "ipv6": (POD_CIDR6, SERVICE_CIDR6, NODE_ADDRESS6)}
"""Of these addresses the kernel remembers connections for up to a day, and would lead the next cluster's packets to this one's pods."""
TABLES: Final = ("ip kube-proxy", "ip6 kube-proxy", f"bridge {CNI_NETWORK}")


class Network:
    """The node's device, rules and settings."""

    def __init__(self, run: Path) -> None:
        self._before = run / "network.json"

    def up(self, *, ipv6: bool) -> None:
        """Make the node's addresses and let packets be forwarded. Raises ClusterError."""
        _run("modprobe", "br_netfilter", check=False)
        if not self._before.exists():
            before = {
                "sysctls": {name: _sysctl(name) for name in CHANGED},
                "rules": {command: _saved(command) for command in IPTABLES},
                "tables": _tables(),
            }
            self._before.write_text(json.dumps(before))
        if not _device_exists(NODE_DEVICE):
            # A bridge: some kernels have no dummy device.
            _run("ip", "link", "add", NODE_DEVICE, "type", "bridge")
        _run("ip", "addr", "replace", f"{NODE_ADDRESS}/32", "dev", NODE_DEVICE)
        _run("ip", "link", "set", NODE_DEVICE, "up")
        for name in NEEDED:
            _set_sysctl(name, "1")
        if ipv6:
            _run("ip", "addr", "replace", f"{NODE_ADDRESS6}/128", "dev", NODE_DEVICE, "nodad")
            for name in NEEDED6:
                _set_sysctl(name, "1")
            _run("nft", "-f", "-", stdin=SOURCE_GUARD)

    def down(self) -> list[str]:
        """Remove devices, rules and sets that the cluster made, and set the sysctls back. Nothing, if `up` never ran.

        Returns what there is now and was not before `up`, as far as it speaks of Kubernetes.
        """
        try:
            before = json.loads(self._before.read_text())
        except (OSError, ValueError):
            return []
        for device in (POD_DEVICE, NODE_DEVICE):
            if _device_exists(device):
                _run("ip", "link", "delete", device, check=False)
        for command in IPTABLES:
            _remove(command, _saved(command))
        for _ in range(2):  # a set that another one holds goes in the second round
            for name in _sets():
                _run("ipset", "destroy", name, check=False)
        _forget_connections()
        for table in TABLES:
            _run("nft", "delete", "table", *table.split(), check=False)
        for table in set(_tables()) - set(before["tables"]):
            if _is_empty(table):
                _run("nft", "delete", "table", *table.split(), check=False)
        for name, value in before["sysctls"].items():
            if value is not None:
                _set_sysctl(name, value)
        self._before.unlink()
        kept = {command: before.get("rules", {}).get(command, "") for command in IPTABLES}
        return [f"{command} {line}" for command in IPTABLES for line in rules.news(kept[command], _saved(command))]


def has_ipv6() -> bool:
    """The kernel has IPv6, switched on, and can filter it. Changes nothing."""
    return (
        _sysctl("net.ipv6.conf.all.disable_ipv6") == "0" and not _run("nft", "-cf-", stdin=SOURCE_GUARD, check=False).returncode
    )


def remove_dead_rules() -> None:
    """Rules of kube-router's that are left where its chains are gone: they accept by a mark that nothing sets any more."""
    for command in IPTABLES:
        if not rules.has_chains(saved := _saved(command)):
            _remove(command, saved)


def traces() -> list[str]:
    """Rules and cgroups such as any Kubernetes node has, ours or another's."""
    found = [f"{command} {line}" for command in IPTABLES for line in rules.traces(_saved(command))]
    found += [f"ipset {name}" for name in _sets()]
    found += [f"nftables table {table}" for table in _tables() if table in TABLES]
    found += [f"network device {name}" for name in (NODE_DEVICE, POD_DEVICE) if _device_exists(name)]
    return found


def _remove(command: str, saved: str) -> None:
    if script := rules.removal(saved):
        _run(f"{command}-restore", "--noflush", stdin=script)


def _forget_connections() -> None:
    for family, addresses in CONNECTIONS.items():
        for address in addresses:
            for end in ("--orig-src", "--orig-dst", "--reply-src", "--reply-dst"):
                _run("conntrack", "--delete", "--family", family, end, address, check=False)


def _saved(command: str) -> str:
    return _run(f"{command}-save", check=False).stdout


def _sets() -> list[str]:
    names = _run("ipset", "list", "-name", check=False).stdout.split()
    return [name for name in names if name.startswith(rules.SET_PREFIXES)]


def _tables() -> list[str]:
    """nftables' tables, each as family and name."""
    lines = _run("nft", "list", "tables", check=False).stdout.splitlines()
    return [line.removeprefix("table ").strip() for line in lines if line.startswith("table ")]


def _is_empty(table: str) -> bool:
    """There is no rule in it; iptables makes its tables when it looks at them for the first time."""
    listed: dict[str, Any] = json.loads(_run("nft", "-j", "list", "table", *table.split(), check=False).stdout or "{}")
    return not any("rule" in item for item in listed.get("nftables", ()))


def _device_exists(name: str) -> bool:
    return name in (device for _, device in socket.if_nameindex())


def _sysctl(name: str) -> str | None:
    with contextlib.suppress(OSError):
        return _path(name).read_text().strip()
    return None


def _set_sysctl(name: str, value: str) -> None:
    # Without the bridge module there is nothing to set: its packets pass the rules in any case, or there is no such filter.
    with contextlib.suppress(FileNotFoundError):
        if _sysctl(name) != value:
            _path(name).write_text(value)


def _path(name: str) -> Path:
    return Path("/proc/sys") / name.replace(".", "/")


def _run(*command: str, stdin: str | None = None, check: bool = True) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(command, input=stdin, capture_output=True, text=True, check=check)
    except FileNotFoundError:
        if check:
            raise ClusterError(f"{command[0]} is not installed") from None
        return subprocess.CompletedProcess(command, 127, "", "")
    except subprocess.CalledProcessError as error:
        raise ClusterError(
            f"`{' '.join(command)}` failed (the local cluster needs the right to change network and kernel settings):\n"
            f"{error.stderr.strip()}"
        ) from None
