"""`logs`: what a devbox's command has printed."""

import re
from typing import Final

import click

from devbox_gateway.cli import complete, lookup
from devbox_gateway.cli.devbox_options import progress
from devbox_gateway.cli.streams import Output
from devbox_gateway.cli.verb import verb
from devbox_gateway.cli.work import Here
from devbox_gateway.objects.devbox import status_of
from devbox_gateway.objects.waiting import progress_of

_SINCE: Final = re.compile(r"(\d{1,9})([smhd]?)")
_UNITS: Final = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86_400}


def _seconds(_: click.Context, __: click.Parameter, text: str | None) -> int | None:
    if text is None:
        return None
    found = _SINCE.fullmatch(text)
    if found is None or (seconds := int(found[1]) * _UNITS[found[2]]) <= 0:
        raise click.BadParameter("write e.g. 30s, 10m, 2h")
    return seconds


@verb()
@click.argument("name", shell_complete=complete.devboxes)
@click.option("-f", "--follow", is_flag=True, help="And what it prints from now on, until its pod ends.")
@click.option("--tail", type=click.IntRange(min=0), metavar="N", help="The last N lines alone.")
@click.option("--since", metavar="TIME", callback=_seconds, help="What is no older, e.g. 10m.")
@click.option("--timestamps", is_flag=True, help="When each line was printed.")
async def logs(here: Here, *, name: str, follow: bool, tail: int | None, since: int | None, timestamps: bool) -> None:
    """Print what a devbox's command has printed.

    On a terminal its control characters are shown, not obeyed; into a pipe or file it goes as it is.
    """
    devbox, out = await lookup.devbox(here.client, name), Output()
    empty = True
    try:
        async for piece in devbox.log_pieces(tail=tail, since_seconds=since, timestamps=timestamps, follow=follow):
            out.feed(piece)
            empty = False
    finally:
        out.feed(b"", last=True)
    if empty and status_of(devbox._seen) != "running":
        # (Of a pod that has not begun the API server says nothing, too.)
        progress(here)(progress_of(devbox._seen))
