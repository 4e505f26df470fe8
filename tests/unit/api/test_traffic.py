"""Durations and sizes are read as Kubernetes reads them."""

import pytest

from devbox_api.traffic import seconds, whole


@pytest.mark.parametrize(
    ("text", "expected"), [("30s", 30), ("10m", 600), ("1h30m", 5400), ("500ms", 0.5), ("1m30s500ms", 90.5), ("24h", 86400)]
)
def test_durations(text: str, expected: float) -> None:
    assert seconds(text) == expected


@pytest.mark.parametrize("text", ["", "30", "s", "1d", "-1s", "1.5s", "30 s", "1s1s1s1s1s"])
def test_what_is_no_duration(text: str) -> None:
    with pytest.raises(ValueError, match="not a duration"):
        seconds(text)


@pytest.mark.parametrize(
    ("quantity", "expected"),
    [
        (1048576, 1048576),
        ("4Mi", 4 * 2**20),
        ("1.5Gi", 3 * 2**29),
        ("100k", 100_000),
        ("1500M", 1_500_000_000),
        ("2e3", 2000),
        ("3E", 3 * 10**18),
        ("1Ei", 2**60),
        ("5000m", 5),
        ("0.5k", 500),
    ],
)
def test_sizes(quantity: str | int, expected: int) -> None:
    assert whole(quantity) == expected


@pytest.mark.parametrize("quantity", ["", "4 Mi", "4MB", "four", "0.5", "500m", "1e-1", "Mi"])
def test_what_is_no_size(quantity: str) -> None:
    with pytest.raises(ValueError, match="not a"):
        whole(quantity)
