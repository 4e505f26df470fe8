"""The operator's metrics (`devbox_operator_…`). Labels are kinds and results: a closed set."""

from prometheus_client import Counter, Gauge, Histogram

RECONCILES = Counter("devbox_operator_reconciles_total", "Reconciles, by kind and result.", ["kind", "result"])
RECONCILE_SECONDS = Histogram("devbox_operator_reconcile_seconds", "How long a reconcile took.", ["kind"])
WRITES = Counter("devbox_operator_writes_total", "Writes to the API server.", ["verb", "kind"])
QUEUE = Gauge("devbox_operator_queue_length", "Keys that wait for a worker.")
LEADING = Gauge("devbox_operator_leading", "1 while this replica holds the Lease.")
LAST_EVENT = Gauge("devbox_operator_last_event_seconds", "Age of the last word from the API server's watches, in seconds.")
DEVBOXES = Gauge("devbox_operator_devboxes", "Devboxes that the operator knows.")
TOKENS = Counter("devbox_operator_tokens_issued_total", "Tokens that were issued.")
CANARIES = Gauge(
    "devbox_operator_canaries",
    "Gateways that this replica looked at, while it works, by what their canary did: `open`, `closed` (the data port answers), `silent`.",
    ["answer"],
)
ACTIVITY = Gauge(
    "devbox_operator_activity_gateways",
    "Gateways that were asked when devboxes were last in use, while any may be idle: `answered`, `waited_for` (no devbox is idle for "
    "certain before it answers), `silent` (for so long that it counts for nothing).",
    ["answer"],
)
CERTIFICATE_END = Gauge(
    "devbox_operator_certificate_not_after_timestamp_seconds",
    "When a certificate ends: `ca`, which devboxes trust, and `gateway`. There while this replica works.",
    ["certificate"],
)
