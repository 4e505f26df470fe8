"""Absolute addresses in an answer's headers: what names the API's own origin names the gateway instead, which has the credential.

Goes in: a header of the answer, the request that it answers, the gateway's URL. Comes out: the header's value for the client. Pure.
"""

import re
from typing import Final
from urllib.parse import urlsplit

from devbox_api.judge.endpoints import Endpoint
from devbox_proxy.wire.messages import UpstreamRequest

_REFERENCES: Final = frozenset({b"location", b"content-location"})
"""Headers that are one reference and nothing else (RFC 9110 10.2.2 and 8.7): it may begin with `//`, and name the origin alone."""
_INSIDE: Final = {
    b"link": re.compile(rb"(<)([^<>]*)"),
    b"refresh": re.compile(rb"((?:\A|[;,])\s*url\s*=\s*[\"']?)([^\"'\s]+)", re.IGNORECASE),
}
"""Headers with references at known places: RFC 8288 3; WHATWG HTML, "shared declarative refresh steps"."""
_ANYWHERE: Final = re.compile(rb"((?<![^\s<\"']))(https?://[^\s<>\"']+)", re.IGNORECASE)
"""Of all others (Operation-Location, Azure-AsyncOperation, X-Goog-Upload-URL, pages in JSON): an address that is the value, an item of a
list, or stands in quotes; never one within another address."""
_OPAQUE: Final = frozenset({b"etag", b"set-cookie"})
"""What the client hands back as it came."""
_METADATA: Final = b"-meta-"
"""In the names of what a client itself once wrote to an object store: X-Amz-Meta-…, X-Goog-Meta-…."""


def may_be_in(values: bytes, endpoint: Endpoint) -> bool:
    """Whether any of these values can name the endpoint's origin: for nearly every answer that is a no, and quick."""
    return b"//" in values and endpoint.host.encode() in values.lower()


def moved(name: bytes, value: bytes, sent: UpstreamRequest, public_url: bytes) -> bytes:
    """The value of a header (`name` in lower case), with the gateway in the place of the API's origin.

    An address that clients call without their key gets the caller's own token as a parameter: else nobody could tell whose call it is.
    """
    endpoint = sent.endpoint
    if name in _REFERENCES:
        return _moved(value, endpoint, public_url)
    if places := _INSIDE.get(name):
        return places.sub(lambda found: found[1] + _moved(found[2], endpoint, public_url), value)
    if name in _OPAQUE or _METADATA in name:
        return value
    result = _ANYWHERE.sub(lambda found: _moved(found[2], endpoint, public_url, bare=False), value)
    if name in sent.keyless and result != value:
        result += (b"&" if b"?" in result else b"?") + b"key=" + sent.token
    return result


def _moved(address: bytes, endpoint: Endpoint, public_url: bytes, *, bare: bool = True) -> bytes:
    """`bare`: also where no path follows the origin. Elsewhere such a one is no address but says who may (CORS, CSP)."""
    if b"\t" in address:
        return address  # which urlsplit would leave out, and others not
    try:
        parts = urlsplit(address.decode("latin-1"))
        # "//api.example.com/x" takes the scheme of what the client called, which is always https.
        scheme = parts.scheme or "https"
        port = parts.port or {"https": 443, "http": 80}.get(scheme)
    except ValueError:
        return address
    if (scheme, parts.hostname, port) != (endpoint.scheme, endpoint.host, endpoint.port) or not (bare or parts.path):
        return address
    return public_url + address[address.index(b"//") + 2 + len(parts.netloc) :]
