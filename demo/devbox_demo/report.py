"""How the demo looks: plain lines while it works, tables when something is there to be seen.

Goes in: `Outcome`s. Comes out: text on a rich console that reads as well in a log without colours.
"""

import time
from collections.abc import Sequence

from rich import box
from rich.console import Console
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from .outcome import Outcome

_WIDTH_OF_A_LOG = 132


def console() -> Console:
    """As wide as the terminal; in a log as wide as two columns need."""
    made = Console(highlight=False, soft_wrap=False)
    return made if made.is_terminal else Console(highlight=False, width=_WIDTH_OF_A_LOG)


class Clock:
    """Lines with the time since the start, in seconds."""

    def __init__(self, out: Console) -> None:
        self._out = out
        self._start = time.monotonic()

    def say(self, text: str) -> None:
        """One line of progress."""
        self._out.print(Text.assemble((f"{self.seconds:6.1f} s  ", "dim"), text))

    @property
    def seconds(self) -> float:
        """Since the start."""
        return time.monotonic() - self._start


def table(heading: str, left: str, right: str, outcomes: Sequence[Outcome]) -> Table:
    """What was tried, what the one side saw, what the other received."""
    made = Table(title=heading, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD, expand=True, show_lines=False)
    made.add_column("", width=4, no_wrap=True)
    made.add_column("", ratio=5, style="bold")
    made.add_column(left, ratio=12, overflow="fold")
    made.add_column(right, ratio=12, overflow="fold")
    for outcome in outcomes:
        mark = Text("FAIL", style="bold red") if outcome.problem else Text(" ok", style="green")
        made.add_row(
            mark,
            Text.assemble(outcome.title, (f"\n{' '.join(outcome.rows)}", "dim")),
            Text("\n".join(outcome.agent)),
            Text("\n".join(outcome.upstream)),
            end_section=True,
        )
    return made


def failures(outcomes: Sequence[Outcome]) -> Panel | None:
    """What went wrong, in one place."""
    failed = [one for one in outcomes if one.problem]
    if not failed:
        return None
    return Panel(Text("\n".join(f"{one.title}: {one.problem}" for one in failed)), title="FAILED", border_style="red")


def next_steps(namespace: str) -> Text:
    """Three commands to try. No frame around them: they are there to be copied."""
    pod = f"$(kubectl -n {namespace} get dbx agent -o jsonpath='{{.status.podName}}')"
    return Text.assemble(
        "The cluster stays up. Three commands to try next:\n\n",
        ('  eval "$(.venv/bin/python -m devbox_cluster env)"   # kubectl and helm for this cluster\n\n', "dim"),
        (f"  kubectl -n {namespace} get devboxes,gatewayconfigs -o wide\n", "bold"),
        (f"  kubectl -n {namespace} exec -it {pod} -- bash   # be the agent\n", "bold"),
        (f"  kubectl -n {namespace} delete gatewayconfig anthropic   # refused: it is in use\n\n", "bold"),
        ("make cluster-down takes the cluster away.", "dim"),
    )
