"""What the shell's completion offers: names that are there now.

Goes in: what is typed so far. Comes out: candidates; nothing, where the cluster does not answer within a moment: a person waits for it.
"""

import shlex
from collections.abc import Callable, Coroutine, Iterable
from typing import TYPE_CHECKING, Any, Final

import click

from .options import Options

if TYPE_CHECKING:
    from devbox_gateway.client import AsyncDevboxGateway

SECONDS: Final = 2.0
Completion = Callable[[click.Context, click.Parameter, str], list[str]]


def _options(ctx: click.Context) -> Options:
    """Of the line so far."""
    return ctx.find_object(Options) or Options()


def _offered(names: Iterable[str], incomplete: str) -> list[str]:
    """(A shell puts them into the line as they are: one that it would read otherwise, or run, is not offered.)"""
    return [name for name in sorted(names) if name.startswith(incomplete) and shlex.quote(name) == name]


def _names(ask: "Callable[[AsyncDevboxGateway], Coroutine[Any, Any, list[str]]]") -> Completion:
    def complete(ctx: click.Context, _: click.Parameter, incomplete: str) -> list[str]:
        import asyncio  # noqa: PLC0415 (not for --help)

        from devbox_gateway.client import AsyncDevboxGateway  # noqa: PLC0415 (it loads aiohttp)
        from devbox_gateway.kube.timing import within  # noqa: PLC0415

        options = _options(ctx)

        async def asked() -> list[str]:
            async with AsyncDevboxGateway(
                namespace=options.namespace, context=options.context, kubeconfig=options.kubeconfig
            ) as client:
                return await within(SECONDS, ask(client))

        try:
            return _offered(asyncio.run(asked()), incomplete)
        except Exception:
            return []

    return complete


async def _devboxes(client: "AsyncDevboxGateway") -> list[str]:
    return [found._reference.name for found in await client.devboxes.list()]


async def _gateway_configs(client: "AsyncDevboxGateway") -> list[str]:
    return [found._reference.name for found in await client.gateway_configs.list()]


async def _secrets(client: "AsyncDevboxGateway") -> list[str]:
    return [found.name for found in await client.secrets.list()]


async def _policies(client: "AsyncDevboxGateway") -> list[str]:
    return [found._reference.name for found in await client.network_policies.list()]


async def _namespaces(client: "AsyncDevboxGateway") -> list[str]:
    return [found["metadata"]["name"] for found in await client._session.list("/api/v1/namespaces")]


devboxes, gateway_configs, secrets = _names(_devboxes), _names(_gateway_configs), _names(_secrets)
policies, namespaces = _names(_policies), _names(_namespaces)


def contexts(ctx: click.Context, _: click.Parameter, incomplete: str) -> list[str]:
    """Of the kubeconfig."""
    import os  # noqa: PLC0415
    from pathlib import Path  # noqa: PLC0415

    from devbox_gateway.kube import kubeconfig  # noqa: PLC0415 (it loads yaml)

    try:
        paths = kubeconfig.find(_options(ctx).kubeconfig, os.environ, Path.home())
        return _offered(kubeconfig.contexts(paths), incomplete)
    except Exception:
        return []
