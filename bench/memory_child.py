"""Processes of the memory benchmark's own: load must not share an interpreter with the cluster and the clock.

Goes in: a module that calls `obey`, and orders for it. Comes out: its answers, one JSON line for each order; what it says on the way
is progress.
"""

import asyncio
import contextlib
import json
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Any, Final, cast

Order = dict[str, Any]
LINE: Final = 1 << 20
"""Bytes of an answer."""


class BadRun(Exception):
    """What was measured is not what should have been: no figure comes of it."""


class Child:
    """A running load program."""

    def __init__(self, orders: asyncio.StreamWriter, answers: asyncio.StreamReader, say: Callable[[str], None]) -> None:
        self._orders = orders
        self._answers = answers
        self._say = say

    async def order(self, do: str, **more: Any) -> Order:
        """Have something done; returns what came of it. Raises BadRun if the program ended or says that it failed."""
        self._orders.write(json.dumps({"do": do, **more}).encode() + b"\n")
        await self._orders.drain()
        while line := await self._answers.readline():
            answer: Order = json.loads(line)
            if "progress" not in answer:
                if "failed" in answer:
                    raise BadRun(answer["failed"])
                return answer
            self._say(answer["progress"])
        raise BadRun(f"the load program ended while it should {do}")


@contextlib.asynccontextmanager
async def child(
    module: str, arguments: Sequence[str], prefix: Sequence[str], say: Callable[[str], None]
) -> AsyncIterator[Child]:
    """`module` as a process, killed at the end. `prefix`: e.g. taskset and its arguments."""
    pipe = asyncio.subprocess.PIPE
    command = (*prefix, sys.executable, "-m", module, *arguments)
    async with process(command, stdin=pipe, stdout=pipe, limit=LINE) as running:
        yield Child(cast(asyncio.StreamWriter, running.stdin), cast(asyncio.StreamReader, running.stdout), say)


@contextlib.asynccontextmanager
async def process(command: Sequence[str], **how: Any) -> AsyncIterator[asyncio.subprocess.Process]:
    """A process, killed at the end. `how`: as asyncio.create_subprocess_exec takes it."""
    running = await asyncio.create_subprocess_exec(*command, **how)
    try:
        yield running
    finally:
        with contextlib.suppress(ProcessLookupError):
            running.kill()
        await running.wait()


def tell(**answer: Any) -> None:
    """One line to whoever gives the orders."""
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()


async def obey(act: Callable[[Order], Awaitable[Order]]) -> None:
    """Answer orders until nobody gives any. A BadRun, an OSError or a time-out is told, and is no end."""
    loop = asyncio.get_running_loop()
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        try:
            tell(**await act(json.loads(line)))
        except (BadRun, OSError) as error:  # a TimeoutError is an OSError
            tell(failed=str(error) if isinstance(error, BadRun) else f"{type(error).__name__}: {error}")
