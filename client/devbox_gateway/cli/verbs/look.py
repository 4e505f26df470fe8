"""`ls` and `get`: what is there."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import click

from devbox_gateway.cli import complete, listing, lookup
from devbox_gateway.cli.output import BAD, GOOD, MOVING, Column, Growing, age, as_name, colours_wanted, document, left
from devbox_gateway.cli.verb import verb
from devbox_gateway.cli.work import Here
from devbox_gateway.naming import DEVBOX
from devbox_gateway.objects.base import given_name
from devbox_gateway.objects.devbox import AsyncDevbox, status_of, summary_of
from devbox_gateway.objects.waiting import conditions_of

_COLOURS: Final = {
    "running": GOOD,
    "failure": BAD,
    **dict.fromkeys(("provisioning", "initializing", "suspending", "resuming"), MOVING),
}


GONE: Final = "devbox-gateway.io/gone"
"""Beside what a watch saw last of a devbox that is there no more."""


def _status(seen: Any) -> str:
    return "deleted" if GONE in seen else status_of(seen)


NAMESPACE: Final = Column("NAMESPACE", lambda seen: seen["metadata"]["namespace"])
NAME: Final = Column("NAME", lambda seen: seen["metadata"]["name"])
CALLED: Final = Column("CALLED", given_name)
"""The Python client's `name`, which several may share."""
COLUMNS: Final = (
    Column("STATUS", _status, colour=_COLOURS.get),
    Column("REASON", lambda seen: summary_of(seen).get("reason")),
    Column("GATEWAYS", lambda seen: [gateway["name"] for gateway in seen["spec"].get("gateways") or []]),
    Column("AGE", lambda seen: age(seen["metadata"]["creationTimestamp"])),
    Column("ENDS IN", lambda seen: left((seen.get("status") or {}).get("expiresAt")), wide=True),
    Column("POD", lambda seen: (seen.get("status") or {}).get("podName"), wide=True),
    Column("IMAGE", lambda seen: seen["spec"].get("image"), wide=True),
    Column("MESSAGE", lambda seen: summary_of(seen).get("message"), wide=True),
)
GATEWAYS: Final = (
    Column("GATEWAY", lambda gateway: gateway.get("name")),
    Column("URL", lambda gateway: gateway.get("url")),
)
CODE: Final = (
    Column("CODE MOUNT", lambda mount: mount.get("name")),
    Column("REPOSITORY", lambda mount: mount.get("repository")),
    Column("REF", lambda mount: mount.get("ref")),
    Column("PATH", lambda mount: mount.get("path") or mount.get("name")),
    Column("GATEWAY", lambda mount: mount.get("gateway")),
)
WORKSPACE: Final = (
    Column("WORKSPACE", lambda work: work.get("claimName")),
    Column("SIZE", lambda work: work.get("size")),
    Column("CAPACITY", lambda work: work.get("capacity")),
    Column("WHEN DELETED", lambda work: {"Retain": "stays", "Delete": "is deleted"}.get(str(work.get("retain")))),
)
LIFE: Final = (
    Column("SUSPENDED BY", lambda status: status.get("suspendedBy")),
    Column("FOR", lambda status: age(status.get("suspendedAt") or "")),
    Column("ENDS IN", lambda status: left(status.get("expiresAt"))),
)
CONDITIONS: Final = (
    Column("CONDITION", lambda condition: condition.get("type")),
    Column("STATUS", lambda condition: condition.get("status")),
    Column("REASON", lambda condition: condition.get("reason")),
    Column("MESSAGE", lambda condition: condition.get("message")),
)


def columns_of(found: Sequence[AsyncDevbox], *, wide: bool, everywhere: bool = False) -> tuple[Column, ...]:
    """What some are called is a column where it is not their name."""
    called = wide or any(one.name != one._reference.name for one in found)
    return (*((NAMESPACE,) if everywhere else ()), NAME, *((CALLED,) if called else ()), *COLUMNS)


@verb()
@click.argument("names", metavar="[NAME]...", nargs=-1, shell_complete=complete.devboxes)
@click.option("-A", "--all-namespaces", "everywhere", is_flag=True, help="Of all namespaces.")
@click.option("-l", "--selector", metavar="LABELS", help="Those with these labels alone, e.g. team=a,stage!=test.")
@click.option("-w", "--watch", "watching", is_flag=True, help="And every change from now on.")
async def ls(here: Here, names: Sequence[str], everywhere: bool, selector: str | None, watching: bool) -> None:
    """List devboxes: all of a namespace, or those named."""
    if names and (everywhere or selector is not None):
        raise click.UsageError("Write names, or -A and -l, not both")
    client = here.client
    known = await lookup.several(client, names) if names else []
    if any(one.namespace != client.namespace for one in known):
        raise click.UsageError("Names are of one namespace here: write -n NAMESPACE for another one")
    wanted = listing.Wanted([one._reference.name for one in known], selector, everywhere)
    found = known or await listing.now(client, wanted)
    nowhere = "there are no devboxes" + (" of these labels" if selector else "")
    empty = f"{nowhere}{'' if everywhere else f' in namespace {client.namespace}'}"
    columns = columns_of(found, wide=here.wide, everywhere=everywhere)
    if not watching:
        here.show_objects(DEVBOX, found, columns, empty=empty, one=len(names) == 1)
        return
    table = Growing(columns, wide=here.wide, colours=colours_wanted())
    if found:
        _show(here, table, [one._seen for one in found])
    else:
        here.note(empty)
    async for one, gone in listing.changes(client, wanted, found):
        _show(here, table, [{**one._seen, **({GONE: True} if gone else {})}])


def _show(here: Here, table: Growing, seen: Sequence[Mapping[str, Any]]) -> None:
    """As -o says: rows of a table that goes on, else one document or name after the other."""
    if here.options.output in (None, "wide"):
        here.say(table.more(seen))
        return
    for each in seen:
        if here.options.output == "name":
            here.say(as_name(DEVBOX, each["metadata"]["name"]))
        else:
            if here.options.output == "yaml":
                here.say("---")
            here.show_document(document(DEVBOX, {key: value for key, value in each.items() if key != GONE}))


@verb()
@click.argument("name", required=False, shell_complete=complete.devboxes)
async def get(here: Here, name: str | None) -> None:
    """Show one devbox, with what it waits for; with -o json or yaml, all of it."""
    if name is None:
        raise click.UsageError("Write which one: get NAME; for all of them there is ls")
    found = await lookup.devbox(here.client, name)
    here.show_objects(DEVBOX, [found], columns_of([found], wide=here.wide), one=True)
    if here.options.output in (None, "wide"):
        for columns, rows in parts_of(found._seen):
            if rows:
                here.say("")
                here.show_table(columns, rows)


def parts_of(seen: Any) -> list[tuple[tuple[Column, ...], list[Any]]]:
    """The tables of one devbox; empty ones are not shown."""
    status = seen.get("status") or {}
    return [
        (GATEWAYS, status.get("gateways") or []),
        (CODE, seen["spec"].get("codeMounts") or []),
        (WORKSPACE, [status["workspace"]] if status.get("workspace") else []),
        (LIFE, [status] if status.get("suspendedBy") or status.get("expiresAt") else []),
        (CONDITIONS, list(conditions_of(seen).values())),
    ]
