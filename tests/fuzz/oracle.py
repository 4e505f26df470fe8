"""What may reach the API when a client sends these bytes: what h11 reads in them, less what the gateway takes out, with the credential.

Goes in: the client's bytes, what the API recorded, what the client got. Comes out: what is wrong. Pure. The reading is h11's, which
shares nothing with the gateway; where h11 is laxer than RFC 9112, the recorder's own grammar (http_reading.py) is not.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import h11
from tests.support.http_reading import Response
from tests.support.recorder import Recorded

CREDENTIAL: Final = b"sk-fuzz-credential-value"
MADE_ANEW: Final = frozenset(b"host authorization connection content-length transfer-encoding accept-encoding".split())
DROPPED: Final = MADE_ANEW | frozenset(
    b"keep-alive proxy-connection te trailer upgrade http2-settings proxy-authenticate proxy-authorization expect forwarded via "
    b"alt-svc x-real-ip x-api-key api-key x-goog-api-key".split()
)
_DROPPED_NAME: Final = re.compile(
    rb"x-forwarded-.*|x-(http-)?method(-override)?|x-http-method-override|x-original-.*|x-rewrite-.*|.*client-ip|cf-connecting-ip"
    rb"|x-forwarded|x-originating-ip|x-remote-(ip|addr)"
)
_DASHES: Final = bytes.maketrans(b"!#$%&'*+.^_`|~", b"-" * 14)
"""To some servers a name with these is the same as one with dashes: it may be dropped as that one is."""
_TOKEN: Final = b"gws_"
_ZEROS: Final = re.compile(rb"(?<=\r\n)0{2,}(?=[0-9A-Fa-f]+[\r;])")
"""Before a chunk's size. h11 takes 20 digits and no more, a bound of its own; the gateway writes sizes anew."""
_MAX: Final = 1 << 20


@dataclass
class Meant:
    """One request, as h11 reads it."""

    method: bytes
    target: bytes
    headers: list[tuple[bytes, bytes]]
    """Lower-case names."""
    body: bytes = b""
    complete: bool = False
    version: bytes = b"1.1"


def meant(data: bytes) -> tuple[list[Meant], str | None]:
    """The requests in `data`, the last of them perhaps without its end, and why reading stopped.

    Each is read by a fresh h11, which leaves what comes behind it. One thing is allowed that h11 does not do: empty lines before a
    request line (RFC 9112 2.2).
    """
    found, stop = _requests(data)
    return _requests(_ZEROS.sub(b"0", data)) if stop and "chunk header" in stop else (found, stop)


def _requests(data: bytes) -> tuple[list[Meant], str | None]:
    found: list[Meant] = []
    while True:
        while data.startswith(b"\r\n"):
            data = data[2:]
        if not data:
            return found, None
        try:
            rest = _next(data, found)
        except h11.RemoteProtocolError as error:
            return found, str(error)
        if rest is None:
            return found, None
        if not _goes_on(found[-1]):
            return found, "the connection ends"
        data = rest


def _next(data: bytes, found: list[Meant]) -> bytes | None:
    """Read one request into `found`; returns what is behind it, None if it has no end."""
    connection = h11.Connection(h11.SERVER, max_incomplete_event_size=_MAX)
    connection.receive_data(data)
    while True:
        event = connection.next_event()
        if isinstance(event, h11.Request):
            found.append(Meant(event.method, event.target, list(event.headers), version=event.http_version))
        elif isinstance(event, h11.Data):
            found[-1].body += bytes(event.data)
        elif isinstance(event, h11.EndOfMessage):
            found[-1].complete = True
            return connection.trailing_data[0]
        else:
            return None


def _goes_on(request: Meant) -> bool:
    options = {part.strip().lower() for name, value in request.headers if name == b"connection" for part in value.split(b",")}
    return b"close" not in options and request.version == b"1.1"


def judge(data: bytes, token: bytes, recorded: Sequence[Recorded], answers: Sequence[Response]) -> list[str]:
    """`data`: as sent, token and all. `recorded`: in order; `answers`: without 1xx."""
    wrong = []
    requests, stop = meant(data)
    if len(recorded) > len(requests):
        wrong.append(f"{len(recorded)} requests reached the API where h11 reads {len(requests)} ({stop})")
    # What the gateway refused did not arrive; after a refusal it reads nothing more, so what arrived are the first ones.
    for got, wanted in zip(recorded, requests, strict=False):
        wrong += _one(got, wanted, token)
    passed = [answer for answer in answers if answer.head.values("x-target")]
    for got, answer in zip(recorded, passed, strict=False):
        if answer.head.values("x-target") != [got.target]:
            wrong.append("an answer is not the one to its request")
    if len(passed) > len(recorded):
        wrong.append("more answers than requests")
    for answer in answers:
        if CREDENTIAL in answer.head.raw + answer.body or token[4:] in answer.head.raw + answer.body:
            wrong.append("a client got a credential or its token")
    return wrong


def _one(got: Recorded, wanted: Meant, token: bytes) -> list[str]:
    wrong = list(got.problems)
    if got.head is None:
        return wrong
    if got.method != wanted.method:
        wrong.append(f"the method is {got.method!r}, h11 reads {wanted.method!r}")
    if got.target != _without_tokens(wanted.target):
        wrong.append("the target is not the one that h11 reads")
    if got.raw_head.count(CREDENTIAL) != 1 or got.values("authorization") != [b"Bearer " + CREDENTIAL]:
        wrong.append("there is not exactly the one credential")
    if token[4:] in got.raw_head:
        wrong.append("the token is in the head")
    if len(got.values("host")) != 1 or not got.values("host")[0].startswith(b"api"):
        wrong.append("there is not exactly the endpoint's Host")
    if not any(_TOKEN in value for _, value in wanted.headers) and _TOKEN not in wanted.target:
        wrong.append("the request held no token")
    return wrong + _headers(got, wanted) + _body(got, wanted)


def _headers(got: Recorded, wanted: Meant) -> list[str]:
    assert got.head is not None
    named = {
        name.strip().lower()
        for key, value in wanted.headers
        if key == b"connection"
        for name in value.split(b",")
        if name.strip()
    }
    twins_of_named = {name.translate(_DASHES) for name in named}
    sent = [(key, value) for key, value in wanted.headers if _TOKEN not in value]
    arrived = [(key.lower(), value) for key, value in got.head.headers if key.lower() not in MADE_ANEW]
    # The one carrier that is rewritten, not removed: a list of cookies.
    strange = [key for key, value in arrived if (key, value) not in sent and key != b"cookie"]
    wrong = [f"a header that h11 does not read so: {strange[0]!r}"] if strange else []
    if twins := [key for key, _ in arrived if key.translate(_DASHES) in DROPPED]:
        wrong.append(f"a header that is another one to some servers: {twins[0]!r}")
    missing = [
        key
        for key, value in sent
        if not _may_be_dropped(key)
        and key not in named
        and key.translate(_DASHES) not in twins_of_named
        and (key, value) not in arrived
    ]
    if missing:
        wrong.append(f"a header was lost: {missing[0]!r}")
    return wrong


def _may_be_dropped(name: bytes) -> bool:
    """Whether the gateway takes such a header out (`name` in lower case)."""
    plain = name.translate(_DASHES)
    if plain != name and plain.startswith(b"sec-websocket-"):
        return True
    return any(each in DROPPED or _DROPPED_NAME.fullmatch(each) for each in (name, plain))


def _body(got: Recorded, wanted: Meant) -> list[str]:
    body = bytes(got.body)
    if got.complete and not wanted.complete:
        return ["it ended at the API, though not at the client"]
    if got.complete and body != wanted.body:
        return ["the body is not the one that h11 reads"]
    if not wanted.body.startswith(body):
        return ["the beginning of the body is not the one that h11 reads"]
    if got.chunks is not None and (got.chunks.extensions or got.chunks.trailers):
        return ["a chunk extension or a trailer arrived"]
    return []


def _without_tokens(target: bytes) -> bytes:
    path, mark, query = target.partition(b"?")
    path = re.sub(rb"\A//+", b"/", path)  # (leading slashes become one)
    if _TOKEN not in query:
        return path + mark + query
    kept = [item for item in query.split(b"&") if _TOKEN not in item]
    return path + (mark + b"&".join(kept) if kept else b"")
