"""What Prometheus sees. Labels are bounded: namespaces and GatewayConfigs that exist, never paths, pods or tokens."""

from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

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
ROUTES: Final = Gauge("devbox_gateway_routes", "Devboxes that this gateway knows.", registry=REGISTRY)
LIVE: Final = Gauge("devbox_gateway_watch_live", "1 while the watch is open.", ("watch",), registry=REGISTRY)
LINES_LOST: Final = Counter("devbox_gateway_lines_lost_total", "Audit and log lines that nobody took.", registry=REGISTRY)
