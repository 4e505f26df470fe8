"""What Prometheus sees. Labels are bounded: namespaces and GatewayConfigs that exist, never paths, pods or tokens."""

from typing import TYPE_CHECKING, Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

if TYPE_CHECKING:
    from .identity import Caller

REGISTRY: Final = CollectorRegistry()
REQUESTS: Final = Counter(
    "devbox_gateway_requests_total", "Requests that were answered.", ("namespace", "gateway", "status"), registry=REGISTRY
)
REFUSALS: Final = Counter("devbox_gateway_refusals_total", "Requests that were refused.", ("reason",), registry=REGISTRY)
SECONDS: Final = Histogram(
    "devbox_gateway_request_seconds",
    "From a request's head to its response's head.",
    ("namespace", "gateway"),
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600),
    registry=REGISTRY,
)
TOKENREVIEWS: Final = Counter(
    "devbox_gateway_tokenreviews_total", "TokenReviews that were asked for.", ("result",), registry=REGISTRY
)
IN_FLIGHT: Final = Gauge("devbox_gateway_requests_in_flight", "Requests under way.", registry=REGISTRY)
CONNECTIONS: Final = Gauge("devbox_gateway_connections", "Connections of devboxes.", registry=REGISTRY)
CUT: Final = Counter(
    "devbox_gateway_cut_total",
    "Connections and requests that were ended for being too many or too slow.",
    ("reason",),
    registry=REGISTRY,
)
UNSEARCHED: Final = Counter(
    "devbox_gateway_unsearched_bodies_total",
    "Bodies that came encoded, though they were asked for as they are.",
    registry=REGISTRY,
)
ROUTES: Final = Gauge("devbox_gateway_routes", "Devboxes that this gateway knows.", registry=REGISTRY)
LIVE: Final = Gauge("devbox_gateway_watch_live", "1 while the watch is open.", ("watch",), registry=REGISTRY)
LINES_LOST: Final = Counter("devbox_gateway_lines_lost_total", "Audit and log lines that nobody took.", registry=REGISTRY)


class ByCaller:
    """The metrics of answered requests. A label set is looked up once: prometheus_client takes a lock for it each time."""

    def __init__(self) -> None:
        self._counters: dict[tuple[str, str, int], Counter] = {}
        self._histograms: dict[tuple[str, str], Histogram] = {}

    def count(self, caller: "Caller", status: int) -> None:
        """One request that was answered."""
        key = (caller.namespace, caller.gateway, status)
        counter = self._counters.get(key)
        if counter is None:
            counter = self._counters[key] = REQUESTS.labels(caller.namespace, caller.gateway, str(status))
        counter.inc()

    def observe(self, caller: "Caller", seconds: float) -> None:
        """From a request's head to its answer's head."""
        key = (caller.namespace, caller.gateway)
        histogram = self._histograms.get(key)
        if histogram is None:
            histogram = self._histograms[key] = SECONDS.labels(*key)
        histogram.observe(seconds)
