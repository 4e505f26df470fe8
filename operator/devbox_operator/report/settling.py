"""What a new object refers to may come a moment later: one `kubectl apply` brings them all, and each is seen on a watch of its own.

Goes in: when the object was made, the conditions that were found, the time. Comes out: how long these wait before they are told. Pure.
"""

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Final

from devbox_api.conditions import Reason
from devbox_api.shared import Condition
from devbox_operator.report.conditions import troubles

SETTLING: Final = timedelta(seconds=5)
MISSING: Final = frozenset(
    {
        *(Reason.GATEWAY_NOT_FOUND, Reason.GATEWAY_NOT_ACCEPTED, Reason.NAMESPACE_NOT_ALLOWED, Reason.NO_CREDENTIAL),
        *(Reason.SECRET_NOT_FOUND, Reason.SECRET_NOT_GRANTED, Reason.SECRET_NOT_MOUNTABLE, Reason.KEY_NOT_FOUND),
        *(Reason.EGRESS_POLICY_NOT_FOUND, Reason.EGRESS_POLICY_NOT_ACCEPTED, Reason.VOLUME_NOT_FOUND),
        Reason.VOLUME_NOT_MOUNTABLE,
    }
)
"""Reasons that other objects end, or a label or annotation of theirs."""


def settles(created: datetime | None, conditions: Iterable[Condition], now: datetime | None) -> float | None:
    """Seconds for which these conditions are not told yet; None: they are. `created`, `now`: by the API server's clock."""
    found = troubles(conditions)
    if created is None or now is None or not found or not found <= MISSING:
        return None
    left = (created + SETTLING - now) / timedelta(seconds=1)
    # (What is known of that clock is behind it, by a second or so; one that was set back is no reason to wait for long.)
    most = SETTLING.total_seconds()
    return min(left, most) if 0 < left <= 2 * most else None
