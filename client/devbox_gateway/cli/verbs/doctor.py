"""`doctor`: what is wrong with the installation and a namespace, and what to do about it."""

import dataclasses
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Final

import click

from devbox_gateway.cli.plain import message
from devbox_gateway.cli.verb import verb
from devbox_gateway.cli.work import Here

if TYPE_CHECKING:
    from devbox_gateway.doctor.report import Report

_INDENT: Final = "  "


@verb("doctor")
@click.option("--probe", "probing", is_flag=True, help="Make a devbox, see whether it starts and is confined, and delete it.")
@click.option("--image", metavar="IMAGE", help="For --probe; else the chart's.")
@click.option("--seconds", type=click.FloatRange(1, 3600), default=120.0, show_default=True, help="That --probe waits.")
@click.option("--release-namespace", metavar="NAME", help="Where devbox-gateway is installed; else as the devboxes say.")
async def doctor(here: Here, probing: bool, image: str | None, seconds: float, release_namespace: str | None) -> int:
    """What is wrong here, and what to do about it.

    It looks at the installation and at one namespace, with your own rights; what you may not look at is said. Nothing is changed, but
    --probe makes a devbox for a moment. The exit code is 0 where nothing is wrong, 1 where something is.
    """
    from devbox_gateway.doctor.checks import examine  # noqa: PLC0415 (not for --help)
    from devbox_gateway.doctor.gathering import gather  # noqa: PLC0415
    from devbox_gateway.doctor.report import merged  # noqa: PLC0415

    client = here.client
    facts = await gather(client._session, client.namespace, release_namespace)
    # (By the API server's clock, where it is known: ours may be what is wrong.)
    now = facts.server_time if isinstance(facts.server_time, datetime) else datetime.now(timezone.utc)
    report = examine(facts, now)
    if probing:
        from devbox_gateway.doctor.probe import probe  # noqa: PLC0415

        here.note(f"a devbox is made in namespace {client.namespace}, and deleted again; this takes up to {seconds:g} s")
        report = merged(report, "probe", await probe(client, image, seconds))
    if here.options.output in ("json", "yaml"):
        here.show_document({**dataclasses.asdict(report), "namespace": client.namespace, "release": facts.release})
    elif here.options.output == "name":
        for name in dict.fromkeys(finding.name for finding in report.findings):
            here.say(name)
    else:
        here.say("\n".join(_text(report)))
    return 1 if report.findings else 0


def _text(report: "Report") -> list[str]:
    """For people; commands on lines of their own, to be pasted."""
    lines: list[str] = []
    for number, finding in enumerate(report.findings, 1):
        lines += [f"{number}. {message(finding.name)}: {_indented(finding.what)}", f"   why: {_indented(finding.why)}"]
        lines += [f"   do:  {_indented(each)}" for each in finding.do]
    lines += [f"not checked: {message(each.name)}: {_indented(each.because)}" for each in report.unchecked]
    if report.well:
        lines.append(f"well: {', '.join(report.well)}")
    return lines


def _indented(text: str) -> str:
    """Of several lines, those after the first."""
    return message(text).replace("\n", f"\n{_INDENT * 4}")
