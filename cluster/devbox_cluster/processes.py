"""Long-running programs of the local cluster: started apart from their starter, known by pid and start time, ended by pid.

Goes in: a name, a command line. Comes out: a record `<records>/<name>` with pid and start time, so that a pid that the kernel gave
to somebody else is never taken for ours. The records' folder must not outlive the machine's restart.
"""

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from .progress import ClusterError


class Identity(NamedTuple):
    """A process, told apart from a later one with the same pid."""

    pid: int
    started: int
    """Clock ticks since boot: field 22 of /proc/<pid>/stat (man 5 proc)."""

    def alive(self) -> bool:
        """It runs (a zombie does not), and is still the same."""
        return start_time(self.pid) == self.started


def start_time(pid: int) -> int | None:
    """When the process started, in ticks; None if there is none or it is a zombie."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    # The command's name, in parentheses, may hold spaces and parentheses itself.
    fields = stat[stat.rindex(")") + 2 :].split()
    return None if fields[0] == "Z" else int(fields[19])


class Processes:
    """The programs recorded in one folder, with their output in another."""

    def __init__(self, records: Path, logs: Path) -> None:
        self._records = records
        self._logs = logs

    def log(self, name: str) -> Path:
        """The program's output."""
        return self._logs / f"{name}.log"

    def start(self, name: str, command: Sequence[str | Path], environment: Mapping[str, str] | None = None) -> None:
        """Start it in a session of its own, with nothing inherited: no terminal, no pipe of make or CI stays open."""
        self._records.mkdir(parents=True, exist_ok=True)
        self._logs.mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(FileNotFoundError):
            self.log(name).replace(self._logs / f"{name}.log.1")  # of the run before
        with self.log(name).open("wb") as log:
            process = subprocess.Popen(
                [str(part) for part in command],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                close_fds=True,
                cwd="/",
                env={**os.environ, **(environment or {})},
            )
        started = start_time(process.pid)
        (self._records / name).write_text(f"{process.pid} {started if started is not None else 0}\n")
        # Its parent will be gone long before it; Popen's destructor must not complain.
        process.returncode = 0

    def get(self, name: str) -> Identity | None:
        """The recorded identity, alive or not."""
        with contextlib.suppress(OSError, ValueError):
            pid, started = (self._records / name).read_text().split()
            return Identity(int(pid), int(started))
        return None

    def alive(self, name: str) -> bool:
        """It was started by us and runs."""
        identity = self.get(name)
        return identity is not None and identity.alive()

    def wait(
        self,
        name: str,
        condition: Callable[[], bool],
        seconds: float,
        *,
        restart: Callable[[], None] | None = None,
        pause: float = 1.0,
    ) -> None:
        """Return when the condition holds. Raises ClusterError with the end of the program's output after `seconds`.

        A program that ends before is an error at once; with `restart` it is started again instead, `pause` seconds later.
        """
        deadline = time.monotonic() + seconds
        while not condition():
            ended = not self.alive(name)
            if time.monotonic() > deadline or (ended and restart is None):
                tail = "\n".join(self.log(name).read_text(errors="replace").splitlines()[-20:])
                raise ClusterError(f"{name} is not ready; the end of {self.log(name)}:\n{tail}")
            if ended and restart is not None:
                time.sleep(pause)
                restart()
            time.sleep(0.1)

    def stop(self, *names: str, patience: float = 3.0) -> None:
        """End them together: SIGTERM, after `patience` seconds SIGKILL. Their records go."""
        end([identity for name in names if (identity := self.get(name)) is not None], patience)
        for name in names:
            (self._records / name).unlink(missing_ok=True)


def end(identities: Sequence[Identity], patience: float = 3.0) -> None:
    """End processes by their pids, those that are still the same, and wait until they are gone."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        for identity in identities:
            with contextlib.suppress(ProcessLookupError):
                if identity.alive():
                    os.kill(identity.pid, number)
        deadline = time.monotonic() + patience
        while any(identity.alive() for identity in identities) and time.monotonic() < deadline:
            time.sleep(0.02)
