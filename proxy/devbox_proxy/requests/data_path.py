"""What all requests share, whoever decides about them: connections to APIs, counts, records, heads that were read before.

Goes in: requests under way. Comes out: what each of them may use.
"""

import sys
from collections.abc import Awaitable
from typing import Protocol

from devbox_proxy.accounting.limits import Load
from devbox_proxy.accounting.recorder import Recorder
from devbox_proxy.kit.keepalive import Keepalive
from devbox_proxy.kit.ticks import Ticks
from devbox_proxy.known.apis import Api
from devbox_proxy.known.credentials import PoolKey
from devbox_proxy.settings import Limits, UpstreamTimeouts
from devbox_proxy.upstreams.connection import UpstreamConnection
from devbox_proxy.wire import rendering
from devbox_proxy.wire.head_cache import Heads
from devbox_proxy.wire.messages import ApiTimeouts
from devbox_proxy.wire.reader import HeadLimits


class Connections(Protocol):
    """Those to APIs: pool.py's."""

    def idle(self, key: PoolKey) -> UpstreamConnection | None:
        """One that is at rest."""

    def dial(self, key: PoolKey, api: Api) -> Awaitable[UpstreamConnection]:
        """A new one. Raises UpstreamError."""

    def release(self, connection: UpstreamConnection) -> None:
        """Its answer was whole."""


class DataPath:
    """Of one process."""

    def __init__(
        self,
        upstreams: Connections,
        load: Load,
        recorder: Recorder,
        *,
        public_url: str,
        timeouts: UpstreamTimeouts,
        limits: Limits,
    ) -> None:
        """`public_url`: what devboxes call, in place of the APIs' own URLs."""
        self.upstreams = upstreams
        self.load = load
        self.recorder = recorder
        self.public_url = public_url.rstrip("/").encode()
        self.limits = limits
        self.stays = rendering.stays(limits.keepalive_seconds)
        """What answers say of a connection that serves more requests."""
        self.heads = Heads()
        self.head_limits = HeadLimits(limits.target_bytes, limits.header_bytes, limits.headers, limits.head_bytes)
        self.ticks = Ticks()
        self.keepalive = Keepalive(timeouts.gone_seconds)
        self._timeouts = timeouts
        self._body_limit = limits.body_bytes or sys.maxsize

    def too_long(self, api: Api, length: int) -> bool:
        """A body of so many bytes is more than the GatewayConfig or the settings allow."""
        limit = self._body_limit if api.max_body is None else min(api.max_body, self._body_limit)
        return length > limit

    def patience(self, own: ApiTimeouts | None, *, answered: bool) -> float:
        """Seconds without a byte from the API: the GatewayConfig's own, or the chart's."""
        if answered:
            return (own and own.idle) or self._timeouts.idle_seconds
        return (own and own.first_byte) or self._timeouts.first_byte_seconds

    def silence(self, own: ApiTimeouts | None) -> float:
        """Seconds without a byte either way on a WebSocket: the chart's, or the GatewayConfig's `idle` where that is longer."""
        return max(self._timeouts.websocket_idle_seconds, (own and own.idle) or 0.0)
