"""The table of what sentences of a corpus mean. Each row: how a clause may be worded, and the function that judges it.

A check gets the run and the match, and returns what is wrong or None. Whether a header or body of the request or of the answer is
meant follows from the case: one with an `upstream` is about the answer.
"""

import re
from typing import Final

from . import clauses_answer as answer
from . import clauses_request as request
from .clauses_measured import MEASURED
from .clauses_request import Check
from .clauses_tunnels import TUNNELS
from .clauses_worded import WORDED

_HEADERS: Final = r"(?P<names>[A-Za-z0-9_-]+(?:(?:, (?:and )?| and | / )[A-Za-z0-9_-]+)*)"
CLAUSES: Final[list[tuple[re.Pattern[str], Check]]] = (
    [
        (re.compile(pattern, re.IGNORECASE), check)
        for pattern, check in (
            (
                r"no trailers? field merged into headers|no trailers? forwarded|trailers? (are )?dropped|x is a trailer and is dropped",
                request.no_trailers,
            ),
            (
                r"upgrade and http2-settings stripped",
                lambda run, match: request.absent(run, "upgrade, http2-settings", everywhere=True),
            ),
            (
                rf"(?:if (?:forwarded|accepted): )?{_HEADERS} (?:headers? )?(?:(?:is|are) )?(?:dropped|stripped|removed)",
                request.not_forwarded,
            ),
            (rf"{_HEADERS} (?:is |are )?not (?:forwarded|passed)(?: upstream| on)?", request.not_forwarded),
            (
                r"upstream has no (?P<names>[\w-]+)(?: header)?|no (?P<other>[\w-]+) header upstream",
                lambda run, m: request.absent(run, m["names"] or m["other"]),
            ),
            (r"none of (?:them|these)(?: reach(?:es)?)? upstream", request.none_of_them),
            (r"client values dropped", request.client_values_dropped),
            (
                r"(?:upstream receives )?(?:the|exactly one) injected credential(?: exactly once)?|both client credentials stripped"
                r"|(?:every|all|the) client(?:'s)? credentials? (?:is |are )?stripped|no client-supplied variant .*reaches upstream",
                request.credential_once,
            ),
            (r"connection header is the proxy's own", request.own_connection),
            (r"framing unchanged", request.framing_unchanged),
            (r"query (?:is )?(?:kept )?byte-exact", request.exact("query")),
            (r"forwarded byte-exact as (?P<part>\S+)(?: \(.*\))?", request.holds_target),
            (
                r"(?:target |path |forwarded )?(?:is )?byte-exact|upstream path == the path as sent, byte for byte.*",
                request.exact("target"),
            ),
            (r"(?:if (?:accepted|forwarded): )?upstream (?:path|target) == (?P<path>/\S*)", request.path_is),
            (r"stays on name|never (?:routed|reaches|led) to other", request.own_api_only),
            (r"fragment (?:is )?not forwarded(?: and not used in routing)?", request.no_fragment),
            (r"(?:if forwarded: )?bytes identical", request.bytes_identical),
            (r"(?:if forwarded: )?upstream host == endpoint host|exactly one host", answer.invariant),
            (r"(?:upstream )?body (?:==|is) (?P<body>\S+)", request.body_is),
            (r"body is exactly the (?P<count>\d+) bytes", request.body_bytes),
            (r"no chunk-ext(?:ension)?s? on the upstream wire", request.no_extensions),
            (
                r"no (?:second|smuggled|further) request|no retry|not retried|bytes after first request never reach upstream raw"
                r"|(?:the )?second request is not tunnelled",
                lambda run, m: answer.no_tunnel(run, m) if "raw" in m[0] else answer.no_second_request(run, m),
            ),
            (
                r"(?:if )?upstream (?:connection |request (?:started it )?)?is aborted(?:,? never reused| without a terminating 0-chunk)?"
                r"|upstream aborted",
                request.aborted,
            ),
            (
                r"upstream conn(?:ection)? (?:is )?(?:closed|not reused|not pooled)(?:, (?:not pooled|never reused|not reused))?",
                request.upstream_closed,
            ),
            (r"no \"(?P<what>[^\"]+)\" (?:on the wire|downstream)", answer.not_on_the_wire),
            (r"(?P<name>[A-Za-z-]+) (?:is )?present", answer.header_present),
            (r"no detail which check failed", answer.no_detail),
            (r"no tokenreview issued.*", answer.no_review),
            (
                r"cr/lf trimmed once at load|value with inner ctl rejected with a condition, never 500 loop",
                lambda run, m: answer.not_with_500(run, m) if "inner" in m[0] else answer.trimmed(run, m),
            ),
            (
                r"fail closed: request never forwarded without credential|never forwarded|(?:the )?credential (?:is )?never sent",
                request.not_forwarded_at_all,
            ),
            (
                r"\{\{REAL\}\} not in (?:the )?(?:body|headers?|response|answer)(?: when redaction=on)?"
                r"|the credential is redacted.*|credential redacted.*",
                answer.redacted,
            ),
            (r"framing (?:is )?still correct", answer.framing_correct),
            (r"rendered forms .*redacted", answer.forms_redacted),
            (r"others documented as out of scope|document which", answer.invariant),
            (r"either accept-encoding: identity was forced, or body decompressed\+scanned", answer.identity_forced),
            (r"proxy does not follow|redirects? (?:is |are )?not followed", answer.not_followed),
            (r"no other client re-targeting by proxy", answer.not_followed),
            (r"downstream has one framing header", answer.one_framing),
            (r"downstream uses crlf", answer.crlf),
            (r"no (?:nul|ctl|control characters?|esc)(?: bytes?)? downstream", answer.no_control),
            (r"next request on any client never sees \"(?P<word>[^\"]+)\"", answer.never_seen),
            (r"no body downstream", answer.no_body),
            (r"no final 0-chunk sent downstream", answer.no_final_chunk),
            (r"passed through compressed byte-exact.*|body (?:passed (?:through )?)?byte-exact", answer.as_the_api_sent_it),
            (r"cl (?P<length>\d+) kept", answer.length_kept),
            (r"connection (?:is )?reusable", answer.reusable),
            (r"(?P<count>one|two|three|\d+) (?P<name>[A-Za-z-]+) lines?", answer.lines_of),
            (r"bytes after the handshake are not forwarded as a tunnel.*|never tunnelled|no tunnel", answer.no_tunnel),
            (r"never (?P<status>\d{3})", answer.never_status),
            (r"cr gets accepted=false or proxy refuses at dial", answer.refused_somewhere),
            (r"query (?:is )?not logged(?: by default)?|not in (?:the )?access log", answer.not_logged),
            (r"one json line per request|exactly one (?:log|audit) line.*", answer.one_line),
            (
                r"token value never reaches upstream.*|(?:the )?token (?:is )?not in (?:the )?logs?|responses pair 1:1.*",
                answer.invariant,
            ),
            (r"(?P<name>[A-Z][A-Za-z]*(?:-[A-Z][A-Za-z]*)*) == (?P<value>[^;]+)", answer.header_equals),
        )
    ]
    + MEASURED
    + WORDED
    + TUNNELS
)
