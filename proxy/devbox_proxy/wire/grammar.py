"""Character classes, header lists and limits of the data path, each with its source."""

import re
import string
from typing import Final

from devbox_api.judge import paths

NO_BODY: Final = frozenset({"GET", "HEAD", "DELETE", "OPTIONS"})
"""Methods that give a body no meaning (RFC 9110 9.3), though clients send one: an API may well leave it unread."""
WITH_BODY: Final = paths.METHODS - NO_BODY

HOST: Final = re.compile(rb"(?:\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._~!$&'()*+,;=%-]*)(?::[0-9]*)?")
"""RFC 9112 3.2 and RFC 3986 3.2.2: what the header may hold. It may be empty."""

CONTROL: Final = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")
"""What a header's value must not hold: RFC 9110 5.5, tab excepted."""
CONTROL_CHARACTERS: Final = bytes(code for code in range(256) if CONTROL.match(bytes([code])))
"""The same, as bytes.translate deletes them: five times as fast as the search."""
TOKEN_CHARACTERS: Final = b"!#$%&'*+-.^_`|~" + string.digits.encode() + string.ascii_letters.encode()
"""What a header's name may hold: RFC 9110 5.6.2."""
FIELD_NAME: Final = re.compile(rb"[!#$%&'*+.^`|~0-9A-Za-z-]+")
"""A header's name that we write: the same, less '_' (see injection.py)."""
LENGTH: Final = re.compile(rb"[0-9]{1,18}")
"""A Content-Length: RFC 9110 8.6, and no more digits than every server's integer holds."""
WEBSOCKET_KEY: Final = re.compile(rb"[A-Za-z0-9+/]{22}==")
"""16 bytes in base64: RFC 6455 4.1."""

TOKEN: Final = re.compile(rb"gws_(?:([A-Za-z0-9_-]++\.[A-Za-z0-9_-]++\.[A-Za-z0-9_-]++)|[A-Za-z0-9_-]*+)")
"""A JWT in compact form (RFC 7515 3.1), behind our prefix: the group. Where none follows, what can't be the start of one either is
taken with the prefix, and nothing is given back: each byte is looked at a few times, however often a value says gws_."""
TOKEN_ALPHABET: Final = b"-_" + string.digits.encode() + string.ascii_letters.encode()
"""Base64url, of which a token's three parts are."""
TOKEN_START: Final = b"gws_"
TOKEN_MAX: Final = 16 * 1024
"""Bytes: what a header line may have. A bound token is about 1 KiB."""

HOP_BY_HOP: Final = frozenset(
    b"connection keep-alive proxy-connection te trailer transfer-encoding upgrade http2-settings proxy-authenticate".split()
)
"""RFC 9110 7.6.1 and 11.7.1; RFC 9113 8.2.2: they speak about one connection and end with it."""
NOT_FORWARDED: Final = frozenset(
    b"host expect forwarded via alt-svc content-length "
    b"x-real-ip x-client-ip x-cluster-client-ip true-client-ip cf-connecting-ip fastly-client-ip "
    b"client-ip x-forwarded x-originating-ip x-remote-ip x-remote-addr".split()
)
"""Made anew for the next hop, or (forwarded, …-ip) what an agent must not be able to claim."""
NOT_FORWARDED_PREFIX: Final = b"x-forwarded-"
DASHES: Final = bytes.maketrans(b"!#$%&'*+.^_`|~", b"-" * 14)
"""'_' and '-' are one character to servers of the CGI family: x_api_key would come in as a second x-api-key. And so are all these to some
(RFC 3875 4.1.18 leaves it open; lighttpd). A name that is another one with them is that one's twin."""
OTHER_PATH: Final = frozenset(b"x-original-url x-rewrite-url x-original-uri x-original-path".split())
"""Headers by which some servers (Symfony, IIS) take another path than the request line's: never passed on, since an endpoint's path
is a border."""
OVERRIDES: Final = OTHER_PATH | frozenset(b"x-http-method-override x-http-method x-method-override x-original-method".split())
"""And those by which some (Google's APIs, Rails, Symfony) take another method."""
HANDSHAKE: Final = frozenset(
    b"sec-websocket-key sec-websocket-version sec-websocket-protocol sec-websocket-extensions sec-websocket-accept".split()
)
"""What makes a WebSocket (RFC 6455 11.3); a subprotocol may hold a key."""
JUDGED: Final = OVERRIDES | HANDSHAKE
"""Headers that pass as they are judged. A twin of one, which was not judged, does not."""
OTHER_FORM: Final = frozenset(b"accept-encoding accept-charset a-im range if-range".split())
"""What asks for an answer's body in another form or in part (RFC 9110 12.5 and 14, RFC 3229): the credential would not be found in it."""
CREDENTIAL_HEADERS: Final = frozenset(b"authorization proxy-authorization x-api-key api-key x-goog-api-key".split())
"""Where the well-known APIs look for a credential: removed whatever they hold, since the gateway alone puts one in."""
NOT_RETURNED: Final = frozenset(b"alt-svc proxy-authenticate".split())
"""Response headers that would lead a client around the gateway."""

MAX_LINE: Final = 8190
MAX_FIELD: Final = 8190
MAX_HEADERS: Final = 100
MAX_HEAD: Final = 32 * 1024
"""Bytes, bytes, count, bytes: what nginx and Apache allow by default, near enough. The settings may say otherwise."""
