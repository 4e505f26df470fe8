"""A verb at work: the cluster it talks to, what it prints, and signals that end it.

Goes in: the options, a coroutine function. Comes out: an exit code. A first Ctrl-C (or TERM, HUP) cancels the work, which cleans up after
itself; another one cancels that, too.
"""

import asyncio
import logging
import signal
import sys
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, TypeVar

import click

from devbox_gateway.errors import DevboxGatewayError, NotFoundError, PermissionDeniedError
from devbox_gateway.naming import Kind

from . import output
from .failures import INTERRUPTED, Failed, code_of, text_of
from .options import Options
from .output import Column
from .plain import message

if TYPE_CHECKING:
    from devbox_gateway.client import AsyncDevboxGateway
    from devbox_gateway.objects.base import Resource

R = TypeVar("R", bound="Resource")
ENDING = ("SIGINT", "SIGTERM", "SIGHUP")


class Here:
    """What a verb has to work with."""

    def __init__(self, options: Options, own_failure: int | None = None) -> None:
        self.options = options
        self._own_failure = own_failure
        self._client: AsyncDevboxGateway | None = None
        self.signal: int | None = None
        """The last one that came."""
        self.on_signal: Callable[[int], bool] | None = None
        """Asked first; True: it has taken care of it, and the work goes on."""
        self._task: asyncio.Task[Any] | None = None

    @property
    def client(self) -> "AsyncDevboxGateway":
        """The cluster. Raises what is wrong with the kubeconfig."""
        if self._client is None:
            from devbox_gateway.client import AsyncDevboxGateway  # noqa: PLC0415 (it loads aiohttp)

            options = self.options
            self._client = AsyncDevboxGateway(
                namespace=options.namespace, context=options.context, kubeconfig=options.kubeconfig
            )
        return self._client

    def run(self, work: "Callable[[Here], Awaitable[int | None]]") -> int:
        """Do it. (What the client logs for programs, verbs say in words of their own.)"""
        log = logging.getLogger("devbox_gateway")
        level = log.level
        log.setLevel(logging.CRITICAL)
        try:
            return asyncio.run(self._run(work)) or 0
        except (asyncio.CancelledError, KeyboardInterrupt):
            return INTERRUPTED + (self.signal or signal.SIGINT)
        except DevboxGatewayError as error:
            raise Failed(text_of(error), self._own_failure or code_of(error)) from None
        finally:
            log.setLevel(level)

    async def _run(self, work: "Callable[[Here], Awaitable[int | None]]") -> int | None:
        self._task = asyncio.current_task()
        loop = asyncio.get_running_loop()
        for name in ENDING:
            number = getattr(signal, name, None)
            # (What is ignored, as HUP under nohup, stays so.)
            if number is not None and signal.getsignal(number) is not signal.SIG_IGN:
                with suppress(NotImplementedError, ValueError, RuntimeError):
                    loop.add_signal_handler(number, self._signalled, number)
        try:
            return await work(self)
        finally:
            if self._client is not None:
                await self._client.close()

    def _signalled(self, number: int) -> None:
        self.signal = number
        if self.on_signal is not None and self.on_signal(number):
            return
        if self._task is not None:
            self._task.cancel()

    @property
    def wide(self) -> bool:
        """-o wide."""
        return self.options.output == "wide"

    def say(self, text: str) -> None:
        """Words of ours, to stdout; others' words in them go through `plain.cell` first."""
        click.echo(text)

    def note(self, text: str) -> None:
        """To stderr, so that stdout is the result alone."""
        click.echo(message(text), err=True)

    def show_document(self, document: object) -> None:
        """As -o json or yaml says."""
        click.echo(output.as_yaml(document) if self.options.output == "yaml" else output.as_json(document))

    def show_table(self, columns: Sequence[Column], rows: Sequence[Any], empty: str = "") -> None:
        """For people; `empty`: said on stderr where there are no rows."""
        if not rows and empty:
            self.note(empty)
            return
        click.echo(output.table(columns, rows, wide=self.wide, colours=output.colours_wanted()), color=True)

    def show_objects(
        self, kind: Kind, found: "Sequence[Resource]", columns: Sequence[Column], *, empty: str = "", one: bool = False
    ) -> None:
        """As -o says. `one`: a single object, no list."""
        seen = [resource._seen for resource in found]
        if self.options.output == "name":
            for resource in found:
                click.echo(output.as_name(kind, resource._reference.name))
        elif self.options.output in ("json", "yaml"):
            documents = [output.document(kind, item) for item in seen]
            self.show_document(documents[0] if one else {"apiVersion": "v1", "kind": "List", "items": documents})
        else:
            self.show_table(columns, seen, empty)

    def done(self, resource: "Resource", what: str) -> None:
        """One object that something was done to: `devbox/agent created`, or as -o says."""
        if self.options.output in ("json", "yaml", "name"):
            self.show_objects(resource.kind, [resource], (), one=True)
        else:
            click.echo(f"{output.as_name(resource.kind, resource._reference.name)} {what}")

    async def made(self, asked: "Resource", making: "Coroutine[Any, Any, R]", new: str = "created") -> "R":
        """Says `new` of what is made, and `unchanged` of one that was there as asked for (which the client takes)."""
        try:
            there = await _is_there(asked)
        except BaseException:
            making.close()
            raise
        resource = await making
        self.done(resource, "unchanged" if there else new)
        return resource

    def terminal(self) -> bool:
        """Whether somebody looks at what we say on the way."""
        return sys.stderr.isatty()


async def _is_there(resource: "Resource") -> bool:
    """(Who may make it and not look at it is told that it is made.)"""
    try:
        await resource._read()
    except (NotFoundError, PermissionDeniedError):
        return False
    return True
