"""Which changes of a status are written at once, and which are worth an Event."""

from datetime import UTC, datetime
from typing import Any

import pytest

from devbox_api.shared import Condition
from devbox_operator.report.conditions import Regarding, events, urgent

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
BOX = Regarding("Devbox", "team-a", "agent", "uid-1")


def conditions(**found: tuple[str, str]) -> list[Condition]:
    """Type to status and reason."""
    shared: dict[str, Any] = {"message": "", "last_transition_time": "2026-11-23T12:00:00Z", "observed_generation": 1}
    return [Condition(type=kind, status=status, reason=reason, **shared) for kind, (status, reason) in found.items()]


STARTS = {"PodReady": ("False", "PodPending"), "Ready": ("False", "PodPending")}
RUNS = {"PodReady": ("True", "Ready"), "Ready": ("True", "Ready")}
SUSPENDED = {"Suspended": ("True", "SuspendedBySpec")}
NOT_GRANTED = {"CredentialsResolved": ("False", "SecretNotGranted"), "Ready": ("False", "SecretNotGranted")}


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ({}, STARTS, False),
        (STARTS, STARTS, False),
        (STARTS, RUNS, True),
        (RUNS, STARTS, True),
        ({}, NOT_GRANTED, True),
        (NOT_GRANTED, STARTS, False),
        (RUNS, {**RUNS, "RestartRequired": ("True", "SpecChanged")}, True),
        (STARTS, {"PodReady": ("Unknown", "PodFailed"), "Ready": ("False", "PodPending")}, True),
        (STARTS, {**STARTS, "Suspended": ("False", "Suspending")}, True),
        (STARTS, SUSPENDED, True),
        (SUSPENDED, SUSPENDED, False),
        (SUSPENDED, {**STARTS, "Suspended": ("False", "NotSuspended")}, True),
    ],
)
def test_what_somebody_waits_for_or_has_to_act_on_is_written_at_once(old: Any, new: Any, *, expected: bool) -> None:
    assert urgent(conditions(**old), conditions(**new)) is expected


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ({}, RUNS, []),
        (STARTS, RUNS, []),
        ({}, NOT_GRANTED, ["SecretNotGranted"]),
        (NOT_GRANTED, {**RUNS, "CredentialsResolved": ("True", "Resolved")}, ["Ready"]),
        (RUNS, {**STARTS, "Suspended": ("False", "Suspending")}, []),
        (RUNS, SUSPENDED, []),
        (SUSPENDED, {**RUNS, "Suspended": ("False", "NotSuspended")}, []),
    ],
)
def test_trouble_and_its_end_are_events_and_a_plain_start_is_none(old: Any, new: Any, expected: list[str]) -> None:
    assert [event["reason"] for event in events(BOX, conditions(**old), conditions(**new), NOW)] == expected
