"""`secret`: credentials that the gateway puts into requests."""

from collections.abc import Sequence
from typing import Final

import click

from devbox_gateway.cli import complete, values
from devbox_gateway.cli.names import identity
from devbox_gateway.cli.output import Column, age
from devbox_gateway.cli.verb import Verbs, verb
from devbox_gateway.cli.work import Here
from devbox_gateway.errors import InvalidError
from devbox_gateway.naming import SECRET
from devbox_gateway.objects.base import given_name
from devbox_gateway.objects.secrets import hosts_of, is_mountable

COLUMNS: Final = (
    Column("NAME", lambda seen: seen["metadata"]["name"]),
    Column("CALLED", given_name),
    Column("HOSTS", hosts_of),
    Column("AGENTS", lambda seen: "may read it" if is_mountable(seen) else "never see it", wide=True),
    Column("AGE", lambda seen: age(seen["metadata"]["creationTimestamp"])),
)
_NAME: Final = click.argument("name", shell_complete=complete.secrets)
_HOSTS: Final = click.option("--host", "hosts", metavar="HOST", multiple=True, help="Towards which it may be used.")


@click.group(cls=Verbs)
def secret() -> None:
    """Secrets: credentials that the gateway puts into requests, and no devbox sees.

    Values go in by stdin, a file or a prompt, never in the line; no verb prints one.
    """


@verb(group=secret)
async def ls(here: Here) -> None:
    """List the secrets that were made by this client."""
    found = await here.client.secrets.list()
    here.show_objects(SECRET, found, COLUMNS, empty=f"there are no secrets of this client in namespace {here.client.namespace}")


@verb(group=secret)
@click.argument("name")
@_HOSTS
@click.option("--mountable", is_flag=True, help="For agents to read (--secret-env), not for the gateway.")
@values.value_option
async def create(here: Here, name: str, hosts: Sequence[str], mountable: bool, from_file: str | None) -> None:
    """Store one.

    Without --host, the first devbox that is made with --gateway NAME=CONFIG:SECRET grants it to that gateway config's host.
    """
    value = values.read(from_file, f"Value of {name!r}")
    secrets = here.client.secrets
    asked = secrets.from_id(name)
    await here.made(asked, secrets.create(name=name, value=value, allowed_hosts=list(hosts) or None, mountable=mountable))
    if not mountable:  # (what agents read may be anything)
        _warn(here, name, value)


@verb(group=secret)
@_NAME
@values.value_option
async def rotate(here: Here, name: str, from_file: str | None) -> None:
    """Give it another value: in use on running devboxes within seconds."""
    value = values.read(from_file, f"New value of {name!r}")
    changed = await here.client.secrets.update(identity(SECRET, name), value)
    here.done(changed, "rotated")
    if not changed.mountable:
        _warn(here, name, value)


def _warn(here: Here, name: str, value: str) -> None:
    for remark in values.remarks(value):
        here.note(f"warning: secret {name}: {remark}")


@verb(group=secret)
@_NAME
@click.argument("hosts", metavar="HOST...", nargs=-1, required=True)
async def grant(here: Here, name: str, hosts: Sequence[str]) -> None:
    """Let the gateway use it towards these hosts, besides those of before."""
    try:
        granted = await here.client.secrets.from_id(identity(SECRET, name)).grant(list(hosts))
    except InvalidError as error:
        # (An argument here, where `secret create` has an option.)
        raise InvalidError("HOST" if error.field == "allowed_hosts" else error.field, error.message) from None
    here.done(granted, "granted")


@verb(group=secret)
@click.argument("names", metavar="NAME...", nargs=-1, required=True, shell_complete=complete.secrets)
@click.option("--force", is_flag=True, help="Also while devboxes use them: these get errors from then on.")
async def rm(here: Here, names: Sequence[str], force: bool) -> None:
    """Delete secrets, for good; not while a devbox uses one."""
    for name in names:
        found = here.client.secrets.from_id(identity(SECRET, name))
        await found.delete(force=force)
        here.done(found, "deleted")
