"""A probe of an API: a gateway dials the endpoint of a gateway config once, and says what it found. No credential is sent.

Goes in: a gateway config. Comes out: its condition Reachable, as it is after that.
"""

import asyncio
import secrets
from datetime import datetime, timezone
from typing import Any, Final

from devbox_api.names import PROBE_REQUESTED_ANNOTATION
from devbox_gateway.errors import APITimeoutError

from .gateway_configs import AsyncGatewayConfig
from .waiting import conditions_of

LOOK_SECONDS: Final = 0.5


async def probe(config: AsyncGatewayConfig, seconds: float) -> dict[str, Any]:
    """Ask for it, and wait for the answer. Raises APITimeoutError."""
    wanted = f"{datetime.now(timezone.utc):%Y-%m-%dT%H:%M:%SZ}.{secrets.token_hex(4)}"
    await config._merge({"metadata": {"annotations": {PROBE_REQUESTED_ANNOTATION: wanted}}})
    try:
        return await asyncio.wait_for(_answer(config, wanted), seconds)
    except (asyncio.TimeoutError, TimeoutError):
        raise APITimeoutError(
            f"no word of a probe of {config.namespace}/{config._reference.name} within {seconds:g} s; see whether the operator works, "
            "and is new enough: kubectl devbox doctor"
        ) from None


async def _answer(config: AsyncGatewayConfig, wanted: str) -> dict[str, Any]:
    while True:
        await asyncio.sleep(LOOK_SECONDS)
        seen = await config._read()
        if (seen.get("status") or {}).get("probeRequestedAt") == wanted:
            return conditions_of(seen).get("Reachable") or {}
