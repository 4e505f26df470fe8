"""What every verb has: the options that say which cluster and how to print, and a cluster to work with.

    @verb()
    @click.argument("name")
    async def restart(here: Here, name: str) -> None: ...

Goes in: a function. Comes out: a click command, for the table of verbs.
"""

from collections.abc import Awaitable, Callable
from typing import Any, Final

import click

from .complete import contexts, namespaces
from .options import Options
from .output import FORMATS


def _keep(ctx: click.Context, option: click.Parameter, value: str | None) -> None:
    if value is not None and option.name is not None:
        setattr(ctx.ensure_object(Options), option.name, value)


def global_options() -> list[click.Parameter]:
    """For every verb, and for the program itself: they may stand before the verb or after it."""
    common: dict[str, Any] = {"expose_value": False, "callback": _keep}
    return [
        click.Option(["-n", "--namespace"], metavar="NAME", help="Namespace; else the context's.", shell_complete=namespaces, **common),
        click.Option(["--context"], metavar="NAME", help="Context; else the current one.", shell_complete=contexts, **common),
        click.Option(["--kubeconfig"], metavar="FILE", type=click.Path(), help="Kubeconfig; else $KUBECONFIG, ~/.kube/config.", **common),
        click.Option(["-o", "--output"], type=click.Choice(FORMATS), help="How to print.", **common),
    ]  # fmt: skip


class Verb(click.Command):
    """A command with the options that all have."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **{"context_settings": {"help_option_names": ["-h", "--help"]}, **kwargs})
        self.params += global_options()


OTHER_WORDS: Final = {
    "list": ("ls",),
    "get": ("ls",),
    "ps": ("ls",),
    "describe": ("get", "ls"),
    "show": ("get", "ls"),
    "delete": ("rm",),
    "remove": ("rm",),
    "stop": ("rm",),
    "new": ("create",),
    "make": ("create",),
    "apply": ("create",),
    "add": ("create",),
    "edit": ("update", "rotate"),
    "set": ("update", "rotate"),
    "update": ("rotate",),
    "ssh": ("shell",),
    "attach": ("shell",),
    "copy": ("cp",),
    "log": ("logs",),
    "pause": ("suspend",),
    "unpause": ("resume",),
    "start": ("create",),
}
"""What other programs call it."""


class Verbs(click.Group):
    """Several under one name, likewise: `kubectl devbox secret ls`."""

    command_class = Verb

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **{"context_settings": {"help_option_names": ["-h", "--help"]}, **kwargs})
        self.params += global_options()

    def resolve_command(self, ctx: click.Context, args: list[str]) -> tuple[str | None, click.Command | None, list[str]]:
        """Says which verb is meant, where others call it so."""
        here = self.list_commands(ctx)
        meant = next((verb for verb in OTHER_WORDS.get(args[0], ()) if verb in here), None)
        if meant is not None and args[0] not in here:
            raise click.UsageError(f"No such command {args[0]!r}; here it is {meant!r}", ctx)
        return super().resolve_command(ctx, args)


def _sync(function: Callable[..., Awaitable[int | None]], own_failure: int | None) -> Callable[..., None]:
    def run(**given: Any) -> None:
        from .work import Here  # noqa: PLC0415 (it loads asyncio, which --help needs not)

        ctx = click.get_current_context()
        ctx.exit(Here(ctx.ensure_object(Options), own_failure).run(lambda here: function(here, **given)))

    run.__name__, run.__doc__ = function.__name__, function.__doc__
    if hasattr(function, "__click_params__"):
        run.__click_params__ = function.__click_params__  # type: ignore[attr-defined]
    return run


def verb(
    name: str | None = None, *, group: Verbs | None = None, own_failure: int | None = None
) -> Callable[[Callable[..., Awaitable[int | None]]], click.Command]:
    """Make a command of a coroutine function, whose first argument is a `Here`; what it returns is the exit code.

    own_failure: the exit code of every failure of ours, where others are those of a command in a devbox.
    """

    def made(function: Callable[..., Awaitable[int | None]]) -> click.Command:
        command = click.command(name or function.__name__.replace("_", "-"), cls=Verb)(_sync(function, own_failure))
        if group is not None:
            group.add_command(command)
        return command

    return made
