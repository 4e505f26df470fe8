"""What a new object refers to and is not there yet: for how long that is not told."""

from datetime import datetime, timedelta
from typing import Any

import pytest

from devbox_api.shared import Condition
from devbox_operator.report.settling import settles


def found(*reasons: str, status: Any = "False", kind: str = "Accepted") -> list[Condition]:
    moment = "2026-11-23T12:00:00Z"
    return [Condition(type=kind, status=status, reason=reason, message="", last_transition_time=moment) for reason in reasons]


@pytest.mark.parametrize(
    ("reasons", "age", "seconds"),
    [
        (("SecretNotFound",), 1, 4),
        (("GatewayNotFound", "EgressPolicyNotFound", "Waiting", "PodPending"), 0, 5),
        (("SecretNotFound",), 5, None),
        (("SecretNotFound",), 600, None),
        (("SecretNotFound", "SecretInvalid"), 1, None),
        (("EndpointRefused",), 1, None),
        ((), 1, None),
        (("Waiting",), 1, None),
        (("SecretNotFound",), -1, 5),
        (("SecretNotFound",), -3600, None),
    ],
)
def test_how_long(now: datetime, reasons: tuple[str, ...], age: int, seconds: float | None) -> None:
    assert settles(now, found(*reasons), now + timedelta(seconds=age)) == seconds


def test_whose_age_nobody_knows_is_told_at_once(now: datetime) -> None:
    assert settles(None, found("SecretNotFound"), now) is None
    assert settles(now, found("SecretNotFound"), None) is None
