"""The keys of `expect` beyond status, close, upstream_requests and dials: what each takes, and the check that it asks for.

Goes in: the mapping of a case. Comes out: `Check`s, and of a run what is wrong with it. A key that is not known is a ValueError that
lists the known ones, so that nothing is passed over because nobody understood it. `python -m tests.attacks.expect` prints the table of
README.md. Pure.
"""

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from . import checks_answer as answer
from . import checks_measured as measured
from . import checks_tunnels as tunnel
from . import checks_upstream as upstream
from .checks_measured import fact
from .checks_upstream import Flag
from .corpus import Check
from .run import Run

Valued = Callable[[Run, Any], str | None]


@dataclass(frozen=True)
class Key:
    """One key."""

    takes: str
    """A name of _TAKES."""
    says: str
    """What holds then."""
    check: Valued


def _flag(says: str, check: Flag) -> Key:
    return Key("true", says, lambda run, _: check(run))


def _is_texts(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(item, str) for item in value)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


_TAKES: Final[dict[str, Callable[[Any], bool]]] = {
    "true": lambda value: value is True,
    "text": lambda value: isinstance(value, str),
    "texts": _is_texts,
    "number": _is_number,
    "name: text": lambda value: isinstance(value, dict) and _is_texts([*value, *value.values()]),
    "name: number": lambda value: isinstance(value, dict) and _is_texts([*value]) and all(map(_is_number, value.values())),
}
KEYS: Final[dict[str, Key]] = {
    # the request that reached the API
    "upstream.absent_headers": Key("texts", "none of these headers", upstream.absent_headers),
    "upstream.no_hop_by_hop": _flag("no hop-by-hop header of those that the client sent", upstream.no_hop_by_hop),
    "upstream.no_client_values": _flag("no value that the client sent in such a header", upstream.no_client_values),
    "upstream.own_connection_header": _flag("Connection is the gateway's own, or absent", upstream.own_connection_header),
    "upstream.one_credential": _flag("the injected credential once, and none of the client's", upstream.one_credential),
    "upstream.credential_trimmed": _flag("the credential without what a Secret's file ends with", upstream.credential_trimmed),
    "upstream.accepts_identity_only": _flag("`Accept-Encoding: identity`", upstream.accepts_identity_only),
    "upstream.x_headers_as_sent": _flag("every X- header with the bytes that were sent", upstream.x_headers_as_sent),
    "upstream.path": Key("text", "the target's path", upstream.path_is),
    "upstream.target_as_sent": _flag("the target with the bytes that were sent", upstream.as_sent("target")),
    "upstream.target_contains": Key("text", "the target holds these bytes", upstream.target_contains),
    "upstream.query_as_sent": _flag("the query with the bytes that were sent", upstream.as_sent("query")),
    "upstream.no_fragment": _flag("no fragment, and nothing led anywhere by it", upstream.no_fragment),
    "upstream.own_api_only": _flag("nothing but the token's own API was called", upstream.own_api_only),
    "upstream.body": Key("text", "the body", upstream.body_is),
    "upstream.body_begins": Key("number", "exactly so many bytes of the body, from its beginning", upstream.body_begins),
    "upstream.body_as_sent": _flag("framing and body as they were sent", upstream.body_as_sent),
    "upstream.no_chunk_extensions": _flag("no chunk extension", upstream.no_chunk_extensions),
    "upstream.no_trailers": _flag("no trailer, and none made a header", upstream.no_trailers),
    "upstream.one_at_most": _flag("not two of them: nothing smuggled, nothing tried again", upstream.one_at_most),
    "upstream.aborted": _flag("it has no clean end, and its connection is gone", upstream.aborted),
    "upstream.closed": _flag("its connection is closed and not used again", upstream.closed),
    "upstream.redirect_not_followed": _flag("no further request, and nobody else is called", upstream.redirect_not_followed),
    "upstream.nothing": _flag("no request, and nobody else is called", upstream.nothing),
    "upstream.endpoint_refused": _flag(
        "the endpoint can't be declared, or the gateway does not call it", upstream.endpoint_refused
    ),
    # what the client gets
    "answer.absent_headers": Key("texts", "none of these headers", answer.absent_headers),
    "answer.present_headers": Key("texts", "all of these headers", answer.present_headers),
    "answer.headers": Key("name: text", "each header once, with this value", answer.headers_are),
    "answer.header_lines": Key("name: number", "each header so many times", answer.header_lines),
    "answer.one_framing_header": _flag("not Content-Length and Transfer-Encoding", answer.one_framing_header),
    "answer.crlf_only": _flag("no bare LF in the head", answer.crlf_only),
    "answer.no_control_characters": _flag("none in the head", answer.no_control_characters),
    "answer.never_status": Key("number", "no answer has this status", answer.never_status),
    "answer.body": Key("text", "the body", answer.body_is),
    "answer.body_as_sent": _flag("the body with the bytes that the API sent", answer.body_as_sent),
    "answer.no_body": _flag("none with 204 or 304, and nothing behind it", answer.no_body),
    "answer.no_trailers": _flag("no trailer", answer.no_trailers),
    "answer.whole": _flag("it ends where its framing says", answer.whole),
    "answer.not_whole": _flag("it can be seen that it was cut", answer.not_whole),
    "answer.without": Key("text", "these bytes are nowhere in what the client gets", answer.without),
    "answer.says": Key("text", "these bytes are in what the client gets", answer.says),
    "answer.nobody_sees": Key("text", "nor in what the next client gets", answer.nobody_sees),
    "answer.redacted": _flag("asterisks in the credential's place, as many as it has bytes", answer.redacted),
    "answer.forms_redacted": _flag("no encoded form of the credential either", answer.forms_redacted),
    "answer.held_back_alike": _flag("what is held back does not depend on the credential", measured.held_back_alike),
    "answer.no_tunnel": _flag("the connection became no tunnel: bytes that follow go nowhere", answer.no_tunnel),
    "answer.reusable": _flag("the connection takes one more request", answer.reusable),
    "answer.no_detail": _flag("a refusal does not say which check failed", answer.no_detail),
    # what else can be seen of the gateway
    "gateway.no_token_review": _flag("the API server is not asked about the token", answer.no_token_review),
    "gateway.bad_credential_refused": _flag(
        "a credential with a control character gets 502 or 503", answer.bad_credential_refused
    ),
    "gateway.identity_from_peer": _flag("another address is refused, whatever its headers say", measured.identity_from_peer),
    "gateway.query_not_logged": _flag("no log line holds the query", answer.query_not_logged),
    "gateway.one_line_a_request": _flag("a start and an end, or one refusal, in the audit log", answer.one_line_a_request),
    "gateway.no_hits": _flag("a search of all that the gateway wrote finds no secret", measured.no_hits),
    # what is measured
    "measured.rss_mib": Key("number", "memory grows by no more", measured.rss_mib),
    "measured.rss_mib_per_stream": Key("number", "memory grows by no more for each stream", measured.rss_mib_per_stream),
    "measured.cpu_seconds": Key("number", "no more of the processor's time", measured.cpu_seconds),
    "measured.others_p99_ms": Key("number", "another client's p99 grows by no more", measured.others_p99_ms),
    "measured.others_p99_percent": Key("number", "the same, as a share", measured.others_p99_percent),
    "measured.others_without_errors": _flag("another client has no error", measured.others_without_errors),
    "measured.answered_within_seconds": Key(
        "number", "from the last byte sent to the first of the answer", measured.answered_within
    ),
    "measured.closed_within_seconds": Key("number", "every connection is closed by then", measured.closed_within),
    "measured.answered_and_closed_within_seconds": Key(
        "number", "and there was an answer", measured.answered_and_closed_within
    ),
    "measured.event_latency_ms": Key("number", "p90 of what an event takes to come through", measured.event_latency_ms),
    "measured.events_not_buffered": _flag("each event comes by itself, and uncompressed", measured.not_buffered),
    "measured.connections_capped": _flag("no more than a devbox may have", fact("capped", "connections that were let in")),
    "measured.files_capped": _flag("no more than the gateway may have", fact("files capped", "open files")),
    "measured.queue_bounded": _flag("no more requests at the API at once", fact("bounded", "requests at the API at once")),
    "measured.stall_closed": _flag("readers that stop are closed", fact("stall closed", "stuck connections")),
    "measured.upstream_paused": _flag("an API can't send on", fact("upstream paused", "bytes that the API could send")),
    "measured.length_refused": _flag(
        "a length beyond the limit reaches no API", fact("length refused", "requests that reached the API")
    ),
    "measured.websockets_closed": _flag("each broken WebSocket is closed or refused", measured.websockets_closed),
    # the forward proxy
    "tunnel.apex_excluded": _flag("a wildcard does not stand for its own parent", tunnel.apex_excluded),
    "tunnel.to_target_only": _flag("what is asked of DNS and dialled is the target's host, or nothing", tunnel.to_target_only),
    "tunnel.public_dials_only": _flag("no inner address is dialled", tunnel.public_dials_only),
    "tunnel.strict_tls": _flag("nothing but TLS that names the host gets through", tunnel.strict_tls),
    "tunnel.only_connect": _flag("refused, and nothing is dialled", tunnel.only_connect),
    "tunnel.half_close_delivered": _flag("what the host sends after the devbox's end arrives", tunnel.half_close_delivered),
    "tunnel.cut_within_seconds": Key("number", "tunnels to a host that is no longer allowed end", tunnel.cut_within),
}
GROUPS: Final = tuple(dict.fromkeys(name.partition(".")[0] for name in KEYS))
MEASURES: Final = frozenset(
    {
        "measured.rss_mib",
        "measured.rss_mib_per_stream",
        "measured.cpu_seconds",
        "measured.others_p99_ms",
        "measured.others_p99_percent",
        "measured.event_latency_ms",
    }
)
"""Such a case runs where nothing else does, and says itself how much memory it may take."""


def checks(expect: Mapping[str, Any]) -> tuple[Check, ...]:
    """What the groups of a case's `expect` ask for. Raises ValueError."""
    found = []
    for group, wanted in expect.items():
        if group not in GROUPS:
            raise ValueError(
                f"key not understood: expect.{group}; known are status, close, upstream_requests, dials, {', '.join(GROUPS)}"
            )
        if not isinstance(wanted, dict):
            raise ValueError(f"expect.{group} takes keys: {_known(group)}")
        for name, value in wanted.items():
            key = KEYS.get(f"{group}.{name}")
            if key is None:
                raise ValueError(f"key not understood: expect.{group}.{name}; known are {_known(group)}")
            if not _TAKES[key.takes](value):
                raise ValueError(f"expect.{group}.{name} takes {key.takes}, not {value!r}")
            found.append(Check(f"{group}.{name}", value))
    return tuple(found)


def judge_check(run: Run, check: Check) -> str | None:
    """What is wrong, with the key that says so; or None."""
    said = KEYS[check.key].check(run, check.value)
    return None if said is None else f"{said} ({check.key})"


def table() -> str:
    """The keys, for README.md."""
    rows = [f"| {name} | {key.takes} | {key.says} |" for name, key in KEYS.items()]
    return "\n".join(["| key | takes | what holds then |", "|---|---|---|", *rows])


def _known(group: str) -> str:
    return ", ".join(name.partition(".")[2] for name in KEYS if name.startswith(f"{group}."))


if __name__ == "__main__":
    sys.stdout.write(table() + "\n")
