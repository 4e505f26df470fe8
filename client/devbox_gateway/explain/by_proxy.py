"""A request by way of the forward proxy, which sees a host and a port, and puts no credential in.

Goes in: `Seen`, the request. Comes out: a `Way`. Pure.
"""

from dataclasses import dataclass
from typing import Final

from devbox_api.judge.policies import CompiledPolicy, compile_egress, denied, within, without_policy
from devbox_api.judge.refusals import Refusal
from devbox_api.judge.targets import Target, local

from .answer import Verdict, Way
from .asked import Asked
from .seen import Missing, Object, Seen, condition

BY: Final = "forward proxy"
_BARE: Final = "the forward proxy passes TLS on as it is, and puts no credential in"


@dataclass(frozen=True)
class _Document:
    name: str
    namespace: str
    allow_all: bool
    hostnames: tuple[str, ...]
    ports: tuple[int, ...]
    cidrs: tuple[str, ...]


def judge(seen: Seen, request: Asked) -> Way:
    """What the forward proxy says to it."""
    if request.scheme == "http" and request.where is not None and local(request.where):
        return _no(Refusal.LOCAL_ADDRESS, f"plain http:// to {request.authority}, which is the devbox itself")
    if request.scheme == "http":
        return _no(Refusal.CONNECT_ONLY, f"plain http:// to {request.authority}")
    if request.where is None:
        return _no(Refusal.CONNECT_TARGET_INVALID, "the host's name")
    if seen.policy is None:
        bare = without_policy(request.where)
        return Way(Verdict.NO, BY, "the Devbox has no spec.egressPolicyRef", bare.refusal.code, bare.said)
    key = f"{seen.devbox['metadata']['namespace']}/{seen.devbox['spec']['egressPolicyRef']['name']}"
    if seen.policy is Missing.ABSENT:
        return _no(Refusal.POLICY_GONE, f"EgressPolicy {key} does not exist")
    if isinstance(seen.policy, Missing):
        unseen = (f"EgressPolicy {key} (no right to get it)",)
        return Way(Verdict.UNSEEN, BY, "whether the Devbox's EgressPolicy allows it", unseen=unseen)
    accepted = condition(seen.policy, "Accepted")
    try:
        policy = compile_policy(seen.policy)
    except ValueError:
        return _no(Refusal.POLICY_GONE, f"EgressPolicy {key} holds what no gateway can use")
    if accepted.get("status") == "False" and accepted.get("reason") == "Invalid":
        return _no(Refusal.POLICY_GONE, f"EgressPolicy {key}: {accepted.get('message')}")
    if (refused := denied(policy, request.where)) is not None:
        return Way(Verdict.NO, BY, f"EgressPolicy {key}", refused.refusal.code, refused.said)
    line = _line(seen.policy, policy, request.where)
    return Way(
        Verdict.AS_FAR_AS_SEEN,
        BY,
        f"EgressPolicy {key}, {line}; {_BARE}",
        leads=request.where.text,
        unseen=(_hidden(request.where),),
    )


def _no(refusal: Refusal, decided: str) -> Way:
    return Way(Verdict.NO, BY, decided, refusal.code, refusal.message)


def compile_policy(found: Object) -> CompiledPolicy:
    """As the gateway has it. Raises ValueError."""
    spec, metadata = found["spec"], found["metadata"]
    return compile_egress(
        _Document(
            metadata["name"],
            metadata["namespace"],
            bool(spec.get("allowAll")),
            tuple(spec.get("allowedHostnames") or ()),
            tuple(spec.get("allowedPorts") or (443,)),
            tuple(spec.get("allowedCIDRs") or ()),
        )
    )


def _line(found: Object, policy: CompiledPolicy, target: Target) -> str:
    """Which line of the policy lets it through."""
    if target.address is not None:
        ranges = dict(zip(found["spec"].get("allowedCIDRs") or (), policy.cidrs, strict=True))
        return f"allowedCIDRs: {next(text for text, network in ranges.items() if within(target.address, (network,)))}"
    if policy.allow_all:
        return "allowAll"
    names = found["spec"].get("allowedHostnames") or ()
    exact = [name for name in names if name.lower().rstrip(".") == target.host]
    wild = [name for name in names if name.startswith("*.") and target.host.endswith(name[1:].lower().rstrip("."))]
    return f"allowedHostnames: {(exact + wild)[0]}"


def _hidden(target: Target) -> str:
    if target.address is not None:
        return f"whether {target.host} is closed (the floor), or private and not in the chart's egress.permittedCIDRs"
    return (
        f"where {target.host} leads (DNS), and whether that is closed (the floor, egress.permittedCIDRs); its TLS must name it"
    )
