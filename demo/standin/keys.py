"""Which keys are good, known by their SHA-256 alone.

Goes in: a config document `{"anthropic": {"<hex SHA-256>": "<whose>"}, ...}`. Comes out: whose key a presented value is, or None. Replaced
as a whole by the admin port while the server runs.
"""

import hashlib
from collections.abc import Mapping
from typing import Final

APIS: Final = ("anthropic", "openai", "google", "internal")


class BadKeysError(ValueError):
    """The document is not of the shape above; the text says where."""


class KeyRing:
    """The keys of all APIs."""

    def __init__(self, document: object) -> None:
        self._owners: dict[str, dict[str, str]] = {}
        self.replace(document)

    def replace(self, document: object) -> None:
        """Take `document` in place of what was there. Raises `BadKeysError` and then changes nothing."""
        self._owners = self._checked(document)

    def add(self, document: object) -> None:
        """Take `document` in addition. Raises `BadKeysError`."""
        for api, entries in self._checked(document).items():
            self._owners[api] = {**self._owners.get(api, {}), **entries}

    def remove(self, document: object) -> None:
        """Forget the keys in `document`. Raises `BadKeysError`."""
        for api, entries in self._checked(document).items():
            self._owners[api] = {key: owner for key, owner in self._owners.get(api, {}).items() if key not in entries}

    @staticmethod
    def _checked(document: object) -> dict[str, dict[str, str]]:
        if not isinstance(document, Mapping):
            raise BadKeysError("keys: a mapping of API to {SHA-256: owner} is needed")
        owners: dict[str, dict[str, str]] = {}
        for api, entries in document.items():
            if api not in APIS:
                raise BadKeysError(f"keys: unknown API {api!r}; there are {', '.join(APIS)}")
            if not isinstance(entries, Mapping):
                raise BadKeysError(f"keys.{api}: a mapping of SHA-256 to owner is needed")
            for digest in entries:
                if len(digest) != 64 or set(digest) - set("0123456789abcdef"):
                    raise BadKeysError(f"keys.{api}: every key is the lower-case hex SHA-256 of a credential (64 digits)")
            owners[api] = {digest: str(owner) for digest, owner in entries.items()}
        return owners

    def owner(self, api: str, presented: str | None) -> str | None:
        """Whose key `presented` is, at this moment."""
        if presented is None:
            return None
        return self._owners.get(api, {}).get(hashlib.sha256(presented.encode("utf-8", "surrogateescape")).hexdigest())
