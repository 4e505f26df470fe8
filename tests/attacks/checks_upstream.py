"""Keys of `expect` about the request that reached the API: each returns what is wrong, or None. Pure."""

from collections.abc import Callable
from typing import Final

from .run import Run

Flag = Callable[[Run], str | None]
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


def absent_headers(run: Run, names: list[str]) -> str | None:
    """An underscore counts as a dash, as some APIs take it; but not in what the gateway writes itself."""
    there = names_upstream(run)
    wanted = [name.lower() for name in names]
    found = [name for name in wanted if name in there or name.replace("_", "-") in there - set(_OWN)]
    return f"{', '.join(found)} passed" if found else None


def no_hop_by_hop(run: Run) -> str | None:
    sent = set(run.sent_headers()) & _HOP
    found = sent & names_upstream(run)
    if not sent:
        return "the case sends none of the headers that are meant"
    return f"{', '.join(sorted(found))} reached the API" if found else None


def no_client_values(run: Run) -> str | None:
    for name, values in run.sent_headers().items():
        if name in _HOP and any(value in request.values(name) for request in run.requests for value in values):
            return f"{name} reached the API with the client's value"
    return None


def one_credential(run: Run) -> str | None:
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


def own_connection_header(run: Run) -> str | None:
    for request in run.requests:
        if [value.lower() for value in request.values("connection")] not in ([], [b"keep-alive"], [b"close"]):
            return "the Connection header at the API is not the proxy's own"
    return None


def body_as_sent(run: Run) -> str | None:
    lengths = run.sent_headers().get("content-length", [])
    for request in run.requests:
        if request.values("content-length") != lengths or bytes(request.body) != run.sent_body[: len(request.body)]:
            return "framing or body changed on the way"
        if not request.complete:
            return "the request at the API has no end"
    return None


def as_sent(what: str) -> Flag:
    """The `target`, or its `query`."""

    def check(run: Run) -> str | None:
        sent = run.sent_target
        for request in run.requests:
            pairs = {"target": (request.target, sent), "query": (request.target.partition(b"?")[2], sent.partition(b"?")[2])}
            if pairs[what][0] != pairs[what][1]:
                return f"the {what} at the API is {pairs[what][0]!r}"
        return None

    return check


def target_contains(run: Run, part: str) -> str | None:
    wrong = [request.target for request in run.requests if part.encode() not in request.target]
    return f"the target at the API is {wrong[0]!r}" if wrong else None


def path_is(run: Run, path: str) -> str | None:
    wrong = [r.target for r in run.requests if r.target.partition(b"?")[0] != path.encode()]
    return f"the target at the API is {wrong[0]!r}" if wrong else None


def own_api_only(run: Run) -> str | None:
    if run.dials:
        return f"dialled {', '.join(run.dials)}"
    strange = [r for r in run.requests if r.values("host") != [run.values.upstream.encode()]]
    return "a request with another Host reached the API" if strange else None


def no_fragment(run: Run) -> str | None:
    found = [r.target for r in run.requests if b"#" in r.target or b"OTHER" in r.target]
    return f"the target at the API is {found[0]!r}" if found else own_api_only(run)


def x_headers_as_sent(run: Run) -> str | None:
    for request in run.requests:
        for name, values in run.sent_headers().items():
            if name.startswith("x-") and name not in _HOP and request.values(name) != values:
                return f"{name} changed on the way"
    return None


def body_is(run: Run, body: str) -> str | None:
    bodies = [bytes(request.body) for request in run.requests]
    if not bodies:
        return "no body"
    return None if all(one == body.encode() for one in bodies) else f"the body is {bodies[0][:40]!r}"


def body_begins(run: Run, count: int) -> str | None:
    """Exactly the first so many bytes of the body that was sent."""
    for request in run.requests:
        if bytes(request.body) != run.sent_body[:count] or len(request.body) != count:
            return f"the API got {request.body_bytes} bytes"
    return None


def no_chunk_extensions(run: Run) -> str | None:
    return "a chunk extension reached the API" if any(r.chunks and r.chunks.extensions for r in run.requests) else None


def no_trailers(run: Run) -> str | None:
    if any(r.chunks and r.chunks.trailers for r in run.requests):
        return "a trailer reached the API"
    sent = run.sent.partition(b"\r\n0\r\n")[2]
    for line in sent.split(b"\r\n"):
        name, colon, value = line.partition(b":")
        if colon and any(value.strip() and value.strip() in r.values(name.decode("latin-1")) for r in run.requests):
            return "a trailer was made a header"
    return None


def aborted(run: Run) -> str | None:
    for request in run.requests:
        if request.complete and not run.reflects:
            return "the request at the API ended as if it were whole"
        if request.connection in run.open_upstream:
            return "its connection to the API is still open"
        if run.after_connection == request.connection:
            return "its connection to the API was used again"
    return None


def closed(run: Run) -> str | None:
    for request in run.requests:
        if request.connection in run.open_upstream or run.after_connection == request.connection:
            return "the connection to the API is still there"
    return None


def nothing(run: Run) -> str | None:
    return "a request reached the API" if run.requests or run.dials else None


def one_at_most(run: Run) -> str | None:
    return f"{len(run.requests)} requests reached the API" if len(run.requests) > 1 else None


def credential_trimmed(run: Run) -> str | None:
    wanted = f"Bearer {run.values.real}".encode()
    found = [request.values("authorization") for request in run.requests]
    wrong = [values for values in found if values != [wanted]]
    return "the credential at the API is not the trimmed one" if wrong or not found else None


def accepts_identity_only(run: Run) -> str | None:
    asked = [request.values("accept-encoding") for request in run.requests]
    return None if asked and all(values == [b"identity"] for values in asked) else "the API was not asked for identity"


def redirect_not_followed(run: Run) -> str | None:
    return f"dialled {', '.join(run.dials)}" if run.dials else one_at_most(run)


def endpoint_refused(run: Run) -> str | None:
    if run.values.real.encode() in run.stray or run.requests:
        return "the credential was sent"
    if run.dials:
        return f"dialled {', '.join(run.dials)}"
    return None if run.accepted or run.refusals else "neither refused"
