"""What a person needs to see when something does not work: objects, events, logs. Never a Secret.

Goes in: a `Kubectl` and namespaces. Comes out: titled texts; a part that can't be had says so itself.
"""

from collections.abc import Iterable, Iterator
from typing import Final

from .kubectl import CommandError, Kubectl

LINES: Final = 60
"""Of each log, from its end."""


def diagnose(kubectl: Kubectl, namespaces: Iterable[str], release_namespace: str) -> Iterator[tuple[str, str]]:
    """Title and text, the most telling first."""
    for namespace in namespaces:
        scope = ("-n", namespace)
        yield f"devboxes and what they use in {namespace}", _try(kubectl, *scope, "get", "dbx,gwc,egp", "-o", "wide")
        yield f"conditions in {namespace}", _try(kubectl, *scope, "get", "dbx,gwc,egp", "-o", _CONDITIONS)
        yield f"pods in {namespace}", _try(kubectl, *scope, "get", "pods", "-o", "wide")
        yield f"events in {namespace}", _tail(_try(kubectl, *scope, "get", "events", "--sort-by=.lastTimestamp"), 30)
    scope = ("-n", release_namespace)
    yield f"pods in {release_namespace}", _try(kubectl, *scope, "get", "pods", "-o", "wide")
    yield f"events in {release_namespace}", _tail(_try(kubectl, *scope, "get", "events", "--sort-by=.lastTimestamp"), 30)
    for component in ("operator", "gateway"):
        chosen = ("-l", f"app.kubernetes.io/component={component}", "--prefix", f"--tail={LINES}", "--all-containers")
        yield f"log of the {component}", _try(kubectl, *scope, "logs", *chosen)


_CONDITIONS: Final = (
    "jsonpath={range .items[*]}{.kind}/{.metadata.name}{'\\n'}{range .status.conditions[*]}"
    "  {.type}={.status} {.reason}: {.message}{'\\n'}{end}{end}"
)


def _try(kubectl: Kubectl, *arguments: str) -> str:
    try:
        result = kubectl(*arguments, timeout=20, check=False)
    except CommandError as error:
        return str(error)
    return (result.out + result.err).strip() or "(nothing)"


def _tail(text: str, lines: int) -> str:
    return "\n".join(text.splitlines()[-lines:])
