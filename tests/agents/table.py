"""The lines as a table of Markdown, and what went wrong below it. Pure."""

from collections.abc import Sequence

from .judge import Seen

HEAD = ("agent", "version", "API", "works", "seconds", "what the API got", "side hosts refused")


def table(seen: Sequence[Seen]) -> str:
    """Columns as wide as what is in them; a side host stands in an agent's first line."""
    lines, agents = [HEAD], set[str]()
    for one in seen:
        hosts = ", ".join(one.side_hosts) or "none"
        again = one.agent in agents
        agents.add(one.agent)
        works = "NO" if one.problem else "yes"
        lines.append((one.agent, one.version, one.way, works, f"{one.seconds:.1f}", one.requests, "" if again else hosts))
    widths = [max(len(line[column]) for line in lines) for column in range(len(HEAD))]
    rows = ["| " + " | ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) + " |" for line in lines]
    rule = "|" + "|".join("-" * (width + 2) for width in widths) + "|"
    failed = [f"{one.agent}, {one.way}: {one.problem}" for one in seen if one.problem]
    return "\n".join([rows[0], rule, *rows[1:], "", f"{len(seen) - len(failed)} work, {len(failed)} do not.", *failed])
