"""What is particular to well-known APIs: one table, keyed by the endpoint's host.

Pure data.
"""

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Provider:
    """One API."""

    base_path: str = ""
    """Where the API lives if the endpoint has no path of its own."""
    base_path_of: frozenset[bytes] = frozenset()
    """First segments of the paths that live there, where others live elsewhere, too. Empty: all."""
    key_headers: frozenset[bytes] = frozenset()
    """Headers in which its clients send a key; the credential then goes into that header."""
    key_parameters: frozenset[bytes] = frozenset()
    """Parameters of the query, in lower case, in which it takes a credential: the client's own are removed, as headers of that kind are."""
    key_protocols: tuple[bytes, ...] = ()
    """How WebSocket subprotocols begin, in lower case, that hold one: removed likewise."""
    more_key_headers: frozenset[bytes] = frozenset()
    """Headers in which it takes a credential, besides those that no API gets of a client's (the gateway's grammar.py has them)."""
    query_header: bytes | None = None
    """Where the credential goes if the client put its token into the query, as this API lets it."""
    keyless: frozenset[bytes] = frozenset()
    """Headers of its answers, in lower case, with an address that its clients call without any key: to the API the address is enough. The
    gateway has to know who calls, so the one that it tells holds the caller's token, as a parameter of the query."""
    key_header_for: tuple[tuple[str, bytes], ...] = ()
    """Credentials that begin with the first go into the header of the second, whatever the client used."""
    search_bodies: bool = False
    """Bodies of its answers are searched for the credential, unless the GatewayConfig says otherwise: it may well hand it back."""
    unsearched_types: frozenset[bytes] = frozenset()
    """Media types, in lower case, of bodies that are not searched even so: nothing could be found in them."""


NONE: Final = Provider(search_bodies=True)
_GIT: Final = Provider(
    # git-scm.com, "HTTP transfer protocols" and "gitformat-pack": what a fetch brings is compressed object by object, so that nothing would
    # be found in it, and it may be gigabytes. Everything else is searched: LFS servers of GitLab and of Gitea's kin (Codeberg) hand a
    # client's own Authorization back to it, in the JSON that says where the objects are.
    search_bodies=True,
    unsearched_types=frozenset({b"application/x-git-upload-pack-result"}),
)
_EXACT: Final = {
    # docs.anthropic.com, "Versions and headers": x-api-key. An sk-ant-api… key sent as Bearer has been answered with 401; OAuth
    # tokens (sk-ant-oat…) go as Bearer. All paths are below /v1: its own SDKs ask for /v1/messages, Vercel's AI SDK for /messages.
    "api.anthropic.com": Provider(
        base_path="/v1", key_headers=frozenset({b"x-api-key"}), key_header_for=(("sk-ant-api", b"x-api-key"),)
    ),
    # platform.openai.com, "API reference": all paths are below /v1; the SDKs' base_url holds it.
    "api.openai.com": Provider(base_path="/v1", key_protocols=(b"openai-insecure-api-key.",)),
    # ai.google.dev, "API versions": v1beta, v1, v1alpha, and /upload/v1beta, /ws/…: whoever says none, as Vercel's AI SDK and LiteLLM do,
    # means v1beta. "API keys": x-goog-api-key; older examples have ?key=…, which ends in logs. Its OpenAI-compatible paths take Bearer.
    # ai.google.dev, "Using files": an upload begins with an address to which its SDKs send the file without a key.
    # cloud.google.com, "System parameters": an OAuth token also comes as ?access_token= (?oauth_token= is its older name).
    "generativelanguage.googleapis.com": Provider(
        base_path="/v1beta",
        base_path_of=frozenset(
            b"models tunedModels files fileSearchStores cachedContents batches corpora interactions openai".split()
        ),
        key_headers=frozenset({b"x-goog-api-key"}),
        key_parameters=frozenset({b"key", b"$key", b"access_token", b"$access_token", b"oauth_token", b"$oauth_token"}),
        more_key_headers=frozenset({b"x-goog-iam-authorization-token"}),
        query_header=b"x-goog-api-key",
        keyless=frozenset({b"x-goog-upload-url", b"x-goog-upload-control-url"}),
    ),
    # Hosts of git repositories. (Their APIs, such as api.github.com, are others.)
    "github.com": _GIT,
    "gitlab.com": _GIT,
    "bitbucket.org": _GIT,
    "codeberg.org": _GIT,
    "dev.azure.com": _GIT,
}
_SUFFIX: Final = {
    # learn.microsoft.com, "Azure OpenAI REST API reference": api-key, or Bearer with an Entra token; ?api-key= for WebSockets.
    # "Subscriptions in Azure API Management": what stands before it takes its own key in the others.
    ".openai.azure.com": Provider(
        key_headers=frozenset({b"api-key"}),
        key_parameters=frozenset({b"api-key", b"subscription-key"}),
        key_protocols=(b"openai-insecure-api-key.",),
        more_key_headers=frozenset({b"ocp-apim-subscription-key"}),
    ),
}


def provider(host: str) -> Provider:
    """The row of a host (lower case, no port)."""
    if host in _EXACT:
        return _EXACT[host]
    return next((row for suffix, row in _SUFFIX.items() if host.endswith(suffix)), NONE)
