"""`create`, `wait`, `suspend`, `resume`, `keep-alive`, `restart`, `rm`: from a devbox's beginning to its end."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from time import monotonic
from typing import Any, Final

import click

from devbox_gateway.cli import complete, lookup
from devbox_gateway.cli.devbox_options import arguments, devbox_options, progress
from devbox_gateway.cli.plain import cell
from devbox_gateway.cli.retained import kept_by
from devbox_gateway.cli.verb import verb
from devbox_gateway.cli.work import Here
from devbox_gateway.errors import APITimeoutError, DevboxGatewayError, NotFoundError
from devbox_gateway.objects.devbox import AsyncDevbox, idle_after, lives_for

PAUSE: Final = 0.5
_TIMEOUT: Final = click.option("--timeout", type=click.FloatRange(min=1), default=600, show_default=True, help="Seconds.")
_NAMES: Final = click.argument("names", metavar="NAME...", nargs=-1, required=True, shell_complete=complete.devboxes)


@verb()
@click.argument("name")
@click.argument("command", nargs=-1, type=click.UNPROCESSED)
@devbox_options
@click.option("--no-wait", is_flag=True, help="Do not wait until it is ready.")
async def create(
    here: Here, *, name: str, command: tuple[str, ...], timeout: float, keep_on_failure: bool, no_wait: bool, **given: Any
) -> None:
    """Make a devbox, and wait until it is ready. Where one of that name is there, it is left as it is: exit code 7.

    After -- comes its command; without one it stays, to be worked in by exec and shell.
    """
    name = lookup.new_name("NAME", name)
    what = {**arguments(**given), "name": name, "unique_name": True, "command": list(command) or None}
    if no_wait:
        made = await here.client.devboxes.create_async(**what)
    else:
        made = await here.client.devboxes.create(
            **what, timeout=timeout, keep_on_failure=keep_on_failure, progress=progress(here)
        )
    here.done(made, "created" if no_wait else "ready")


@verb()
@_NAMES
@click.option("--for", "what", type=click.Choice(["ready", "suspended", "deleted"]), default="ready", show_default=True)
@_TIMEOUT
async def wait(here: Here, names: Sequence[str], what: str, timeout: float) -> None:
    """Wait until devboxes are ready, suspended, or gone."""
    if what != "deleted":
        found = await lookup.several(here.client, names)
        ways = {"ready": AsyncDevbox.await_running, "suspended": AsyncDevbox.await_suspended}
        await asyncio.gather(*(ways[what](one, timeout=timeout, progress=progress(here)) for one in found))
        for one in found:
            here.done(one, what)
        return
    there = await _those_there(here, names)
    await asyncio.gather(*(until_gone(one, timeout) for one in there))


@verb()
@_NAMES
@click.option("--wait", "waits", is_flag=True, help="Wait until the new pods are ready.")
@_TIMEOUT
async def restart(here: Here, names: Sequence[str], waits: bool, timeout: float) -> None:
    """Give devboxes a new pod each, with the spec as it is now."""
    done = ("restarted", "ready")
    await _to_each(here, names, AsyncDevbox.restart, AsyncDevbox.await_running, done, timeout=timeout if waits else None)


@verb()
@_NAMES
@click.option("--wait", "waits", is_flag=True, help="Wait until their pods are gone.")
@_TIMEOUT
async def suspend(here: Here, names: Sequence[str], waits: bool, timeout: float) -> None:
    """Take devboxes' pods away, and keep the devboxes and what is in their PersistentVolumeClaims."""
    done = ("is being suspended", "suspended")
    await _to_each(here, names, AsyncDevbox.suspend, AsyncDevbox.await_suspended, done, timeout=timeout if waits else None)


@verb()
@_NAMES
@click.option("--wait", "waits", is_flag=True, help="Wait until their new pods are ready.")
@_TIMEOUT
async def resume(here: Here, names: Sequence[str], waits: bool, timeout: float) -> None:
    """Give devboxes that are suspended a new pod each."""
    done = ("resumed", "ready")
    await _to_each(here, names, AsyncDevbox.resume_async, AsyncDevbox.await_running, done, timeout=timeout if waits else None)


async def _to_each(
    here: Here,
    names: Sequence[str],
    act: Callable[[AsyncDevbox], Awaitable[object]],
    arrive: Callable[..., Awaitable[object]],
    done: tuple[str, str],
    *,
    timeout: float | None,
) -> None:
    """`act` on each; with a `timeout`, wait until all `arrive`. `done`: what is said then, without and with waiting."""
    found = await lookup.several(here.client, names)
    acted: list[AsyncDevbox] = []
    try:
        for one in found:
            await act(one)
            acted.append(one)
    except DevboxGatewayError:
        for one in acted:  # (what was done is done, though another one could not be)
            here.done(one, done[0])
        raise
    if timeout is not None:
        await asyncio.gather(*(arrive(one, timeout=timeout) for one in found))
    for one in found:
        here.done(one, done[timeout is not None])


@verb()
@_NAMES
async def keep_alive(here: Here, names: Sequence[str]) -> None:
    """Have devboxes' time to live (create --ttl) begin anew, and the time until they are idle (--idle)."""
    found = await lookup.several(here.client, names)
    for one in found:
        await one.keep_alive()
        ttl, idle = cell(lives_for(one._seen)), cell(idle_after(one._seen))
        times = " and ".join([*([ttl] if ttl else []), *([f"{idle} without work"] if idle else [])])
        here.done(one, f"kept alive: its {times} begin anew" if times else "has no end of its own, and is left as it is")


@verb()
@_NAMES
@click.option("--no-wait", is_flag=True, help="Do not wait until they are gone.")
@click.option("--ignore-not-found", is_flag=True, help="One that is gone already is no error.")
@click.option("--timeout", type=click.FloatRange(min=1), default=180, show_default=True, help="Seconds, until they are gone.")
async def rm(here: Here, names: Sequence[str], no_wait: bool, ignore_not_found: bool, timeout: float) -> None:
    """Delete devboxes, for good, with what is in them; of a workspace that is retained it says where it stays."""
    found = await (_those_there(here, names) if ignore_not_found else lookup.several(here.client, names))
    for number, one in enumerate(found):
        try:
            await one.shutdown()
        except DevboxGatewayError as error:
            if isinstance(error, NotFoundError) and ignore_not_found:
                continue
            for other in found[:number]:
                here.done(other, "is being deleted")
            raise
    if not no_wait:
        await asyncio.gather(*(until_gone(one, timeout) for one in found))
    for one in found:
        here.done(one, "deleted")
        if (kept := kept_by(one._seen)) is not None:
            here.note(kept)


async def _those_there(here: Here, names: Sequence[str]) -> list[AsyncDevbox]:
    found = []
    for name in names:
        try:
            found.append(await lookup.devbox(here.client, name))
        except NotFoundError as error:
            if "chart" in str(error):
                raise
    return list(dict.fromkeys(found))


async def until_gone(devbox: AsyncDevbox, seconds: float) -> None:
    """Until that very object is not there any more (another one of its name may be). Raises APITimeoutError."""
    identity, started = devbox._seen["metadata"]["uid"], monotonic()
    while True:
        try:
            if (await devbox._read())["metadata"]["uid"] != identity:
                return
        except NotFoundError:
            return
        if monotonic() - started > seconds:
            raise APITimeoutError(f"devbox {devbox._reference.name!r} was not gone within {seconds:g} s")
        await asyncio.sleep(PAUSE)
