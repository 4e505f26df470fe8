"""Who is asking, and may they? The one decision of the gateway.

Goes in: a request's head, what is known of the cluster, the time. Comes out: Forward, Refuse or Wait. Pure: the caller does the
waiting and asks again. The order is the design's: token listed, pod here and now, address, the cluster's own yes, then what the
token leads to. Called by server.py for every request.
"""

from dataclasses import dataclass
from enum import Enum
from ipaddress import ip_address
from operator import is_
from typing import NamedTuple

from devbox_api.names import token_digest
from devbox_api.route import Binding, Route

from . import credentials, grammar, guard, tokens
from .credentials import UpstreamRequest
from .guard import RequestHead
from .refusals import Refusal
from .rules import Rules
from .tokens import Found
from .view import Known, Limits, Pod


class Caller(NamedTuple):
    """Whose request it is: what the audit line says."""

    namespace: str
    devbox: str
    pod: str
    pod_uid: str
    name: str
    """The gateway's name in the devbox, e.g. ANTHROPIC."""
    gateway: str = ""
    """The GatewayConfig, as namespace/name."""
    credential_id: str = ""


@dataclass(frozen=True, slots=True)
class Forward:
    """Send it."""

    caller: Caller
    upstream: UpstreamRequest
    pool: tuple[str, ...]
    """Requests with the same key may share connections: origin, credential, its version, the caller's namespace."""
    refresh: tuple[Route, Binding] | None
    """A review that is about to grow too old: to be renewed in the background."""


@dataclass(frozen=True, slots=True)
class Refuse:
    """Say no."""

    refusal: Refusal
    caller: Caller | None = None


class For(Enum):
    """What is waited for."""

    MIRROR = "mirror"
    REVIEW = "review"


@dataclass(frozen=True, slots=True)
class Wait:
    """Ask again when something has changed; if nothing does in time, refuse."""

    what: For
    otherwise: Refuse
    subject: tuple[Route, Binding] | None = None
    """Whom to ask the cluster about, for a review."""


Decision = Forward | Refuse | Wait


class _Case(NamedTuple):
    """One request at one moment."""

    head: RequestHead
    known: Known
    now: float
    limits: Limits


class _Led(NamedTuple):
    """Where a head led, and what that rested on besides itself: objects that are never changed, only replaced."""

    because: tuple[object, ...]
    forward: Forward


def decide(head: RequestHead, known: Known, now: float, limits: Limits) -> Decision:
    """One request, with what is known now (monotonic seconds)."""
    found = examine(head)
    if isinstance(found, Refusal):
        return Refuse(found)
    if not known.synced:
        return Refuse(Refusal.NOT_READY)
    case = _Case(head, known, now, limits)
    entry = known.tokens.get(found.digest)
    if entry is None:
        return _unlisted(case, found)
    route, binding = entry
    if route.pod.uid in known.unsupported:
        return Refuse(Refusal.ROUTE_UNSUPPORTED, _caller(route, binding))
    if (elsewhere := _pod(case, route, binding)) is not None:
        return elsewhere
    if (unsure := _review(case, route, binding)) is not None:
        return unsure
    return _lead(case, found, route, binding)


def examine(head: RequestHead) -> Found | Refusal:
    """What the head alone tells: its token, or what is wrong with it. Worked out once for a head."""
    examined: Found | Refusal | None = head.memo.get("examined")
    if examined is None:
        examined = head.memo["examined"] = guard.check(head) or tokens.find(head)
    return examined


def _caller(route: Route, binding: Binding, gateway: str = "", credential_id: str = "") -> Caller:
    pod = route.pod
    return Caller(pod.namespace, route.devbox.name, pod.name, pod.uid, binding.name, gateway, credential_id)


def _unlisted(case: _Case, found: Found) -> Decision:
    """No Route has the token. A new pod's Route may be on its way; everything else is refused at no cost."""
    refuse = Refuse(Refusal.TOKEN_UNKNOWN)
    if found.pod_uid in case.known.unsupported:
        return Refuse(Refusal.ROUTE_UNSUPPORTED)
    pod = case.known.pods.get(found.pod_uid or "")
    if pod and found.pod_uid not in case.known.routes and _may_wait(case, pod):
        return Wait(For.MIRROR, refuse)
    return refuse


def _pod(case: _Case, route: Route, binding: Binding) -> Refuse | Wait | None:
    """The pod is here, now, and it is the one that calls."""
    pod = case.known.pods.get(route.pod.uid)
    if pod is None or pod.deleting:
        return Refuse(Refusal.POD_GONE, _caller(route, binding))
    if pod.phase not in ("Pending", "Running"):  # init containers call while it is Pending
        return Refuse(Refusal.POD_FINISHED, _caller(route, binding))
    if pod.host_network:
        return Refuse(Refusal.POD_ON_HOST_NETWORK, _caller(route, binding))
    if pod.node and pod.ips and _same_address(case.head.peer, pod.ips):
        return None
    elsewhere = Refuse(Refusal.TOKEN_ELSEWHERE, _caller(route, binding))
    if pod.node and pod.ips:
        return elsewhere
    # Its status lags behind its first packet.
    return Wait(For.MIRROR, elsewhere) if _may_wait(case, pod) else elsewhere


def _review(case: _Case, route: Route, binding: Binding) -> Refuse | Wait | None:
    """The cluster says that the pod's token is good, and said so not too long ago."""
    review, known = case.known.reviews.get(route.pod.uid), case.known
    age = case.now - review.at if review else 0.0
    if review and review.accepted and age <= (case.limits.review if known.pods_live else case.limits.not_live):
        return None
    caller = _caller(route, binding)
    wait = Wait(For.REVIEW, Refuse(Refusal.REVIEW_UNAVAILABLE, caller), (route, binding))
    if review is None:
        return wait if known.api_away_since is None else wait.otherwise
    if not review.accepted:
        # Another token than the one that was refused, or a no that has grown old, is worth another question.
        same = review.digest == token_digest(binding.token) and age < case.limits.not_live
        return Refuse(Refusal.TOKEN_REFUSED, caller) if same else wait
    if (since := known.api_away_since) is not None:
        # What was good when the API server went away stays good for a while; what had grown old by then does not.
        good_then = review.at >= since - case.limits.review
        return None if good_then and case.now - since <= case.limits.outage else wait.otherwise
    return wait


def _lead(case: _Case, found: Found, route: Route, binding: Binding) -> Decision:
    """What the token leads to: the API and the credential, as they are at this moment."""
    known = case.known
    api = known.gateways.get(binding.gateway)
    if api is None:
        missing = Refusal.ROUTE_UNSUPPORTED if binding.gateway in known.gateways else Refusal.GATEWAY_GONE
        return Refuse(missing, _caller(route, binding))
    review, credential = known.reviews[route.pod.uid], known.credentials.get(binding.credential)
    refresh = (route, binding) if case.now - review.at > case.limits.review * case.limits.refresh else None
    because = (route, binding, api, review, credential)
    led: _Led | None = case.head.memo.get("led")
    if led is not None and refresh is None and all(map(is_, led.because, because)):
        return led.forward  # the same head, and nothing that it leads to has changed
    caller = _caller(route, binding, api.name, review.credential_id)
    if api.rules is not None and not _allowed(case.head, api.rules, api.base_path):
        return Refuse(Refusal.RULE_FORBIDS, caller)
    if credential is None:
        return Refuse(Refusal.CREDENTIAL_GONE, caller)
    access = credential.at(api)
    if not access.granted:
        return Refuse(Refusal.CREDENTIAL_NOT_GRANTED, caller)
    upstream = credentials.prepare(case.head, found, access)
    forward = Forward(caller, upstream, (*access.pool, route.pod.namespace), refresh)
    if refresh is None:
        case.head.memo["led"] = _Led(because, forward)
    return forward


def _allowed(head: RequestHead, rules: Rules, base_path: bytes) -> bool:
    """The rules name the method and path, and neither a header nor the query asks the API to take others."""
    if not grammar.OVERRIDES.isdisjoint([name.translate(grammar.DASHES) for name in head.fields]):
        return False
    if head.query is not None and not grammar.OTHER_METHOD.isdisjoint(credentials.parameter_names(head.query)):
        return False
    return rules.allow(head.method, credentials.join(base_path, head.path))


def _may_wait(case: _Case, pod: Pod) -> bool:
    """Something about the pod may still be on its way, and would arrive."""
    known = case.known
    return known.pods_live and known.routes_live and case.now - pod.seen_at < case.limits.young and not pod.deleting


def _same_address(peer: str, ips: tuple[str, ...]) -> bool:
    """IPv4 as such and as seen by an IPv6 socket (::ffff:10.0.0.1) are the same."""
    if peer in ips:
        return True
    try:
        address = ip_address(peer)
        mapped = getattr(address, "ipv4_mapped", None)
        return (mapped or address) in {ip_address(ip) for ip in ips}
    except ValueError:
        return False
