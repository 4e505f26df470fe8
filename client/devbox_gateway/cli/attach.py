"""A person's stdin, terminal and signals, and a command in a devbox.

Goes in: a devbox, a command. Comes out: the command's exit code. What a terminal's keys mean is the devbox's to say (Ctrl-C goes in as a
byte); without a terminal, a signal that comes to us goes to the command, and only if that takes no notice is it ended.
"""

import asyncio
import secrets
import shlex
import signal
from collections.abc import AsyncIterator, Sequence
from contextlib import ExitStack, suppress
from typing import Final

from devbox_gateway.errors import DevboxGatewayError
from devbox_gateway.exec import scripts
from devbox_gateway.exec.running import Run
from devbox_gateway.objects.devbox import AsyncDevbox

from . import terminal
from .keyboard import Keyboard
from .streams import Output
from .work import Here

SHELL: Final = 'exec "$(command -v bash || command -v sh)"'
IN_TERMINAL: Final = f"{SHELL} -i"
FOLDER: Final = "~/.devbox-gateway/exec"
PATIENCE: Final = 10.0
"""For a command to heed a signal."""


def line_of(command: Sequence[str], *, tty: bool) -> str:
    """For the devbox's shell: the words as they are; without any, a shell."""
    if command:
        return shlex.join(command)
    return IN_TERMINAL if tty else SHELL


async def attach(here: Here, devbox: AsyncDevbox, line: str, *, stdin: bool, tty: bool, end: bool = True) -> int:
    """Its exit code. `end`: what is given up is ended in the devbox, too (where that is not about to go itself)."""
    run = Run(devbox._cluster.session, await devbox._pod())
    try:
        return await (_in_terminal(devbox, run, line) if tty else _plainly(here, run, line, stdin=stdin))
    except (asyncio.CancelledError, BrokenPipeError):
        if end:
            await asyncio.shield(run.end("HUP" if tty else "TERM"))
        raise


async def _plainly(here: Here, run: Run, line: str, *, stdin: bool) -> int:
    out, err, framed = Output(), Output(stderr=True), scripts.framed(line)
    with ExitStack() as stack:
        given: AsyncIterator[bytes] | None = stack.enter_context(Keyboard()).pieces() if stdin else None
        script = scripts.RUN_ATTACHED if stdin else scripts.RUN
        work = asyncio.ensure_future(run.until_end(script, (), framed, given, out=out, err=err))
        here.on_signal = _Passing(run, work)
        try:
            return await work
        finally:
            here.on_signal = None
            work.cancel()
            with suppress(asyncio.CancelledError, DevboxGatewayError, BrokenPipeError):
                await work


class _Passing:
    """Signals that come to us go to the command: the first one; another one, or one that it does not heed, ends it."""

    def __init__(self, run: Run, work: "asyncio.Future[int]") -> None:
        self._run, self._work = run, work
        self._tasks: set[asyncio.Task[None]] = set()

    def __call__(self, number: int) -> bool:
        if not self._run.group or self._tasks:
            return False
        task = asyncio.ensure_future(self._pass(signal.Signals(number).name.removeprefix("SIG")))
        self._tasks.add(task)
        return True

    async def _pass(self, name: str) -> None:
        await self._run.signal(name)
        await asyncio.wait([self._work], timeout=PATIENCE)
        self._work.cancel()


async def _in_terminal(devbox: AsyncDevbox, run: Run, line: str) -> int:
    # The command goes ahead as a file: on stdin the terminal would echo it, and in the URL others keep it.
    name = f"terminal-{secrets.token_hex(8)}"
    await devbox.file.write(file_path=f"{FOLDER}/{name}", contents=scripts.framed(line))
    columns, rows = terminal.size()
    out, changes = Output(raw=True), asyncio.Event()

    async def follow() -> None:
        while True:
            await changes.wait()
            changes.clear()
            with suppress(DevboxGatewayError):
                await run.resize(*terminal.size())

    changes.set()
    following = asyncio.ensure_future(follow())
    arguments = (name, str(rows), str(columns), terminal.kind())
    try:
        with terminal.raw(), terminal.watched(changes.set), Keyboard() as keyboard:
            return await run.until_end(
                scripts.RUN_IN_TERMINAL, arguments, b"", _typed(run, changes, keyboard), out=out, err=out, tty=True
            )
    finally:
        following.cancel()


async def _typed(run: Run, changes: asyncio.Event, keyboard: Keyboard) -> AsyncIterator[bytes]:
    """(The first thing that is done once there is a connection is to say how large our window is.)"""
    changes.set()
    async for piece in keyboard.pieces():
        yield piece
    # A terminal that was hung up: what it means for those in it is the devbox's terminal to say, and never end of stdin.
    await asyncio.Event().wait()
