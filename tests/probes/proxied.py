"""The probes through the forward proxy: targets that look like an allowed one and are not, and names that lead where nobody may go.

Goes in: a `World`. Comes out: `Verdict`s. The policy allows `ALLOWED`, the names of `LEADS_TO`, and nothing else, so that a refusal of
those names is about the address alone. What counts: the answer, and that no packet of the gateway's pods went to a forbidden address. Needs
a release with the forward proxy.
"""

import time
from typing import Any, Final, NamedTuple

from devbox_api import names as api
from devbox_cluster import config
from devbox_stage.stage import RELEASE_NAMESPACE

from .counters import listed
from .matrix import nothing_escaped
from .names import ALLOWED, ALLOWED6, ANSWERS, LEADS_TO, MIXED, OTHER_PUBLIC, PUBLIC, PUBLIC6, REBINDS, ZONE
from .pods import Pod, running
from .report import Verdict
from .shell import ProbeError
from .world import World

POLICY: Final = "probes"
OPEN: Final = "200 open"
CUT: Final = "200 cut"
"""A tunnel that ended at its ClientHello, without a word of the host's."""
BAD_TARGET: Final = "400 connect_target_invalid"
BAD_BYTES: Final = "400 malformed_request"
NOT_THIS_HOST: Final = "403 host_not_allowed"
NOT_THIS_PORT: Final = "403 port_not_allowed"
NOT_THIS_ADDRESS: Final = "403 address_not_allowed"
UNREACHABLE: Final = "502 upstream_unreachable"
LOOK_UPS: Final = 3
CACHED_SECONDS: Final = 6.0
"""CoreDNS keeps an answer for 5 s (cluster/manifests/coredns.yaml)."""


class Tunnel(NamedTuple):
    """One CONNECT."""

    name: str
    target: str
    expected: str
    """OPEN, CUT or a refusal's status and code: another refusal would be one for a reason that this probe is not about."""
    sni: str | None = None
    """None: the target's host."""
    host: str | None = None
    """The Host header; None: the target."""

    @property
    def probe(self) -> dict[str, Any]:
        """For inside.py."""
        more = {"sni": self.sni, "host": self.host}
        return {"name": self.name, "kind": "connect", "target": self.target} | {k: v for k, v in more.items() if v is not None}


def tunnels(world: World) -> list[Tunnel]:
    """All of them but the one that rebinds, which takes several."""
    gateway = world.cluster_ip("gateway", RELEASE_NAMESPACE)
    (pod, *_) = world.gateway_pods(4)
    service = api.gateway_host(RELEASE_NAMESPACE)
    upper = ALLOWED.upper()
    return [
        Tunnel("an allowed host", f"{ALLOWED}:443", OPEN),
        Tunnel("… in other case: the same name (RFC 4343)", f"{upper}:443", OPEN, sni=ALLOWED),
        Tunnel("… with Host of another", f"{ALLOWED}:443", OPEN, host="evil.example:443"),
        Tunnel("… with SNI of another", f"{ALLOWED}:443", CUT, sni=f"forbidden.{ZONE}"),
        Tunnel("… with no SNI", f"{ALLOWED}:443", CUT, sni=""),
        Tunnel("… with a dot at the end: the same name (RFC 1034 3.1)", f"{ALLOWED}.:443", OPEN, sni=ALLOWED),
        Tunnel("… on another port", f"{ALLOWED}:8443", NOT_THIS_PORT),
        Tunnel("… on port 0443", f"{ALLOWED}:0443", BAD_TARGET),
        Tunnel("… without a port", ALLOWED, BAD_TARGET, sni=ALLOWED),
        Tunnel("… with userinfo", f"user@{ALLOWED}:443", BAD_TARGET),
        Tunnel("… as userinfo of another", f"{ALLOWED}@forbidden.{ZONE}:443", BAD_TARGET),
        Tunnel("… behind '#' of another", f"forbidden.{ZONE}#.{ALLOWED}:443", BAD_TARGET),
        Tunnel("… behind '/' of another", f"forbidden.{ZONE}/.{ALLOWED}:443", BAD_TARGET),
        Tunnel("… behind a NUL of another", f"forbidden.{ZONE}\0.{ALLOWED}:443", BAD_BYTES),
        Tunnel("… as a URL", f"https://{ALLOWED}:443", BAD_TARGET, sni=ALLOWED),
        Tunnel("a host that is not allowed", f"forbidden.{ZONE}:443", NOT_THIS_HOST),
        Tunnel("… with Host of an allowed one", f"forbidden.{ZONE}:443", NOT_THIS_HOST, host=f"{ALLOWED}:443"),
        Tunnel("… with SNI of an allowed one", f"forbidden.{ZONE}:443", NOT_THIS_HOST, sni=ALLOWED),
        Tunnel("a name below an allowed one", f"sub.{ALLOWED}:443", NOT_THIS_HOST),
        Tunnel("a look-alike in punycode", f"xn--llowed-ok-6cg.{ZONE}:443", NOT_THIS_HOST),
        Tunnel("a look-alike in UTF-8 (Cyrillic a)", f"\u0430llowed-ok.{ZONE}:443", BAD_BYTES, sni=ALLOWED),
        Tunnel("an address: a public one", f"{OTHER_PUBLIC}:443", NOT_THIS_ADDRESS, sni=""),
        Tunnel("an address: the allowed host's own", f"{PUBLIC}:443", NOT_THIS_ADDRESS, sni=ALLOWED),
        Tunnel("an address: decimal", "2130706433:443", NOT_THIS_ADDRESS, sni=""),
        Tunnel("an address: octal", "0177.0.0.1:443", NOT_THIS_ADDRESS, sni=""),
        Tunnel("an address: hex", "0x7f000001:443", NOT_THIS_ADDRESS, sni=""),
        Tunnel("an address: short", "127.1:443", NOT_THIS_ADDRESS, sni=""),
        Tunnel("an address: metadata", "169.254.169.254:443", NOT_THIS_ADDRESS, sni=""),
        Tunnel("an address: [::1]", "[::1]:443", NOT_THIS_ADDRESS, sni=""),
        Tunnel("an address: mapped", "[::ffff:169.254.169.254]:443", NOT_THIS_ADDRESS, sni=""),
        Tunnel("an address with a zone", "[fe80::1%25eth0]:443", BAD_TARGET, sni=""),
        Tunnel("localhost", "localhost:443", NOT_THIS_HOST),
        Tunnel("the gateway, by name", f"{service}:443", NOT_THIS_HOST),
        Tunnel("the gateway, by the Service's address", f"{gateway}:443", NOT_THIS_ADDRESS, sni=service),
        Tunnel("the gateway's own forward proxy", f"{service}:3128", NOT_THIS_HOST),
        Tunnel("the gateway's admin port, by its pod", f"{pod}:8080", NOT_THIS_ADDRESS, sni=""),
        Tunnel("the API server", f"{config.NODE_ADDRESS}:6443", NOT_THIS_ADDRESS, sni="kubernetes"),
        Tunnel("the API server, by name", "kubernetes.default.svc.cluster.local:443", NOT_THIS_HOST),
        # Without IPv6, the name has no address that can be reached.
        Tunnel("an allowed host that has an IPv6 address alone", f"{ALLOWED6}:443", OPEN if world.ipv6 else UNREACHABLE),
        *(
            Tunnel(f"the gateway's pod, by its address {one}", f"[{one}]:8443", NOT_THIS_ADDRESS, sni="")
            for one in world.gateway_pods(6)
        ),
        *(
            Tunnel(f"an allowed name that leads to {to}", f"{name}.{ZONE}:443", NOT_THIS_ADDRESS)
            for name, to in LEADS_TO.items()
        ),
    ]


def proxied(world: World) -> list[Verdict]:
    """Every probe through the forward proxy."""
    need_proxy(world)
    devbox = _devbox(world)
    leads_to = [address for answers in ANSWERS.values() for addresses in answers for address in addresses]
    world.prove(leads_to, [*devbox.addresses, *world.gateway_pods()])
    world.sinkhole.counters.reset()
    chosen = tunnels(world)
    seen = devbox.run([one.probe for one in chosen])
    verdicts = [_judge(one, seen[one.name]) for one in chosen]
    verdicts += [_mixed(devbox), _rebinding(devbox)]
    return [*verdicts, _dialled(world), _direct(world, devbox), nothing_escaped(world)]


def need_proxy(world: World) -> None:
    """Raises ProbeError where the release has no forward proxy."""
    if api.EGRESS_PORT not in world.gateway_service_ports():
        raise ProbeError(f"this release has no forward proxy (port {api.EGRESS_PORT} of Service {api.SERVICE})")


def _judge(tunnel: Tunnel, seen: str) -> Verdict:
    return Verdict(tunnel.name, tunnel.expected, seen, "", seen == tunnel.expected)


def _mixed(devbox: Pod) -> Verdict:
    """One good address and one bad: a single bad one is enough."""
    tunnel = Tunnel("a name with a good and a bad address", f"{MIXED}:443", NOT_THIS_ADDRESS)
    return _judge(tunnel, devbox.run([tunnel.probe])[tunnel.name])


def _rebinding(devbox: Pod) -> Verdict:
    """The name leads to a public address and to a bad one in turn: what was checked has to be what is dialled."""
    words = []
    for number in range(LOOK_UPS):
        if number:
            time.sleep(CACHED_SECONDS)  # until CoreDNS asks again
        tunnel = Tunnel("rebinds", f"{REBINDS}:443", OPEN)
        words.append(devbox.run([tunnel.probe])["rebinds"])
    good = set(words) == {OPEN, NOT_THIS_ADDRESS}
    return Verdict("a name that rebinds between look-ups", f"{OPEN} and {NOT_THIS_ADDRESS}", ", ".join(words), "", good)


def _dialled(world: World) -> Verdict:
    """What the gateway's pods dialled in all of this: the allowed hosts' addresses, and nothing that a policy can't open."""
    gateways = set(world.gateway_pods())
    packets = [one for one in world.sinkhole.counters.sinkhole() if one.source in gateways and one.port != 53]
    wanted = [PUBLIC, *([PUBLIC6] if world.ipv6 else [])]
    bad = [one for one in packets if one.destination not in wanted]
    good = {address: sum(one.number for one in packets if one.destination == address) for address in wanted}
    return Verdict(
        "what the gateway dialled",
        f"{' and '.join(wanted)} alone",
        f"{listed(bad)} elsewhere",
        "; ".join(f"{number} packets to {address}" for address, number in good.items()),
        all(good.values()) and not bad,
    )


def _direct(world: World, devbox: Pod) -> Verdict:
    leaks = world.leaks(devbox.addresses)
    return Verdict("what the devbox sent past the gateway", "0 packets", listed(leaks), "", not leaks)


def _devbox(world: World) -> Pod:
    """A devbox with the policy of these probes."""
    allowed = [ALLOWED, ALLOWED6, REBINDS, MIXED, *(f"{name}.{ZONE}" for name in LEADS_TO)]
    policy(world, POLICY, allowedHostnames=allowed)
    world.home.devbox("proxied", egressPolicyRef={"name": POLICY})
    return running(world.kubectl, world.home.name, world.home.ready("proxied"))


def policy(world: World, name: str, **spec: Any) -> None:
    """Apply an EgressPolicy."""
    metadata = {"name": name}
    world.home.apply({"apiVersion": api.API_VERSION, "kind": "EgressPolicy", "metadata": metadata, "spec": spec})
