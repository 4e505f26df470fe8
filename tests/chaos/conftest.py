"""What the tests of this folder share: a network of their own, and for each worker one control plane with the chart on it.

Each case makes namespaces and replicas of its own there. What changes the chart's objects or the control plane's flags, or fills it, has
one for itself.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.release import Release, installed

from .world import inside

SECONDS = 600
"""For a test that hangs. (A case with its second try, and the start of the control plane before it, may take minutes.)"""
REASON = "needs a network of its own: make chaos-short, or python -m tests.support.netns .venv/bin/pytest tests/chaos"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Everything in this folder dials addresses that are the machine's own in such a network alone."""
    for item in items:
        if not item.path.is_relative_to(Path(__file__).parent):
            continue
        if not inside():
            item.add_marker(pytest.mark.skip(reason=REASON))
        if item.get_closest_marker("timeout") is None:
            item.add_marker(pytest.mark.timeout(SECONDS))


_RELEASES: list[Release] = []


@pytest.fixture(scope="session")
def release() -> Iterator[Release]:
    """The chart with its default values, on a control plane that is old enough to know its kinds."""
    with installed() as made:
        _RELEASES.append(made)
        yield made
        _RELEASES.remove(made)


@pytest.fixture(scope="module", autouse=True)
def no_devboxes_left() -> Iterator[None]:
    """Which tests share a control plane depends on who is free: no file's Devboxes are there for an operator of the next one's."""
    yield
    for made in _RELEASES:
        if made.plane.kubectl("get", "crd", "devboxes.devbox-gateway.io", "--ignore-not-found", "--output=name").strip():
            made.plane.kubectl("delete", "dbx", "--all", "--all-namespaces", "--timeout=60s")
