"""An egress document, compiled: what an EgressPolicy allows, worked out once, when the document is learned.

Goes in: a policy's document. Comes out: a `CompiledPolicy`, or a ValueError for a document that can't be used. Pure.
"""

import re
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Final, NamedTuple, Protocol

from .hosts import any_matches
from .refusals import Refusal
from .targets import Address, Target

Network = IPv4Network | IPv6Network
_GATEWAY: Final = re.compile(r"gateway\.[a-z0-9-]+\.svc(?:\.cluster\.local)?")
"""What is in every `$NAME_URL`."""


class Document(Protocol):
    """A policy, as documents and objects have it."""

    @property
    def name(self) -> str:
        """The EgressPolicy's."""

    @property
    def namespace(self) -> str:
        """The EgressPolicy's."""

    @property
    def allow_all(self) -> bool:
        """Any public host."""

    @property
    def hostnames(self) -> tuple[str, ...]:
        """Exact names, and `*.example.com`."""

    @property
    def ports(self) -> tuple[int, ...]:
        """Of every host."""

    @property
    def cidrs(self) -> tuple[str, ...]:
        """Ranges."""


@dataclass(frozen=True, slots=True, eq=False)
class CompiledPolicy:
    """One policy. Compared by identity: a changed document is another one."""

    name: str
    """Of the EgressPolicy, as namespace/name."""
    allow_all: bool
    exact: frozenset[str]
    """Hosts that are named."""
    wildcards: tuple[str, ...]
    """`*.example.com`."""
    ports: frozenset[int]
    cidrs: tuple[Network, ...]

    def allows_host(self, host: str) -> bool:
        """A name, in lower case and without a final dot. It says nothing about where the name leads."""
        return self.allow_all or host in self.exact or any_matches(self.wildcards, host)

    def allows_address(self, address: Address) -> bool:
        """Whether it may be asked for as an address, or, if it is private, be what an allowed name leads to."""
        return within(address, self.cidrs)


def compile_egress(document: Document) -> CompiledPolicy:
    """Everything that CONNECTs need. Raises ValueError."""
    hosts = [host.lower().rstrip(".") for host in document.hostnames]
    return CompiledPolicy(
        name=f"{document.namespace}/{document.name}",
        allow_all=document.allow_all,
        exact=frozenset(host for host in hosts if host and "*" not in host),
        wildcards=tuple(host for host in hosts if host.startswith("*.")),
        ports=frozenset(document.ports),
        cidrs=networks(document.cidrs),
    )


class Denied(NamedTuple):
    """Why a policy does not let a tunnel lead there."""

    refusal: Refusal
    said: str
    """What was asked for, and what to do."""


def without_policy(target: Target) -> Denied:
    """A devbox that stands under none reaches no host."""
    return _host(target, "set spec.egressPolicyRef")


def denied(policy: CompiledPolicy, target: Target) -> Denied | None:
    """What the policy says; None: it lets the tunnel through, if where the host leads is nothing that is closed."""
    if target.disguised:
        return Denied(Refusal.ADDRESS_NOT_ALLOWED, f"{target.host}; an IPv4 address is written as four decimal numbers")
    if target.address is not None:
        if not policy.allows_address(target.address):
            return Denied(Refusal.ADDRESS_NOT_ALLOWED, f"{target.host}; the EgressPolicy's allowedCIDRs do not hold it")
    elif not policy.allows_host(target.host):
        return _host(target, "the EgressPolicy's allowedHostnames do not hold it")
    if target.port not in policy.ports:
        allowed = ", ".join(map(str, sorted(policy.ports))) or "none"
        return Denied(Refusal.PORT_NOT_ALLOWED, f"{target.port}; the EgressPolicy's allowedPorts: {allowed}")
    return None


def _host(target: Target, why: str) -> Denied:
    """A client that asks its proxy for the gateway itself has not understood what $NO_PROXY says, and no policy mends that."""
    if _GATEWAY.fullmatch(target.host):
        why = (
            "the gateway itself is reached directly: this client does not heed $NO_PROXY; tell it to use no proxy for this host"
        )
    return Denied(Refusal.HOST_NOT_ALLOWED, f"{target.host}; {why}")


def networks(cidrs: tuple[str, ...]) -> tuple[Network, ...]:
    """Ranges, parsed. Raises ValueError, also for one with bits set that its prefix does not cover."""
    return tuple(ip_network(cidr) for cidr in cidrs)


def within(address: Address, ranges: tuple[Network, ...]) -> bool:
    """The address is in one of the ranges."""
    return any(address in each for each in ranges)
