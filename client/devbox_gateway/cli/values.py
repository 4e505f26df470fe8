"""A credential on its way in: from stdin, a file, or a prompt that shows nothing; never from the line.

(What stands in the line is in the shell's history, and every user of the machine sees it in `ps`.)
"""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, TypeVar

import click

from devbox_api.judge.doubts import USUAL, Place, doubts
from devbox_api.judge.keys import flaw
from devbox_gateway.errors import InvalidError
from devbox_gateway.objects.secrets import MOST

F = TypeVar("F", bound=Callable[..., Any])
REFUSED: Final = (
    "a value does not belong in the line, where the shell's history and `ps` keep it: give it on stdin, with --from-file, or at the "
    "prompt. If this was one, replace it where it comes from"
)


def _refuse(_: click.Context, __: click.Parameter, words: tuple[str, ...]) -> None:
    if words:
        raise click.UsageError(REFUSED)


def value_option(function: F) -> F:
    """--from-file, and a refusal, which does not repeat it, of what else stands in the line."""
    refused = click.argument("words", nargs=-1, type=click.UNPROCESSED, callback=_refuse, expose_value=False, metavar="")
    given = click.option("--from-file", metavar="FILE", help="Where the value is; `-`: stdin. Else stdin, or a prompt.")
    return refused(given(function))


def read(from_file: str | None, what: str) -> str:
    """The value, without the line's end behind it. Raises InvalidError."""
    if from_file is not None and from_file != "-":
        try:
            with Path(from_file).open("rb") as file:
                content = file.read(MOST + 3)
        except OSError as error:
            raise InvalidError("--from-file", f"{from_file}: {error.strerror}") from None
    elif sys.stdin.isatty() and from_file is None:
        content = click.prompt(what, hide_input=True, err=True, show_default=False).encode("utf-8", "surrogateescape")
    else:
        content = sys.stdin.buffer.read(MOST + 3)
    try:
        value = str(content, "utf-8").rstrip("\r\n")
    except UnicodeDecodeError:
        raise InvalidError("value", "a secret is text (UTF-8)") from None
    if not value.strip():
        raise InvalidError("value", "nothing was given: write it to stdin, or name a file with --from-file")
    if len(value.encode()) > MOST:
        raise InvalidError("value", f"a secret has at most {MOST} bytes")
    return value


def remarks(value: str, place: Place = USUAL) -> list[str]:
    """What of a credential the gateway will refuse, or looks like a mistake: for people, with nothing of the value."""
    if (found := flaw(value)) is not None:
        return [f"it is stored, but no gateway will use it: {found.value}"]
    return [f"it is used as it is, but the value {doubt.value}" for doubt in doubts(value, place)]
