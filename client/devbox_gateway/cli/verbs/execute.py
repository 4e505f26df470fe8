"""`exec`, `shell` and `run`: commands in devboxes, as if they were here."""

import asyncio
import shlex
import sys
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Final

import click

from devbox_gateway.cli import complete, lookup, terminal
from devbox_gateway.cli.attach import attach, line_of
from devbox_gateway.cli.devbox_options import arguments, devbox_options, progress
from devbox_gateway.cli.failures import OWN
from devbox_gateway.cli.plain import cell
from devbox_gateway.cli.retained import kept_by
from devbox_gateway.cli.verb import verb
from devbox_gateway.cli.work import Here
from devbox_gateway.errors import DevboxGatewayError, InvalidError, NotFoundError
from devbox_gateway.exec import scripts
from devbox_gateway.kube.timing import within
from devbox_gateway.naming import random_devbox_name
from devbox_gateway.objects.devbox import AsyncDevbox

REMOVE_SECONDS: Final = 30.0
OUTLIVES_SECONDS: Final = 86_400
"""For how long a devbox of `run` is there once nobody is at work with it: whose client was killed."""
IDLE_SECONDS: Final = 3_600
"""Likewise, where nothing in it calls anything."""
OLDER_CHARTS: Final = {
    "launch_parameters.after_idle": ("idle", "on_idle"),
    "launch_parameters.keep_alive_time_seconds": ("idle", "on_idle", "ttl"),
}
"""What is refused by a chart that knows no field for it, and the options that it comes from."""
_COMMAND: Final = click.argument("command", nargs=-1, type=click.UNPROCESSED)


@verb("exec", own_failure=OWN)
@click.argument("name", shell_complete=complete.devboxes)
@_COMMAND
@click.option("-i", "--stdin", is_flag=True, help="Hand stdin through.")
@click.option("-t", "--tty", is_flag=True, help="In a terminal, with -i.")
async def execute(here: Here, name: str, command: tuple[str, ...], stdin: bool, tty: bool) -> int:
    """Run a command in a devbox: exec NAME -- COMMAND...

    In $HOME, with the environment of a login shell. Its exit code is ours; 125: it could not be run.
    """
    if not command:
        raise click.UsageError("Write what to run after --, e.g. exec agent -- ls -l; for a shell there is: shell NAME")
    if tty and not stdin:
        raise click.UsageError("-t goes with -i: exec -it NAME -- COMMAND")
    if tty and not terminal.possible():
        here.note("stdin is no terminal: done without -t")
        tty = False
    devbox = await lookup.devbox(here.client, name)
    return await attach(here, devbox, line_of(command, tty=tty), stdin=stdin, tty=tty)


@verb(own_failure=OWN)
@click.argument("name", shell_complete=complete.devboxes)
async def shell(here: Here, name: str) -> int:
    """Open a shell in a devbox: bash, else sh.

    Without a terminal, it reads what comes on stdin. 125: there is none.
    """
    devbox = await lookup.devbox(here.client, name)
    tty = _terminal()
    return await attach(here, devbox, line_of((), tty=tty), stdin=True, tty=tty)


@verb(own_failure=OWN)
@_COMMAND
@devbox_options
@click.option("--name", metavar="NAME", help="Its name; else run- and some letters.")
@click.option("-i", "--stdin/--no-stdin", default=True, help="Hand stdin through, which it does unless told otherwise.")
@click.option("-t", "--tty/--no-tty", default=None, help="In a terminal; else where stdin and stdout are one.")
@click.option(
    "--rm",
    is_flag=True,
    expose_value=False,
    help="As kubectl run has it: the devbox is deleted at the end, with it or without.",
)
async def run(  # noqa: PLR0917 (by name, from click)
    here: Here,
    command: tuple[str, ...],
    name: str | None,
    stdin: bool,
    tty: bool | None,
    timeout: float,
    keep_on_failure: bool,
    **given: Any,
) -> int:
    """Make a devbox, run a command in it, and delete it: run --gateway ANTHROPIC -- COMMAND...

    Without a command, a shell. Size of the terminal, signals and exit code are handed through. The devbox is deleted at the end,
    however that comes. 125: the command could not be run.
    """
    if tty and not terminal.possible():
        here.note("stdin is no terminal: done without -t")
        tty = False
    tty = stdin and (_terminal() if tty is None else tty)
    name = lookup.new_name("--name", name) if name is not None else random_devbox_name("run")
    line = line_of(command, tty=tty)
    scripts.framed(line)  # (it refuses what is too long before anything is made)
    devbox, ttl = await _made(here, given, name=name, timeout=timeout, keep_on_failure=keep_on_failure)
    keeping = asyncio.create_task(_kept_alive(devbox, ttl))
    try:
        return await attach(here, devbox, line, stdin=stdin, tty=tty, end=False)
    finally:
        keeping.cancel()
        await _remove(here, devbox)


async def _made(here: Here, given: Mapping[str, Any], **how: Any) -> tuple[AsyncDevbox, int]:
    """And its time to live, in seconds."""
    how |= {"unique_name": True, "progress": progress(here)}
    ttl = given["ttl"] or OUTLIVES_SECONDS
    wanted = {**given, "ttl": ttl, "idle": given["idle"] or IDLE_SECONDS, "on_idle": given["on_idle"] or "delete"}
    while True:
        try:
            return await here.client.devboxes.create(**arguments(**wanted), **how), ttl
        except InvalidError as error:
            # (Nothing is made then. What nobody asked for is left out.)
            unknown = [name for name in OLDER_CHARTS.get(error.field, ()) if wanted[name] is not None]
            if not unknown or any(given[name] for name in unknown):
                raise
            wanted |= dict.fromkeys(unknown)


async def _kept_alive(devbox: AsyncDevbox, ttl: int) -> None:
    """Its time is for one whose client is gone."""
    while True:
        await asyncio.sleep(ttl / 4)
        with suppress(DevboxGatewayError):
            await devbox.keep_alive()


async def _remove(here: Here, devbox: AsyncDevbox) -> None:
    """A signal more, and nobody waits for it; then it is said what is left."""
    try:
        await asyncio.shield(within(REMOVE_SECONDS, devbox.shutdown()))
    except NotFoundError:
        return
    except (DevboxGatewayError, TimeoutError, asyncio.CancelledError) as error:
        line = shlex.join(["kubectl", "devbox", "-n", devbox.namespace, "rm", devbox._reference.name])
        why = cell(error) or "interrupted"
        here.note(f"devbox {cell(devbox._reference.name)} may be left behind ({why}); delete it: {line}")
        if isinstance(error, asyncio.CancelledError):
            raise
    else:
        if (kept := kept_by(devbox._seen)) is not None:
            here.note(kept)


def _terminal() -> bool:
    return terminal.possible() and sys.stdout.isatty()
