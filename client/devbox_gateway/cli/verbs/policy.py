"""`policy`: which other hosts devboxes may reach."""

from collections.abc import Callable, Sequence
from typing import Any, Final, TypeVar

import click

from devbox_gateway.cli import complete
from devbox_gateway.cli.names import identity
from devbox_gateway.cli.output import Column, age
from devbox_gateway.cli.verb import Verbs, verb
from devbox_gateway.cli.work import Here
from devbox_gateway.naming import NETWORK_POLICY

F = TypeVar("F", bound=Callable[..., Any])
COLUMNS: Final = (
    Column("NAME", lambda seen: seen["metadata"]["name"]),
    Column("ALL", lambda seen: "yes" if seen["spec"].get("allowAll") else "no"),
    Column("HOSTS", lambda seen: seen["spec"].get("allowedHostnames")),
    Column("RANGES", lambda seen: seen["spec"].get("allowedCIDRs")),
    Column("PORTS", lambda seen: seen["spec"].get("allowedPorts")),
    Column("AGE", lambda seen: age(seen["metadata"]["creationTimestamp"])),
    Column("DESCRIPTION", lambda seen: seen["spec"].get("description"), wide=True),
)
OPTIONS: Final = (
    click.option("--allow-all/--no-allow-all", default=None, help="Every public host."),
    click.option("--allow-host", "hosts", metavar="HOST", multiple=True, help="E.g. github.com, *.github.com."),
    click.option("--allow-cidr", "ranges", metavar="CIDR", multiple=True, help="A range of addresses."),
    click.option("--allow-port", "ports", metavar="PORT", type=click.IntRange(1, 65535), multiple=True, help="Else 443."),
    click.option("--description", metavar="TEXT", help="For people."),
)
_NAME: Final = click.argument("name", shell_complete=complete.policies)


def _fields(function: F) -> F:
    for option in reversed(OPTIONS):
        function = option(function)
    return function


def arguments(
    *, allow_all: bool | None, hosts: Sequence[str], ranges: Sequence[str], ports: Sequence[int], description: str | None
) -> dict[str, Any]:
    """What is given, as the client wants it."""
    found = {
        "allow_all": allow_all,
        "allowed_hostnames": list(hosts) or None,
        "allowed_cidrs": list(ranges) or None,
        "allowed_ports": list(ports) or None,
        "description": description,
    }
    return {key: value for key, value in found.items() if value is not None}


@click.group(cls=Verbs)
def policy() -> None:
    """Network policies (EgressPolicy): which other hosts devboxes may reach, besides their gateways.

    Devboxes that name none have the one called default, if it is there.
    """


@verb(group=policy)
async def ls(here: Here) -> None:
    """List network policies."""
    found = await here.client.network_policies.list()
    here.show_objects(
        NETWORK_POLICY, found, COLUMNS, empty=f"there are no network policies in namespace {here.client.namespace}"
    )


@verb(group=policy)
@_NAME
async def get(here: Here, name: str) -> None:
    """Show one; with -o json or yaml, all of it."""
    found = here.client.network_policies.from_id(identity(NETWORK_POLICY, name))
    await found.get_info()
    here.show_objects(NETWORK_POLICY, [found], COLUMNS, one=True)


@verb(group=policy)
@click.argument("name")
@_fields
async def create(here: Here, name: str, **given: Any) -> None:
    """Make one."""
    policies = here.client.network_policies
    await here.made(policies.from_id(name), policies.create(name=name, **arguments(**given)))


@verb(group=policy)
@_NAME
@_fields
async def update(here: Here, name: str, **given: Any) -> None:
    """Change what is given, of running devboxes too; a list takes the place of the whole list of before."""
    change = arguments(**given)
    if not change:
        raise click.UsageError("Name at least one field to change")
    here.done(await here.client.network_policies.from_id(identity(NETWORK_POLICY, name)).update(**change), "updated")


@verb(group=policy)
@click.argument("names", metavar="NAME...", nargs=-1, required=True, shell_complete=complete.policies)
async def rm(here: Here, names: Sequence[str]) -> None:
    """Delete network policies; not while a devbox uses one."""
    for name in names:
        found = here.client.network_policies.from_id(identity(NETWORK_POLICY, name))
        await found.get_info()
        await found.delete()
        here.done(found, "deleted")
