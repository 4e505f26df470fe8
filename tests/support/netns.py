"""`python -m tests.support.netns COMMAND…`: run COMMAND in a network of its own, from which no packet can leave the machine.

New network, mount and process namespaces: in them every address of both families is this machine's own (so devboxes, upstreams
and sinkholes have real and different addresses, and any address that is dialled can be listened on), names are asked of
10.203.2.53 with a pod's search list, and /etc/hosts holds localhost alone; where an image's files are chosen, they are mounted
(image_root.py). When COMMAND ends, or whoever started it, what it started is
killed and the namespaces are gone. Needs `unshare` and `setpriv` (util-linux), `ip` (iproute2), and either root or user
namespaces. Its status is that of COMMAND; 125 means that the namespaces could not be made.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from . import image_root

GATEWAY: Final = "10.203.0.1"
NAMESERVER: Final = "10.203.2.53"
GATEWAY6: Final = "fd00:203::1"
DEVBOXES: Final = "10.203.0.0/24"
"""Devboxes are .2 and up; an IPv6 one has the same last number under fd00:203::."""
UPSTREAMS: Final = "10.203.1.0/24"
SEARCH: Final = "system.svc.cluster.local svc.cluster.local cluster.local"
"""As a kubelet writes it, with ndots 5: who asks for a name with fewer dots asks for these in front of it."""
PATIENCE: Final = "timeout:1 attempts:4"
"""As the chart has it for the gateway's pods (tests/unit/charts/test_chart.py compares)."""
FAILED: Final = 125
_INSIDE: Final = "--inside"
_ROUTES: Final = (
    "link set lo up",
    f"addr add {GATEWAY}/24 dev lo",
    f"addr add {GATEWAY6}/64 dev lo nodad",
    # AnyIP: every other address is local, too.
    "route add local 0.0.0.0/0 dev lo",
    "-6 route add local ::/0 dev lo",
    # Unlike an IPv4 one, an IPv6 address can be called from only if it is named.
    *(f"addr add fd00:203::{number:x}/128 dev lo nodad" for number in range(2, 21)),
)
_FILES: Final = {
    "/etc/hosts": "127.0.0.1 localhost\n::1 localhost\n",
    "/etc/resolv.conf": f"search {SEARCH}\nnameserver {NAMESERVER}\noptions ndots:5 {PATIENCE}\n",
    "/etc/nsswitch.conf": "hosts: files dns\n",
}


class NoNamespace(Exception):
    """It can't be made; the text says what is missing."""


def command(inner: Sequence[str]) -> list[str]:
    """The command line that runs `inner` in namespaces of its own. Raises NoNamespace where a program is missing."""
    for program, package in (("setpriv", "util-linux"), ("unshare", "util-linux"), ("ip", "iproute2"), ("mount", "mount")):
        if not shutil.which(program):
            raise NoNamespace(f"the program {program!r} is not here; install it (Debian: apt-get install {package})")
    user = [] if os.geteuid() == 0 else ["--map-root-user"]
    flags = ["--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]
    # Whoever asked for it may be killed: then it ends, too.
    return ["setpriv", "--pdeathsig", "KILL", "unshare", *user, *flags, sys.executable, "-m", __spec__.name, _INSIDE, *inner]


def prepare() -> None:
    """In the new namespaces: addresses, routes, and the files that say where names are asked. Raises NoNamespace."""
    for line in _ROUTES:
        done = subprocess.run(["ip", *line.split()], capture_output=True, text=True, check=False)
        if done.returncode:
            raise NoNamespace(f"ip {line}: {done.stderr.strip()}")
    try:
        image_root.mount()
    except image_root.NoRoot as error:
        raise NoNamespace(str(error)) from None
    for path, content in _FILES.items():
        _replace([place for place in (Path(path), image_root.within(path)) if place.exists()], content)


def _replace(places: Sequence[Path], content: str) -> None:
    with tempfile.NamedTemporaryFile("w", prefix="netns-") as file:
        file.write(content)
        file.flush()
        Path(file.name).chmod(0o644)
        for place in places:
            done = subprocess.run(
                ["mount", "--bind", file.name, str(place.resolve())], capture_output=True, text=True, check=False
            )
            if done.returncode:
                raise NoNamespace(f"mount over {place}: {done.stderr.strip()}")
    # The name is removed; the mount keeps the file for as long as the namespace lives.


def _run(arguments: list[str]) -> int:
    if not arguments or arguments == [_INSIDE]:
        raise NoNamespace("say what to run: python -m tests.support.netns COMMAND…")
    if arguments[0] == _INSIDE:
        prepare()
        return subprocess.run(arguments[1:], check=False).returncode
    status = subprocess.run(command(arguments), check=False).returncode
    if status == 1 and not possible():
        raise NoNamespace(
            "the kernel refused new namespaces; run as root (in a container: with CAP_SYS_ADMIN), or allow user namespaces "
            "(sysctl kernel.unprivileged_userns_clone=1, kernel.apparmor_restrict_unprivileged_userns=0)"
        )
    return status


def possible() -> bool:
    """Namespaces can be made here."""
    try:
        return subprocess.run(command(["true"]), capture_output=True, check=False).returncode == 0
    except NoNamespace:
        return False


def main() -> int:
    """Entry point."""
    try:
        return _run(sys.argv[1:])
    except NoNamespace as error:
        sys.stderr.write(f"netns: {error}\n")
        return FAILED


if __name__ == "__main__":
    sys.exit(main())
