"""What is asked about: a method and a URL, taken apart without changing a byte of what the gateway would get.

Goes in: text that a person types. Comes out: an `Asked`, or InvalidError. Pure.
"""

import re
from dataclasses import dataclass
from typing import Final

from devbox_api.judge.targets import Target, parse
from devbox_gateway.errors import InvalidError

PORTS: Final = {"https": 443, "http": 80}
_SCHEMES: Final = {"https": "https", "http": "http", "wss": "https", "ws": "http"}
"""A WebSocket's handshake is a GET."""
_VARIABLE: Final = re.compile(r"\$(?:\{([A-Z][A-Z0-9_]*)_URL\}|([A-Z][A-Z0-9_]*)_URL)(?=[/?#]|\Z)")
_URL: Final = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://([^/?#]*)(.*)", re.DOTALL)
_AUTHORITY: Final = re.compile(r"(\[[^\]]*\]|[^:]*)(?::([0-9]*))?")
_METHOD: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,32}")
_UNSENT: Final = re.compile(rb"[^!-~]")
MOST: Final = 64 << 10
"""Characters of a URL."""


@dataclass(frozen=True)
class Asked:
    """One request."""

    method: str
    variable: str
    """`ANTHROPIC` of `$ANTHROPIC_URL/v1/messages`; empty for a whole URL."""
    scheme: str
    host: str
    """As it was written; empty where a variable stands for it."""
    port: int
    where: Target | None
    """The host as it is compared; None for an invalid one."""
    target: bytes
    """Path and query, as they would be sent."""

    @property
    def shown(self) -> str:
        """Without the query, which may hold what nobody should read."""
        path = self.target.partition(b"?")[0].decode("utf-8", "replace")
        if self.method == "CONNECT":
            return self.authority
        return f"${self.variable}_URL{path}" if self.variable else f"{self.scheme}://{self.authority}{path}"

    @property
    def authority(self) -> str:
        """`api.example.com`, the port only if it is not the scheme's own."""
        host = self.where.host if self.where else self.host
        host = f"[{host}]" if ":" in host and not host.startswith("[") else host
        plain = self.method != "CONNECT" and self.port == PORTS.get(self.scheme)
        return host if plain else f"{host}:{self.port}"


def read(method: str, url: str) -> Asked:
    """What a person typed. Raises InvalidError, which never holds the query."""
    method = method.upper()
    if not _METHOD.fullmatch(method):
        raise InvalidError("METHOD", "write an HTTP method, e.g. GET or POST")
    if len(url) > MOST:
        raise InvalidError("URL", f"it has more than {MOST} characters")
    if method == "CONNECT":
        return _connect(url)
    if variable := _VARIABLE.match(url):
        name = variable[1] or variable[2]
        return Asked(method, name, "https", "", 443, None, _target(url[variable.end() :]))
    parts = _URL.fullmatch(url)
    scheme = _SCHEMES.get(parts[1].lower()) if parts else None
    if parts is None or scheme is None:
        raise InvalidError(
            "URL",
            "write all of it, e.g. https://api.anthropic.com/v1/messages, or '$ANTHROPIC_URL/v1/messages' in single quotes",
        )
    host, port = _authority(parts[2], PORTS[scheme])
    return Asked(method, "", scheme, host, port, _where(host, port), _target(parts[3]))


def _connect(url: str) -> Asked:
    host, port = _authority(url.removeprefix("https://").rstrip("/"), 443)
    return Asked("CONNECT", "", "https", host, port, _where(host, port), b"/")


def _authority(text: str, port: int) -> tuple[str, int]:
    if "@" in text:
        raise InvalidError("URL", "leave out the user and password before the '@'")
    found = _AUTHORITY.fullmatch(text)
    if found is None or not found[1] or int(found[2] or port) > 65535:
        raise InvalidError("URL", "it names no host, or an invalid port; write e.g. https://api.example.com:8443/v1")
    return found[1], int(found[2] or port)


def _where(host: str, port: int) -> Target | None:
    """As clients send it: names of other scripts as punycode."""
    try:
        plain = host.encode("ascii")
    except UnicodeEncodeError:
        try:
            plain = host.encode("idna")
        except UnicodeError:
            return None
    return parse(plain + b":" + str(port).encode())


def _target(rest: str) -> bytes:
    """As clients send it: without the fragment, and what no request line may hold (spaces, other scripts) percent-encoded."""
    sent = _UNSENT.sub(lambda found: b"%%%02X" % found[0][0], rest.partition("#")[0].encode("utf-8", "surrogateescape"))
    return sent if sent.startswith(b"/") else b"/" + sent
