"""Further wordings of what clauses.py has, and what a corpus of these groups may ask besides: a table of the same kind.

The project's own corpus does not use them all; another file of the same format may.
"""

import re
from ipaddress import ip_address
from typing import Final

from . import clauses_answer as answer
from . import clauses_request as request
from .clauses_request import Check
from .run import Run, is_refusal

_LONG: Final = 6
"""Bytes from which a value in a refusal's body is no coincidence."""


def _absent_secret(run: Run, match: re.Match[str]) -> str | None:
    everything = run.received + b"".join(response.head.raw + response.body for response in run.responses)
    return "the credential came through" if run.values.real.encode() in everything else None


def _no_echo(run: Run, match: re.Match[str]) -> str | None:
    """A refusal says nothing that the client said."""
    text = b"".join(response.body + response.head.raw for response in run.responses if is_refusal(response))
    values = [value for values in run.sent_headers().values() for value in values if len(value) >= _LONG]
    said = [value for value in (*values, run.sent_target) if len(value) >= _LONG and value in text]
    return "the refusal echoes what was sent" if said and run.values.host.encode() not in said else None


def _not_in_lines(run: Run, match: re.Match[str]) -> str | None:
    """What was sent in headers is in no log line."""
    lines = "".join(run.lines).encode()
    values = [value for values in run.sent_headers().values() for value in values if len(value) >= _LONG]
    return "a log line holds a header's value" if any(value in lines for value in values) else None


def _not_in_metrics(run: Run, match: re.Match[str]) -> str | None:
    target = run.sent_target.decode("latin-1").partition("?")[0]
    return "the metrics hold the path" if len(target) > _LONG and target in run.metrics else None


def _cut_for_the_client(run: Run, match: re.Match[str]) -> str | None:
    whole = [
        response for response in run.responses if response.complete and not is_refusal(response) and not response.until_close
    ]
    return "the answer looks whole" if whole else None


def _one_continue(run: Run, match: re.Match[str]) -> str | None:
    return None if run.informational.count(100) <= 1 else f"{run.informational.count(100)} times 100"


def _header_kept(run: Run, match: re.Match[str]) -> str | None:
    """As the API sent it."""
    name = match["name"]
    sent = re.findall(rb"(?im)^" + name.encode() + rb":[ \t]*(.*?)\r?$", run.script.partition(b"\r\n\r\n")[0])
    return None if sent and run.header(name) == sent else f"{name} changed"


def _reason_is_ours(run: Run, match: re.Match[str]) -> str | None:
    told = run.script.partition(b"\r\n")[0].split(b" ", 2)[2:]
    reasons = [response.head.first[1] for response in run.responses]
    return "the API's reason came through" if told and told[0] in reasons and not told[0].isalpha() else None


def _answered_once(run: Run, match: re.Match[str]) -> str | None:
    return None if len(run.responses) == 1 else f"{len(run.responses)} answers"


def _closed(run: Run, match: re.Match[str]) -> str | None:
    return "the connection is still open" if run.ended is None else None


def _tunnel(run: Run, match: re.Match[str]) -> str | None:
    return None if any(response.status == 101 for response in run.responses) else "there is no tunnel"


def _no_token_upstream(run: Run, match: re.Match[str]) -> str | None:
    return "a token reached the API" if any(b"gws_" in r.raw_head for r in run.requests) else None


def _checked_dials(run: Run, match: re.Match[str]) -> str | None:
    """Whatever was dialled is public."""
    hosts = [dial.rpartition(":")[0] for dial in run.dials]
    inner = [host for host in hosts if not ip_address(host).is_global]
    return f"dialled {', '.join(inner)}" if inner else None


_NAME: Final = r"(?P<name>[A-Za-z]+(?:-[A-Za-z]+)*)"
WORDED: Final[list[tuple[re.Pattern[str], Check]]] = [
    (re.compile(pattern, re.IGNORECASE), check)
    for pattern, check in (
        (
            r"(?:the )?(?:real )?(?:\{\{REAL\}\}|credential|secret) (?:is )?(?:not|never|absent) .*"
            r"(?:header|body|response|answer|downstream|client).*",
            _absent_secret,
        ),
        (
            r"(?:response )?header (?:value )?(?:is )?(?:redacted|removed|dropped)(?: or (?:redacted|removed|dropped))?",
            _absent_secret,
        ),
        (
            r".*(?:does not|never|no) (?:echo|reflect)(?:s|ed|ing)?(?: of)?(?: the)?"
            r"(?: input| request| raw bytes| header| path| anything)*.*",
            _no_echo,
        ),
        (
            r"(?:raw )?(?:header|request|line|bytes)[a-z ]* (?:is |are )?(?:not|never) (?:in "
            r"(?:the )?logs?|logged)|no (?:raw )?(?:header|bytes)[a-z ]* (?:in (?:the )?logs?|logged)",
            _not_in_lines,
        ),
        (
            r"(?:metric|label)s?[a-z ]*(?:bounded|no path|do not hold|without)[a-z ]*|no "
            r"(?:path|user-agent)[a-z ]* in (?:the )?(?:metrics|labels)|bounded (?:label )?cardinality",
            _not_in_metrics,
        ),
        (
            r"(?:downstream|client)[a-z ]*(?:aborted|cut|truncated|sees an? "
            r"(?:error|abort|incomplete)[a-z ]*|incomplete|not whole)|never (?:a )?clean(?:ly)? end(?:ed)?|no clean "
            r"(?:end|eof).*|truncation (?:is )?visible.*",
            _cut_for_the_client,
        ),
        (
            r"(?:at most|exactly|only) one (?:\"?100[ -]continue\"?|100).*|100 (?:continue )?only after (?:auth|the checks).*",
            _one_continue,
        ),
        (rf"{_NAME} (?:is )?(?:kept|unchanged|passed(?: through)?|untouched)(?: as is| unchanged)?", _header_kept),
        (r"reason(?: phrase)? (?:is )?(?:regenerated|the proxy's own|replaced)", _reason_is_ours),
        (r"(?:exactly )?one (?:response|answer)(?: only)?", _answered_once),
        (r"(?:the )?(?:client |downstream )?connection (?:is )?closed", _closed),
        (r"(?:the )?tunnel (?:works|is open|opened|established)", _tunnel),
        (
            r"(?:the )?(?:gws_ )?token (?:is )?"
            r"(?:stripped|removed|not forwarded|never forwarded|never upstream|not upstream).*",
            _no_token_upstream,
        ),
        (r"no tokenreview.*|0 tokenreviews?.*", answer.no_review),
        (
            r"(?:only )?the (?:vetted|checked|first) address is dialled.*|resolved once.*|no second (?:lookup|resolution).*",
            _checked_dials,
        ),
        (r"not a clean end(?:ing)?", _cut_for_the_client),
        (r"exactly one (?:authorization|credential)(?: header)?(?: upstream)?", request.credential_once),
        (r"(?:the )?(?:injected )?credential (?:is )?(?:injected|present|sent) (?:exactly )?once", request.credential_once),
        (
            r"(?:path|target|query)[a-z ]*(?:unchanged|kept(?: byte[- ]exact(?:ly)?)?|not (?:re-?)?"
            r"(?:decoded|encoded|normali[sz]ed))",
            request.exact("target"),
        ),
        (r"(?:upstream )?(?:request )?body (?:is )?(?:unchanged|intact|identical)", request.framing_unchanged),
        (
            r"(?:nothing|no request|no bytes?) (?:reach(?:es|ed)? |sent )?(?:to )?"
            r"(?:the )?upstream|not forwarded|fail(?:s)? closed",
            request.not_forwarded_at_all,
        ),
        (r"no upstream (?:request|connection|dial).*|0 dials", request.not_forwarded_at_all),
        (r"(?:response|answer|body) (?:is )?(?:complete|whole|intact)", answer.framing_correct),
        (r"(?:upstream )?(?:conn(?:ection)? )?(?:is )?(?:not|never) (?:reused|pooled)", request.upstream_closed),
    )
]
