"""Search for secrets in a pod, from the outside: what to look for, and what was found.

Goes in: secrets. Comes out: the needles that agent/find_secrets.py takes (a few bytes and a salted hash of each window,
never the secret), and its findings as `Findings`. A canary that is planted first proves that the search finds what is there.
"""

import base64
import hashlib
import json
import secrets
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from typing import Any, Final
from urllib.parse import quote_from_bytes

from devbox_common.redacted import Redacted
from devbox_stage.kubectl import CommandError, Kubectl, environment, run
from devbox_stage.stage import PYTHON

ANCHOR: Final = 5
"""Bytes of a window that the search is told: 40 bits of some 600."""
WINDOW: Final = 16


def script(name: str) -> str:
    """The text of a file of agent/: what runs inside a devbox."""
    return resources.files(__package__).joinpath("agent", name).read_text(encoding="utf-8")


@dataclass(frozen=True)
class Findings:
    """What a search looked at, and where it found which label."""

    hits: Sequence[tuple[str, str]]
    files: int
    bytes: int
    unreadable: int
    processes: int
    memory: int

    def where(self, label: str) -> list[str]:
        """The places of one label."""
        return [place for found, place in self.hits if found == label]


def windows(secret: str) -> Iterator[bytes]:
    """Pieces of the encodings in which a secret could lie about; whoever holds the secret holds at least one of them."""
    raw = secret.encode()
    # Both halves of the raw text, so that a truncated copy counts; the first characters may be a public prefix.
    yield from (raw[-WINDOW:], raw[len(raw) // 2 - WINDOW : len(raw) // 2])
    yield raw[::-1][:WINDOW]
    yield raw.hex().encode()[-2 * WINDOW :]
    yield "".join(f"%{byte:02X}" for byte in raw[-WINDOW:]).encode()
    # As a query or a path has it; what is safe differs by place.
    yield from {quote_from_bytes(raw, safe=safe).encode()[-WINDOW:] for safe in ("", "/")} - {raw[-WINDOW:]}
    yield secret.encode("utf-16-le")[-2 * WINDOW :]
    for shift in range(3):
        # What precedes the secret shifts the groups of six bits; the first and the last group depend on the neighbours.
        encoded = base64.b64encode(bytes(shift) + raw)[4:-4]
        yield encoded[-2 * WINDOW :]
        if (other := encoded.translate(bytes.maketrans(b"+/", b"-_"))) != encoded:
            yield other[-2 * WINDOW :]


def needles(wanted: Mapping[str, Redacted]) -> str:
    """The document for find_secrets.py: label to secret goes in, anchors and salted hashes come out."""
    salt = secrets.token_bytes(16)
    made = [
        {
            "label": label,
            "anchor": window[:ANCHOR].hex(),
            "length": len(window),
            "digest": hashlib.sha256(salt + window).hexdigest(),
        }
        for label, secret in wanted.items()
        for window in windows(secret.reveal())
    ]
    return json.dumps({"salt": salt.hex(), "needles": made})


def search_pod(
    kubectl: Kubectl, namespace: str, pod: str, wanted: Mapping[str, Redacted], canary: Redacted, *, python: str = PYTHON
) -> Findings:
    """`python` is the pod's. Plant the canary, search the pod for it (label `canary`) and for `wanted`, take the canary away."""
    plant = subprocess.Popen(
        kubectl.exec_command(namespace, pod, "devbox", [python, "-c", script("plant.py")]),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(),
    )
    assert plant.stdin is not None
    assert plant.stdout is not None
    assert plant.stderr is not None
    try:
        plant.stdin.write(f"{canary.reveal()}\n")
        plant.stdin.flush()
        if plant.stdout.readline().strip() != "planted":
            raise CommandError(["plant the canary"], plant.wait(), plant.stderr.read())
        argv = kubectl.exec_command(namespace, pod, "devbox", [python, "-c", script("find_secrets.py")])
        found: dict[str, Any] = json.loads(run(argv, stdin=needles({**wanted, "canary": canary}), timeout=120).out)
    finally:
        plant.stdin.close()
        try:
            plant.wait(timeout=10)
        except subprocess.TimeoutExpired:
            plant.kill()
            plant.wait()
        plant.stdout.close()
        plant.stderr.close()
    return Findings(**{**found, "hits": [(label, where) for label, where in found["hits"]]})
