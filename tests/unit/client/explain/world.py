"""One set of objects, seen by both: as a person's client reads them, and as operator and gateway make their decision of them.

The gateway's side is made by the operator's own functions (documents/) and the gateway's (known/), of the same objects.
"""

from collections.abc import Mapping
from typing import Any, Final

from tests.unit.proxy.identities import jwt

from devbox_api.egresspolicy import EgressPolicy
from devbox_api.gatewayconfig import GatewayConfig
from devbox_api.judge.hosts import parse_grant
from devbox_api.judge.namespaces import allows
from devbox_api.judge.policies import compile_egress
from devbox_api.judge.targets import parse
from devbox_api.names import ALLOWED_HOSTS_ANNOTATION, audience, token_digest
from devbox_api.route import Binding, DevboxRef, EgressBinding, PodRef, Route
from devbox_common.redacted import Redacted
from devbox_gateway.explain.seen import Found, Missing, Seen
from devbox_operator.documents.objects import egress_document, gateway_document
from devbox_proxy.decide import connect_decision, identity, injection
from devbox_proxy.decide.admission import Refuse
from devbox_proxy.known.apis import compile_gateway
from devbox_proxy.known.credentials import Credential
from devbox_proxy.known.facts import LIVE, Known, Pod, Review, ReviewTimes
from devbox_proxy.wire.connect_head import ConnectRequest
from devbox_proxy.wire.guard import RequestHead

HOME: Final = "agents"
PEER: Final = "10.244.0.7"
NOW: Final = 10_000.0
_WHEN: Final = {"lastTransitionTime": "2026-01-01T00:00:00Z"}
ACCEPTED: Final = {"type": "Accepted", "status": "True", "reason": "Accepted", "message": "", **_WHEN}
REFUSED: Final = {"type": "Accepted", "status": "False", "reason": "EndpointRefused", "message": "it is private", **_WHEN}


def meta(name: str, namespace: str = HOME, **more: Any) -> dict[str, Any]:
    return {"name": name, "namespace": namespace, "uid": f"uid-{namespace}-{name}", "generation": 1, **more}


def config(
    name: str, endpoint: str, namespace: str = HOME, accepted: Mapping[str, str] = ACCEPTED, **spec: Any
) -> dict[str, Any]:
    return {
        "metadata": meta(name, namespace),
        "spec": {"endpoint": endpoint, "authMechanism": {"type": "Bearer"}, **spec},
        "status": {"conditions": [dict(accepted)]},
    }


def secret(name: str, grant: str | None, namespace: str = HOME) -> dict[str, Any]:
    annotations = {} if grant is None else {ALLOWED_HOSTS_ANNOTATION: grant}
    return {"metadata": meta(name, namespace, annotations=annotations)}


def policy(**spec: Any) -> dict[str, Any]:
    return {"metadata": meta("policy"), "spec": spec, "status": {"conditions": [ACCEPTED]}}


RULES: Final = [
    {"methods": ["GET", "HEAD"], "paths": ["/repos/**", "/user"]},
    {"methods": ["POST"], "paths": ["/repos/*/*/issues", "/repos/a%2Fb/x*y"]},
    {"paths": ["/graphql"]},
]
LABELS: Final = {"kubernetes.io/metadata.name": HOME, "team": "a"}
"""Of the devbox's namespace."""
LET_IN: Final[dict[str, Any]] = {"allowedNamespaces": {"from": "All"}}
OF_TEAM: Final[dict[str, Any]] = {"allowedNamespaces": {"from": "Selector", "selector": {"matchLabels": {"team": "a"}}}}
NOT_OF_TEAM: Final[dict[str, Any]] = {
    "allowedNamespaces": {
        "from": "Selector",
        "selector": {"matchExpressions": [{"key": "team", "operator": "NotIn", "values": ["a", "b"]}]},
    }
}
PUTS: Final = [{"methods": ["PUT"], "paths": ["/base/v2/**"]}]
CHAT: Final = [{"paths": ["/v1/models", "/v1/chat/*"]}]
GATEWAYS: Final[list[tuple[str, dict[str, Any] | None, dict[str, Any] | None]]] = [
    ("ANTHROPIC", config("anthropic", "https://api.anthropic.com"), secret("anthropic", "api.anthropic.com")),
    (
        "OPENAI",
        config("openai", "https://api.openai.com", rules=CHAT),
        secret("openai", "*.openai.com"),
    ),
    ("GITHUB", config("github", "https://api.github.com", rules=RULES), secret("github", "api.github.com, github.com")),
    (
        "INTERNAL",
        config(
            "internal",
            "https://internal.example:8443/base/v2",
            "shared",
            rules=PUTS,
            **LET_IN,
        ),
        secret("internal", "internal.example", "shared"),
    ),
    (
        "COMPANY",
        config("company", "https://company.example/api/v1", rules=[{"paths": ["/api/v1/chat/*"]}]),
        secret("company", "company.example"),
    ),
    (
        "GEMINI",
        config("gemini", "https://generativelanguage.googleapis.com", rules=[{"paths": ["/v1beta/models/**", "/v1/models"]}]),
        secret("gemini", "*.googleapis.com"),
    ),
    ("PLAIN", config("plain", "http://plain.example", allowInsecure=True), secret("plain", "plain.example")),
    ("UNGRANTED", config("ungranted", "https://ungranted.example"), secret("ungranted", "other.example, *.ungranted.example")),
    ("NOBODYS", config("nobodys", "https://nobodys.example"), secret("nobodys", None)),
    ("LOST", config("lost", "https://lost.example"), None),
    ("GONE", None, secret("gone", "gone.example")),
    ("DENIED", config("denied", "https://denied.example", accepted=REFUSED), secret("denied", "denied.example")),
    ("CLOSED", config("closed", "https://closed.example", "shared"), secret("closed", "closed.example")),
    ("SELECTED", config("selected", "https://selected.example", "shared", **OF_TEAM), secret("selected", "selected.example")),
    ("OTHERS", config("others", "https://others.example", "shared", **NOT_OF_TEAM), secret("others", "others.example")),
    ("ADDRESS", config("address", "https://[2001:db8::7]"), secret("address", "2001:db8::7")),
]
"""The name, its GatewayConfig, its Secret."""
POLICIES: Final[dict[str, dict[str, Any] | None]] = {
    "listed": policy(
        allowedHostnames=["github.com", "*.packages.example", "api.github.com", "xn--bcher-kva.example"],
        allowedPorts=[443, 8443],
        allowedCIDRs=["10.1.0.0/16", "2001:db8::/32", "203.0.113.7/32"],
    ),
    "everything": policy(allowAll=True),
    "nothing": policy(),
    "gone": None,
}
"""By their names for tests; "none": the devbox refers to no policy."""


def key_of(each: Mapping[str, Any]) -> str:
    return f"{each['metadata']['namespace']}/{each['metadata']['name']}"


def namespace_of(name: str) -> str:
    return "shared" if name in ("INTERNAL", "CLOSED", "SELECTED", "OTHERS") else HOME


def secret_namespace_of(name: str) -> str:
    """INTERNAL has its GatewayConfig's own."""
    return "shared" if name == "INTERNAL" else HOME


def usable(found: dict[str, Any] | None) -> bool:
    """The operator lets the devbox use it: it is there, accepted, and its namespaces hold the devbox's."""
    if found is None or found["status"]["conditions"][0]["status"] != "True":
        return False
    allowed = GatewayConfig.model_validate(found).spec.allowed_namespaces
    return allows(allowed, found["metadata"]["namespace"], HOME, LABELS)


def devbox(name_of_policy: str) -> dict[str, Any]:
    gateways = [
        {
            "name": name,
            "gatewayRef": {"name": name.lower(), "namespace": namespace_of(name)},
            **({} if name == "INTERNAL" else {"secretRef": {"name": name.lower()}}),
        }
        for name, _, _ in GATEWAYS
    ]
    spec: dict[str, Any] = {"gateways": gateways}
    if name_of_policy != "none":
        spec["egressPolicyRef"] = {"name": "policy"}
    return {"metadata": meta("agent"), "spec": spec, "status": {"phase": "Running"}}


def seen(name_of_policy: str) -> Seen:
    """What a person sees who may get all of it."""
    configs: dict[str, Found] = {}
    secrets: dict[str, Found] = {}
    for name, found, held in GATEWAYS:
        configs[f"{namespace_of(name)}/{name.lower()}"] = found or Missing.ABSENT
        secrets[f"{secret_namespace_of(name)}/{name.lower()}"] = held or Missing.ABSENT
    configs["shared/internal"]["spec"]["credential"] = {"secretRef": {"name": "internal"}}  # type: ignore[index]
    policy_seen = None if name_of_policy == "none" else POLICIES[name_of_policy] or Missing.ABSENT
    return Seen(devbox(name_of_policy), configs, policy_seen, secrets, LABELS)


class Gateway:
    """What the gateway knows of the same objects, and its decisions."""

    def __init__(self, name_of_policy: str) -> None:
        seen(name_of_policy)
        self.tokens = {name: jwt(number) for number, (name, _, _) in enumerate(GATEWAYS, 10)}
        self.egress_token = jwt(99)
        self.known = Known(synced=True, routes_as_of=LIVE, pods_as_of=LIVE)
        bindings = [self._binding(name) for name, _, _ in GATEWAYS]
        way_out = EgressBinding(
            policy=None if name_of_policy == "none" else "egress-p",
            token=self.egress_token,
            digests=(token_digest(self.egress_token),),
        )
        pod = PodRef(uid="uid-1", name="agent-x", namespace=HOME)
        route = Route(pod=pod, devbox=DevboxRef(name="agent", uid="d"), bindings=tuple(bindings), egress=way_out)
        self.known.routes["uid-1"] = route
        self.known.tokens = {binding.digests[0]: (route, binding) for binding in bindings}
        self.known.egress_tokens = {way_out.digests[0]: (route, way_out)}
        self.known.pods["uid-1"] = Pod("uid-1", "agent-x", HOME, "Running", "n", (PEER,), False, False, seen_at=0.0)
        self.known.reviews["uid-1"] = Review(NOW - 1, True, bindings[0].digests[0])
        for name, found, held in GATEWAYS:
            self._learn(name, found, held)
        found_policy = POLICIES.get(name_of_policy)
        if found_policy is not None:
            self.known.egress["egress-p"] = compile_egress(egress_document(EgressPolicy.model_validate(found_policy)))

    def _binding(self, name: str) -> Binding:
        return Binding(
            name=name,
            audience=audience(name),
            gateway=f"gateway-{name}",
            credential=f"credential-{name}",
            token=self.tokens[name],
            digests=(token_digest(self.tokens[name]),),
        )

    def _learn(self, name: str, found: Any, held: Any) -> None:
        if found is not None and usable(found):
            self.known.gateways[f"gateway-{name}"] = compile_gateway(gateway_document(GatewayConfig.model_validate(found)))
        if held is not None:
            grant = parse_grant(held["metadata"]["annotations"].get(ALLOWED_HOSTS_ANNOTATION))
            self.known.credentials[f"credential-{name}"] = Credential(f"credential-{name}", "1", Redacted("sk-real"), grant)

    def asked(self, name: str, method: str, target: bytes) -> tuple[str, str]:
        """A request with this gateway's token: its code ("" for a yes), and where it leads, without the query."""
        headers = ((b"Host", b"gateway.system.svc"), (b"Authorization", f"Bearer gws_{self.tokens[name]}".encode()))
        head = RequestHead(method, target, (1, 1), headers, PEER)
        decision = identity.decide(head, self.known, NOW, ReviewTimes())
        if isinstance(decision, identity.Forward):
            upstream = injection.render(head, decision)
            return "", upstream.endpoint.origin + upstream.target.partition(b"?")[0].decode("utf-8", "replace")
        assert isinstance(decision, Refuse)
        return decision.refusal.code, ""

    def connect(self, authority: str) -> tuple[str, str]:
        """A CONNECT: its code, and what is said."""
        target = parse(authority.encode())
        if target is None:
            return "connect_target_invalid", ""
        request = ConnectRequest(target, token_digest(self.egress_token), "uid-1", PEER)
        decision = connect_decision.decide(request, self.known, NOW, ReviewTimes())
        if isinstance(decision, connect_decision.Grant):
            return "", decision.target.text
        assert isinstance(decision, Refuse)
        return decision.refusal.code, decision.said
