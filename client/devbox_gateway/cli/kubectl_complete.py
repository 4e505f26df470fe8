"""`kubectl_complete-devbox`: what kubectl runs so that `kubectl devbox <TAB>` completes.

Goes in: the words after `kubectl devbox`, the last one being typed. Comes out: candidates, one a line, and cobra's directive, as
kubectl reads them (https://kubernetes.io/docs/tasks/extend-kubectl/kubectl-plugins/).
"""

import sys
from collections.abc import Sequence
from typing import Final, NoReturn

import click
from click.shell_completion import ShellComplete

NO_FILES: Final = 4
FILES: Final = 0
"""Whether the shell offers files where nothing is offered here."""


def answer(words: Sequence[str]) -> str:
    """All lines of it."""
    from .app import NAME, program  # noqa: PLC0415

    *before, typed = words or ("",)
    found = ShellComplete(program, {}, NAME, "").get_completions(list(before), typed)
    if found and all(item.type in ("file", "dir") for item in found):
        return f":{FILES}"
    lines = [f"{item.value}\t{item.help.splitlines()[0]}" if item.help else str(item.value) for item in found]
    return "\n".join([*lines, f":{NO_FILES}"])


def main() -> NoReturn:
    """The console script."""
    try:
        click.echo(answer(sys.argv[1:]))
    except Exception:
        click.echo(f":{NO_FILES}")
    sys.exit(0)


if __name__ == "__main__":
    main()
