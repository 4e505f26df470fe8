"""Who we are for the API server, and how that is kept fresh.

Goes in: a kubeconfig's user and cluster, or the files of a pod's ServiceAccount. Comes out: `Credentials`, again and again: a `Source` is
asked before every request, and once more (`renew`) after a 401. Programs of users (exec plugins) run in exec_plugin.py, an identity
provider is asked in oidc.py.
"""

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import Any, Final, Protocol

from devbox_gateway.errors import AuthenticationError

from .secrecy import Hidden

FILE_SECONDS: Final = 60.0
"""A token file is read again after so long: kubelets write a new token into it long before the old one ends."""


@dataclass(frozen=True)
class Credentials:
    """What a request carries. `certificate` and `key` are PEM."""

    authorization: Hidden[str] | None = None
    certificate: bytes | None = None
    key: Hidden[bytes] | None = None

    @classmethod
    def bearer(cls, token: str, **more: Any) -> "Credentials":
        """Of a token."""
        return cls(Hidden(f"Bearer {token}"), **more)


class Source(Protocol):
    """Where credentials come from."""

    async def get(self, renew: bool = False) -> Credentials:
        """The current ones. `renew`: the API server did not accept the last ones. Raises AuthenticationError."""


class Static:
    """What stands in the kubeconfig itself: a certificate, a token, a user name and password, or none of these."""

    def __init__(self, user: Mapping[str, Any]) -> None:
        self.credentials = _static(user)

    async def get(self, renew: bool = False) -> Credentials:
        return self.credentials


class TokenFile:
    """A token that somebody else keeps fresh in a file."""

    def __init__(self, path: Path, credentials: Credentials = Credentials()) -> None:
        self._path, self._credentials, self._read_at = path, credentials, float("-inf")

    async def get(self, renew: bool = False) -> Credentials:
        if renew or monotonic() - self._read_at > FILE_SECONDS:
            try:
                token = self._path.read_text(encoding="ascii").strip()
            except (OSError, UnicodeDecodeError) as error:
                if self._credentials.authorization is None:
                    raise AuthenticationError(f"the token file {str(self._path)!r} can't be read: {error}") from None
            else:
                known = self._credentials
                self._credentials = Credentials.bearer(token, certificate=known.certificate, key=known.key)
            self._read_at = monotonic()
        return self._credentials


def pem(entry: Mapping[str, Any], name: str) -> bytes | None:
    """`<name>-data` (base64), else the content of the file `<name>`, else None."""
    if data := entry.get(f"{name}-data"):
        try:
            return base64.b64decode(str(data), validate=True)
        except binascii.Error:
            raise AuthenticationError(f"{name}-data of the kubeconfig is not base64") from None
    if path := entry.get(name):
        try:
            return Path(str(path)).read_bytes()
        except OSError as error:
            raise AuthenticationError(f"{name} of the kubeconfig, {str(path)!r}, can't be read: {error.strerror}") from None
    return None


def _static(user: Mapping[str, Any]) -> Credentials:
    certificate, key = pem(user, "client-certificate"), pem(user, "client-key")
    if (certificate is None) != (key is None):
        missing = "client-key" if key is None else "client-certificate"
        raise AuthenticationError(f"the kubeconfig's user has no {missing}: a certificate and its key go together")
    hidden = None if key is None else Hidden(key)
    if token := user.get("token"):
        return Credentials.bearer(str(token), certificate=certificate, key=hidden)
    if user.get("username") or user.get("password"):
        pair = f"{user.get('username', '')}:{user.get('password', '')}".encode()
        return Credentials(Hidden(f"Basic {base64.b64encode(pair).decode()}"), certificate, hidden)
    return Credentials(None, certificate, hidden)


def impersonation(user: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The headers of `as`, `as-uid`, `as-groups` and `as-user-extra`."""
    headers = [("Impersonate-User", str(user["as"]))] if user.get("as") else []
    if user.get("as-uid"):
        headers.append(("Impersonate-Uid", str(user["as-uid"])))
    headers += [("Impersonate-Group", str(group)) for group in user.get("as-groups") or []]
    for name, values in (user.get("as-user-extra") or {}).items():
        headers += [(f"Impersonate-Extra-{name}", str(value)) for value in values]
    return headers
