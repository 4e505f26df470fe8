"""What Prometheus sees. Labels are bounded: namespaces and GatewayConfigs that exist, never paths, pods or tokens."""

import itertools
from bisect import bisect_left
from collections.abc import Iterator
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily
from prometheus_client.registry import Collector

REGISTRY: Final = CollectorRegistry()
REFUSALS: Final = Counter("devbox_gateway_refusals_total", "Requests that were refused.", ("reason",), registry=REGISTRY)
TOKENREVIEWS: Final = Counter(
    "devbox_gateway_tokenreviews_total", "TokenReviews that were asked for.", ("result",), registry=REGISTRY
)
TOKENREVIEW_SECONDS: Final = Histogram(
    "devbox_gateway_tokenreview_seconds",
    "How long the API server took to answer a TokenReview.",
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0),
    registry=REGISTRY,
)
QUEUED: Final = Gauge(
    "devbox_gateway_tokenreviews_queued",
    "TokenReviews that wait for their turn: for requests, to renew those of devboxes that call, and spare ones of the others.",
    ("urgency",),
    registry=REGISTRY,
)
AT_ONCE: Final = Gauge(
    "devbox_gateway_tokenreviews_at_once",
    "TokenReviews that may be under way: fewer when the API server is slow or says that it has too much to do.",
    registry=REGISTRY,
)
AWAY: Final = Gauge(
    "devbox_gateway_api_server_away", "1 while nobody answers in the API server's place, or no TokenReview.", registry=REGISTRY
)
WAITING: Final = Gauge(
    "devbox_gateway_requests_waiting", "Requests that wait for their devbox to become known or reviewed.", registry=REGISTRY
)
IN_FLIGHT: Final = Gauge("devbox_gateway_requests_in_flight", "Requests under way.", registry=REGISTRY)
CONNECTIONS: Final = Gauge("devbox_gateway_connections", "Connections of devboxes.", registry=REGISTRY)
CUT: Final = Counter(
    "devbox_gateway_cut_total",
    "Connections and requests that were ended for being too many or too slow.",
    ("reason",),
    registry=REGISTRY,
)
HELD_BACK: Final = Counter(
    "devbox_gateway_handshakes_held_back_total", "TLS handshakes that waited, for the devbox made too many.", registry=REGISTRY
)
TUNNELS: Final = Gauge("devbox_gateway_tunnels_open", "Tunnels that are open or being dialled.", registry=REGISTRY)
TUNNELS_ENDED: Final = Counter(
    "devbox_gateway_tunnels_total", "Tunnels that ended, by why.", ("namespace", "result"), registry=REGISTRY
)
TUNNEL_BYTES: Final = Counter(
    "devbox_gateway_tunnel_bytes_total",
    "Bytes that went through tunnels, from (up) and to (down) devboxes; counted when a tunnel ends.",
    ("namespace", "direction"),
    registry=REGISTRY,
)
UNSEARCHED: Final = Counter(
    "devbox_gateway_unsearched_bodies_total",
    "Bodies that passed unsearched where bodies are searched: encoded, though they were asked for as they are; and WebSockets.",
    registry=REGISTRY,
)
ROUTES: Final = Gauge("devbox_gateway_routes", "Devboxes that this gateway knows.", registry=REGISTRY)
LIVE: Final = Gauge("devbox_gateway_watch_live", "1 while the watch is open.", ("watch",), registry=REGISTRY)
AGE: Final = Gauge(
    "devbox_gateway_watch_age_seconds",
    "How old what is known from a watch may be: 0 while it is open. Above identity.outageSeconds requests are refused (state_stale).",
    ("watch",),
    registry=REGISTRY,
)
LINES_LOST: Final = Counter(
    "devbox_gateway_lines_lost_total",
    "Audit and log lines that nobody took; refusals are counted in a later line instead.",
    registry=REGISTRY,
)


def cut(why: str) -> None:
    """Count one that was ended."""
    CUT.labels(why).inc()


_BOUNDS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0)
"""Seconds: the upper ends of the histogram's buckets."""


class ByGateway:
    """What is counted for each request that is answered: plain numbers, told when somebody asks.

    prometheus_client's own counters take a lock and several calls for each; there is one thread here.
    """

    def __init__(self) -> None:
        self._counts: dict[tuple[str, str, int], int] = {}
        self._buckets: dict[tuple[str, str], list[int]] = {}
        self._sums: dict[tuple[str, str], float] = {}

    def count(self, namespace: str, gateway: str, status: int) -> None:
        """One request that was answered. `gateway`: the GatewayConfig, as namespace/name."""
        key = (namespace, gateway, status)
        self._counts[key] = self._counts.get(key, 0) + 1

    def observe(self, namespace: str, gateway: str, seconds: float) -> None:
        """From a request's head to its answer's head."""
        key = (namespace, gateway)
        buckets = self._buckets.get(key)
        if buckets is None:
            buckets = self._buckets[key] = [0] * (len(_BOUNDS) + 1)
            self._sums[key] = 0.0
        buckets[bisect_left(_BOUNDS, seconds)] += 1
        self._sums[key] += seconds

    def families(self) -> "Iterator[CounterMetricFamily | HistogramMetricFamily]":
        """As Prometheus reads them."""
        requests = CounterMetricFamily(
            "devbox_gateway_requests", "Requests that were answered.", labels=("namespace", "gateway", "status")
        )
        for (namespace, gateway, status), count in self._counts.items():
            requests.add_metric((namespace, gateway, str(status)), count)
        yield requests
        seconds = HistogramMetricFamily(
            "devbox_gateway_request_seconds", "From a request's head to its response's head.", labels=("namespace", "gateway")
        )
        bounds = [*map(str, _BOUNDS), "+Inf"]
        for key, buckets in self._buckets.items():
            below = list(itertools.accumulate(buckets))
            seconds.add_metric(key, list(zip(bounds, below, strict=True)), self._sums[key])
        yield seconds


class _Requests(Collector):
    def collect(self) -> "Iterator[CounterMetricFamily | HistogramMetricFamily]":
        yield from REQUESTS.families()


REQUESTS: Final = ByGateway()
REGISTRY.register(_Requests())
