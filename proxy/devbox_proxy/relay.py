"""Bytes from one side to the other as they come: nothing is collected, and a slow reader slows its writer down.

Goes in: the client's request, the API's response. Comes out: the response to the client. Called by server.py once a request may be
forwarded. The request's head is credentials.py's; here is what concerns the response's head and both bodies.
"""

import re
from collections.abc import AsyncIterator
from urllib.parse import urlsplit

import aiohttp
from aiohttp import web
from multidict import CIMultiDict

from . import grammar, redact
from .credentials import Endpoint, UpstreamRequest
from .guard import Headers
from .upstream import text

_LEADING = frozenset({b"location", b"content-location"})
_LINK = re.compile(r"<([^<>]*)>")
"""The targets of a Link header (RFC 8288 3)."""


class Response(web.StreamResponse):
    """A response that says what the API said, and nothing of aiohttp's own."""

    async def _prepare_headers(self) -> None:
        own = {"Server", "Date", "Content-Type"} - {name.title() for name in self.headers}
        await super()._prepare_headers()
        for name in own:
            self.headers.popall(name, None)


async def request_body(request: web.BaseRequest, counted: list[int]) -> AsyncIterator[bytes]:
    """The client's body, chunk by chunk; the bytes are added to `counted[0]`."""
    async for chunk in request.content.iter_any():
        counted[0] += len(chunk)
        yield chunk


async def respond(
    request: web.BaseRequest,
    upstream: aiohttp.ClientResponse,
    body: AsyncIterator[bytes],
    sent: UpstreamRequest,
    *,
    public_url: str,
    request_id: str,
    close: bool,
    counted: list[int],
) -> Response:
    """Pass the API's response on; body bytes are added to `counted[0]`.

    `close`: tell the client to use another connection next time. Raises UpstreamCut, or OSError if the client is gone.
    """
    headers = response_headers(upstream.raw_headers, sent, public_url)
    headers.setdefault("X-Request-Id", request_id)
    # The reason phrase is not passed on: it is free text that some clients show, and has no meaning (RFC 9112 4).
    response = Response(status=upstream.status, headers=headers)
    if close:
        response.force_close()
    length = upstream.headers.get("Content-Length")
    bodyless = request.method == "HEAD" or upstream.status in (204, 304)
    if length is not None and "Transfer-Encoding" not in upstream.headers:
        response.headers["Content-Length"] = length
    elif request.version >= (1, 1) and not bodyless:
        response.enable_chunked_encoding()
    await response.prepare(request)
    if not bodyless:
        kind, encoding = upstream.headers.get("Content-Type", ""), upstream.headers.get("Content-Encoding", "")
        if sent.redact_body and redact.is_text(kind, encoding, upstream.status):
            body = _redacted(body, sent.redact)
        async for chunk in body:
            await response.write(chunk)
            counted[0] += len(chunk)
    await response.write_eof()
    return response


async def _redacted(body: AsyncIterator[bytes], redactor: redact.Redactor) -> AsyncIterator[bytes]:
    search = redact.BodyRedactor(redactor)
    async for chunk in body:
        if ready := search.feed(chunk):
            yield ready
    if rest := search.finish():
        yield rest


def response_headers(raw: Headers, sent: UpstreamRequest, public_url: str) -> CIMultiDict[str]:
    """The API's headers less those of the connection; what names the API's own origin names the gateway instead."""
    endpoint = sent.endpoint
    named = {option.strip().lower() for name, value in raw if name.lower() == b"connection" for option in value.split(b",")}
    removed = grammar.HOP_BY_HOP | grammar.NOT_RETURNED | named | {b"content-length"}
    headers: CIMultiDict[str] = CIMultiDict()
    for name, value in raw:
        lower = name.lower()
        if lower in removed:
            continue
        content = text(sent.redact(value))
        if lower in _LEADING:
            content = _to_gateway(content, endpoint, public_url)
        elif lower == b"link":
            content = _LINK.sub(lambda match: f"<{_to_gateway(match[1], endpoint, public_url)}>", content)
        headers.add(name.decode("latin-1"), content)
    return headers


def _to_gateway(location: str, endpoint: Endpoint, public_url: str) -> str:
    try:
        parts = urlsplit(location)
        port = parts.port or {"https": 443, "http": 80}.get(parts.scheme)
    except ValueError:
        return location
    if (parts.scheme, parts.hostname, port) != (endpoint.scheme, endpoint.host, endpoint.port):
        return location
    return public_url + location[location.index("//") + 2 + len(parts.netloc) :]
