"""`audit`: who called what, as the gateway's own log has it."""

from typing import TYPE_CHECKING, Final

import click

from devbox_api.judge.shown import json_visible
from devbox_gateway.cli import complete
from devbox_gateway.cli.durations import seconds
from devbox_gateway.cli.output import without_prefix
from devbox_gateway.cli.plain import cell, without_tokens
from devbox_gateway.cli.verb import verb
from devbox_gateway.cli.work import Here
from devbox_gateway.naming import DEVBOX

if TYPE_CHECKING:
    from devbox_gateway.audit.lines import Entry

_MOST: Final = 1000
_HOUR: Final = 3600


@verb("audit")
@click.argument("name", required=False, shell_complete=complete.devboxes)
@click.option("-f", "--follow", "following", is_flag=True, help="And what is written from now on.")
@click.option("--since", metavar="TIME", callback=seconds, help="What is no older, e.g. 10m; else an hour, with -f nothing.")
@click.option("-A", "--all-namespaces", is_flag=True, help="Of all namespaces.")
@click.option("--release-namespace", metavar="NAME", help="Where devbox-gateway is installed; else as the devboxes say.")
async def audit(
    here: Here, *, name: str | None, following: bool, since: int | None, all_namespaces: bool, release_namespace: str | None
) -> None:
    """Who called what, as the gateway's log has it: of a namespace's devboxes, or of one.

    It reads the logs of the gateway's pods, which takes the right to. With -o json each line is as the gateway wrote it, starts of requests
    among them; else there is one for what came of each request, and with -o wide for its start, too.
    """
    from devbox_gateway.audit.following import follow, read  # noqa: PLC0415 (not for --help)
    from devbox_gateway.objects.release import release_of  # noqa: PLC0415

    client = here.client
    session, namespace = client._session, None if all_namespaces else client.namespace
    devbox = None if name is None else without_prefix(name).removeprefix(DEVBOX.prefix)
    release = release_namespace or await release_of(session, client.namespace)
    if not following:
        for entry in await read(session, release, since or _HOUR):
            _show(here, entry, namespace, devbox)
        return
    async for entry in follow(session, release, since or 1):
        _show(here, entry, namespace, devbox)


def _show(here: Here, entry: "Entry", namespace: str | None, devbox: str | None) -> None:
    from devbox_gateway.audit.lines import ENDS, text  # noqa: PLC0415

    if not entry.is_of(namespace, devbox):
        return
    if here.options.output == "json":
        here.say(without_tokens(json_visible(entry.raw.decode("utf-8", "replace"))))
    elif here.wide or entry.kind in ENDS:
        here.say(cell(text(entry), _MOST))
