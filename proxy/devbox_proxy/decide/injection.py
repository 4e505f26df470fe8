"""The request as the API gets it: no token, no client's credential, the real credential exactly once, the path joined once.

Goes in: the checked head, the token's carriers, an `Access`. Comes out: an `UpstreamRequest`. Pure. The decision comes before it: what it
remembers depends on the head alone, what is sent may come to depend on more (the time, a body).
"""

from typing import Final

from devbox_api.judge import paths
from devbox_proxy.decide.identity import CachedDecision, Forward
from devbox_proxy.known.credentials import Access, Line
from devbox_proxy.wire import cors, grammar
from devbox_proxy.wire.guard import Headers, RequestHead
from devbox_proxy.wire.messages import UpstreamRequest
from devbox_proxy.wire.tokens import Found

_HANDSHAKE: Final = ((b"Connection", b"Upgrade"), (b"Upgrade", b"websocket"))
"""Hop-by-hop, so made anew; the Sec-WebSocket-… headers are the client's (RFC 6455 4.1)."""
_ORIGIN: Final = b"origin"
_IDENTITY: Final = (b"Accept-Encoding", b"identity")


def render(head: RequestHead, forward: Forward) -> UpstreamRequest:
    """What the API gets, of the head that was decided about; the same object for the same decision that was remembered."""
    cached: CachedDecision | None = head.memo.cached
    if cached is None or cached.forward is not forward:
        return prepare(head, forward.found, forward.access)
    request = cached.request
    if request is None:
        request = cached.request = prepare(head, forward.found, forward.access)
    return request


def prepare(head: RequestHead, found: Found, access: Access) -> UpstreamRequest:
    """Everything that the API gets."""
    api = access.api
    target = api.base_path.join(head.path)
    query = found.query
    if query and api.client_parameters:
        query = _without(api.client_parameters, query) or None
    if api.query_key is not None:
        query = query + b"&" + access.query if query else access.query
    if query is not None:
        target += b"?" + query
    lines = [api.host, *_forwarded(found.headers, api.not_forwarded, head.connection_options)]
    if api.provider.key_protocols and _PROTOCOLS in head.fields:
        lines = _without_keys(lines, api.provider.key_protocols)
    if api.redact_body:
        lines.append(_IDENTITY)
    websocket = head.websocket
    if websocket:
        lines += _HANDSHAKE
    if line := _injected(access, found):
        lines.append(line)
    return UpstreamRequest(
        endpoint=api.endpoint,
        method=head.method,
        target=target,
        headers=tuple(lines),
        redact=access.redact,
        redact_body=api.redact_body,
        unsearched_types=api.unsearched_types,
        origin=cors.origin_of(head) if _ORIGIN in head.fields else b"",
        websocket=websocket,
        keyless=api.provider.keyless,
        token=grammar.TOKEN_START + found.jwt.encode() if api.provider.keyless else b"",
    )


def _injected(access: Access, found: Found) -> Line | None:
    """The credential's header: the client's own key header, where the API takes it there."""
    taken = min((name for name in found.key_headers if name in access.line_for), default=None) if found.key_headers else None
    return access.line if taken is None else access.line_for[taken]


def _without(names: frozenset[bytes], query: bytes) -> bytes:
    """The query without the client's own parameters of these names, in whatever way they are written; the rest byte for byte.

    ';' ends a parameter like '&': to some servers it is so. `name[]` is that name, too: to those that make lists of them.
    """
    first, *rest = paths.PARAMETER.findall(query)
    kept = [parameter for parameter in rest if paths.parameter_name(parameter[1:]).partition(b"[")[0] not in names]
    if paths.parameter_name(first).partition(b"[")[0] not in names:
        return b"".join((first, *kept))
    return b"".join(kept)[1:]


_PROTOCOLS: Final = b"sec-websocket-protocol"


def _without_keys(lines: list[Line], prefixes: tuple[bytes, ...]) -> list[Line]:
    """Without the subprotocols that hold a credential of the client's; the others as they were."""
    kept = []
    for line in lines:
        name, value = line
        items = value.split(b",") if name.lower() == _PROTOCOLS else []
        others = [item for item in items if not item.strip().lower().startswith(prefixes)]
        if len(others) == len(items):
            kept.append(line)
        elif others:
            kept.append((name, b",".join(others).strip()))
    return kept


def _forwarded(headers: Headers, not_forwarded: frozenset[bytes], connection_options: set[bytes]) -> list[Line]:
    """Without what belongs to one connection, names a credential, or is the twin of a header that is removed, set or judged."""
    listed = {option.translate(grammar.DASHES) for option in connection_options}
    removed = not_forwarded if listed <= not_forwarded else not_forwarded | listed
    kept = []
    for line in headers:
        name = line[0].lower()
        plain = name.translate(grammar.DASHES)
        if not (
            plain in removed or plain.startswith(grammar.NOT_FORWARDED_PREFIX) or (plain != name and plain in grammar.JUDGED)
        ):
            kept.append(line)
    return kept
