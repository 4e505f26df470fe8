"""A devbox's token, pod, Route and what is known of them, as tests of decisions have it."""

import base64

import orjson

from devbox_api.judge.refusals import Refusal
from devbox_api.names import audience, token_digest
from devbox_api.route import Auth, Binding, DevboxRef, GatewayDocument, PodRef, Route
from devbox_common.redacted import Redacted
from devbox_proxy.decide.admission import Refuse
from devbox_proxy.decide.identity import Decision, decide
from devbox_proxy.known.apis import compile_gateway
from devbox_proxy.known.credentials import Credential
from devbox_proxy.known.facts import LIVE, Known, Pod, Review, ReviewTimes
from devbox_proxy.wire.guard import RequestHead

TIMES = ReviewTimes()
NOW = 10_000.0


def jwt(number: int = 1, uid: str = "uid-1") -> str:
    def part(value: object) -> str:
        return base64.urlsafe_b64encode(orjson.dumps(value)).decode().rstrip("=")

    return f"{part({'n': number})}.{part({'kubernetes.io': {'pod': {'uid': uid}}})}.c2ln"


CURRENT, OLD = jwt(2), jwt(1)
BINDING = Binding(
    name="ANTHROPIC",
    audience=audience("ANTHROPIC"),
    gateway="gateway-g",
    credential="credential-c",
    token=CURRENT,
    digests=(token_digest(OLD), token_digest(CURRENT)),
)
ROUTE = Route(
    pod=PodRef(uid="uid-1", name="agent-x", namespace="agents"), devbox=DevboxRef(name="agent", uid="d"), bindings=(BINDING,)
)
POD = Pod("uid-1", "agent-x", "agents", "Running", "node-1", ("10.244.0.7",), False, False, seen_at=0.0)


def known() -> Known:
    """Everything in place."""
    return Known(
        tokens=dict.fromkeys(BINDING.digests, (ROUTE, BINDING)),
        routes={"uid-1": ROUTE},
        gateways={
            "gateway-g": compile_gateway(
                GatewayDocument(
                    name="anthropic", namespace="agents", uid="g", endpoint="https://api.example", auth=Auth(type="Bearer")
                )
            )
        },
        credentials={"credential-c": Credential("credential-c", "7", Redacted("sk-real"), ("api.example",))},
        pods={"uid-1": POD},
        reviews={"uid-1": Review(NOW - 1, True, token_digest(CURRENT), "JTI=1")},
        synced=True,
        routes_as_of=LIVE,
        pods_as_of=LIVE,
    )


def head(token: str = CURRENT, peer: str = "10.244.0.7") -> RequestHead:
    return RequestHead("POST", b"/v1", (1, 1), ((b"Host", b"g"), (b"x-api-key", f"gws_{token}".encode())), peer)


def ask(world: Known, token: str = CURRENT, peer: str = "10.244.0.7", now: float = NOW) -> Decision:
    return decide(head(token, peer), world, now, TIMES)


def refused(decision: Decision) -> Refusal:
    assert isinstance(decision, Refuse)
    return decision.refusal
