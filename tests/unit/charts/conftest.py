"""The chart as most tests look at it."""

import pytest

from .rendering import Object, render


@pytest.fixture(scope="module")
def plain() -> list[Object]:
    """The chart with nothing but the image."""
    return render()
