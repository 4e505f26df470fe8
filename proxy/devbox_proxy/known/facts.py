"""What the gateway knows of the cluster, as plain data: Routes by token, pods by UID, documents, credentials, reviews.

`Known` is filled by state.py from the watches and read by identity.py; it holds no I/O, so that a test can write it by hand.
"""

from dataclasses import dataclass, field
from ipaddress import ip_address
from math import inf
from typing import Final

from devbox_api.judge.policies import CompiledPolicy
from devbox_api.route import Binding, EgressBinding, Route
from devbox_proxy.known.apis import Api
from devbox_proxy.known.credentials import Credential

LIVE: Final = inf
"""A mirror's `as_of` while its watch is open: changes arrive as they happen."""


def plain_address(text: str) -> str:
    """One spelling for an address: IPv4 as such, also where an IPv6 socket saw it (::ffff:10.0.0.1)."""
    try:
        address = ip_address(text)
    except ValueError:
        return text
    return str(getattr(address, "ipv4_mapped", None) or address)


TokenOwner = Binding | EgressBinding
"""What a token belongs to: a gateway of a pod, or its way out."""


@dataclass(frozen=True, slots=True)
class Pod:
    """What decides whether a pod may use its tokens."""

    uid: str
    name: str
    namespace: str
    phase: str
    node: str
    """Empty until it is scheduled."""
    ips: tuple[str, ...]
    """Empty until the node has told them."""
    deleting: bool
    host_network: bool
    seen_at: float = field(compare=False)
    """When the mirror first had it (clock.py's seconds)."""

    @property
    def present(self) -> bool:
        """It runs, or is to, and its deletion has not begun."""
        return not self.deleting and self.phase in ("Pending", "Running")


@dataclass(frozen=True, slots=True)
class Review:
    """What the cluster said last of a pod's token."""

    at: float
    """clock.py's seconds."""
    accepted: bool
    digest: str
    """SHA-256 of the token that was asked about."""
    credential_id: str = ""
    """The token's id in the API server's own audit log."""
    others: frozenset[str] = frozenset()
    """Of a no: those of the pod's other tokens that were refused before it, with no yes in between."""


@dataclass(slots=True)
class Known:
    """Everything a decision rests on, besides the request and the clock."""

    tokens: dict[str, tuple[Route, Binding]] = field(default_factory=dict)
    """By token digest; every token that was ever issued to a pod that is routed, for its gateways."""
    egress_tokens: dict[str, tuple[Route, EgressBinding]] = field(default_factory=dict)
    """The same for the forward proxy: neither port takes the other's."""
    routes: dict[str, Route] = field(default_factory=dict)
    """By pod UID."""
    unsupported: frozenset[str] = frozenset()
    """Pod UIDs whose Route this gateway can't read."""
    gateways: dict[str, Api | None] = field(default_factory=dict)
    """By the Secret's name; None for a document that this gateway can't read or use."""
    egress: dict[str, CompiledPolicy | None] = field(default_factory=dict)
    """EgressPolicies, by the Secret's name; None for one that this gateway can't read or use."""
    credentials: dict[str, Credential] = field(default_factory=dict)
    documents: int = 0
    """How often a gateway document, a credential or the floor has changed."""
    pods: dict[str, Pod] = field(default_factory=dict)
    """By UID."""
    addresses: dict[str, str] = field(default_factory=dict)
    """Their UIDs by address (`plain_address`); of two with the same one, the one that was heard of last."""
    awaited: dict[str, float] = field(default_factory=dict)
    """Pod UIDs whose Route came before the pod did, and when (clock.py's seconds): two watches have no order between them."""
    reviews: dict[str, Review] = field(default_factory=dict)
    """By pod UID: one yes counts for all tokens of the pod."""
    synced: bool = False
    """The first lists are in."""
    routes_as_of: float = -inf
    """Up to when Routes and the documents beside them are known to be what the API server has (clock.py's seconds); LIVE: they are."""
    pods_as_of: float = -inf
    """The same of pods."""
    api_away_since: float | None = None
    """Since when nobody answers in the API server's place, or TokenReviews fail (clock.py's seconds)."""


@dataclass(frozen=True, slots=True)
class ReviewTimes:
    """Seconds; see settings.Identity. `outage`: also how old what is known may be."""

    review: float = 120.0
    not_live: float = 10.0
    outage: float = 300.0
    young: float = 60.0
    """A pod that the mirror has for less may still be waiting for its Route or its IP."""
    refresh: float = 0.9
    """Part of a review's age from which it is renewed in the background."""
