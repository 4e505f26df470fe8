"""What does this request lead to? The one decision of the data port.

Goes in: a request's head, what is known of the cluster, the time. Comes out: Forward, Refuse or Wait. Pure: the caller does the
waiting and asks again. The order is the design's: token listed, its pod admitted (admission.py), then what the token leads to.
Called by gateway.py for every request.
"""

from dataclasses import dataclass
from operator import is_
from typing import NamedTuple

from devbox_api.route import Binding, Route

from . import admission, credentials, grammar, guard, tokens
from .admission import Caller, Case, Refuse, Subject, Wait, caller_of
from .credentials import UpstreamRequest
from .guard import RequestHead
from .refusals import Refusal
from .rules import Rules
from .tokens import Found
from .view import Known, Limits


@dataclass(frozen=True, slots=True)
class Forward:
    """Send it."""

    caller: Caller
    upstream: UpstreamRequest
    pool: tuple[str, ...]
    """Requests with the same key may share connections: origin, credential, its version, the caller's namespace."""
    refresh: Subject | None
    """A review that is about to grow too old: to be renewed in the background."""


Decision = Forward | Refuse | Wait


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
    case = Case(head.peer, known, now, limits)
    entry = known.tokens.get(found.digest)
    if entry is None:
        return (
            Refuse(Refusal.TOKEN_FOR_EGRESS) if found.digest in known.egress_tokens else admission.unlisted(case, found.pod_uid)
        )
    route, binding = entry
    if (unsure := admission.admit(case, route, binding)) is not None:
        return unsure
    return _lead(case, head, found, route, binding)


def examine(head: RequestHead) -> Found | Refusal:
    """What the head alone tells: its token, or what is wrong with it. Worked out once for a head."""
    examined: Found | Refusal | None = head.memo.get("examined")
    if examined is None:
        examined = head.memo["examined"] = guard.check(head) or tokens.find(head)
    return examined


def _lead(case: Case, head: RequestHead, found: Found, route: Route, binding: Binding) -> Decision:
    """What the token leads to: the API and the credential, as they are at this moment."""
    known = case.known
    api = known.gateways.get(binding.gateway)
    if api is None:
        missing = Refusal.ROUTE_UNSUPPORTED if binding.gateway in known.gateways else Refusal.GATEWAY_GONE
        return Refuse(missing, caller_of(route, binding))
    review, credential = known.reviews[route.pod.uid], known.credentials.get(binding.credential)
    refresh = admission.refresh(case, route, binding)
    because = (route, binding, api, review, credential)
    led: _Led | None = head.memo.get("led")
    if led is not None and refresh is None and all(map(is_, led.because, because)):
        return led.forward  # the same head, and nothing that it leads to has changed
    caller = caller_of(route, binding, api.name, review.credential_id)
    if api.rules is not None and not _allowed(head, api.rules, api.base_path):
        return Refuse(Refusal.RULE_FORBIDS, caller)
    if credential is None:
        return Refuse(Refusal.CREDENTIAL_GONE, caller)
    access = credential.at(api)
    if not access.granted:
        return Refuse(Refusal.CREDENTIAL_NOT_GRANTED, caller)
    upstream = credentials.prepare(head, found, access)
    forward = Forward(caller, upstream, (*access.pool, route.pod.namespace), refresh)
    if refresh is None:
        head.memo["led"] = _Led(because, forward)
    return forward


def _allowed(head: RequestHead, rules: Rules, base_path: bytes) -> bool:
    """The rules name the method and path, and neither a header nor the query asks the API to take others."""
    if not grammar.OVERRIDES.isdisjoint([name.translate(grammar.DASHES) for name in head.fields]):
        return False
    if head.query is not None and not grammar.OTHER_METHOD.isdisjoint(credentials.parameter_names(head.query)):
        return False
    return rules.allow(head.method, credentials.join(base_path, head.path))
