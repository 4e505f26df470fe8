"""A probe: one dial to an API that somebody asked for, TLS and all, and nothing sent. It stands under the same check as all dials.

Goes in: a gateway document, from the operator, who says how often. Comes out: the dial's record, or nothing where the gateway is not ready.
"""

import asyncio
from typing import Final

from devbox_api.judge.refusals import Refusal
from devbox_api.route import GatewayDocument
from devbox_proxy.known.apis import compile_gateway
from devbox_proxy.known.credentials import PoolKey
from devbox_proxy.upstreams.connection import UpstreamError
from devbox_proxy.upstreams.dial_failures import DialFailure
from devbox_proxy.upstreams.pool import Upstreams

SECONDS: Final = 8.0
"""At most: the question has ten for all of it (ports/activity.py)."""


class Prober:
    """Dials, and hangs up."""

    def __init__(self, upstreams: Upstreams) -> None:
        self._upstreams = upstreams

    async def probe(self, document: bytes) -> bool:
        """Dial; what came of it is noted (dials.py). False: nothing may be dialled yet. Raises ValueError for what is no document."""
        gateway = GatewayDocument.model_validate_json(document)
        api = compile_gateway(gateway)
        key = PoolKey(api.origin, api.uid, "", "", api.trust, gateway.namespace)
        try:
            async with asyncio.timeout(SECONDS):
                connection = await self._upstreams.dial(key, api)
        except UpstreamError as error:
            return error.refusal is not Refusal.NOT_READY
        except TimeoutError:
            self._upstreams.dials.note(api, DialFailure.CONNECT_TIMED_OUT.value, "took no connection in time")
            return True
        connection.abort()
        return True
