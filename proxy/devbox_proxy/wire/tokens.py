"""The one gws_ token of a request, wherever a client put it, and the request without it.

Goes in: a `RequestHead`. Comes out: a `Found` (the token, its carriers, the headers and query that are left) or a refusal. Pure.
What holds a token is its carrier and is removed whole: a header, a cookie, a WebSocket subprotocol, a pair of the query. Nothing of
the token must reach the API.
"""

import base64
import binascii
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import unquote_plus, unquote_to_bytes

import orjson

from devbox_api.judge import paths
from devbox_api.judge.refusals import Refusal
from devbox_api.names import token_digest
from devbox_proxy.wire import grammar
from devbox_proxy.wire.guard import Headers, RequestHead

_UNDERSCORE, _PERCENT, _SPACE = b"_% "
"""Every carrier has one of them: the prefix, an escape, or what stands behind `Basic`."""
_LISTS: Final = {b"cookie": b";", b"sec-websocket-protocol": b","}
"""Headers whose value is a list, and what stands between its items (RFC 6265 4.2.1, RFC 6455 4.1): the other items stay."""
IN_QUERY: Final = b"?"
"""Stands for the query among the names of headers, none of which can be this."""


@dataclass(frozen=True, slots=True)
class Found:
    """A request's token and what is left without it."""

    jwt: str = field(repr=False)
    """The token without its prefix."""
    digest: str
    """SHA-256 of it, as in Routes."""
    key_headers: frozenset[bytes]
    """Lower-case names of the headers that carried it alone (`x-api-key: gws_…`); IN_QUERY if the query did."""
    headers: Headers
    query: bytes | None

    @property
    def pod_uid(self) -> str | None:
        """What the token claims."""
        return claimed_pod(self.jwt)


def claimed_pod(jwt: str) -> str | None:
    """The pod's UID, not verified (`kubernetes.io` claim: pkg/serviceaccount/claims.go): good for waiting, never for deciding."""
    try:
        payload = jwt.split(".")[1]
        claims = orjson.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
        uid = claims["kubernetes.io"]["pod"]["uid"]
    except (ValueError, KeyError, TypeError, IndexError):
        return None
    return uid if isinstance(uid, str) else None


def find(head: RequestHead) -> Found | Refusal:
    """The request's one token. The same token twice is fine, two different ones are not."""
    path = head.path
    if paths.holds_token(path):
        return Refusal.TOKEN_IN_PATH
    tokens: set[bytes] = set()
    malformed = False
    key_headers: set[bytes] = set()
    left: list[tuple[bytes, bytes]] = []
    for line in head.headers:
        name, value = line
        # Most headers hold none of the characters that matter and are not looked at any closer (a search for one byte is cheap).
        if _UNDERSCORE not in value and _PERCENT not in value and _SPACE not in value:
            left.append(line)
            continue
        held = held_in(value)
        if held is None:
            left.append(line)
            continue
        tokens |= held
        malformed |= not held
        if separator := _LISTS.get(name.lower()):
            left += [(name, rest) for rest in _other_items(value, separator)]
        elif held == {value.strip()}:
            key_headers.add(name.lower())
    query, in_query = _without_token(head.query)
    tokens |= in_query or set()
    malformed |= in_query is not None and not in_query
    if in_query:
        key_headers.add(IN_QUERY)
    if len(tokens) > 1:
        return Refusal.TOKEN_AMBIGUOUS
    if malformed:
        return Refusal.TOKEN_MALFORMED
    if not tokens:
        return Refusal.TOKEN_MISSING
    bare = tokens.pop().removeprefix(grammar.TOKEN_START)
    if bare in path:
        return Refusal.TOKEN_IN_PATH
    if any(bare in value for _, value in left) or (query is not None and bare in query):
        return Refusal.TOKEN_MALFORMED  # a second time, and there without its prefix, or with another one
    jwt = bare.decode("ascii")
    return Found(jwt, token_digest(jwt), frozenset(key_headers), tuple(left), query)


_URLSAFE = bytes.maketrans(b"-_", b"+/")


def held_in(value: bytes) -> set[bytes] | None:
    """The tokens in a header's value; empty if there is only a part of one; None if it is no carrier."""
    if value[:6].lower() == b"basic ":
        # git and curl -u: the token is the password, or the user's name.
        try:
            value = base64.b64decode(value[6:].strip().translate(_URLSAFE).rstrip(b"=") + b"==", validate=False)
        except binascii.Error:
            return None
    if _PERCENT in value:
        value += b" " + unquote_to_bytes(value)
    start = value.find(grammar.TOKEN_START) if _UNDERSCORE in value else -1
    if start < 0:
        return None
    if len(value) > grammar.TOKEN_MAX:
        return set()
    if value[start:].translate(None, grammar.TOKEN_ALPHABET) == b"..":
        return {value[start:]}  # one token up to the end, as nearly always: three times as fast as the search
    return _tokens(value)


def _tokens(value: bytes) -> set[bytes]:
    """All that are whole."""
    return {grammar.TOKEN_START + jwt for jwt in grammar.TOKEN.findall(value) if jwt}


def _other_items(value: bytes, separator: bytes) -> list[bytes]:
    """The items that hold no token, as they were: they are the client's own. None are left: an empty list."""
    kept = [item for item in value.split(separator) if held_in(item.strip()) is None]
    return [separator.join(kept).strip()] if any(item.strip() for item in kept) else []


def _without_token(query: bytes | None) -> tuple[bytes | None, set[bytes] | None]:
    """The query without the pairs that hold a token, and the tokens (None if there was no carrier)."""
    if query is None or (_UNDERSCORE not in query and _PERCENT not in query):
        return query, None
    kept: list[bytes] = []
    found: set[bytes] | None = None
    for pair in query.split(b"&"):
        decoded = unquote_plus(pair.decode("latin-1"), encoding="latin-1").encode("latin-1")
        if grammar.TOKEN_START in decoded:
            found = (found or set()) | _tokens(decoded)
        else:
            kept.append(pair)
    if found is None:
        return query, None
    return (b"&".join(kept) if kept else None), found
