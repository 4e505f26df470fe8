"""Where a gateway leads: an API's address, taken apart once.

Goes in: `spec.endpoint`. Comes out: an `Endpoint`, or a ValueError. Pure.
"""

import hashlib
from dataclasses import dataclass
from urllib.parse import urlsplit

from .paths import BasePath
from .providers import provider


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where a gateway leads."""

    scheme: str
    host: str
    """Lower case, without the brackets of an IPv6 address."""
    port: int
    path: str
    """Without a slash at its end; empty for the root."""

    @property
    def origin(self) -> str:
        """`https://api.example.com`, the port only if it is not the scheme's own."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}" + ("" if self.port == _PORTS[self.scheme] else f":{self.port}")


_PORTS = {"https": 443, "http": 80}


def parse_endpoint(url: str) -> Endpoint:
    """An absolute http(s) URL, as the CRD lets it pass. Raises ValueError."""
    parts = urlsplit(url)
    if parts.scheme not in _PORTS or not parts.hostname or parts.username is not None or parts.query or parts.fragment:
        raise ValueError("not an endpoint")
    return Endpoint(parts.scheme, parts.hostname, parts.port or _PORTS[parts.scheme], parts.path.rstrip("/"))


def trust_of(ca_bundle: str) -> str:
    """SHA-256 of the roots that alone count for an API; empty: those of the gateway's settings do."""
    return hashlib.sha256(ca_bundle.encode()).hexdigest() if ca_bundle else ""


def dialled(endpoint: Endpoint, trust: str) -> str:
    """What a dial was about: where to, and against which roots a certificate was checked. What was found before an edit of either says
    nothing of what is there now."""
    return f"{endpoint.origin} {trust or '-'}"


def base_path(endpoint: Endpoint) -> BasePath:
    """What stands before paths: the endpoint's own before all of them, or where the API is known to live."""
    if endpoint.path:
        return BasePath(endpoint.path.encode())
    row = provider(endpoint.host)
    return BasePath(row.base_path.encode(), row.base_path_of)
