"""Which proxy leads to the API server, by the rules of Go's programs, kubectl's among them.

Goes in: the server's address, `proxy-url` of the kubeconfig, the environment. Comes out: the proxy's URL, or None.
Source: https://pkg.go.dev/golang.org/x/net/http/httpproxy#Config
"""

import ipaddress
from collections.abc import Mapping
from typing import Final
from urllib.parse import urlsplit

from devbox_gateway.errors import InvalidError

DEFAULT_PORTS: Final = {"https": 443, "http": 80}


def proxy_for(url: str, configured: str, environ: Mapping[str, str]) -> str | None:
    """`configured` counts before the environment. Raises InvalidError for a proxy of a kind that can't be spoken to."""
    parts = urlsplit(url)
    proxy = configured or ("" if _excepted(url, environ) else _of(environ, f"{parts.scheme}_proxy"))
    if not proxy:
        return None
    if "://" not in proxy:
        proxy = f"http://{proxy}"
    if urlsplit(proxy).scheme not in ("http", "https"):
        scheme = urlsplit(proxy).scheme
        raise InvalidError("proxy-url", f"a proxy of kind {scheme!r} can't be used here; give the address of an HTTP proxy")
    return proxy


def _of(environ: Mapping[str, str], name: str) -> str:
    return environ.get(name.upper()) or environ.get(name) or ""


def _excepted(url: str, environ: Mapping[str, str]) -> bool:
    parts = urlsplit(url)
    host, port = (parts.hostname or "").rstrip("."), parts.port or DEFAULT_PORTS.get(parts.scheme, 0)
    address = _address(host)
    if host == "localhost" or (address is not None and address.is_loopback):
        return True
    return any(_matches(entry.strip().lower(), host, port, address) for entry in _of(environ, "no_proxy").split(","))


def _matches(entry: str, host: str, port: int, address: ipaddress.IPv4Address | ipaddress.IPv6Address | None) -> bool:
    if entry in ("", "*"):
        return entry == "*"
    if "/" in entry:
        try:
            return address is not None and address in ipaddress.ip_network(entry, strict=False)
        except ValueError:
            return False
    name, _, number = (
        entry.rpartition(":") if entry.count(":") == 1 or (entry.startswith("[") and "]:" in entry) else (entry, "", "")
    )
    if number and number != str(port):
        return False
    name = name.strip("[]")
    if (listed := _address(name)) is not None:
        return listed == address
    return host.endswith(name if name.startswith(".") else f".{name}") or host == name.removeprefix("*")


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        return None
