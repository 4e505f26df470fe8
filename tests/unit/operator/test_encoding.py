"""What is read of the API server's objects."""

from datetime import UTC, datetime

import pytest

from devbox_operator.kit.encoding import parse_time


@pytest.mark.parametrize("text", ["2026-01-31T12:00:00Z", "2026-01-31T12:00:00", "2026-01-31T14:00:00+02:00"])
def test_a_time_can_be_compared_with_any_other_whoever_wrote_it(text: str) -> None:
    assert parse_time(text) == datetime(2026, 1, 31, 12, tzinfo=UTC)
