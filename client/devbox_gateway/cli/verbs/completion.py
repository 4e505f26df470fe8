"""`completion`: what a shell needs so that TAB completes `kubectl-devbox`."""

import click
from click.shell_completion import get_completion_class

from devbox_gateway.cli.app import COMPLETE, PROGRAM, program
from devbox_gateway.cli.failures import Failed
from devbox_gateway.cli.verb import Verb


@click.command(cls=Verb)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Print what a shell needs for completion of verbs, options and the names that are there.

    bash: source <(kubectl devbox completion bash). zsh: the same, after compinit. fish: kubectl devbox completion fish | source.

    It is for `kubectl-devbox`; `kubectl devbox` completes with kubectl's own completion, and
    kubectl_complete-devbox on the PATH.
    """
    found = get_completion_class(shell)
    if found is None:
        raise Failed(f"{shell} is not known here")
    completer = found(program, {}, PROGRAM, COMPLETE)
    # (Its own source() runs bash, to warn of versions before 4.4.)
    click.echo(completer.source_template % completer.source_vars())
