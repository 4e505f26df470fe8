"""What sentences of a corpus mean about the request that reached the API. Checks of clauses.py: each returns what is wrong, or None."""

import re
from collections.abc import Callable
from typing import Final

from .run import Run

Check = Callable[[Run, re.Match[str]], str | None]
_CREDENTIALS: Final = ("authorization", "proxy-authorization", "x-api-key", "api-key", "x-goog-api-key")
_OWN: Final = ("host", "connection", "content-length", "transfer-encoding")
_HOP: Final = {
    "proxy-authorization",
    "proxy-connection",
    "proxy-authenticate",
    "keep-alive",
    "te",
    "trailer",
    "upgrade",
    "http2-settings",
    "expect",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-proto",
    "x-real-ip",
    "forwarded",
    "via",
}


def names_upstream(run: Run) -> set[str]:
    return {name for request in run.requests if request.head for name in request.head.names()}


def absent(run: Run, names: str, *, everywhere: bool = False) -> str | None:
    """None of the names (in a list of words) is in the request, or in the answer for a case about answers."""
    wanted = [name.lower() for name in re.split(r"(?:,\s*(?:and\s+)?|\s+and\s+|\s*/\s*)", names) if name]
    there = names_upstream(run) if not run.reflects or everywhere else set()
    if run.reflects:
        there |= {name for response in run.responses for name in response.head.names()}
    found = [name for name in wanted if name in there or name.replace("_", "-") in there - set(_OWN)]
    return f"{', '.join(found)} passed" if found else None


def not_forwarded(run: Run, match: re.Match[str]) -> str | None:
    return absent(run, match["names"])


def none_of_them(run: Run, match: re.Match[str]) -> str | None:
    sent = set(run.sent_headers()) & _HOP
    found = sent & names_upstream(run)
    if not sent:
        return "the case sends none of the headers that are meant"
    return f"{', '.join(sorted(found))} reached the API" if found else None


def client_values_dropped(run: Run, match: re.Match[str]) -> str | None:
    for name, values in run.sent_headers().items():
        if name in _HOP and any(value in request.values(name) for request in run.requests for value in values):
            return f"{name} reached the API with the client's value"
    return None


def credential_once(run: Run, match: re.Match[str]) -> str | None:
    for request in run.requests:
        found = [name for name in (request.head.names() if request.head else []) if name.replace("_", "-") in _CREDENTIALS]
        if found != ["authorization"]:
            return f"credential headers at the API: {', '.join(found) or 'none'}"
        if request.values("authorization") != [f"Bearer {run.values.real}".encode()]:
            return "the Authorization at the API is not the injected one"
        sent = [
            value for name, values in run.sent_headers().items() if name.replace("_", "-") in _CREDENTIALS for value in values
        ]
        if any(value and value in request.raw_head for value in sent):
            return "a credential of the client's reached the API"
    return None


def own_connection(run: Run, match: re.Match[str]) -> str | None:
    for request in run.requests:
        if [value.lower() for value in request.values("connection")] not in ([], [b"keep-alive"], [b"close"]):
            return "the Connection header at the API is not the proxy's own"
    return None


def framing_unchanged(run: Run, match: re.Match[str]) -> str | None:
    lengths = run.sent_headers().get("content-length", [])
    for request in run.requests:
        if request.values("content-length") != lengths or bytes(request.body) != run.sent_body[: len(request.body)]:
            return "framing or body changed on the way"
        if not request.complete:
            return "the request at the API has no end"
    return None


def exact(what: str) -> Check:
    def check(run: Run, match: re.Match[str]) -> str | None:
        sent = run.sent_target
        for request in run.requests:
            pairs = {"target": (request.target, sent), "query": (request.target.partition(b"?")[2], sent.partition(b"?")[2])}
            if pairs[what][0] != pairs[what][1]:
                return f"the {what} at the API is {pairs[what][0]!r}"
        return None

    return check


def holds_target(run: Run, match: re.Match[str]) -> str | None:
    wrong = [request.target for request in run.requests if match["part"].encode() not in request.target]
    return f"the target at the API is {wrong[0]!r}" if wrong else None


def path_is(run: Run, match: re.Match[str]) -> str | None:
    wrong = [r.target for r in run.requests if r.target.partition(b"?")[0] != match["path"].encode()]
    return f"the target at the API is {wrong[0]!r}" if wrong else None


def own_api_only(run: Run, match: re.Match[str]) -> str | None:
    if run.dials:
        return f"dialled {', '.join(run.dials)}"
    strange = [r for r in run.requests if r.values("host") != [run.values.upstream.encode()]]
    return "a request with another Host reached the API" if strange else None


def no_fragment(run: Run, match: re.Match[str]) -> str | None:
    found = [r.target for r in run.requests if b"#" in r.target or b"OTHER" in r.target]
    return f"the target at the API is {found[0]!r}" if found else own_api_only(run, match)


def bytes_identical(run: Run, match: re.Match[str]) -> str | None:
    for request in run.requests:
        for name, values in run.sent_headers().items():
            if name.startswith("x-") and name not in _HOP and request.values(name) != values:
                return f"{name} changed on the way"
    return None


def body_is(run: Run, match: re.Match[str]) -> str | None:
    wanted = match["body"].encode()
    bodies = [run.body] if run.reflects else [bytes(request.body) for request in run.requests]
    return (
        None
        if bodies and all(body == wanted for body in bodies)
        else f"the body is {bodies[0][:40]!r}"
        if bodies
        else "no body"
    )


def body_bytes(run: Run, match: re.Match[str]) -> str | None:
    count = int(match["count"])
    for request in run.requests:
        if bytes(request.body) != run.sent_body[:count] or len(request.body) != count:
            return f"the API got {request.body_bytes} bytes"
    return None


def no_extensions(run: Run, match: re.Match[str]) -> str | None:
    return "a chunk extension reached the API" if any(r.chunks and r.chunks.extensions for r in run.requests) else None


def no_trailers(run: Run, match: re.Match[str]) -> str | None:
    if any(r.chunks and r.chunks.trailers for r in run.requests):
        return "a trailer reached the API"
    if run.reflects:
        raw = run.received.rpartition(b"\r\n0\r\n")[2] if b"\r\n0\r\n" in run.received else b"\r\n"
        return "a trailer reached the client" if raw.strip() else None
    sent = run.sent.partition(b"\r\n0\r\n")[2]
    for line in sent.split(b"\r\n"):
        name, colon, value = line.partition(b":")
        if colon and any(value.strip() and value.strip() in r.values(name.decode("latin-1")) for r in run.requests):
            return "a trailer was made a header"
    return None


def aborted(run: Run, match: re.Match[str]) -> str | None:
    for request in run.requests:
        if request.complete and not run.reflects:
            return "the request at the API ended as if it were whole"
        if request.connection in run.open_upstream:
            return "its connection to the API is still open"
        if run.after_connection == request.connection:
            return "its connection to the API was used again"
    return None


def upstream_closed(run: Run, match: re.Match[str]) -> str | None:
    for request in run.requests:
        if request.connection in run.open_upstream or run.after_connection == request.connection:
            return "the connection to the API is still there"
    return None


def not_forwarded_at_all(run: Run, match: re.Match[str]) -> str | None:
    return "a request reached the API" if run.requests or run.dials else None
