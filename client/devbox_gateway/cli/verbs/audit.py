"""`audit`: who called what, as the gateway's own log has it."""

import json
from contextlib import suppress
from typing import TYPE_CHECKING, Final

import click

from devbox_api.judge.shown import json_visible
from devbox_gateway.cli import complete
from devbox_gateway.cli.durations import seconds
from devbox_gateway.cli.output import without_prefix
from devbox_gateway.cli.plain import cell, without_tokens
from devbox_gateway.cli.verb import verb
from devbox_gateway.cli.work import Here
from devbox_gateway.errors import NotFoundError, PermissionDeniedError
from devbox_gateway.naming import DEVBOX

if TYPE_CHECKING:
    from devbox_gateway.audit.lines import Entry
    from devbox_gateway.objects.devbox import AsyncDevbox

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
    if here.options.output == "name":
        raise click.UsageError("Audit lines have no names; there are -o json, yaml and wide")
    from devbox_gateway.audit.following import follow, read  # noqa: PLC0415 (not for --help)
    from devbox_gateway.objects.release import release_of  # noqa: PLC0415

    client = here.client
    session, namespace = client._session, None if all_namespaces else client.namespace
    devbox = None if name is None else without_prefix(name).removeprefix(DEVBOX.prefix)
    release = release_namespace or await release_of(session, client.namespace)
    if devbox is not None and namespace is not None:
        with suppress(PermissionDeniedError):
            await _told_if_absent(here, client.devboxes.from_id(DEVBOX.prefix + devbox))
    if not following:
        found = [entry for entry in await read(session, release, since or _HOUR) if entry.is_of(namespace, devbox)]
        for entry in found:
            _show(here, entry)
        if not found:
            whose = f"of devbox {cell(devbox)!r}" if devbox else "of any devbox"
            where = "" if namespace is None else f" in namespace {namespace}"
            here.note(f"the gateway's log has nothing {whose}{where} since then; --since 1d looks further back")
        return
    async for entry in follow(session, release, since or 1):
        if entry.is_of(namespace, devbox):
            _show(here, entry)


async def _told_if_absent(here: Here, devbox: "AsyncDevbox") -> None:
    try:
        await devbox._read()
    except NotFoundError:
        here.note(
            f"there is no devbox {cell(devbox._reference.name)!r} in namespace {devbox.namespace} now; what the log has of it is looked for"
        )


def _show(here: Here, entry: "Entry") -> None:
    from devbox_gateway.audit.lines import ENDS, text  # noqa: PLC0415

    if here.options.output == "json":
        here.say(without_tokens(json_visible(entry.raw.decode("utf-8", "replace"))))
    elif here.options.output == "yaml":
        here.say("---")
        here.show_document(json.loads(entry.raw))
    elif here.wide or entry.kind in ENDS:
        here.say(cell(text(entry), _MOST))
