"""Keys of `expect` about the answer, the log and the gateway as a whole: each returns what is wrong, or None. Pure."""

import re

from .generators import encoded_forms
from .run import Run


def without(run: Run, text: str) -> str | None:
    return f"the client got {text!r}" if text.encode() in run.received else None


def says(run: Run, text: str) -> str | None:
    return None if text.encode() in run.received else f"the client did not get {text!r}"


def present_headers(run: Run, names: list[str]) -> str | None:
    missing = [name for name in names if not run.header(name)]
    return f"the answer has no {', '.join(missing)}" if missing else None


def absent_headers(run: Run, names: list[str]) -> str | None:
    there = {name for response in run.responses for name in response.head.names()}
    found = [name for name in names if name.lower() in there or name.lower().replace("_", "-") in there]
    return f"{', '.join(found)} passed" if found else None


def headers_are(run: Run, values: dict[str, str]) -> str | None:
    """Each once, with this value."""
    for name, value in values.items():
        if run.header(name) != [run.values.fill(value)]:
            return f"{name} is {b', '.join(run.header(name))!r}"
    return None


def body_is(run: Run, body: str) -> str | None:
    return None if run.body == body.encode() else f"the body is {run.body[:40]!r}"


def no_trailers(run: Run) -> str | None:
    raw = run.received.rpartition(b"\r\n0\r\n")[2] if b"\r\n0\r\n" in run.received else b"\r\n"
    return "a trailer reached the client" if raw.strip() else None


def no_detail(run: Run) -> str | None:
    text = run.body.decode("latin-1")
    inner = ("uid-", "agent-", "10.203.", "TokenReview", "digest", "credentials/", "route-", "audience")
    found = [word for word in inner if word in text]
    return f"the refusal's body holds {', '.join(found)}" if found else None


def no_token_review(run: Run) -> str | None:
    sent = run.sent.decode("latin-1")
    return "a TokenReview was made of it" if any(token in sent for token in run.reviews) else None


def bad_credential_refused(run: Run) -> str | None:
    seen = run.facts.get("bad secret", [])
    if not seen or any(status not in (b"502", b"503") for status in seen):
        return f"a credential with a control character: {seen}"
    return None


def redacted(run: Run) -> str | None:
    text = run.body + b"".join(response.head.raw for response in run.responses)
    if not run.responses or run.status != 200 or not run.responses[0].complete:
        return "there is no whole answer to look at"
    if run.values.real.encode() in text:
        return "the credential came through"
    return None if b"*" * len(run.values.real) in text else "what came in the credential's place is not of its length"


def whole(run: Run) -> str | None:
    whole = run.responses and run.responses[0].complete and not run.left_over
    return None if whole else "the answer does not end where its framing says"


def forms_redacted(run: Run) -> str | None:
    forms = encoded_forms(run.values.real)
    wanted = ("raw", "base64", "percent-encoded", "JSON-escaped")
    found = [name for name in wanted if forms[name] in run.body]
    return f"came through: {', '.join(found)}" if found or not run.body else None


def one_framing_header(run: Run) -> str | None:
    for response in run.responses:
        if len(response.head.values("content-length")) + len(response.head.values("transfer-encoding")) > 1:
            return "the answer has two framing headers"
    return None


def crlf_only(run: Run) -> str | None:
    heads = b"".join(response.head.raw for response in run.responses)
    return "a bare LF in an answer's head" if heads.count(b"\n") != heads.count(b"\r\n") else None


def no_control_characters(run: Run) -> str | None:
    heads = b"".join(response.head.raw for response in run.responses)
    return "a control character in an answer's head" if re.search(rb"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]", heads) else None


def nobody_sees(run: Run, text: str) -> str | None:
    word = text.encode()
    everything = run.received + b"".join(response.head.raw + response.body for response in run.after)
    return f"somebody got {text!r}" if word in everything else None


def no_body(run: Run) -> str | None:
    bodies = [response for response in run.responses if response.status in (204, 304) and response.body]
    return "there is a body" if bodies or run.left_over else None


def not_whole(run: Run) -> str | None:
    return "the cut answer looks whole" if any(r.complete and r.status == 200 for r in run.responses) else None


def body_as_sent(run: Run) -> str | None:
    return (
        None
        if run.responses and run.body == run.facts.get("body", run.script.partition(b"\r\n\r\n")[2])
        else "the body changed"
    )


def reusable(run: Run) -> str | None:
    return None if run.facts.get("once more") == b"HTTP/1.1 200" else "the connection took no further request"


def header_lines(run: Run, counts: dict[str, int]) -> str | None:
    for name, count in counts.items():
        if len(run.header(name)) != count:
            return f"{len(run.header(name))} lines of {name}"
    return None


def no_tunnel(run: Run) -> str | None:
    if any(response.status == 101 for response in run.responses) or 101 in run.informational:
        return "there is a tunnel"
    if any(request.problems for request in run.requests) or b"tunnelled" in run.wire or b"raw-1" in run.wire:
        return "bytes that were no request reached the API"
    return None


def never_status(run: Run, status: int) -> str | None:
    seen = [response.status for response in run.responses] + run.informational
    return f"status {status}" if status in seen else None


def query_not_logged(run: Run) -> str | None:
    query = run.sent_target.partition(b"?")[2].decode("latin-1")
    lines = "".join(run.lines)
    return "a line holds the query" if query and (query in lines or query.partition("=")[0] + "=" in lines) else None


def one_line_a_request(run: Run) -> str | None:
    """A start and an end, or one refusal; each a line of JSON."""
    found: dict[str, list[str]] = {}
    for line in run.audit():
        if line["audit"] == "refused_more":
            continue  # so many refusals that this one has no line of its own
        found.setdefault(line["request_id"], []).append(line["audit"])
    wrong = [events for events in found.values() if events not in (["start", "end"], ["refused"], ["refusal"])]
    if not found:
        return "there is no audit line"
    if any("\x1b" in line or not line.endswith("}\n") for line in run.lines):
        return "a line is broken up, or holds a control character"
    return f"lines of a request: {wrong[0]}" if wrong else None
