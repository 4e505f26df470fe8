"""What does this request lead to? The one decision of the data port.

Goes in: a request's head, what is known of the cluster, the time. Comes out: Forward, Refuse or Wait. Pure: the caller does the
waiting and asks again. The order is the design's: token listed, its pod admitted (admission.py), then what the token leads to.
"""

from dataclasses import dataclass
from sys import intern
from typing import Final
from urllib.parse import unquote_to_bytes

from devbox_api.judge import rules
from devbox_api.judge.paths import BasePath
from devbox_api.judge.refusals import Refusal
from devbox_api.judge.rules import Rules
from devbox_api.route import LACKS_CREDENTIAL, LACKS_GRANT, Binding, Route
from devbox_proxy.decide import admission
from devbox_proxy.decide.admission import Case, Refuse, Subject, Wait
from devbox_proxy.decide.caller import Caller, about, caller_of
from devbox_proxy.known.apis import Api
from devbox_proxy.known.credentials import Access, Credential, PoolKey
from devbox_proxy.known.facts import LIVE, Known, Pod, Review, ReviewTimes
from devbox_proxy.wire import cors, grammar, guard, tokens
from devbox_proxy.wire.guard import RequestHead
from devbox_proxy.wire.messages import UpstreamRequest
from devbox_proxy.wire.tokens import Found

ADVICE: Final = "use what its spec.rules list, or ask its owner"
SHOWN: Final = 200
"""Bytes of a path that a refusal repeats."""
DECODED: Final = 4
"""Times that a path is decoded in search of a token."""


@dataclass(frozen=True, slots=True)
class Forward:
    """Send it: to this API, with this credential. What is sent is rendered from it later (injection.py)."""

    caller: Caller
    access: Access
    found: Found
    """Where in the head the token is."""
    pool: PoolKey
    """Requests with the same key may share connections: origin, credential, its version, the caller's namespace."""
    about: bytes
    """Who calls what, as both audit lines say it."""
    refresh: Subject | None
    """A review that is about to grow too old: to be renewed in the background."""


@dataclass(frozen=True, slots=True)
class Preflight:
    """A browser's question, which the gateway answers by itself: nothing goes to the API."""


Decision = Forward | Preflight | Refuse | Wait


class CachedDecision:
    """Where a head led, and all that this rested on besides the head and the time: what was known under which key.

    What is known is never changed, only replaced: as long as the same objects are known, the same head leads to the same. With thousands
    of devboxes in turn none of this is in the processor's caches, so it is looked at where it lies: nothing behind these references
    is needed, but the review's age.
    """

    __slots__ = (
        "api",
        "api_key",
        "credential",
        "credential_key",
        "digest",
        "forward",
        "pod",
        "request",
        "review",
        "reviewed_at",
        "token",
        "uid",
    )

    def __init__(self, known: Known, digest: str, binding: Binding, forward: Forward) -> None:
        # Interned: of the same text there is one object, here and in the mirror, and it is found without being read.
        self.digest, self.uid = intern(digest), intern(forward.caller.pod_uid)
        self.api_key, self.credential_key = intern(binding.gateway), intern(binding.credential)
        self.forward = forward
        self.request: UpstreamRequest | None = None
        """What was rendered from it (injection.render)."""
        self.token: tuple[Route, Binding] | None = known.tokens.get(self.digest)
        self.pod: Pod | None = known.pods.get(self.uid)
        self.review: Review | None = known.reviews.get(self.uid)
        self.reviewed_at = 0.0 if self.review is None else self.review.at
        self.api: Api | None = known.gateways.get(self.api_key)
        self.credential: Credential | None = known.credentials.get(self.credential_key)

    def holds(self, known: Known, now: float, times: ReviewTimes) -> bool:
        """To decide anew would come to the same, with no review to be renewed."""
        age, uid = now - self.reviewed_at, self.uid
        return (
            known.synced
            and age <= times.review * times.refresh
            and now - known.routes_as_of <= times.outage
            and now - known.pods_as_of <= times.outage
            and (age <= times.not_live or known.pods_as_of == LIVE)
            and uid not in known.unsupported
            and known.tokens.get(self.digest) is self.token
            and known.pods.get(uid) is self.pod
            and known.reviews.get(uid) is self.review
            and known.gateways.get(self.api_key) is self.api
            and known.credentials.get(self.credential_key) is self.credential
        )


def decide(head: RequestHead, known: Known, now: float, times: ReviewTimes) -> Decision:
    """One request, with what is known now (by the clock that counts pauses)."""
    cached: CachedDecision | None = head.memo.cached
    if cached is not None and cached.holds(known, now, times):
        return cached.forward
    if head.method == "OPTIONS" and cors.is_preflight(head):
        return _preflight(head, known, now, times)
    found = examine(head)
    if isinstance(found, Refusal):
        return Refuse(found)
    case = Case(head.peer, known, now, times)
    if (blind := admission.blind(known, now, times)) is not None:
        return Refuse(blind)
    entry = known.tokens.get(found.digest)
    if entry is None:
        return (
            Refuse(Refusal.TOKEN_FOR_EGRESS) if found.digest in known.egress_tokens else admission.unlisted(case, found.pod_uid)
        )
    route, binding = entry
    if (unsure := admission.admit(case, route, binding)) is not None:
        return unsure
    return _lead(case, head, found, route, binding)


def _preflight(head: RequestHead, known: Known, now: float, times: ReviewTimes) -> Decision:
    """A browser sends no token with it, so it is the address that tells a devbox. The request that follows is decided like any other."""
    if (wrong := guard.check(head)) is not None:
        return Refuse(wrong)
    if (blind := admission.blind(known, now, times)) is not None:
        return Refuse(blind)
    return Preflight() if admission.resides(known, head.peer) else Refuse(Refusal.TOKEN_MISSING)


def examine(head: RequestHead) -> Found | Refusal:
    """What the head alone tells: its token, or what is wrong with it. Worked out once for a head."""
    examined: Found | Refusal | None = head.memo.examined
    if examined is None:
        examined = head.memo.examined = guard.check(head) or tokens.find(head)
    return examined


def _lead(case: Case, head: RequestHead, found: Found, route: Route, binding: Binding) -> Decision:
    """What the token leads to: the API and the credential, as they are at this moment."""
    known = case.known
    api = known.gateways.get(binding.gateway)
    if api is None:
        missing = Refusal.ROUTE_UNSUPPORTED if binding.gateway in known.gateways else _lacking(binding)
        return Refuse(missing, caller_of(route, binding), verified=True)
    credential = known.credentials.get(binding.credential)
    caller = caller_of(route, binding, api.name, known.reviews[route.pod.uid].credential_id)
    if api.rules is not None and (forbidden := _forbidden(head, api.rules, api.base_path)):
        return Refuse(Refusal.RULE_FORBIDS, caller, f"{forbidden} by GatewayConfig {api.name}; {ADVICE}", verified=True)
    if credential is None:
        return Refuse(Refusal.CREDENTIAL_GONE, caller, verified=True)
    access = credential.at(api)
    if not access.granted:
        return Refuse(Refusal.CREDENTIAL_NOT_GRANTED, caller, verified=True)
    if not access.whole:
        return Refuse(Refusal.CREDENTIAL_GONE, caller, verified=True)
    forward = Forward(
        caller,
        access,
        found,
        access.pool_of(caller.namespace),
        about(caller, head.method, head.path),
        admission.refresh(case, route, binding),
    )
    head.memo.cached = CachedDecision(known, found.digest, binding, forward) if forward.refresh is None else None
    return forward


def _lacking(binding: Binding) -> Refusal:
    """Why a binding leads nowhere: the operator says so on it."""
    if binding.gateway:
        return Refusal.GATEWAY_GONE
    return {LACKS_CREDENTIAL: Refusal.CREDENTIAL_GONE, LACKS_GRANT: Refusal.CREDENTIAL_NOT_GRANTED}.get(
        binding.lacks, Refusal.GATEWAY_GONE
    )


def _forbidden(head: RequestHead, allow_list: Rules, base_path: BasePath) -> str:
    """What the rules do not allow: the method and path, or what asks the API to take others, in a header or the query. Empty: nothing."""
    for name in head.fields:
        if name.translate(grammar.DASHES) in grammar.OVERRIDES:
            return f"the header {name.decode('latin-1')} may ask the API for another method or path, which is not allowed"
    if rules.allowed(allow_list, base_path, head.method, head.target):
        return ""
    asked = f"{head.method} {_shown(head.path)}"
    if rules.allowed(allow_list, base_path, head.method, head.path):
        return f"the query of {asked} may ask the API for another method, which is not allowed"
    return f"{asked} is not allowed"


def _shown(path: bytes) -> str:
    """A path in quotes, as it was asked for and as far as it is short. (What holds a token, however often it is encoded, is nothing to
    repeat.)"""
    plain = path
    for _ in range(DECODED):
        if grammar.TOKEN_START in plain.lower():
            return '"…"'
        plain = unquote_to_bytes(plain)
    return f'"{path[:SHOWN].decode("ascii", "replace")}{"…" if len(path) > SHOWN else ""}"'
