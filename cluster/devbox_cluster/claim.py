"""Whose cluster this machine runs: one at a time, since its devices, rules and addresses are the machine's.

Goes in: the run folder, which a restart of the machine empties, and the cache folder that wants the cluster. Comes out: yes, no,
or an error that names the owner.
"""

import json
import shlex
import shutil
from pathlib import Path

from .progress import ClusterError


def boot_id() -> str:
    """Another one after each start of the machine."""
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


class Claim:
    """The record `<run>/owner` of which cache folder's cluster runs since this start of the machine."""

    def __init__(self, run: Path, cache: Path) -> None:
        self.run = run
        self.cache = cache.resolve()
        self._record = run / "owner"

    def owner(self) -> Path | None:
        """The cache folder whose cluster was started since the machine's start; None if there is none."""
        try:
            record = json.loads(self._record.read_text())
            return Path(record["cache"]) if record["boot"] == boot_id() else None
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def mine(self) -> bool:
        """The machine's cluster is ours."""
        return self.owner() == self.cache

    def check(self) -> None:
        """Raises ClusterError if the cluster belongs to another cache folder. One whose folder is gone belongs to nobody."""
        owner = self.owner()
        if owner is not None and owner != self.cache and owner.exists():
            setting = f"DEVBOX_GATEWAY_CACHE={shlex.quote(str(owner))}"
            raise ClusterError(
                f"this machine already runs the local cluster of {owner}; use that one ({setting}), or remove it first: "
                f"{setting} make cluster-down"
            )

    def take(self) -> None:
        """Make the machine's cluster ours. What is in the run folder from before the machine's restart goes."""
        self.check()
        if self.owner() is None:
            shutil.rmtree(self.run, ignore_errors=True)
        self.run.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._record.write_text(json.dumps({"cache": str(self.cache), "boot": boot_id()}))

    def release(self) -> None:
        """Nobody's: the folder goes, with everything in it."""
        shutil.rmtree(self.run, ignore_errors=True)
