"""`client.api`: the four resources by their plain verbs, as people who know a REST client expect them.

Everything here is one call of the collections beside it.
"""

import inspect
from collections.abc import Awaitable, Callable
from typing import Any, Protocol

from devbox_gateway.errors import InvalidError
from devbox_gateway.objects.devboxes import AsyncDevboxes
from devbox_gateway.objects.gateway_configs import AsyncGatewayConfigs
from devbox_gateway.objects.network_policies import AsyncNetworkPolicies
from devbox_gateway.objects.secrets import AsyncSecrets


class _Collection(Protocol):
    async def list(self) -> Any: ...

    def from_id(self, id: str) -> Any: ...  # noqa: A002 (the name that users know)


class AsyncResource:
    """create, retrieve, list, update, delete of one kind, by its id or name."""

    def __init__(self, collection: _Collection, create: Callable[..., Awaitable[Any]]) -> None:
        self._collection, self._create = collection, create

    async def create(self, /, **fields: Any) -> Any:
        """Make one (a devbox: without waiting for it)."""
        return await _with(self._create, fields)

    async def retrieve(self, id: str) -> Any:  # noqa: A002
        """What `get_info()` says of it."""
        return await self._collection.from_id(id).get_info()

    async def list(self) -> Any:
        """All there are."""
        return await self._collection.list()

    async def update(self, /, id: str, *unnamed: object, **fields: Any) -> Any:  # noqa: A002
        """Change what is given, by name: `update("MY_KEY", value="sk-…")`."""
        if unnamed:
            raise InvalidError("update", 'say by name what is to change, e.g. update("MY_KEY", value="sk-…")')
        update = getattr(self._collection.from_id(id), "update", None)
        if update is None:
            raise InvalidError("update", "a devbox is changed by kubectl edit dbx, and takes that up by restart()")
        return await _with(update, fields)

    async def delete(self, id: str) -> None:  # noqa: A002
        """Delete it, for good."""
        await self._collection.from_id(id).delete()


async def _with(method: Callable[..., Awaitable[Any]], fields: dict[str, Any]) -> Any:
    """Its result. Raises InvalidError for fields that it does not have, or lacks."""
    try:
        inspect.signature(method).bind(**fields)
    except TypeError as error:
        known = ", ".join(inspect.signature(method).parameters)
        raise InvalidError("", f"{error}; it takes {known}") from None
    return await method(**fields)


class AsyncApi:
    """The four."""

    def __init__(
        self,
        gateway_configs: AsyncGatewayConfigs,
        secrets: AsyncSecrets,
        network_policies: AsyncNetworkPolicies,
        devboxes: AsyncDevboxes,
    ) -> None:
        self.gateway_configs = AsyncResource(gateway_configs, gateway_configs.create)
        self.secrets = AsyncResource(secrets, secrets.create)
        self.network_policies = AsyncResource(network_policies, network_policies.create)
        self.devboxes = AsyncResource(devboxes, devboxes.create_async)
