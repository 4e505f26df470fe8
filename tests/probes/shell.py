"""Programs of the node's network: `ip` and `nft`, run as root."""

import subprocess
from collections.abc import Sequence
from typing import Final

NAMESPACE: Final = "devbox-probes"
"""The sinkhole's network namespace; the nftables tables have the same name."""
INSIDE: Final = ("ip", "netns", "exec", NAMESPACE)


class ProbeError(Exception):
    """The measurement can't be made; the text says what is missing."""


def run(*command: str, stdin: str | None = None, check: bool = True) -> str:
    """What the command printed. Raises ProbeError where it fails, unless `check` is off."""
    try:
        done = subprocess.run(command, input=stdin, capture_output=True, text=True, check=False, timeout=30)
    except FileNotFoundError:
        raise ProbeError(f"the program {command[0]!r} is not here; the packet-level tests need iproute2 and nftables") from None
    if check and done.returncode:
        raise ProbeError(f"{' '.join(command)}: {done.stderr.strip()}")
    return done.stdout


def ip(line: str, *, check: bool = True) -> str:
    """`ip …` on the node."""
    return run("ip", *line.split(), check=check)


def nft(script: str, *, where: Sequence[str] = ()) -> None:
    """`nft -f -`, on the node or (`where` = INSIDE) in the sinkhole."""
    run(*where, "nft", "-f", "-", stdin=script)
