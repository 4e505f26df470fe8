"""`explain`: would this request of a devbox pass, and why."""

import dataclasses
from typing import Final

import click

from devbox_gateway.cli import complete, lookup
from devbox_gateway.cli.plain import cell
from devbox_gateway.cli.verb import verb
from devbox_gateway.cli.work import Here
from devbox_gateway.explain.answer import Answer, Verdict, Way

CODES: Final = {Verdict.YES: 0, Verdict.AS_FAR_AS_SEEN: 0, Verdict.NO: 1, Verdict.UNSEEN: 4}
_MOST: Final = 1000
"""Characters of a line: the operator's messages are long, and hold what to do."""


@verb("explain")
@click.argument("name", shell_complete=complete.devboxes)
@click.argument("method")
@click.argument("url")
async def explain(here: Here, name: str, method: str, url: str) -> int:
    """Would a devbox's request pass, and why.

    URL is the API's own (https://api.anthropic.com/v1/messages), or one of a gateway, in single quotes: '$ANTHROPIC_URL/v1/messages'.
    Nothing is sent: the gateway's own rules are asked, with what you may see of the devbox, its GatewayConfigs, its EgressPolicy and its
    Secrets' grants. The exit code is 0 for a yes, 1 for a no, 4 where you may see too little. No query is shown.
    """
    from devbox_gateway.explain.judging import explain as judge  # noqa: PLC0415 (not for --help)
    from devbox_gateway.explain.reading import see  # noqa: PLC0415

    found = await lookup.devbox(here.client, name)
    answer = judge(await see(here.client._session, found.namespace, found._reference.name), method, url)
    if here.options.output in ("json", "yaml"):
        here.show_document({**dataclasses.asdict(answer), "verdict": answer.verdict.value})
    elif here.options.output == "name":
        here.say(answer.verdict.name.lower().replace("_", "-"))
    else:
        here.say("\n".join(_text(answer)))
    return CODES[answer.verdict]


def _text(answer: Answer) -> list[str]:
    """For people."""
    lines = [f"{answer.verdict.value}: {cell(f'{answer.method} {answer.url}', _MOST)}"]
    for way in answer.ways:
        lines += _way(way)
    return lines + [f"note: {cell(note, _MOST)}" for note in answer.notes]


def _way(way: Way) -> list[str]:
    rows = [
        ("leads to", way.leads),
        ("decided by", way.decided),
        ("reason", way.reason),
        *(("not seen", each) for each in way.unseen),
    ]
    head = f"{way.by}: {way.verdict.value}" + (f", {way.code}" if way.code else "")
    return [f"  {cell(head, _MOST)}", *(f"    {title:<11}{cell(text, _MOST)}" for title, text in rows if text)]
