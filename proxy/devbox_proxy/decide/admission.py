"""Whose token is it, and may its pod call here and now? The part of the decision that both ports share.

Goes in: what is known of the cluster, the peer's address, the time, and what a token's digest led to. Comes out: None for a yes, a
Refuse or a Wait. Pure: the caller does the waiting (waiting.py) and asks again. The order is the design's: pod here and now, address,
confined, the cluster's own yes.
"""

from dataclasses import dataclass
from enum import Enum
from ipaddress import ip_address
from typing import NamedTuple

from devbox_api.judge.refusals import Refusal
from devbox_api.names import token_digest
from devbox_api.route import Route
from devbox_proxy.decide.caller import Caller, caller_of
from devbox_proxy.known.facts import LIVE, Known, Pod, ReviewTimes, TokenOwner, plain_address

Subject = tuple[Route, TokenOwner]
"""Whom to ask the cluster about, for a review."""


@dataclass(frozen=True, slots=True)
class Refuse:
    """Say no."""

    refusal: Refusal
    caller: Caller | None = None
    said: str = ""
    """In place of the refusal's own message: what was asked for, and what to do. Nothing that was not checked."""
    verified: bool = False
    """The caller is who it says: its pod was admitted, and is refused for what it asks."""


class For(Enum):
    """What is waited for."""

    MIRROR = "mirror"
    REVIEW = "review"


@dataclass(frozen=True, slots=True)
class Wait:
    """Ask again when something has changed; if nothing does in time, refuse."""

    what: For
    otherwise: Refuse
    subject: Subject | None = None


class Case(NamedTuple):
    """One request at one moment."""

    peer: str
    known: Known
    now: float
    times: ReviewTimes


def blind(known: Known, now: float, times: ReviewTimes) -> Refusal | None:
    """Why nothing can be decided: the first lists are not in yet, or nothing has been heard of what changed for too long. (Each watch by
    itself: what one of them does not say, a grant taken back or a pod that ended, no TokenReview tells.)"""
    if not known.synced:
        return Refusal.NOT_READY
    as_of = known.routes_as_of if known.routes_as_of < known.pods_as_of else known.pods_as_of
    return Refusal.STATE_STALE if now - as_of > times.outage else None


def unlisted(case: Case, claimed_uid: str | None) -> Refuse | Wait:
    """No Route has the token. A new pod's Route may be on its way; everything else is refused at no cost. (While a watch is not live that
    says nothing of a token, which may be newer: a client that is told so asks again.)"""
    refuse = Refuse(Refusal.TOKEN_UNKNOWN if claimed_uid is None or _live(case.known) else Refusal.STATE_STALE)
    if claimed_uid in case.known.unsupported:
        return Refuse(Refusal.ROUTE_UNSUPPORTED)
    pod = case.known.pods.get(claimed_uid or "")
    if pod and claimed_uid not in case.known.routes and _may_wait(case, pod):
        return Wait(For.MIRROR, refuse)
    return refuse


def admit(case: Case, route: Route, owner: TokenOwner) -> Refuse | Wait | None:
    """A listed token: its Route can be honoured, its pod is the one that calls, nothing leads around us, and the cluster says yes."""
    if route.pod.uid in case.known.unsupported:
        return Refuse(Refusal.ROUTE_UNSUPPORTED, caller_of(route, owner))
    if (elsewhere := _pod(case, route, owner)) is not None:
        return elsewhere
    if not route.confined:
        return Refuse(Refusal.DEVBOX_NOT_CONFINED, caller_of(route, owner))
    return _review(case, route, owner)


def resides(known: Known, peer: str) -> bool:
    """The address is one of a devbox that is served. (It says no more than that somebody there asks: who wants anything needs a token.)"""
    uid = known.addresses.get(plain_address(peer), "")
    pod, route = known.pods.get(uid), known.routes.get(uid)
    if pod is None or route is None or pod.host_network:
        return False
    return bool(pod.node) and ended(known, uid) is None


def refresh(case: Case, route: Route, owner: TokenOwner) -> Subject | None:
    """The review that admitted it is about to grow too old: to be renewed in the background."""
    review = case.known.reviews[route.pod.uid]
    return (route, owner) if case.now - review.at > case.times.review * case.times.refresh else None


def ended(known: Known, pod_uid: str) -> Refusal | None:
    """Why what is under way for this pod may not go on; None: it may."""
    pod, route = known.pods.get(pod_uid), known.routes.get(pod_uid)
    if pod is None or pod.deleting or route is None or pod.phase not in ("Pending", "Running"):
        return Refusal.POD_GONE
    if pod_uid in known.unsupported:
        return Refusal.ROUTE_UNSUPPORTED
    return None if route.confined else Refusal.DEVBOX_NOT_CONFINED


def _pod(case: Case, route: Route, owner: TokenOwner) -> Refuse | Wait | None:
    """The pod is here, now, and it is the one that calls."""
    pod = case.known.pods.get(route.pod.uid)
    if pod is None or pod.deleting:
        gone = Refuse(Refusal.POD_GONE, caller_of(route, owner))
        since = case.known.awaited.get(route.pod.uid) if pod is None else None
        return gone if since is None or not _may_come(case, since) else Wait(For.MIRROR, gone)
    if pod.phase not in ("Pending", "Running"):  # init containers call while it is Pending
        return Refuse(Refusal.POD_FINISHED, caller_of(route, owner))
    if pod.host_network:
        return Refuse(Refusal.POD_ON_HOST_NETWORK, caller_of(route, owner))
    if pod.node and pod.ips and _same_address(case.peer, pod.ips):
        return None
    elsewhere = Refuse(Refusal.TOKEN_ELSEWHERE, caller_of(route, owner))
    if pod.node and pod.ips:
        return elsewhere
    # Its status lags behind its first packet.
    return Wait(For.MIRROR, elsewhere) if _may_wait(case, pod) else elsewhere


def _review(case: Case, route: Route, owner: TokenOwner) -> Refuse | Wait | None:
    """The cluster says that the pod's token is good, and said so not too long ago."""
    review, known = case.known.reviews.get(route.pod.uid), case.known
    age = case.now - review.at if review else 0.0
    if review and review.accepted and age <= (case.times.review if known.pods_as_of == LIVE else case.times.not_live):
        return None
    caller = caller_of(route, owner)
    wait = Wait(For.REVIEW, Refuse(Refusal.REVIEW_UNAVAILABLE, caller), (route, owner))
    asked = wait if known.api_away_since is None else wait.otherwise
    if review is None:
        return asked
    if not review.accepted:
        # A token that was not refused yet, or a no that has grown old, is worth another question. (A pod with two tokens that asks with
        # one and the other in turn would else be asked about as fast as the cluster answers.)
        digest = token_digest(owner.token)
        same = (digest == review.digest or digest in review.others) and age < case.times.not_live
        return Refuse(Refusal.TOKEN_REFUSED, caller) if same else asked
    if (since := known.api_away_since) is not None:
        # What was good when the API server went away stays good for a while; what had grown old by then does not.
        good_then = review.at >= since - case.times.review
        return None if good_then and case.now - since <= case.times.outage else wait.otherwise
    return wait


def _may_wait(case: Case, pod: Pod) -> bool:
    """Something about the pod may still be on its way."""
    return not pod.deleting and _may_come(case, pod.seen_at)


def _may_come(case: Case, since: float) -> bool:
    """What was missing then may still be on its way, and would arrive."""
    return _live(case.known) and case.now - since < case.times.young


def _live(known: Known) -> bool:
    """What happens is told as it happens."""
    return known.pods_as_of == LIVE and known.routes_as_of == LIVE


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
