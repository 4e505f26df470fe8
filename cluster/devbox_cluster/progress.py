"""What is being done and how long it has taken: a live line on a terminal, plain lines elsewhere."""

import contextlib
import sys
import time
from collections.abc import Iterator

from rich.console import Console

console = Console(stderr=True, highlight=False, soft_wrap=True)


class ClusterError(Exception):
    """Something can't be done; the text says what the user can do about it."""


@contextlib.contextmanager
def step(what: str, *, quiet_below: float = 0.0) -> Iterator[None]:
    """Show `what` while the block runs and its time in seconds at the end; nothing if it took less than `quiet_below`."""
    start = time.monotonic()
    live = console.status(f"{what} …") if sys.stderr.isatty() else contextlib.nullcontext()
    if not sys.stderr.isatty() and not quiet_below:
        console.print(f"  … {what}")
    with live:
        try:
            yield
        except BaseException:
            console.print(f"[red]  ✗ {what}[/] ({time.monotonic() - start:.1f} s)")
            raise
    took = time.monotonic() - start
    if took >= quiet_below:
        console.print(f"[green]  ✓[/] {what} [dim]({took:.1f} s)[/]")
