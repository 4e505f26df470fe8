"""The client: one cluster, one namespace, and what a person makes there.

Goes in: a kubeconfig's context, or nothing (what kubectl would take). Comes out: the collections.
"""

import os
import re
from types import TracebackType
from typing import Final

from devbox_gateway.errors import InvalidError
from devbox_gateway.kube.access import find
from devbox_gateway.kube.session import Session
from devbox_gateway.objects.base import Cluster
from devbox_gateway.objects.devboxes import AsyncDevboxes
from devbox_gateway.objects.gateway_configs import AsyncGatewayConfigs
from devbox_gateway.objects.network_policies import AsyncNetworkPolicies
from devbox_gateway.objects.secrets import AsyncSecrets
from devbox_gateway.raw import AsyncApi
from devbox_gateway.version import __version__

_NAMESPACE: Final = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")


class AsyncDevboxGateway:
    """A cluster with devbox-gateway in it. Singular and plural names are the same: `devbox`, `devboxes`.

    `async with AsyncDevboxGateway() as client:`, or `await client.close()` at the end. It belongs to the event loop that it is first
    used on.
    """

    def __init__(
        self, *, namespace: str | None = None, context: str | None = None, kubeconfig: str | os.PathLike[str] | None = None
    ) -> None:
        """Nothing is dialled here. Raises NotFoundError, InvalidError, AuthenticationError for a wrong kubeconfig."""
        if context is not None and not isinstance(context, str):
            raise InvalidError("context", f"the name of a context belongs here, not {type(context).__name__}")
        if kubeconfig is not None and not isinstance(kubeconfig, (str, os.PathLike)):
            raise InvalidError("kubeconfig", f"the path of a file belongs here, not {type(kubeconfig).__name__}")
        access = find(context, kubeconfig)
        if namespace is not None and not (isinstance(namespace, str) and _NAMESPACE.fullmatch(namespace)):
            raise InvalidError("namespace", f"{namespace!r} is no name of a namespace: lower-case letters, digits and '-'")
        self.namespace = namespace or access.namespace
        self._session = Session(access, f"devbox-gateway-client/{__version__}")
        cluster = Cluster(self._session, self.namespace)
        self.gateway_configs = self.gateway_config = AsyncGatewayConfigs(cluster)
        self.secrets = self.secret = AsyncSecrets(cluster)
        self.network_policies = self.network_policy = AsyncNetworkPolicies(cluster)
        self.devboxes = self.devbox = AsyncDevboxes(cluster)
        self.api = AsyncApi(self.gateway_configs, self.secrets, self.network_policies, self.devboxes)

    async def close(self) -> None:
        """End its connections."""
        await self._session.close()

    async def __aenter__(self) -> "AsyncDevboxGateway":
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    def __repr__(self) -> str:
        return f"AsyncDevboxGateway(namespace={self.namespace!r}, cluster={self._session.access.url!r})"
