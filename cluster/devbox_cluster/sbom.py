"""The list of what is inside an image (SBOM, SPDX as JSON), by Syft.

Goes in: the gateway's image as `make image-root` has it, or a reference that Docker knows. Comes out: a file; what is pinned for the image
and not in the list is an error, since a list that was read from the wrong place looks like a short one.
"""

import json
import os
import re
import subprocess
from collections.abc import Mapping, Set
from pathlib import Path
from typing import Any, Final

from . import binaries, image_root
from .paths import PROJECT, bin_dir
from .progress import ClusterError, step

PINNED: Final = "requirements/runtime.txt"
SYSTEM: Final = ("python3.13", "libssl3t64", "libc6")
"""Packages of the system that the gateway stands on."""


def write(target: Path, *, reference: str | None = None, whole: bool = True) -> int:
    """Write the list of the gateway's image (or of `reference`) to `target`, and return how many packages it names.

    `whole`: the image is the gateway's, and what it must hold is looked for. Raises ClusterError.
    """
    syft = binaries.syft()
    source = f"docker:{reference}" if reference else f"dir:{image_root.folder()}"
    name = reference.rpartition(":")[0] if reference else image_root.IMAGE
    command = [
        str(syft),
        "scan",
        source,
        "--source-name",
        name,
        "--override-default-catalogers",
        "image",
        "--output",
        "spdx-json",
    ]
    with step(f"list what is in {name}"):
        result = subprocess.run(
            command,
            capture_output=True,
            text=True,
            check=False,
            env={
                "PATH": os.environ.get("PATH", str(bin_dir())),
                "HOME": os.environ.get("HOME", "/"),
                "SYFT_CHECK_FOR_APP_UPDATE": "false",
            },
        )
    if result.returncode:
        raise ClusterError(f"syft failed:\n{result.stderr[-2000:]}")
    listed = packages(json.loads(result.stdout))
    if whole and (missing := absent(listed, (PROJECT / PINNED).read_text())):
        raise ClusterError(f"the list lacks what the image holds: {', '.join(missing)}")
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(result.stdout)
    return len(listed)


def packages(document: Mapping[str, Any]) -> set[tuple[str, str]]:
    """Name and version of each package of an SPDX document."""
    return {(each["name"], each.get("versionInfo", "")) for each in document["packages"]}


def absent(listed: Set[tuple[str, str]], pinned: str) -> list[str]:
    """What is not listed: of `pinned`, a requirements file's text, what is for every platform; and SYSTEM. `name==version`, or a name."""
    names, indexed = {name for name, _ in listed}, {(_plain(name), version) for name, version in listed}
    pins = re.findall(r"^([A-Za-z0-9._-]+)==(\S+) \\$", pinned, re.MULTILINE)
    lacking = [f"{name}=={version}" for name, version in pins if (_plain(name), version) not in indexed]
    return [*lacking, *(name for name in SYSTEM if name not in names)]


def _plain(name: str) -> str:
    """As package indexes compare names."""
    return re.sub(r"[-_.]+", "-", name).lower()
