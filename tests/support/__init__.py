"""Helpers of the tests."""

import pytest

NAMESPACES = pytest.StashKey[list[str]]()
"""On a test: the namespaces that it works in, for the report of a failure."""

INSTALL_TEST_CRDS = ("firsts.install-test.example", "seconds.install-test.example", "thirds.install-test.example")
"""The CRDs that test_install.py makes and removes while others run."""
