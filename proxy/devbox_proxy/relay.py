"""Bytes from one side to the other as they come: nothing is collected, and a slow reader slows its writer down.

Goes in: the client's request, the API's response. Comes out: the response to the client. Called by server.py once a request may be
forwarded. The request's head is credentials.py's; here is what concerns the response's head and both bodies.
"""

from collections.abc import AsyncIterator
from urllib.parse import urlsplit

import aiohttp
from aiohttp import web
from multidict import CIMultiDict

from . import grammar
from .credentials import Endpoint

_LEADING = frozenset({b"location", b"content-location"})


class Response(web.StreamResponse):
    """A response that says what the API said, and nothing of aiohttp's own."""

    async def _prepare_headers(self) -> None:
        own = {"Server", "Date", "Content-Type"} - {name.title() for name in self.headers}
        await super()._prepare_headers()
        for name in own:
            self.headers.popall(name, None)


class UpstreamCut(Exception):
    """The API's body ended before its end: the client's must not look whole."""


async def request_body(request: web.BaseRequest, counted: list[int]) -> AsyncIterator[bytes]:
    """The client's body, chunk by chunk; the bytes are added to `counted[0]`."""
    async for chunk in request.content.iter_any():
        counted[0] += len(chunk)
        yield chunk


async def respond(
    request: web.BaseRequest, upstream: aiohttp.ClientResponse, endpoint: Endpoint, public_url: str, request_id: str
) -> tuple[Response, int]:
    """Pass the API's response on; returns it and the number of body bytes. Raises UpstreamCut, or OSError if the client is gone."""
    headers = response_headers(upstream.raw_headers, endpoint, public_url)
    headers.setdefault("X-Request-Id", request_id)
    # The reason phrase is not passed on: it is free text that some clients show, and has no meaning (RFC 9112 4).
    response = Response(status=upstream.status, headers=headers)
    length = upstream.headers.get("Content-Length")
    bodyless = request.method == "HEAD" or upstream.status in (204, 304) or upstream.status < 200
    if length is not None and "chunked" not in upstream.headers.get("Transfer-Encoding", ""):
        response.headers["Content-Length"] = length
    elif request.version >= (1, 1) and not bodyless:
        response.enable_chunked_encoding()
    await response.prepare(request)
    sent = 0
    if not bodyless:
        async for chunk in _body(upstream):
            sent += len(chunk)
            await response.write(chunk)
    await response.write_eof()
    return response, sent


async def _body(upstream: aiohttp.ClientResponse) -> AsyncIterator[bytes]:
    try:
        async for chunk in upstream.content.iter_any():
            yield chunk
    except (aiohttp.ClientError, OSError, TimeoutError) as error:
        raise UpstreamCut(type(error).__name__) from None


def response_headers(raw: tuple[tuple[bytes, bytes], ...], endpoint: Endpoint, public_url: str) -> CIMultiDict[str]:
    """The API's headers less those of the connection; what names the API's own origin names the gateway instead."""
    named = {option.strip().lower() for name, value in raw if name.lower() == b"connection" for option in value.split(b",")}
    removed = grammar.HOP_BY_HOP | grammar.NOT_RETURNED | named | {b"content-length"}
    headers: CIMultiDict[str] = CIMultiDict()
    for name, value in raw:
        lower = name.lower()
        if lower in removed:
            continue
        text = value.decode("utf-8", "surrogateescape")
        if lower in _LEADING:
            text = _to_gateway(text, endpoint, public_url)
        elif lower == b"link":
            text = text.replace(f"<{endpoint.origin}/", f"<{public_url}/")
        headers.add(name.decode("latin-1"), text)
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
