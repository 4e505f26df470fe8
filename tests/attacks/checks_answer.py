"""What sentences of a corpus mean about the answer, the log and the gateway as a whole. Checks of clauses.py: each returns what is
wrong, or None."""

import re

from .generators import encoded_forms
from .run import Run


def no_second_request(run: Run, match: re.Match[str]) -> str | None:
    return f"{len(run.requests)} requests reached the API" if len(run.requests) > 1 else None


def not_on_the_wire(run: Run, match: re.Match[str]) -> str | None:
    return f"the client got {match['what']!r}" if match["what"].encode() in run.received else None


def header_present(run: Run, match: re.Match[str]) -> str | None:
    return None if run.header(match["name"]) else f"the answer has no {match['name']}"


def header_equals(run: Run, match: re.Match[str]) -> str | None:
    wanted = run.values.fill(match["value"])
    return None if run.header(match["name"]) == [wanted] else f"{match['name']} is {b', '.join(run.header(match['name']))!r}"


def no_detail(run: Run, match: re.Match[str]) -> str | None:
    text = run.body.decode("latin-1")
    inner = ("uid-", "agent-", "10.203.", "TokenReview", "digest", "credentials/", "route-", "audience")
    found = [word for word in inner if word in text]
    return f"the refusal's body holds {', '.join(found)}" if found else None


def no_review(run: Run, match: re.Match[str]) -> str | None:
    sent = run.sent.decode("latin-1")
    return "a TokenReview was made of it" if any(token in sent for token in run.reviews) else None


def not_with_500(run: Run, match: re.Match[str]) -> str | None:
    seen = run.facts.get("bad secret", [])
    if not seen or any(status not in (b"502", b"503") for status in seen):
        return f"a credential with a control character: {seen}"
    return None


def trimmed(run: Run, match: re.Match[str]) -> str | None:
    wanted = f"Bearer {run.values.real}".encode()
    found = [request.values("authorization") for request in run.requests]
    wrong = [values for values in found if values != [wanted]]
    return "the credential at the API is not the trimmed one" if wrong or not found else not_with_500(run, match)


def redacted(run: Run, match: re.Match[str]) -> str | None:
    text = run.body + b"".join(response.head.raw for response in run.responses)
    if not run.responses or run.status != 200 or not run.responses[0].complete:
        return "there is no whole answer to look at"
    if run.values.real.encode() in text:
        return "the credential came through"
    return None if b"*" * len(run.values.real) in text else "what came in the credential's place is not of its length"


def framing_correct(run: Run, match: re.Match[str]) -> str | None:
    whole = run.responses and run.responses[0].complete and not run.left_over
    return None if whole else "the answer does not end where its framing says"


def forms_redacted(run: Run, match: re.Match[str]) -> str | None:
    forms = encoded_forms(run.values.real)
    wanted = ("raw", "base64", "percent-encoded", "JSON-escaped")
    found = [name for name in wanted if forms[name] in run.body]
    return f"came through: {', '.join(found)}" if found or not run.body else None


def identity_forced(run: Run, match: re.Match[str]) -> str | None:
    asked = [request.values("accept-encoding") for request in run.requests]
    return None if asked and all(values == [b"identity"] for values in asked) else "the API was not asked for identity"


def not_followed(run: Run, match: re.Match[str]) -> str | None:
    return f"dialled {', '.join(run.dials)}" if run.dials else no_second_request(run, match)


def one_framing(run: Run, match: re.Match[str]) -> str | None:
    for response in run.responses:
        if len(response.head.values("content-length")) + len(response.head.values("transfer-encoding")) > 1:
            return "the answer has two framing headers"
    return None


def crlf(run: Run, match: re.Match[str]) -> str | None:
    heads = b"".join(response.head.raw for response in run.responses)
    return "a bare LF in an answer's head" if heads.count(b"\n") != heads.count(b"\r\n") else None


def no_control(run: Run, match: re.Match[str]) -> str | None:
    heads = b"".join(response.head.raw for response in run.responses)
    return "a control character in an answer's head" if re.search(rb"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]", heads) else None


def never_seen(run: Run, match: re.Match[str]) -> str | None:
    word = match["word"].encode()
    everything = run.received + b"".join(response.head.raw + response.body for response in run.after)
    return f"somebody got {match['word']!r}" if word in everything else None


def no_body(run: Run, match: re.Match[str]) -> str | None:
    bodies = [response for response in run.responses if response.status in (204, 304) and response.body]
    return "there is a body" if bodies or run.left_over else None


def no_final_chunk(run: Run, match: re.Match[str]) -> str | None:
    return "the cut answer looks whole" if any(r.complete and r.status == 200 for r in run.responses) else None


def as_the_api_sent_it(run: Run, match: re.Match[str]) -> str | None:
    return (
        None
        if run.responses and run.body == run.facts.get("body", run.script.partition(b"\r\n\r\n")[2])
        else "the body changed"
    )


def length_kept(run: Run, match: re.Match[str]) -> str | None:
    return None if run.header("content-length") == [match["length"].encode()] else "Content-Length changed"


def reusable(run: Run, match: re.Match[str]) -> str | None:
    return None if run.facts.get("once more") == b"HTTP/1.1 200" else "the connection took no further request"


def lines_of(run: Run, match: re.Match[str]) -> str | None:
    count = {"one": 1, "two": 2, "three": 3}.get(match["count"]) or int(match["count"])
    return None if len(run.header(match["name"])) == count else f"{len(run.header(match['name']))} lines of {match['name']}"


def no_tunnel(run: Run, match: re.Match[str]) -> str | None:
    if any(response.status == 101 for response in run.responses) or 101 in run.informational:
        return "there is a tunnel"
    if any(request.problems for request in run.requests) or b"tunnelled" in run.wire or b"raw-1" in run.wire:
        return "bytes that were no request reached the API"
    return None


def never_status(run: Run, match: re.Match[str]) -> str | None:
    seen = [response.status for response in run.responses] + run.informational
    return f"status {match['status']}" if int(match["status"]) in seen else None


def refused_somewhere(run: Run, match: re.Match[str]) -> str | None:
    if run.values.real.encode() in run.stray or run.requests:
        return "the credential was sent"
    if run.dials:
        return f"dialled {', '.join(run.dials)}"
    return None if run.accepted or run.refusals else "neither refused"


def not_logged(run: Run, match: re.Match[str]) -> str | None:
    query = run.sent_target.partition(b"?")[2].decode("latin-1")
    lines = "".join(run.lines)
    return "a line holds the query" if query and (query in lines or query.partition("=")[0] + "=" in lines) else None


def one_line(run: Run, match: re.Match[str]) -> str | None:
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


def invariant(run: Run, match: re.Match[str]) -> str | None:
    """One of I1 to I7, which judge.py looks at after every run."""
    return None
