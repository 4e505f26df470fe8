"""Limits that follow from how many files may be open: whatever the limit is, all shares together are below it."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devbox_common import adminport
from devbox_proxy.ports.open_files import LEAST, OWN, needed, shares
from devbox_proxy.settings import EgressSettings, Limits


def worst(limit: int, limits: Limits, egress: EgressSettings, namespaces: int) -> int:
    """Descriptors, if everything is used up that the gateway's own limits allow."""
    found = shares(limit, limits, egress, namespaces)
    fitted = found.limits(limits)
    outward = min(fitted.requests, fitted.connections) + found.kept + found.tunnels
    clients = fitted.connections + found.sockets + found.canary + adminport.CONNECTIONS
    return OWN + 2 * namespaces + 16 + 2 * found.lookups + found.attempts + clients + outward


@given(
    limit=st.integers(LEAST, 2_000_000),
    connections=st.integers(1, 100_000),
    tunnels=st.integers(1, 100_000),
)
def test_all_shares_together_are_less_than_there_is(limit: int, connections: int, tunnels: int) -> None:
    limits, egress = Limits(connections=connections), EgressSettings(tunnels=tunnels)
    assert worst(limit, limits, egress, 1) < limit
    found = shares(limit, limits, egress, 1)
    assert found.connections >= 1
    assert found.tunnels >= 1
    assert found.connections <= connections
    assert found.tunnels <= tunnels


def test_a_low_limit_lowers_what_one_devbox_may_have_too() -> None:
    found = shares(1024, Limits(), EgressSettings(), 0)
    assert set(found.lowered) == {
        "limits.connections",
        "limits.connectionsPerDevbox",
        "egress.tunnels",
        "egress.tunnelsPerDevbox",
    }
    fitted = found.limits(Limits())
    assert fitted.connections >= 150
    assert fitted.connections_per_devbox <= fitted.connections // 4
    assert fitted.requests == fitted.connections
    assert found.egress(EgressSettings()).tunnels_per_devbox <= found.tunnels // 4


@pytest.mark.parametrize("limit", [65_536 * 2, 1_048_576, 1_073_741_816, 2**63 - 1])
def test_a_high_limit_leaves_the_settings_as_they_are(limit: int) -> None:
    found = shares(limit, Limits(), EgressSettings(), 10)
    assert not found.lowered
    assert found.limits(Limits()) == Limits()
    assert found.egress(EgressSettings()) == EgressSettings()
    assert found.sockets == EgressSettings().tunnels + 64


@pytest.mark.parametrize("change", [{}, {"connections": 100}, {"connections": 90_000}])
def test_what_is_needed_is_the_least_that_is_enough(change: dict[str, Any]) -> None:
    limits = Limits(**change)
    least = needed(limits, EgressSettings(), 3)
    assert not shares(least, limits, EgressSettings(), 3).lowered
    assert least == LEAST or shares(least - 1, limits, EgressSettings(), 3).lowered


@pytest.mark.parametrize(("limit", "namespaces"), [(LEAST - 1, 0), (64, 0), (1024, 2000)])
def test_with_too_few_it_does_not_start_and_says_what_to_do(limit: int, namespaces: int) -> None:
    with pytest.raises(ValueError, match=rf"the limit of open files is {limit}.*LimitNOFILE="):
        shares(limit, Limits(), EgressSettings(), namespaces)
