"""A key rotates under a running agent: one process, one client, no restart, no failed call.

Goes in: a `Stage`. Comes out: an `Outcome` with the time from the Secret's change to the first call with the new key. The order
is that of any careful rotation: the new key is good, the Secret changes, the old key stops being good.
"""

import subprocess
import threading
import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Final, Self

from devbox_stage.credentials import Key, make_key
from devbox_stage.kubectl import environment
from devbox_stage.stage import PYTHON, Stage
from devbox_stage.waiting import NotYet, wait_for

from .needles import script
from .outcome import Outcome

LIMIT_SECONDS: Final = 5.0
"""The promise."""


@dataclass(frozen=True)
class Line:
    """One call of the running agent."""

    time: float
    """Unix time at which it was answered."""
    status: int
    organisation: str


class RunningAgent:
    """agent/running_agent.py in a devbox, as a context manager."""

    def __init__(self, stage: Stage, devbox: str) -> None:
        command = stage.kubectl.exec_command(
            stage.namespace, stage.pods[devbox], "devbox", [PYTHON, "-c", script("running_agent.py")]
        )
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment(),
        )
        self._lines: list[Line] = []
        self._reader = threading.Thread(target=self._read, daemon=True)

    def __enter__(self) -> Self:
        self._reader.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            self._process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._reader.join(timeout=5)
        for pipe in (self._process.stdout, self._process.stderr):
            assert pipe is not None
            pipe.close()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for text in self._process.stdout:
            moment, status, organisation = text.split()
            self._lines.append(Line(float(moment), int(status), organisation))

    @property
    def lines(self) -> Sequence[Line]:
        """Its calls so far."""
        return tuple(self._lines)

    def served(self, organisation: str, *, count: int = 1, seconds: float) -> Line:
        """Wait for the `count`-th call that was answered for `organisation`, and return the first."""

        def attempt() -> Line:
            mine = [line for line in self.lines if line.organisation == organisation]
            if len(mine) < count:
                if self._process.poll() is not None:
                    assert self._process.stderr is not None
                    raise RuntimeError(f"the running agent ended: {self._process.stderr.read()}")
                raise NotYet(f"the last calls: {self.lines[-3:]}")
            return mine[0]

        return wait_for("the running agent", attempt, seconds=seconds, interval=0.05)


def organisation(key: Key) -> str:
    """What the stand-in answers in `anthropic-organization-id` for a key."""
    return str(uuid.uuid5(uuid.NAMESPACE_DNS, key.owner))


def rotate(stage: Stage) -> Outcome:
    """Rotate the agent's Anthropic key while it works."""
    old = stage.keys["anthropic"]
    new = replace(make_key("anthropic", "platform"), owner="platform-after-rotation")
    stage.upstream.add_keys(new)
    with RunningAgent(stage, "agent") as agent:
        agent.served(organisation(old), count=3, seconds=20)
        changed = time.time()
        stage.set_secret("anthropic", new)
        first = agent.served(organisation(new), seconds=30)
        stage.keys["anthropic"] = new
        revoked_after = len(agent.lines)
        stage.upstream.revoke_keys(old)
        agent.served(organisation(new), count=15, seconds=20)
        lines = agent.lines
    took = first.time - changed
    failed = [line for line in lines if line.status != 200]
    sees = [
        f"one process, one client, {len(lines)} calls",
        f"new key in use after {took:.2f} s",
        f"old key revoked after call {revoked_after}",
        f"failed calls: {len(failed)}",
    ]
    got = [f"before  x-api-key: {old.shown}", f"after   x-api-key: {new.shown}"]
    problems = []
    if took > LIMIT_SECONDS:
        problems.append(f"the new key was in use after {took:.1f} s, not {LIMIT_SECONDS:.0f}")
    if failed:
        problems.append(f"{len(failed)} calls failed, the first with status {failed[0].status} {failed[0].organisation}")
    return Outcome("the key rotates under a running agent", ("S21",), sees, got, "; ".join(problems) or None)
