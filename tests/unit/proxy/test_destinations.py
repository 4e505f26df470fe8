"""No endpoint gives its author the gateway's place in the network."""

from dataclasses import replace
from ipaddress import ip_network

import pytest

from devbox_api import route
from devbox_api.judge.policies import compile_egress, networks
from devbox_api.judge.targets import parse
from devbox_api.route import EgressDocument
from devbox_common.addresses import nat64_prefix
from devbox_proxy.known.floor import Floor, Own, compile_floor
from devbox_proxy.run import own_addresses
from devbox_proxy.settings import EgressSettings, UpstreamSettings
from devbox_proxy.upstreams.dial_check import AddressRefused, Resolver, UpstreamReach, WayOut, cluster_domain, permitted

FLOOR = Floor(frozenset({"10.99.0.1", "203.0.113.9"}))
OWN = compile_floor(
    route.FloorDocument(addresses=("34.118.224.1",), ranges=("34.118.224.0/20", "2600:1f14:1::/56", "172.20.0.0/16"))
)
"""Of a cluster whose pods and Services have public addresses."""
OPEN = UpstreamReach(networks(("0.0.0.0/0", "::/0")), allowed_hosts=("*.example",))


@pytest.mark.parametrize("address", ["93.184.216.34", "2606:4700::1111"])
def test_public_addresses_may_be_dialled(address: str) -> None:
    assert permitted("api.example.com", [address], UpstreamReach(), FLOOR) == [address]


@pytest.mark.parametrize(
    "address",
    [
        *(
            "10.0.0.1",
            "172.16.0.1",
            "192.168.1.1",
            "100.64.0.1",
            "198.18.0.1",
            "192.0.2.1",
            "240.0.0.1",
            "fd00::1",
            "2001:db8::1",
        ),
        *("::ffff:10.0.0.1", "64:ff9b::a00:1", "2002:a00:1::", "fec0::1", "2606:4700::5efe:a00:1", "5f00::1"),
        *("2002:2276:f000::", "3fff::1"),  # (public to some Pythons)
    ],
)
def test_private_addresses_need_a_name_in_the_settings(address: str) -> None:
    with pytest.raises(AddressRefused, match=r"upstreams\.allowedHosts or allowedCIDRs"):
        permitted("models.example", [address], UpstreamReach(), FLOOR)
    assert permitted("models.example", [address], UpstreamReach(allowed_hosts=("models.example",)), FLOOR)
    assert permitted("models.example", [address], UpstreamReach(networks((address,))), FLOOR)


@pytest.mark.parametrize(
    "address",
    [
        *(
            "127.0.0.1",
            "127.8.8.8",
            "0.0.0.0",  # noqa: S104 (never bound)
            "::1",
            "::",
            "169.254.169.254",
            "169.254.1.1",
            "fe80::1",
            "224.0.0.1",
            "ff02::1",
        ),
        *("fd00:ec2::254", "100.100.100.200", "10.99.0.1", "203.0.113.9"),
        *("168.63.129.16", "::ffff:168.63.129.16", "192.0.0.192", "fd20:ce::254", "fd00:ec2::23"),
        *("::ffff:127.0.0.1", "::ffff:169.254.169.254", "64:ff9b::7f00:1", "2002:7f00:1::", "::ffff:10.99.0.1"),
        *("fd00:42::42", "fd00:a9fe:a9fe::1", "fd00:c1::a9fe:a9fe", "fd00:ec2::253"),
        *("64:ff9b:1::1", "64:ff9b:1:a9fe:a9:fe00::", "64:ff9b:1::a9:fea9:fe00:0", "64:ff9b:1::5db8:d822"),
        *("64:ff9b:1::a9fe:a9fe", "::127.0.0.1", "::ffff:0:127.0.0.1", "2001:db8::5efe:7f00:1", "2001:db8::200:5efe:a9fe:a9fe"),
    ],
)
def test_nothing_lifts_the_floor(address: str) -> None:
    with pytest.raises(AddressRefused):
        permitted("a.example", [address], OPEN, FLOOR)


CLOSED = compile_floor(
    route.FloorDocument(
        addresses=("203.0.113.9",),
        ranges=("34.118.224.0/20",),
        bridges=("10.244.1.0/31", "fd00:244:1::/127", "34.118.225.0/31"),
    ),
    Own(
        closed=(ip_network("198.51.100.0/24"), ip_network("2600:1f14:9::/48")),
        nat64=tuple(map(nat64_prefix, ("64:ff9b:1::/96", "2600:1f14:8::/64"))),
    ),
)
"""With ranges and NAT64 prefixes of the settings."""


@pytest.mark.parametrize(
    "address",
    ["198.51.100.7", "::ffff:198.51.100.7", "64:ff9b::c633:6407", "64:ff9b:1::c633:6407", "2002:c633:6407::", "2600:1f14:9::1"],
)
def test_nothing_lifts_what_the_settings_close(address: str) -> None:
    with pytest.raises(AddressRefused, match=r"floor\.extraCIDRs"):
        permitted("a.example", [address], OPEN, CLOSED)


@pytest.mark.parametrize(
    "address",
    ["10.244.1.0", "10.244.1.1", "::ffff:10.244.1.1", "64:ff9b::af4:101", "fd00:244:1::", "fd00:244:1::1", "34.118.225.1"],
)
def test_nothing_lifts_where_a_node_is_in_the_range_of_its_pods(address: str) -> None:
    with pytest.raises(AddressRefused, match="a node"):
        permitted("a.example", [address], OPEN, CLOSED)
    assert permitted("a.example", ["10.244.1.2", "fd00:244:1::2", "34.118.225.2"], OPEN, CLOSED)


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("64:ff9b:1::a9fe:a9fe", "metadata"),
        ("2600:1f14:8:0:a9:fea9:fe00::", "metadata"),
        ("64:ff9b:1::cb00:7109", "a node"),
        ("64:ff9b:1::7f00:1", "loopback"),
        ("64:ff9b:1:1::5db8:d822", "nat64Prefixes"),
    ],
)
def test_nothing_lifts_the_floor_behind_a_nat64_of_the_clusters_own(address: str, words: str) -> None:
    with pytest.raises(AddressRefused, match=words):
        permitted("a.example", [address], OPEN, CLOSED)


@pytest.mark.parametrize("address", ["64:ff9b:1::5db8:d822", "2600:1f14:8:0:5d:b8d8:2200::", "64:ff9b::5db8:d822"])
def test_a_public_address_behind_a_nat64_is_a_public_address(address: str) -> None:
    assert permitted("api.example", [address], UpstreamReach(), CLOSED) == [address]


@pytest.mark.parametrize("address", ["64:ff9b:1::a01:1", "2600:1f14:8:0:a:100:100::", "64:ff9b::a01:1"])
def test_a_private_address_behind_a_nat64_is_lifted_by_its_own_range(address: str) -> None:
    for closed, lifting in ((UpstreamReach(), UpstreamReach(networks(("10.1.0.0/16",)))), (way_out(cidrs=()), way_out())):
        with pytest.raises(AddressRefused, match="has the private address"):
            permitted("db.example", [address], closed, CLOSED)
        assert permitted("db.example", [address], lifting, CLOSED) == [address]
    with pytest.raises(AddressRefused, match="the cluster's own"):
        permitted("pod.example", ["64:ff9b:1::2276:e002"], UpstreamReach(), CLOSED)


def test_one_bad_address_among_good_ones_refuses_the_host() -> None:
    with pytest.raises(AddressRefused):
        permitted("a.example", ["93.184.216.34", "127.0.0.1"], OPEN, FLOOR)
    with pytest.raises(AddressRefused):
        permitted("a.example", [], OPEN, FLOOR)


async def test_an_override_is_dialled_but_not_below_the_floor() -> None:
    policy = UpstreamReach.of(
        UpstreamSettings(address_overrides={"api.anthropic.com": "10.96.1.2:8443", "a.example": "10.99.0.1"})
    )
    resolver = Resolver(policy, lambda: FLOOR)
    assert await resolver.resolve("api.anthropic.com", 443, "n") == [("10.96.1.2", 8443)]
    with pytest.raises(AddressRefused):
        await resolver.resolve("a.example", 443, "n")


@pytest.mark.parametrize("text", ["10.0.0.1:x", "example.com", "10.0.0.300", ""])
def test_an_override_that_is_no_address_is_refused_at_start(text: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        UpstreamReach.of(UpstreamSettings(address_overrides={"a.example": text}))


KUBELET = "search gw.svc.cluster.local svc.cluster.local cluster.local corp.example\nnameserver 10.96.0.10\noptions ndots:5\n"


@pytest.mark.parametrize(
    ("resolv_conf", "domain"),
    [
        (KUBELET, "cluster.local"),
        ("# search svc.wrong\nsearch gw.svc.k8s.corp.example. svc.K8s.corp.example. k8s.corp.example.\n", "k8s.corp.example"),
        ("search corp.example\nnameserver 192.0.2.1\n", ""),
        ("", ""),
    ],
)
def test_the_clusters_domain_is_what_the_kubelet_writes(resolv_conf: str, domain: str) -> None:
    assert cluster_domain(resolv_conf) == domain


@pytest.mark.parametrize(
    ("host", "asked"),
    [
        ("api.anthropic.com", "api.anthropic.com."),
        ("API.example.com.", "api.example.com."),
        ("models.team-a.svc", "models.team-a.svc.cluster.local."),
        ("models.team-a.svc.cluster.local", "models.team-a.svc.cluster.local."),
        ("models.team-a", "models.team-a."),
        ("team-a.svc", "team-a.svc."),
        ("intranet", "intranet."),
    ],
)
async def test_no_search_list_stands_behind_a_name(host: str, asked: str, monkeypatch: pytest.MonkeyPatch) -> None:
    resolver = Resolver(UpstreamReach(), lambda: FLOOR, cluster_domain="cluster.local")
    names: list[str] = []

    async def addresses(name: str, owner: str) -> list[str]:
        names.append(name)
        return ["93.184.216.34"]

    monkeypatch.setattr(resolver._lookups, "addresses", addresses)
    assert await resolver.resolve(host, 443, "n") == [("93.184.216.34", 443)]
    assert names == [asked]
    resolver.close()


@pytest.mark.parametrize("host", ["localhost", "x.localhost.", "127.1", "0x7f000001", "1.2.3.4.5", "2130706433"])
async def test_what_the_c_library_would_take_for_an_address_is_never_looked_up(
    host: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    resolver = Resolver(OPEN, lambda: FLOOR)
    monkeypatch.setattr(resolver._lookups, "addresses", None)
    with pytest.raises(AddressRefused):
        await resolver.resolve(host, 443, "n")
    resolver.close()


async def test_an_endpoint_that_is_an_address_is_looked_up_nowhere(monkeypatch: pytest.MonkeyPatch) -> None:
    resolver = Resolver(UpstreamReach(), lambda: FLOOR)
    monkeypatch.setattr(resolver._lookups, "addresses", None)
    assert await resolver.resolve("2606:4700::1111", 443, "n") == [("2606:4700::1111", 443)]
    with pytest.raises(AddressRefused):
        await resolver.resolve("10.0.0.1", 443, "n")
    resolver.close()


def way_out(permitted_cidrs: tuple[str, ...] = ("10.0.0.0/8",), cidrs: tuple[str, ...] = ("10.1.0.0/16",)) -> WayOut:
    policy = compile_egress(EgressDocument(name="p", namespace="n", uid="p", cidrs=cidrs))
    return replace(WayOut.of(EgressSettings(permitted_cidrs=permitted_cidrs)), policy=policy)


def test_a_private_address_takes_the_policy_and_the_settings() -> None:
    assert permitted("db.example", ["10.1.0.1", "93.184.216.34"], way_out(), FLOOR)
    for other in (way_out(permitted_cidrs=()), way_out(cidrs=()), way_out(cidrs=("10.2.0.0/16",)), way_out(("10.2.0.0/16",))):
        with pytest.raises(AddressRefused, match=r"egress\.permittedCIDRs"):
            permitted("db.example", ["93.184.216.34", "10.1.0.1"], other, FLOOR)
    everything = way_out(("0.0.0.0/0", "::/0"), ("0.0.0.0/0", "::/0"))
    for address in (
        "127.0.0.1",
        "169.254.169.254",
        "10.99.0.1",
        "::1",
        "::ffff:169.254.169.254",
        "64:ff9b::a9fe:a9fe",
        "224.0.0.1",
    ):
        with pytest.raises(AddressRefused):
            permitted("db.example", [address], everything, FLOOR)


async def test_the_forward_proxy_looks_up_the_very_name_and_an_address_not_at_all(monkeypatch: pytest.MonkeyPatch) -> None:
    resolver = Resolver(UpstreamReach(), lambda: FLOOR, own_host="gateway.system.svc")
    asked: list[str] = []

    async def addresses(host: str, owner: str) -> list[str]:
        asked.append(host)
        return ["93.184.216.34", "10.1.0.1"]

    monkeypatch.setattr(resolver._lookups, "addresses", addresses)
    name, literal, own = (parse(text) for text in (b"db.example:443", b"10.1.0.1:443", b"gateway.system.svc:443"))
    assert name and literal and own  # noqa: PT018
    assert await resolver.target(name, way_out(), "pod") == [("93.184.216.34", 443), ("10.1.0.1", 443)]
    assert await resolver.target(literal, way_out(), "pod") == [("10.1.0.1", 443)]
    with pytest.raises(AddressRefused):
        await resolver.target(own, way_out(("0.0.0.0/0",), ("0.0.0.0/0",)), "pod")
    assert asked == ["db.example."]
    assert resolver.permits(name, "10.1.0.1", way_out())
    assert not resolver.permits(name, "10.1.0.1", way_out(cidrs=()))
    resolver.close()


OWN_ADDRESSES = [
    *("34.118.224.2", "34.118.239.255", "2600:1f14:1::", "2600:1f14:1:ff:ffff::1", "172.20.0.7"),
    # Within IPv6: mapped, NAT64, 6to4, ISATAP.
    *("::ffff:34.118.224.2", "64:ff9b::2276:e002", "2002:2276:e002::", "2606:4700::5efe:2276:e002"),
]


@pytest.mark.parametrize("address", OWN_ADDRESSES)
def test_a_public_address_of_a_pod_or_service_counts_as_private(address: str) -> None:
    lifted = networks((address,))
    for closed, lifting in (
        (UpstreamReach(), UpstreamReach(allowed_hosts=("pod.example",))),
        (UpstreamReach(networks(("34.0.0.0/20", "2600:1f14:2::/48"))), UpstreamReach(lifted)),
        (way_out(), way_out(*(tuple(map(str, lifted)),) * 2)),
        (way_out(permitted_cidrs=(address,)), way_out((address,), (address,))),
        (way_out(cidrs=(address,)), way_out((address,), (address,))),
    ):
        with pytest.raises(AddressRefused, match=f"has the cluster's own address .*; name it in {closed.advice}"):
            permitted("pod.example", ["93.184.216.34", address], closed, OWN)
        assert permitted("pod.example", [address], lifting, OWN) == [address]


@pytest.mark.parametrize("address", ["34.118.223.255", "34.118.240.0", "2600:1f14:0:ffff::1", "2600:1f14:1:100::"])
def test_what_lies_beside_the_clusters_ranges_is_as_public_as_before(address: str) -> None:
    assert permitted("api.example", [address], UpstreamReach(), OWN) == [address]
    assert permitted("api.example", [address], way_out(), OWN) == [address]


def test_whoever_lifts_the_clusters_ranges_lifts_no_floor() -> None:
    with pytest.raises(AddressRefused, match="a node, the API server or the gateway itself"):
        permitted("a.example", ["34.118.224.1"], OPEN, OWN)


async def test_no_name_leads_to_the_clusters_own_and_what_is_open_ends_when_a_range_becomes_its_own(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    floor = Floor()
    resolver = Resolver(UpstreamReach(), lambda: floor)

    async def addresses(host: str, owner: str) -> list[str]:
        return ["34.118.224.2"]

    monkeypatch.setattr(resolver._lookups, "addresses", addresses)
    name, literal = (parse(text) for text in (b"pod.example:443", b"34.118.224.2:443"))
    assert name and literal  # noqa: PT018
    everything = way_out(permitted_cidrs=(), cidrs=("0.0.0.0/0",))
    for target in (name, literal):
        assert await resolver.target(target, everything, "pod") == [("34.118.224.2", 443)]
        assert resolver.permits(target, "34.118.224.2", everything)
    assert await resolver.resolve("pod.example", 443, "n") == [("34.118.224.2", 443)]
    floor = OWN
    for target in (name, literal):
        with pytest.raises(AddressRefused):
            await resolver.target(target, everything, "pod")
        assert not resolver.permits(target, "34.118.224.2", everything)
        assert resolver.permits(target, "34.118.224.2", way_out(("34.118.224.0/20",), ("34.118.224.0/20",)))
    with pytest.raises(AddressRefused):
        await resolver.resolve("pod.example", 443, "n")
    resolver.close()


async def test_an_override_may_lead_to_the_clusters_own() -> None:
    overrides = {"api.example": "34.118.224.2:8443", "node.example": "34.118.224.1"}
    resolver = Resolver(UpstreamReach.of(UpstreamSettings(address_overrides=overrides)), lambda: OWN)
    assert await resolver.resolve("api.example", 443, "n") == [("34.118.224.2", 8443)]
    with pytest.raises(AddressRefused):
        await resolver.resolve("node.example", 443, "n")
    resolver.close()


def test_the_gateway_knows_where_it_is() -> None:
    assert own_addresses({"POD_IPS": "10.0.0.1, fd00:0::1"}) == {"10.0.0.1", "fd00::1"}
    assert own_addresses({}) == frozenset()
