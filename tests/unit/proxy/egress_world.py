"""What a CONNECT is decided by: a devbox with an EgressPolicy, and the question."""

from devbox_api.judge.policies import compile_egress
from devbox_api.judge.targets import parse
from devbox_api.names import token_digest
from devbox_api.route import EgressBinding, EgressDocument
from devbox_proxy.decide.connect_decision import Decision, decide
from devbox_proxy.known.facts import Known
from devbox_proxy.wire.connect_head import ConnectRequest

from .identities import NOW, ROUTE, TIMES, jwt, known

WAY_OUT = EgressBinding(policy="egress-p", token=jwt(7), digests=(token_digest(jwt(6)), token_digest(jwt(7))))
DOCUMENT = EgressDocument(
    name="p",
    namespace="agents",
    uid="p",
    hostnames=("api.github.com", "*.packages.example"),
    cidrs=("10.1.0.0/16", "2001:db8::/32"),
)


def world(document: EgressDocument | None = DOCUMENT, **route: object) -> Known:
    """Everything in place."""
    result = known()
    routed = ROUTE.model_copy(update={"egress": WAY_OUT} | route)
    result.routes = {"uid-1": routed}
    if routed.egress is not None:
        result.egress_tokens = dict.fromkeys(WAY_OUT.digests, (routed, routed.egress))
    result.egress = {"egress-p": compile_egress(document) if document else None}
    return result


def ask(
    what: Known, target: str = "api.github.com:443", *, token: str = "", peer: str = "10.244.0.7", now: float = NOW
) -> Decision:
    parsed = parse(target.encode())
    assert parsed is not None
    token = token or jwt(6)
    return decide(ConnectRequest(parsed, token_digest(token), "uid-1", peer), what, now, TIMES)
