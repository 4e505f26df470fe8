"""What is particular to well-known APIs: one table, keyed by the endpoint's host.

Pure data. Called by credentials.py.
"""

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Provider:
    """One API."""

    base_path: str = ""
    """Where the API lives if the endpoint has no path of its own."""
    key_headers: frozenset[bytes] = frozenset()
    """Headers in which its clients send a key; the credential then goes into that header."""
    query_header: bytes | None = None
    """Where the credential goes if the client put its token into the query, as this API lets it."""
    key_header_for: tuple[tuple[str, bytes], ...] = ()
    """Credentials that begin with the first go into the header of the second, whatever the client used."""


NONE: Final = Provider()
_EXACT: Final = {
    # docs.anthropic.com, "Versions and headers": x-api-key. An sk-ant-api… key sent as Bearer has been answered with 401; OAuth
    # tokens (sk-ant-oat…) go as Bearer.
    "api.anthropic.com": Provider(key_headers=frozenset({b"x-api-key"}), key_header_for=(("sk-ant-api", b"x-api-key"),)),
    # platform.openai.com, "API reference": all paths are below /v1; the SDKs' base_url holds it.
    "api.openai.com": Provider(base_path="/v1"),
    # ai.google.dev, "API keys": x-goog-api-key; older examples have ?key=…, which ends in logs. Its OpenAI-compatible paths take Bearer.
    "generativelanguage.googleapis.com": Provider(key_headers=frozenset({b"x-goog-api-key"}), query_header=b"x-goog-api-key"),
}
_SUFFIX: Final = {
    # learn.microsoft.com, "Azure OpenAI REST API reference": api-key, or Bearer with an Entra token.
    ".openai.azure.com": Provider(key_headers=frozenset({b"api-key"})),
}


def provider(host: str) -> Provider:
    """The row of a host (lower case, no port)."""
    if host in _EXACT:
        return _EXACT[host]
    return next((row for suffix, row in _SUFFIX.items() if host.endswith(suffix)), NONE)
