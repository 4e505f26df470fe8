"""A firewall in a network namespace (netns.py): it forgets connections in silence, and swallows what it does not know.

Goes in: the ports that it stands before, and how long it remembers a connection on which nothing passes. Real packets, the kernel's own
rules (nftables); whoever sends on what was forgotten gets no answer at all, as behind a NAT.
"""

import contextlib
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from typing import Final

_RULES: Final = """
table ip {table} {{
  set cut {{ type inet_service; }}
  set flows {{ type ipv4_addr . inet_service . inet_service; flags dynamic,timeout; timeout {seconds}s; size 4096; }}
  chain passes {{
    type filter hook prerouting priority raw; policy accept;
    tcp dport @cut drop
    tcp sport @cut drop
    tcp dport {{ {ports} }} tcp flags & (syn | ack) == syn update @flows {{ ip saddr . tcp sport . tcp dport }} accept
    tcp dport {{ {ports} }} ip saddr . tcp sport . tcp dport @flows update @flows {{ ip saddr . tcp sport . tcp dport }} accept
    tcp dport {{ {ports} }} drop
    tcp sport {{ {ports} }} ip daddr . tcp dport . tcp sport @flows update @flows {{ ip daddr . tcp dport . tcp sport }} accept
    tcp sport {{ {ports} }} drop
  }}
}}
"""


class Firewall:
    """A standing one."""

    def __init__(self, table: str) -> None:
        self._table = table

    def swallow(self, port: int) -> None:
        """From here on every packet from and to this port is lost."""
        _nft(f"add element ip {self._table} cut {{ {port} }}")


@contextlib.contextmanager
def firewall(ports: Sequence[int], remembers: int) -> Iterator[Firewall]:
    """Before these ports of the namespace, for `remembers` seconds of silence. Raises RuntimeError where nft is missing or fails."""
    table = f"forgets_{min(ports)}"
    _nft(_RULES.format(table=table, seconds=remembers, ports=", ".join(map(str, ports))))
    try:
        yield Firewall(table)
    finally:
        _nft(f"delete table ip {table}")


def _nft(script: str) -> None:
    program = shutil.which("nft", path="/usr/sbin:/sbin:/usr/bin:/bin")
    if program is None:
        raise RuntimeError("the program 'nft' is not here; install it (Debian: apt-get install nftables)")
    done = subprocess.run([program, "-f", "-"], input=script, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"nft: {done.stderr.strip()}")
