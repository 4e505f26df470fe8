"""Time-outs, in the forms in which users of other products give them.

Goes in: seconds, or a polling configuration. Comes out: seconds. Pure.
"""

from collections.abc import Mapping
from typing import TypeVar

from devbox_gateway.errors import InvalidError
from devbox_gateway.given import seconds

T = TypeVar("T", bound="float | None")


def seconds_of(timeout: T, polling_config: object) -> "float | T":
    """How long to wait: of a polling configuration (interval_seconds, max_attempts, timeout_seconds), where one is given.

    Raises InvalidError.
    """
    if polling_config is None:
        if timeout is not None:
            seconds("timeout", timeout)
        return timeout
    try:
        given = polling_config if isinstance(polling_config, Mapping) else vars(polling_config)
        if given.get("timeout_seconds") is not None:
            return float(given["timeout_seconds"])
        if given.get("max_attempts") is not None:
            return float(given["max_attempts"]) * float(given.get("interval_seconds") or 1.0)
    except (TypeError, ValueError):
        raise InvalidError(
            "polling_config", 'write {"timeout_seconds": 600}, or {"interval_seconds": 1, "max_attempts": 600}'
        ) from None
    return timeout
