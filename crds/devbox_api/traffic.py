"""Parts of a GatewayConfig that say what may be asked of an API and how its connections are treated.

Durations and sizes are text as Kubernetes has it; `seconds` and `whole` read them.
"""

import re
from decimal import Decimal
from typing import Annotated, Final, Literal

from pydantic import Field

from .schema import ApiModel, cel, rules
from .shared import PLAIN_PEM, Quantity

_PLAIN = "self.matches('^([A-Za-z0-9._~!$&()*+,;=:@/-]|%[0-9A-Fa-f]{2})*$')"
RulePath = Annotated[
    str,
    Field(
        min_length=1,
        max_length=256,
        json_schema_extra=rules(
            cel("self.startsWith('/')", "a rule's path begins with '/', as in the API's documentation, e.g. /v1/messages"),
            cel(
                "!self.contains('?') && !self.contains('#')",
                "rules look at the path alone; leave out the query (?…) and the fragment (#…)",
            ),
            cel(
                "!self.matches('[*][*].|[^/][*][*]$')",
                "'**' stands for the rest of a path, at its end and behind a '/', e.g. /v1/files/**; "
                "within one segment write '*'",
            ),
            cel(
                f"self.contains('?') || self.contains('#') || ({_PLAIN} && !self.contains('//') && "
                "!self.matches('(/([.]|%2[eE]){1,2}(/|;|$))|%[01]|%7[fF]'))",
                "no request has such a path: no spaces, backslashes, '//', '.' or '..' segments or control characters, "
                "and every '%' with two hex digits",
            ),
        ),
    ),
]


class Rule(ApiModel):
    """What may be asked for: one of the methods on one of the paths."""

    methods: tuple[Literal["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"], ...] = Field(
        default=(), max_length=7, json_schema_extra=rules(list_type="set")
    )
    """All, unless set."""
    paths: tuple[RulePath, ...] = Field(min_length=1, max_length=32, json_schema_extra=rules(list_type="set"))
    """Paths as the API sees them, the endpoint's own path included. `*` stands for characters within one segment, a final `/**` for
    the rest. E.g. /v1/messages, /v1/models/*, /v1/files/**."""


_DURATION: Final = "^([0-9]{1,5}(h|m|s|ms)){1,4}$"
"""As in the Gateway API (GEP-2257)."""
Duration = Annotated[
    str,
    Field(
        min_length=1,
        max_length=32,
        json_schema_extra=rules(
            cel(f"self.matches('{_DURATION}')", "not a duration; write e.g. 500ms, 30s, 10m or 1h30m"),
            cel(
                f"!self.matches('{_DURATION}') || (duration(self) >= duration('100ms') && duration(self) <= duration('24h'))",
                "not between 100ms and 24h",
            ),
        ),
    ),
]


class Timeouts(ApiModel):
    """How long is waited for the API; what is not set is as the chart's gateway.timeouts say."""

    connect: Duration | None = None
    """For a connection, TLS included."""
    first_byte: Duration | None = None
    """For the beginning of an answer, from the last byte of the request on."""
    idle: Duration | None = None
    """Between two bytes of an answer: longer than the pauses of a stream."""


class Tls(ApiModel):
    """How the API's certificate is judged."""

    ca_bundle: str | None = Field(
        default=None,
        max_length=65536,
        json_schema_extra=rules(
            cel(
                "self.contains('-----BEGIN CERTIFICATE-----')",
                "write the authority's certificates as PEM text, from -----BEGIN CERTIFICATE----- on",
            ),
            PLAIN_PEM,
            cel(
                "!self.contains('PRIVATE KEY-----')",
                "a private key has no business here, and is in the open now: write certificates alone, and replace the key",
            ),
        ),
    )
    """Certificates (PEM) of the authorities that may vouch for the API, in place of the public ones."""


_SIZE = "isQuantity(string(self)) && quantity(string(self)).isInteger()"
MaxRequestBody = Annotated[
    Quantity,
    Field(
        json_schema_extra=rules(
            cel(
                f"{_SIZE} && quantity(string(self)).isGreaterThan(quantity('0'))",
                "not a size; write a whole number of bytes greater than 0, e.g. 4Mi or 1048576",
            ),
        )
    ),
]

_PARTS: Final = re.compile(r"([0-9]+)(h|ms|m|s)")
_SECONDS: Final = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001}


def seconds(duration: str) -> float:
    """`1h30m` is 5400. Raises ValueError."""
    if not re.fullmatch(_DURATION, duration):
        raise ValueError("not a duration")
    return sum(int(number) * _SECONDS[unit] for number, unit in _PARTS.findall(duration))


_QUANTITY: Final = re.compile(r"([+-]?[0-9]*\.?[0-9]+|[+-]?[0-9]+\.)(?:([numkMGTPE]|[KMGTPE]i)|[eE]([+-]?[0-9]{1,3}))?")
_DECIMAL: Final = {"n": -9, "u": -6, "m": -3, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}
_BINARY: Final = {f"{prefix}i": 1024**power for power, prefix in enumerate("KMGTPE", 1)}


def whole(quantity: str | int) -> int:
    """`4Mi` is 4194304 (resource.Quantity of Kubernetes). Raises ValueError where it is no whole number."""
    match = _QUANTITY.fullmatch(str(quantity))
    if match is None:
        raise ValueError("not a quantity")
    number, suffix, exponent = match.groups()
    if suffix in _BINARY:
        value = Decimal(number) * _BINARY[suffix]
    else:
        value = Decimal(number).scaleb(int(exponent) if exponent else _DECIMAL.get(suffix, 0))
    if value != int(value):
        raise ValueError("not a whole number")
    return int(value)
