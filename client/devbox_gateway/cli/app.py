"""`kubectl devbox`: the program. Verbs are loaded when they are used, so that --help and completion are quick.

Goes in: argv. Comes out: an exit code, and whatever the verb prints. No failure shows a traceback.
"""

import importlib
import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from typing import Final, NoReturn

import click
from click.shell_completion import CompletionItem

from devbox_gateway.version import __version__

from .failures import FAILED, INTERRUPTED, PIPE, USAGE, Failed, text_of
from .options import Options
from .plain import message
from .table import BEGIN, MANAGE, OTHER, VERBS, WORK
from .verb import Verbs

NAME: Final = "kubectl devbox"
PROGRAM: Final = "kubectl-devbox"
COMPLETE: Final = "_KUBECTL_DEVBOX_COMPLETE"
"""Set by the shells' completion (verbs/completion.py)."""
HELP: Final = """Devboxes on Kubernetes: agents get the use of an API, never its key.

Options may stand before the verb or after it. Every verb has --help."""


class Program(Verbs):
    """All verbs, by table.py."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in VERBS:
            return None
        module, _, attribute = VERBS[cmd_name].place.partition(":")
        command: click.Command = getattr(importlib.import_module(f"{__package__}.verbs.{module}"), attribute)
        return command

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """By the table, too."""
        verbs = [CompletionItem(name, help=entry.help) for name, entry in VERBS.items() if name.startswith(incomplete)]
        return verbs + click.Command.shell_complete(self, ctx, incomplete)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        for section in (BEGIN, WORK, MANAGE, OTHER):
            rows = [(name, entry.help) for name, entry in VERBS.items() if entry.section == section]
            if rows:
                with formatter.section(section):
                    formatter.write_dl(rows)


program = Program("devbox", help=HELP, invoke_without_command=False, no_args_is_help=True)
click.version_option(__version__, "--version", message=f"{NAME} %(version)s")(program)


def run(arguments: Sequence[str] | None = None) -> int:
    """Its exit code."""
    if instruction := os.environ.get(COMPLETE):
        return _complete(instruction)
    try:
        done = program.main(arguments, prog_name=NAME, standalone_mode=False, obj=Options())
        sys.stdout.flush()
    except (BrokenPipeError, SystemExit):
        # (click's own way of telling it.)
        _leave_pipe()
        return PIPE
    except Failed as error:
        return _failed(str(error), error.code)
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.ctx.get_help() if error.ctx else "")
        return USAGE
    except click.UsageError as error:
        hint = f" (see {error.ctx.command_path} --help)" if error.ctx is not None else ""
        # (click lists choices one below the other.)
        return _failed(f"{' '.join(error.format_message().split()).rstrip('.')}{hint}", error.exit_code)
    except click.ClickException as error:
        return _failed(error.format_message(), error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        return INTERRUPTED + 2
    except Exception as error:
        return _failed(text_of(error), FAILED)
    return done if isinstance(done, int) else 0


def _complete(instruction: str) -> int:
    from click.shell_completion import shell_complete  # noqa: PLC0415 (for shells alone)

    try:
        return shell_complete(program, {}, PROGRAM, COMPLETE, instruction)
    except Exception:
        return FAILED


def _failed(text: str, code: int) -> int:
    with suppress(OSError):
        click.echo(f"{NAME}: {message(text)}", err=True)
    return code


def _leave_pipe() -> None:
    """(Else Python complains at its end, of what it could not write.)"""
    with suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def main() -> NoReturn:
    """The console script."""
    sys.exit(run())
