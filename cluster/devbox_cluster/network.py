"""The node's address, and what the cluster changes in the kernel's network.

Goes in: the state folder, where the former values of sysctls are kept. Called by local.py.
"""

import contextlib
import json
import subprocess
from pathlib import Path
from typing import Final

from .config import NODE_ADDRESS, NODE_DEVICE, POD_DEVICE

SYSCTLS: Final = ("net.ipv4.ip_forward", "net.bridge.bridge-nf-call-iptables")
"""Pods' packets are routed, and those between pods of one bridge pass the NetworkPolicy rules too."""
RULE_PREFIXES: Final = ("KUBE-", "CNI-", "KUBE_ROUTER")


class Network:
    """The node's device and settings."""

    def __init__(self, state: Path) -> None:
        self._before = state / "sysctls.json"

    def up(self) -> None:
        """Make the node's address and let packets be forwarded."""
        _run("modprobe", "br_netfilter", check=False)
        if not self._before.exists():
            self._before.parent.mkdir(parents=True, exist_ok=True)
            self._before.write_text(json.dumps({name: _sysctl(name) for name in SYSCTLS}))
        if not Path(f"/sys/class/net/{NODE_DEVICE}").exists():
            # A bridge: some kernels have no dummy device.
            _run("ip", "link", "add", NODE_DEVICE, "type", "bridge")
        _run("ip", "addr", "replace", f"{NODE_ADDRESS}/32", "dev", NODE_DEVICE)
        _run("ip", "link", "set", NODE_DEVICE, "up")
        for name in SYSCTLS:
            _set_sysctl(name, "1")

    def down(self) -> None:
        """Remove devices, rules and sets that the cluster made, and set the sysctls back."""
        for device in (POD_DEVICE, NODE_DEVICE):
            if Path(f"/sys/class/net/{device}").exists():
                _run("ip", "link", "delete", device, check=False)
        _remove_iptables_rules()
        _remove_ipsets()
        for family in ("ip", "ip6"):
            _run("nft", "delete", "table", family, "kube-proxy", check=False)
        if self._before.exists():
            for name, value in json.loads(self._before.read_text()).items():
                if value is not None:
                    _set_sysctl(name, value)
            self._before.unlink()


def _remove_iptables_rules() -> None:
    for command in ("iptables", "ip6tables"):
        saved = _run(f"{command}-save", check=False).stdout
        kept = _without_ours(saved)
        if saved != kept:
            _run(f"{command}-restore", stdin=kept)


def _without_ours(rules: str) -> str:
    """The output of iptables-save without the chains and rules of kube-router, kubelet and CNI."""

    def ours(line: str) -> bool:
        words = line.lstrip(":").split()
        return bool(words) and any(word.startswith(RULE_PREFIXES) for word in words)

    return "".join(line for line in rules.splitlines(keepends=True) if line.startswith("#") or not ours(line))


def _remove_ipsets() -> None:
    names = _run("ipset", "list", "-name", check=False).stdout.split()
    for _ in range(2):  # a set that another one holds goes in the second round
        for name in names:
            if name.startswith(("KUBE-", "kube-router-", "inet6:KUBE-", "inet6:kube-router-")):
                _run("ipset", "destroy", name, check=False)


def _sysctl(name: str) -> str | None:
    with contextlib.suppress(OSError):
        return _path(name).read_text().strip()
    return None


def _set_sysctl(name: str, value: str) -> None:
    # Without the bridge module there is nothing to set: its packets pass the rules in any case, or there is no such filter.
    with contextlib.suppress(FileNotFoundError):
        _path(name).write_text(value)


def _path(name: str) -> Path:
    return Path("/proc/sys") / name.replace(".", "/")


def _run(*command: str, stdin: str | None = None, check: bool = True) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(command, input=stdin, capture_output=True, text=True, check=check)
    except FileNotFoundError:
        if check:
            raise
        return subprocess.CompletedProcess(command, 127, "", "")
