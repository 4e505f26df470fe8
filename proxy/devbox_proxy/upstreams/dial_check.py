"""Where the gateway may lead, on both ports: every address that would be dialled is checked, and the checked one is dialled.

Who may write a GatewayConfig or an EgressPolicy must not get the gateway's place in the network with it. Goes in: a host, the addresses
it has, the settings and the floor. Comes out: the addresses that may be dialled, or a refusal. Pure but for `Resolver`, which asks DNS.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Final, Protocol

from devbox_api.judge.hosts import any_matches
from devbox_api.judge.policies import CompiledPolicy, networks, within
from devbox_api.judge.targets import Target
from devbox_common.addresses import embedded, never, numeric, public, translated
from devbox_common.ranges import Address, Network
from devbox_proxy.kit.lookups import THREADS, Lookups
from devbox_proxy.known.floor import Floor
from devbox_proxy.settings import EgressSettings, UpstreamSettings

_CLUSTERS: Final = "the cluster's own address"
_PRIVATE: Final = "the private address"
NEVER: Final = "leads where the gateway never leads (loopback, link-local, metadata, nodes, the API server, the gateway)"
"""What callers are told of the floor: not which of it."""
_CLASSES: Final = {_CLUSTERS: "an address of the cluster's own", _PRIVATE: "a private address"}


class AddressRefused(Exception):
    """The host may not be dialled; the text is for the log, and holds addresses."""

    def __init__(self, text: str, said: str = "is, or leads to, an address that may not be dialled") -> None:
        super().__init__(text)
        self.said = said
        """The same for callers, behind a subject; without addresses."""


class Unready(AddressRefused):
    """Nor may any other, yet: what must never be dialled is not known."""


class Reach(Protocol):
    """How far names may lead beyond public addresses that are not the cluster's own. Nothing lifts the floor."""

    @property
    def advice(self) -> str:
        """What has to name an address that is private or the cluster's own."""

    def lifts(self, host: str, address: Address) -> bool:
        """This host may lead to such an address."""

    def override(self, host: str) -> tuple[str, int | None] | None:
        """Address and port (None: the one that is asked for) that the administrator put in the host's place."""


Overrides = tuple[tuple[str, str, int | None], ...]
"""Host, address, port (None: the one that is asked for)."""


@dataclass(frozen=True, slots=True)
class UpstreamReach:
    """The chart's `upstreams` settings: a Reach for GatewayConfigs."""

    allowed_cidrs: tuple[Network, ...] = ()
    allowed_hosts: tuple[str, ...] = ()
    overrides: Overrides = ()

    @classmethod
    def of(cls, settings: UpstreamSettings) -> "UpstreamReach":
        """Parsed settings. Raises ValueError for an invalid address or range."""
        return cls(networks(settings.allowed_cidrs), settings.allowed_hosts, _overrides(settings.address_overrides))

    @property
    def advice(self) -> str:
        """See Reach."""
        return "upstreams.allowedHosts or allowedCIDRs"

    def lifts(self, host: str, address: Address) -> bool:
        """The administrator named the host, or a range that holds the address."""
        return any_matches(self.allowed_hosts, host) or within(address, self.allowed_cidrs)

    def override(self, host: str) -> tuple[str, int | None] | None:
        """See Reach."""
        return _override(self.overrides, host)


@dataclass(frozen=True, slots=True)
class WayOut:
    """The chart's `egress` settings with one EgressPolicy: a Reach for the forward proxy. Private addresses take both."""

    permitted_cidrs: tuple[Network, ...] = ()
    overrides: Overrides = ()
    policy: CompiledPolicy | None = None

    @classmethod
    def of(cls, settings: EgressSettings) -> "WayOut":
        """Parsed settings. Raises ValueError for an invalid address or range."""
        return cls(networks(settings.permitted_cidrs), _overrides(settings.address_overrides))

    @property
    def advice(self) -> str:
        """See Reach."""
        return "the EgressPolicy's allowedCIDRs and the chart's egress.permittedCIDRs"

    def lifts(self, host: str, address: Address) -> bool:
        """The policy's author wants it and the administrator permits it."""
        return self.policy is not None and self.policy.allows_address(address) and within(address, self.permitted_cidrs)

    def override(self, host: str) -> tuple[str, int | None] | None:
        """See Reach."""
        return _override(self.overrides, host)


def permitted(host: str, addresses: Iterable[str], reach: Reach, floor: Floor) -> list[str]:
    """The addresses as they may be dialled. Raises AddressRefused if there is none or if a single one may not be."""
    checked = []
    for text in addresses:
        address = ip_address(text.partition("%")[0])
        if why := _below_floor(address, floor):
            raise AddressRefused(f"{host} has the address {address}: {why}", NEVER)
        if (whose := _not_public(address, floor)) and not _lifted(host, address, reach, floor):
            said = f"leads to {_CLASSES[whose]}, which {reach.advice} would have to name"
            raise AddressRefused(f"{host} has {whose} {address}; name it in {reach.advice}", said)
        checked.append(text)
    if not checked:
        raise AddressRefused(f"{host} has no address", "has no address")
    return checked


def _below_floor(address: Address, floor: Floor) -> str | None:
    """Why nothing lifts it."""
    if what := never(address, floor.nat64):
        return what
    for inner in (address, *embedded(address, floor.nat64)):
        if str(inner) in floor.addresses or inner in floor.bridges:
            return "a node, the API server or the gateway itself"
        if inner in floor.closed:
            return "closed by the chart's floor.extraCIDRs"
    return None


def _not_public(address: Address, floor: Floor) -> str | None:
    """What it is that has to be named. Public addresses of the cluster's own lead to its pods and Services, and to nobody else."""
    every = (address, *embedded(address, floor.nat64))
    if any(inner in floor.ranges for inner in every):
        return _CLUSTERS
    # What a NAT64 leads to is as public as the IPv4 address; the prefix may well be a private one.
    behind = translated(address, floor.nat64)
    return None if all(map(public, (behind,) if behind else every)) else _PRIVATE


def _lifted(host: str, address: Address, reach: Reach, floor: Floor) -> bool:
    """Named as it is, or as the IPv4 address that a NAT64 makes of it."""
    behind = translated(address, floor.nat64)
    return reach.lifts(host, address) or (behind is not None and reach.lifts(host, behind))


def absolute(host: str, cluster_domain: str = "") -> str:
    """The name as DNS is asked for it: with a dot at its end, so that no search list stands behind it. Kubernetes gives every pod one, and
    has it tried first for names of few dots (ndots 5): whoever may make a namespace called `com` would answer for every host in .com. A
    Service's short name (`models.team-a.svc`) is completed here, as there is no top-level domain of that name. Raises AddressRefused for
    what is neither a name nor an address as it is written today."""
    name = host.rstrip(".").lower()
    if numeric(name):
        text = f"{host} is no name; an IPv4 address is four decimal numbers"
        raise AddressRefused(text, "is neither a name nor an address; an IPv4 address is four decimal numbers")
    if cluster_domain and name.endswith(".svc") and name.count(".") >= 2:
        name = f"{name}.{cluster_domain}"
    return f"{name}."


def cluster_domain(resolv_conf: str) -> str:
    """What the names of Services end in, from what the kubelet writes into a pod's resolv.conf(5): `search NAMESPACE.svc.DOMAIN svc.DOMAIN
    DOMAIN …`. Empty where nobody wrote that."""
    lines = (line.split() for line in resolv_conf.splitlines())
    words = [word.rstrip(".").lower() for line in lines if line[:1] == ["search"] for word in line[1:]]
    return next((word.removeprefix("svc.") for word in words if word.startswith("svc.")), "")


def is_address(host: str) -> bool:
    """An address as it is written today."""
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


def _overrides(settings: Mapping[str, str]) -> Overrides:
    return tuple((host.lower(), *_address_and_port(to)) for host, to in settings.items())


def _override(overrides: Overrides, host: str) -> tuple[str, int | None] | None:
    return next(((address, port) for name, address, port in overrides if name == host), None)


def _address_and_port(text: str) -> tuple[str, int | None]:
    """`10.96.1.2`, `10.96.1.2:443`, `[2001:db8::1]:443` or `2001:db8::1`."""
    host, port = text, None
    if text.startswith("["):
        host, _, rest = text[1:].partition("]")
        port = int(rest.removeprefix(":")) if rest else None
    elif text.count(":") == 1:
        host, _, rest = text.partition(":")
        port = int(rest)
    return str(ip_address(host)), port


class Resolver:
    """Names to checked addresses, once for each dial: what is checked is what is dialled."""

    def __init__(
        self,
        reach: Reach,
        floor: Callable[[], Floor | None],
        *,
        own_host: str = "",
        cluster_domain: str = "",
        threads: int = THREADS,
    ) -> None:
        """`floor`: where names may not lead, None while it is not known; `own_host`: the gateway's name; `cluster_domain`: what names of
        Services end in; `threads`: for lookups."""
        self._reach = reach
        self._floor = floor
        self._own_host = own_host
        self._cluster_domain = cluster_domain
        self._lookups = Lookups(threads)

    async def resolve(self, host: str, port: int, owner: str) -> list[tuple[str, int]]:
        """Address and port pairs to try in turn. `owner`: whose lookup it is (lookups.py). Raises AddressRefused, or OSError where DNS
        has no answer."""
        if is_address(host):
            return [(address, port) for address in permitted(host, [host], self._reach, self._known_floor())]
        return await self._resolve(host, absolute(host, self._cluster_domain), port, self._reach, owner)

    async def target(self, target: Target, way_out: WayOut, owner: str) -> list[tuple[str, int]]:
        """The same for a CONNECT. A name is asked for as it is, with nothing of the cluster's behind it."""
        if target.address is not None:
            floor = self._known_floor()
            return [(address, target.port) for address in permitted(target.host, [target.host], way_out, floor)]
        return await self._resolve(target.host, absolute(target.host), target.port, way_out, owner)

    def permits(self, target: Target, address: str, way_out: WayOut) -> bool:
        """An address that was dialled for a CONNECT may still be."""
        return self._leads(target.host, address, way_out)

    def reaches(self, host: str, address: str) -> bool:
        """The same of one that was dialled for an API."""
        return self._leads(host, address, self._reach)

    def _leads(self, host: str, address: str, reach: Reach) -> bool:
        try:
            floor = self._known_floor()
            if reach.override(host) is not None:
                return _below_floor(ip_address(address), floor) is None
            permitted(host, [address], reach, floor)
        except AddressRefused:
            return False
        return True

    async def _resolve(self, host: str, asked: str, port: int, reach: Reach, owner: str) -> list[tuple[str, int]]:
        floor = self._known_floor()
        if host.rstrip(".") == self._own_host:
            raise AddressRefused(f"{host} is the gateway itself", "is the gateway itself")
        if host.rstrip(".").rpartition(".")[2] == "localhost":
            raise AddressRefused(f"{host} is loopback", NEVER)
        override = reach.override(host)
        if override is not None:
            # The administrator named this very address; only the floor stands above that.
            address, other_port = override
            if why := _below_floor(ip_address(address), floor):
                raise AddressRefused(f"the address override of {host}, {address}: {why}", NEVER)
            return [(address, other_port or port)]
        addresses = await self._lookups.addresses(asked, owner)
        return [(address, port) for address in permitted(host, addresses, reach, floor)]

    def _known_floor(self) -> Floor:
        floor = self._floor()
        if floor is None:
            raise Unready("the operator has not written the floor document yet")
        return floor

    def close(self) -> None:
        """Look up no more."""
        self._lookups.close()
