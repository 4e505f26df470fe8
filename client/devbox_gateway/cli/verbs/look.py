"""`ls` and `get`: what is there."""

from collections.abc import Sequence
from typing import Any, Final

import click

from devbox_gateway.cli import complete, lookup
from devbox_gateway.cli.output import BAD, GOOD, MOVING, Column, age
from devbox_gateway.cli.verb import verb
from devbox_gateway.cli.work import Here
from devbox_gateway.naming import DEVBOX
from devbox_gateway.objects.base import given_name
from devbox_gateway.objects.devbox import AsyncDevbox, status_of
from devbox_gateway.objects.waiting import conditions_of

_COLOURS: Final = {"running": GOOD, "failure": BAD, "provisioning": MOVING, "initializing": MOVING}


def _ready(seen: Any) -> dict[str, Any]:
    return conditions_of(seen).get("Ready") or {}


NAME: Final = Column("NAME", lambda seen: seen["metadata"]["name"])
CALLED: Final = Column("CALLED", given_name)
"""The Python client's `name`, which several may share."""
COLUMNS: Final = (
    Column("STATUS", status_of, colour=_COLOURS.get),
    Column("REASON", lambda seen: _ready(seen).get("reason")),
    Column("GATEWAYS", lambda seen: [gateway["name"] for gateway in seen["spec"].get("gateways") or []]),
    Column("AGE", lambda seen: age(seen["metadata"]["creationTimestamp"])),
    Column("POD", lambda seen: (seen.get("status") or {}).get("podName"), wide=True),
    Column("IMAGE", lambda seen: seen["spec"].get("image"), wide=True),
    Column("MESSAGE", lambda seen: _ready(seen).get("message"), wide=True),
)
GATEWAYS: Final = (
    Column("GATEWAY", lambda gateway: gateway.get("name")),
    Column("URL", lambda gateway: gateway.get("url")),
)
CONDITIONS: Final = (
    Column("CONDITION", lambda condition: condition.get("type")),
    Column("STATUS", lambda condition: condition.get("status")),
    Column("REASON", lambda condition: condition.get("reason")),
    Column("MESSAGE", lambda condition: condition.get("message")),
)


def columns_of(found: Sequence[AsyncDevbox], *, wide: bool) -> tuple[Column, ...]:
    """What some are called is a column where it is not their name."""
    called = wide or any(one.name != one._reference.name for one in found)
    return (NAME, *((CALLED,) if called else ()), *COLUMNS)


@verb()
async def ls(here: Here) -> None:
    """List devboxes."""
    found = await here.client.devboxes.list()
    here.show_objects(
        DEVBOX, found, columns_of(found, wide=here.wide), empty=f"there are no devboxes in namespace {here.client.namespace}"
    )


@verb()
@click.argument("name", shell_complete=complete.devboxes)
async def get(here: Here, name: str) -> None:
    """Show one devbox, with what it waits for; with -o json or yaml, all of it."""
    found = await lookup.devbox(here.client, name)
    here.show_objects(DEVBOX, [found], columns_of([found], wide=here.wide), one=True)
    if here.options.output in (None, "wide"):
        gateways = (found._seen.get("status") or {}).get("gateways") or []
        for columns, rows in ((GATEWAYS, gateways), (CONDITIONS, list(conditions_of(found._seen).values()))):
            if rows:
                here.say("")
                here.show_table(columns, rows)
