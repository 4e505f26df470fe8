"""`logs`: what a devbox's command has printed."""

import click

from devbox_gateway.cli import complete, lookup
from devbox_gateway.cli.devbox_options import progress
from devbox_gateway.cli.durations import seconds
from devbox_gateway.cli.streams import Output
from devbox_gateway.cli.verb import verb
from devbox_gateway.cli.work import Here
from devbox_gateway.objects.devbox import status_of
from devbox_gateway.objects.waiting import progress_of


@verb()
@click.argument("name", shell_complete=complete.devboxes)
@click.option("-f", "--follow", is_flag=True, help="And what it prints from now on, until its pod ends.")
@click.option("--tail", type=click.IntRange(min=0), metavar="N", help="The last N lines alone.")
@click.option("--since", metavar="TIME", callback=seconds, help="What is no older, e.g. 10m.")
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
