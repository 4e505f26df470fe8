"""How the API server is reached: its address, whom to trust, who we are.

Goes in: a pod's service account, or a kubeconfig. Comes out: an `Access`. In a pod these are three files that Kubernetes promises
(kubernetes.io: "Accessing the Kubernetes API from a Pod"), so the `kubernetes` package, which takes 0.6 s to import, is left to
kubeconfigs with their exec plugins and renewals.
"""

import os
import ssl
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from .clock import now
from .redacted import Redacted
from .trust import client_context

SERVICE_ACCOUNT: Final = Path("/var/run/secrets/kubernetes.io/serviceaccount")
TOKEN_SECONDS: Final = 60.0
"""A token is read anew after this long: the kubelet writes a new one at 80 % of its life (client-go does the same)."""


class NoAccess(Exception):
    """There is no way to the API server; the text says what is missing."""


async def _nobody() -> Redacted | None:
    return None


@dataclass(frozen=True)
class Access:
    """An API server as one client sees it."""

    base: str
    """URL without a slash at its end."""
    tls: ssl.SSLContext | None = None
    authorization: Callable[[], Awaitable[Redacted | None]] = _nobody
    """The value of the header, at this moment; None: the certificate says who we are."""


async def find(kubeconfig: Path | None = None) -> Access:
    """For `kubeconfig`, or the cluster we run in, or $KUBECONFIG; the first that there is. Raises NoAccess."""
    if kubeconfig is None and os.environ.get("KUBERNETES_SERVICE_HOST"):
        return in_cluster()
    return await _from_kubeconfig(kubeconfig)


def in_cluster(folder: Path = SERVICE_ACCOUNT) -> Access:
    """As the pod's service account. Raises NoAccess."""
    host, port = os.environ["KUBERNETES_SERVICE_HOST"], os.environ.get("KUBERNETES_SERVICE_PORT") or "443"
    try:
        tls = client_context(cafile=folder / "ca.crt")
        account = _ServiceAccount(folder / "token")
    except OSError as error:  # an ssl.SSLError is one
        raise NoAccess(f"the pod's service account can't be read ({error}); is automountServiceAccountToken off?") from None
    return Access(f"https://[{host}]:{port}" if ":" in host else f"https://{host}:{port}", tls, account.authorization)


class _ServiceAccount:
    """The token file."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._read()

    def _read(self) -> None:
        self._value = Redacted("Bearer " + self._file.read_text(encoding="ascii").strip())
        self._until = now() + TOKEN_SECONDS

    async def authorization(self) -> Redacted:
        if now() > self._until:
            self._read()
        return self._value


async def _from_kubeconfig(path: Path | None) -> Access:
    from kubernetes.aio.client.configuration import Configuration  # noqa: PLC0415 (slow, and not needed in a pod)
    from kubernetes.aio.client.rest import RESTClientObject  # noqa: PLC0415
    from kubernetes.aio.config.config_exception import ConfigException  # noqa: PLC0415
    from kubernetes.aio.config.kube_config import load_kube_config  # noqa: PLC0415

    configuration = Configuration()
    configuration.disable_strict_ssl_verification = True  # as in a pod (trust.py)
    try:
        await load_kube_config(str(path) if path else None, client_configuration=configuration)  # type: ignore[no-untyped-call]
    except ConfigException as error:
        raise NoAccess(f"no pod's service account, and no kubeconfig: {error}") from None

    async def authorization() -> Redacted | None:
        value = await configuration.get_api_key_with_prefix("BearerToken")
        return Redacted(value) if value else None

    return Access(str(configuration.host).rstrip("/"), RESTClientObject(configuration).ssl_context, authorization)
