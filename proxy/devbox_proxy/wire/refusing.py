"""A refusal on the wire: headers, and a JSON body that both SDK families parse.

Goes in: a refusal, and the request's id. Comes out: headers and bytes. Pure.
"""

from typing import Final

import orjson

from devbox_api.judge.refusals import Refusal

ANTHROPIC_TYPES: Final = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    405: "invalid_request_error",
    407: "authentication_error",
    408: "timeout_error",
    413: "request_too_large",
    414: "invalid_request_error",
    429: "rate_limit_error",
    431: "invalid_request_error",
    500: "api_error",
    502: "api_error",
    503: "api_error",
    504: "timeout_error",
}
"""The word that Anthropic's API uses for a status (docs.anthropic.com, "Errors"); OpenAI's SDK goes by the status alone."""
OVERLOADED: Final = "overloaded_error"
"""Clients tell their users of this one that the API is at capacity, so it is for nothing else."""
GOOGLE_STATUSES: Final = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    405: "UNIMPLEMENTED",
    407: "UNAUTHENTICATED",
    408: "DEADLINE_EXCEEDED",
    413: "INVALID_ARGUMENT",
    414: "INVALID_ARGUMENT",
    429: "RESOURCE_EXHAUSTED",
    431: "INVALID_ARGUMENT",
    500: "INTERNAL",
    502: "UNAVAILABLE",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}
"""The word that Google's APIs use (cloud.google.com, "Errors"): their clients show it beside the status."""


def headers(refusal: Refusal, request_id: str) -> dict[str, str]:
    """The response's headers, but for framing."""
    lines = {"Content-Type": "application/json", "Cache-Control": "no-store", "X-Request-Id": request_id}
    if refusal.retry_after is not None:
        lines["Retry-After"] = str(refusal.retry_after)
    if refusal.final:
        # The SDKs of Anthropic and OpenAI, and the agents that are made with them, then show the message at once.
        lines["X-Should-Retry"] = "false"
    if refusal.status == 401:
        # git sends its password only to who asks for Basic. Each names a realm, as RFC 6750 (3) and 7617 (2) want.
        lines["WWW-Authenticate"] = 'Bearer realm="devbox-gateway", Basic realm="devbox-gateway"'
    return lines


def body(refusal: Refusal, request_id: str, said: str = "") -> bytes:
    """`{"type":"error","error":{"type","code","message","status"},"request_id"}`: Anthropic's shape, which OpenAI's SDKs read
    too; `status` is Google's word.

    `said` takes the message's place: what was asked for, once it was checked, and what to do.
    """
    message = f"{refusal.code}: {said}" if said else refusal.message
    error = {
        "type": OVERLOADED if refusal.overload else ANTHROPIC_TYPES[refusal.status],
        "code": refusal.code,
        "message": f"devbox-gateway: {message}",
        "status": GOOGLE_STATUSES[refusal.status],
    }
    return orjson.dumps({"type": "error", "error": error, "request_id": request_id})
