"""Helpers of the tests."""

import pytest

NAMESPACES = pytest.StashKey[list[str]]()
"""On a test: the namespaces that it works in, for the report of a failure."""
