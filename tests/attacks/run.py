"""What happened in one run of one case: everything that the checks look at."""

import json
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from tests.support.http_reading import Response
from tests.support.recorder import Recorded

from .corpus import Case, Values


class Variant(Enum):
    """How a case's bytes are sent."""

    AS_IS = "as is"
    SEGMENTED = "one byte a segment"
    PIPELINED = "pipelined"


@dataclass
class Run:
    """Filled by exchange.py and floods.py; judged by judge.py."""

    case: Case
    variant: Variant
    values: Values
    sent: bytes = b""
    """What the client sent, without the valid request before it."""
    received: bytes = b""
    """Everything that the client got."""
    first: Response | None = None
    """The answer to the valid request before it (pipelined)."""
    responses: list[Response] = field(default_factory=list)
    """The answers to the case's own requests, without 1xx."""
    informational: list[int] = field(default_factory=list)
    """1xx statuses."""
    left_over: bytes = b""
    """What came behind the last answer."""
    ended: str | None = None
    """How the gateway ended the client's connection; None: it did not."""
    ended_after: float = 0.0
    """Seconds from the last byte that was sent to the end."""
    first_byte_after: float = 0.0
    """Seconds from the last byte that was sent to the first of the answer."""
    requests: list[Recorded] = field(default_factory=list)
    """What reached the API."""
    open_upstream: set[int] = field(default_factory=set)
    """Connections to the API that are still open after all of it."""
    after: list[Response] = field(default_factory=list)
    """The answer to a valid request that another client sent afterwards."""
    after_connection: int = 0
    """Connection to the API on which that came."""
    wire: bytes = b""
    """Everything that reached the API."""
    dials: list[str] = field(default_factory=list)
    """Addresses that were called and are not the recorder's."""
    stray: bytes = b""
    """What was said to them."""
    reviews: list[str] = field(default_factory=list)
    """Tokens that the API server was asked about."""
    lines: list[str] = field(default_factory=list)
    """What the gateway printed meanwhile, of this run's devbox where a line says whose it is."""
    metrics: str = ""
    """What Prometheus would see afterwards."""
    rss_growth: int = 0
    """Bytes; 0 where others ran at the same time."""
    cpu_seconds: float = 0.0
    script: bytes = b""
    """What the API answered, if the case says."""
    accepted: str | None = None
    """Why the case's endpoint can't even be declared; None: it can."""
    facts: dict[str, Any] = field(default_factory=dict)
    """What generators and probes measured."""
    problems: list[str] = field(default_factory=list)
    """What went wrong on the way."""

    @property
    def status(self) -> int | str:
        """Of the first answer."""
        return self.responses[0].status if self.responses else "none"

    @property
    def body(self) -> bytes:
        """Of the first answer."""
        return self.responses[0].body if self.responses else b""

    @property
    def refusals(self) -> list[Response]:
        """Answers that are the gateway's own."""
        return [response for response in self.responses if is_refusal(response)]

    @property
    def reflects(self) -> bool:
        """The case is about what the API answers."""
        return self.case.upstream is not None

    def header(self, name: str) -> list[bytes]:
        """Of the first answer."""
        return self.responses[0].head.values(name) if self.responses else []

    def audit(self) -> list[dict[str, Any]]:
        """The audit lines among `lines`."""
        return [json.loads(line) for line in self.lines if line.startswith('{"audit"')]

    def sent_headers(self) -> dict[str, list[bytes]]:
        """Of the first request: lower-case name → values, as far as lines can be made out."""
        found: dict[str, list[bytes]] = {}
        for line in self.sent.partition(b"\r\n\r\n")[0].split(b"\r\n")[1:]:
            name, _, value = line.partition(b":")
            found.setdefault(name.decode("latin-1").strip().lower(), []).append(value.strip())
        return found

    @property
    def sent_target(self) -> bytes:
        """Of the first request."""
        parts = self.sent.partition(b"\r\n")[0].split(b" ")
        return parts[1] if len(parts) > 1 else b""

    @property
    def sent_body(self) -> bytes:
        """What stands behind the first head."""
        return self.sent.partition(b"\r\n\r\n")[2]


def is_refusal(response: Response) -> bool:
    """The gateway's own answer: its JSON, or its headers where there is no body."""
    return response.status >= 400 and (
        b"devbox-gateway:" in response.body or b"devbox-gateway" in response.head.values("server")
    )
