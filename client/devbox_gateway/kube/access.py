"""Where the API server is and who we are there: the kubeconfig's context, else the pod's own ServiceAccount.

Goes in: what the caller named, the environment, files. Comes out: `Access`. The rules are kubectl's, but for one: where nothing says
which cluster is meant, nobody guesses localhost.
"""

import os
import ssl
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from devbox_gateway.errors import AuthenticationError, InvalidError, NotFoundError

from . import kubeconfig
from .credentials import Credentials, Source, Static, TokenFile, impersonation, pem
from .exec_plugin import ExecPlugin
from .oidc import Oidc
from .proxies import proxy_for
from .secrecy import Hidden
from .trust import client_context

SERVICE_ACCOUNT: Final = Path("/var/run/secrets/kubernetes.io/serviceaccount")
NEITHER: Final = (
    "no cluster is named: there is no kubeconfig with a current context ($KUBECONFIG, ~/.kube/config), and this is no pod; "
    "set KUBECONFIG, name a context, or choose one: kubectl config use-context NAME"
)


@dataclass(frozen=True)
class Access:
    """Everything that a request to the API server needs to know."""

    url: str
    source: Source = field(repr=False)
    namespace: str = "default"
    context: str = ""
    """Its name; empty in a pod."""
    authority: bytes | None = field(default=None, repr=False)
    """PEM of the roots that are trusted; None: the system's."""
    verify: bool = True
    server_name: str | None = None
    proxy: Hidden[str] | None = None
    """(Its URL may hold a password.)"""
    headers: tuple[tuple[str, str], ...] = ()

    def tls(self, credentials: Credentials) -> ssl.SSLContext | None:
        """With the client certificate, where there is one. None: the server speaks plain HTTP."""
        if not self.url.startswith("https://"):
            return None
        try:
            context = client_context(self.authority)
        except (ssl.SSLError, UnicodeDecodeError):
            raise AuthenticationError("certificate-authority of the kubeconfig holds no certificates (PEM)") from None
        if not self.verify:
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        if credentials.certificate is not None and credentials.key is not None:
            _load(context, credentials.certificate, credentials.key)
        return context


def _load(context: ssl.SSLContext, certificate: bytes, key: Hidden[bytes]) -> None:
    """(Python reads a key from a file alone: this one is ours alone, and gone at once.)"""
    with tempfile.TemporaryDirectory(prefix="devbox-gateway-") as folder:
        path = Path(folder) / "pair.pem"
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(certificate + b"\n" + key.value)
        try:
            context.load_cert_chain(path, password=_no_password)
        except ssl.SSLError:
            raise AuthenticationError(
                "client-certificate and client-key of the kubeconfig are no pair (PEM, key not encrypted)"
            ) from None


def _no_password() -> str:
    """(Else OpenSSL asks at the terminal.)"""
    return ""


def find(
    context: str | None = None,
    path: str | os.PathLike[str] | None = None,
    environ: Mapping[str, str] | None = None,
    service_account: Path = SERVICE_ACCOUNT,
) -> Access:
    """What the caller named, or what kubectl would take. Raises the errors of kubeconfig.py and credentials.py."""
    environ = os.environ if environ is None else environ
    chosen = kubeconfig.load(kubeconfig.find(path, environ, Path.home()), context)
    if chosen is not None:
        return _of_context(chosen, environ)
    if "KUBERNETES_SERVICE_HOST" in environ and (service_account / "token").is_file():
        return _of_pod(environ, service_account)
    if named := kubeconfig.named(environ):
        raise NotFoundError(
            f"KUBECONFIG names {', '.join(map(repr, named))}, and there is no such file; set it to one that exists, or unset it "
            "for ~/.kube/config"
        )
    raise AuthenticationError(NEITHER)


def _of_context(context: kubeconfig.Context, environ: Mapping[str, str]) -> Access:
    cluster, user = context.cluster, context.user
    url = str(cluster.get("server") or "").rstrip("/")
    if urlsplit(url).scheme not in ("https", "http") or not urlsplit(url).hostname:
        raise InvalidError(
            "server", f"the cluster of context {context.name!r} has no address such as https://api.example.com:6443"
        )
    proxy = proxy_for(url, str(cluster.get("proxy-url") or ""), environ)
    return Access(
        url=url,
        source=_source(context, user),
        namespace=context.namespace or "default",
        context=context.name,
        authority=pem(cluster, "certificate-authority"),
        verify=not cluster.get("insecure-skip-tls-verify"),
        server_name=cluster.get("tls-server-name") or None,
        proxy=Hidden(proxy) if proxy else None,
        headers=tuple(impersonation(user)),
    )


def _source(context: kubeconfig.Context, user: Mapping[str, Any]) -> Source:
    if user.get("exec"):
        return ExecPlugin(user, context.cluster)
    if provider := (user.get("auth-provider") or {}).get("name"):
        if provider != "oidc":
            raise AuthenticationError(
                f"auth-provider {provider!r} of the kubeconfig is gone from Kubernetes since 1.26; use the exec plugin of your cloud "
                "(gke-gcloud-auth-plugin, kubelogin, aws eks get-token)"
            )
        return Oidc(context.user_name, user, context.user_file)
    static = Static(user)
    if user.get("tokenFile"):
        return TokenFile(Path(str(user["tokenFile"])), static.credentials)
    return static


def _of_pod(environ: Mapping[str, str], folder: Path) -> Access:
    host, port = environ["KUBERNETES_SERVICE_HOST"], environ.get("KUBERNETES_SERVICE_PORT", "443")
    namespace = folder / "namespace"
    return Access(
        url=f"https://{f'[{host}]' if ':' in host else host}:{port}",
        source=TokenFile(folder / "token"),
        namespace=namespace.read_text(encoding="utf-8").strip() if namespace.is_file() else "default",
        authority=(folder / "ca.crt").read_bytes() if (folder / "ca.crt").is_file() else None,
    )
