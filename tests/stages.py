"""`python -m tests.stages`: everything that `make test` runs.

What judges times (chaos, the cluster's tests) runs alone; what does not, beside each other. Goes in: targets of the Makefile. Comes out:
what they print, whole stages at a time, and a table of what each took. One that fails stops no other: each says something of its own, and a
whole run is long to wait for. The status is 1 then.
"""

import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from typing import Final, TextIO

LANES: Final = (("unit", "unit-compiled", "attacks-untimed", "fuzz-short", "sdks", "chaos-short", "integration"), ("lint",))
"""Beside each other; in each one stage after another. (The cluster's tests beside chaos would save five minutes: on two processors both
then miss times that they keep alone.)"""


class Stages:
    """What is run, and what came of it."""

    def __init__(self, make: Sequence[str], out: TextIO) -> None:
        self._make, self._out = make, out
        self._lock = threading.Lock()
        self.rows: list[tuple[str, float, int]] = []
        """Stage, seconds, status."""

    def run(self, lanes: Sequence[Sequence[str]]) -> int:
        """All of them. Returns the status."""
        threads = [threading.Thread(target=self._lane, args=(lane,)) for lane in lanes]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self._say("\n".join(f"{name:20} {seconds:5.0f} s{' failed' * bool(status)}" for name, seconds, status in self.rows))
        return int(any(status for _, _, status in self.rows) or len(self.rows) < sum(map(len, lanes)))

    def _lane(self, stages: Sequence[str]) -> None:
        for stage in stages:
            started = time.monotonic()
            self._say(f"== {stage} begins")
            # (Of two at a time, each is read as a whole.)
            with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as said:
                # Whoever started this may be killed: then it ends, too.
                command = ["setpriv", "--pdeathsig", "TERM", *self._make, stage]
                status = subprocess.run(
                    command, stdin=subprocess.DEVNULL, stdout=said, stderr=subprocess.STDOUT, check=False
                ).returncode
                said.seek(0)
                self.rows.append((stage, time.monotonic() - started, status))
                self._say(f"== {stage}\n{said.read().rstrip()}")

    def _say(self, text: str) -> None:
        with self._lock:
            self._out.write(f"{text}\n")
            self._out.flush()


if __name__ == "__main__":
    sys.exit(Stages(["make", "--no-print-directory"], sys.stdout).run(LANES))
