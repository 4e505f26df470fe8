"""May this CONNECT become a tunnel, and may the tunnel go on? The one decision of the forward proxy.

Goes in: a CONNECT, what is known of the cluster, the time; later the ClientHello. Comes out: Grant, Refuse or Wait. Pure. The order:
the token's pod is admitted (admission.py), there is an EgressPolicy, it allows the host, and the port. Nothing is looked up before all
of that: a lookup would carry the name away. Where the name leads is dial_check.py's to judge. Asked for a CONNECT, and again for as long
as its tunnel is open.
"""

from dataclasses import dataclass

from devbox_api.judge import policies, targets
from devbox_api.judge.policies import CompiledPolicy
from devbox_api.judge.refusals import Refusal
from devbox_api.judge.targets import Target
from devbox_api.route import EgressBinding, Route
from devbox_proxy.decide import admission
from devbox_proxy.decide.admission import Case, Refuse, Subject, Wait
from devbox_proxy.decide.caller import Caller, caller_of
from devbox_proxy.known.facts import Known, ReviewTimes
from devbox_proxy.wire.client_hello import Hello
from devbox_proxy.wire.connect_head import ConnectRequest


@dataclass(frozen=True, slots=True)
class Grant:
    """Dial it."""

    caller: Caller
    target: Target
    policy: CompiledPolicy
    refresh: Subject | None
    """A review that is about to grow too old: to be renewed in the background."""
    because: tuple[object, ...]
    """What it rests on: objects that are never changed, only replaced (`basis`)."""


Decision = Grant | Refuse | Wait


def decide(request: ConnectRequest, known: Known, now: float, times: ReviewTimes) -> Decision:
    """One CONNECT, with what is known now (by the clock that counts pauses)."""
    case = Case(request.peer, known, now, times)
    if (blind := admission.blind(known, now, times)) is not None:
        return Refuse(blind)
    entry = known.egress_tokens.get(request.digest)
    if entry is None:
        if request.digest in known.tokens:
            return Refuse(Refusal.TOKEN_FOR_GATEWAY)
        return admission.unlisted(case, request.pod_uid)
    route, binding = entry
    if (unsure := admission.admit(case, route, binding)) is not None:
        return unsure
    return _lead(case, request.target, route, binding)


def basis(known: Known, pod_uid: str) -> tuple[object, ...]:
    """What a Grant for this pod rests on now: while these are the same objects, only time can change the decision."""
    route = known.routes.get(pod_uid)
    policy = known.egress.get(route.egress.policy) if route and route.egress and route.egress.policy else None
    return (route, known.pods.get(pod_uid), known.reviews.get(pod_uid), policy)


def wrong_hello(hello: Hello, grant: Grant, *, allow_ech: bool, allow_no_sni: bool) -> Refusal | None:
    """Why a tunnel's TLS may not begin: its server name must be the host that was asked for."""
    if hello.encrypted and not allow_ech:
        return Refusal.ECH_NOT_ALLOWED
    target = grant.target
    if hello.server_name is None:
        return None if target.address is not None or allow_no_sni else Refusal.SNI_MISSING
    asked = targets.name(hello.server_name)
    if asked is None or hello.server_name.endswith("."):
        return Refusal.SNI_MISMATCH
    # An address stands for no name: one that is asked for there must be allowed by itself.
    good = grant.policy.allows_host(asked) if target.address is not None else asked == target.host
    return None if good else Refusal.SNI_MISMATCH


def _lead(case: Case, target: Target, route: Route, binding: EgressBinding) -> Decision:
    """What the policy says, as it is at this moment."""
    known, key = case.known, binding.policy
    if key is None and binding.lacks:
        return Refuse(Refusal.POLICY_GONE, caller_of(route, binding), verified=True)
    if key is None:
        without = policies.without_policy(target)
        return Refuse(without.refusal, caller_of(route, binding), without.said, verified=True)
    policy = known.egress.get(key)
    if policy is None:
        missing = Refusal.ROUTE_UNSUPPORTED if key in known.egress else Refusal.POLICY_GONE
        return Refuse(missing, caller_of(route, binding), verified=True)
    caller = caller_of(route, binding, policy.name, known.reviews[route.pod.uid].credential_id)
    if (denied := policies.denied(policy, target)) is not None:
        return Refuse(denied.refusal, caller, denied.said, verified=True)
    return Grant(caller, target, policy, admission.refresh(case, route, binding), basis(known, route.pod.uid))
