"""A process as on a machine that stands still for a while: SIGSTOP, and clocks that did not see the time pass.

Goes in: a folder, then pids. Comes out: what a command line begins with, and pauses: of a machine that sleeps (CLOCK_MONOTONIC alone stands
still), and of a guest that its hypervisor holds (all clocks do, until somebody sets the time of day right). Needs gcc. Kinder than the
world: the kernel goes on, so the process's connections live and its keepalives are answered; a test that wants them dead silences them.
"""

import os
import shutil
import signal
import struct
import subprocess
import time
from enum import Enum
from pathlib import Path
from typing import Final

SOURCE: Final = Path(__file__).with_suffix(".c")
STOP_SECONDS: Final = 5.0


class Pause(Enum):
    """Which clocks do not see the time pass: monotonic, boottime, realtime."""

    SLEPT = (True, False, False)
    """The machine was suspended, and its hardware clock went on."""
    HELD = (True, True, True)
    """A hypervisor held the guest: nothing in it tells that time has passed."""


class Standstill:
    """One process."""

    def __init__(self, folder: Path) -> None:
        self._clocks, library = folder / "clocks", folder / "standstill.so"
        self._unseen = [0, 0, 0]
        self._write()
        subprocess.run(["gcc", "-shared", "-fPIC", "-O1", "-o", str(library), str(SOURCE)], check=True)
        self.prefix: Final = ["env", f"LD_PRELOAD={library}", f"STANDSTILL={self._clocks}"]
        """What the process's command line begins with."""
        self._since = 0.0

    def stop(self, pid: int) -> None:
        """The machine stands still."""
        os.kill(pid, signal.SIGSTOP)
        deadline = time.monotonic() + STOP_SECONDS
        while Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "T":
            assert time.monotonic() < deadline
        self._since = time.monotonic()

    def wake(self, pid: int, pause: Pause) -> None:
        """It goes on."""
        for index, still in enumerate(pause.value):
            if still:
                self._unseen[index] += round((time.monotonic() - self._since) * 1e9)
        self._write()
        os.kill(pid, signal.SIGCONT)

    def set_right(self) -> None:
        """The time of day, by NTP or whatever watches over it."""
        self._unseen[2] = 0
        self._write()

    def _write(self) -> None:
        # In place: the process has it mapped.
        with self._clocks.open("r+b" if self._clocks.exists() else "w+b") as file:
            file.write(struct.pack("=3q", *self._unseen))


def possible() -> bool:
    """The library can be built here."""
    return shutil.which("gcc") is not None
