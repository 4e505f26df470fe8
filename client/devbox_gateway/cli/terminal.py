"""Our own terminal while a devbox's programs draw on it: raw, and as it was afterwards, whatever happens.

Goes in: our stdin. Comes out: its size, and every change of it. On Windows there is none of it.
"""

import asyncio
import functools
import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, Final

if sys.platform != "win32":
    import termios
    import tty

KINDS: Final = (
    *("xterm", "xterm-256color", "screen", "screen-256color", "tmux", "tmux-256color", "linux", "vt100"),
)  # fmt: skip
"""Those that images know; another one is called xterm, or no program could draw."""


def possible() -> bool:
    """Whether our stdin is a terminal that can be made raw."""
    return sys.platform != "win32" and sys.stdin.isatty()


def size() -> tuple[int, int]:
    """Columns and rows."""
    for number in (0, 1, 2):
        with suppress(OSError):
            found = os.get_terminal_size(number)
            if found.columns and found.lines:
                return found.columns, found.lines
    return 80, 24


def kind() -> str:
    """For $TERM."""
    name = os.environ.get("TERM", "")
    return name if name in KINDS else "xterm-256color" if "256color" in name else "xterm"


@contextmanager
def raw() -> Iterator[None]:
    """Every key goes through, Ctrl-C among them."""
    if sys.platform != "win32":
        number = sys.stdin.fileno()
        before: list[Any] = termios.tcgetattr(number)
        try:
            tty.setraw(number, termios.TCSANOW)
            yield
        finally:
            termios.tcsetattr(number, termios.TCSANOW, before)
    else:
        yield


def _raw_again(changed: Callable[[], None]) -> None:
    if sys.platform != "win32":
        tty.setraw(sys.stdin.fileno(), termios.TCSANOW)
        changed()


@contextmanager
def watched(changed: Callable[[], None]) -> Iterator[None]:
    """`changed` is called when the window has another size; and when we were stopped and go on, when the terminal is made raw again."""
    if sys.platform != "win32":
        loop = asyncio.get_running_loop()
        handlers: dict[int, Callable[[], object]] = {
            signal.SIGWINCH: changed,
            signal.SIGCONT: functools.partial(_raw_again, changed),
        }
        for number, handler in handlers.items():
            loop.add_signal_handler(number, handler)
        try:
            yield
        finally:
            for number in handlers:
                loop.remove_signal_handler(number)
    else:
        yield
