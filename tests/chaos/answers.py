"""What name servers answer besides addresses at once: aliases, errors, what is late, lost, too long for a datagram, or never comes.

Goes in: a gateway whose APIs have names without an override, its settings those of the chart for looking up, and a DNS server. Comes out:
rows.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from tests.support.dns_server import AAAA, NXDOMAIN, REFUSED, SERVFAIL, A, Answer, DnsServer, dns_server
from tests.support.gateway_process import server_tls
from tests.support.netns import GATEWAY
from tests.support.raw_client import RawClient

from .api import api
from .client import Answer as Response
from .client import Client
from .report import Row, timed
from .world import World, eventually, world

ZONE: Final = "chaos.test"
HERE, HERE6 = "10.203.1.6", "fd00:203::6"
PERMITTED: Final = ["10.203.1.0/24", f"{HERE6}/128"]
NOBODY: Final = [f"10.203.1.{number}" for number in range(100, 200)]
"""In the range that is permitted; nothing listens there."""
FORBIDDEN: Final = "10.9.9.9"
"""Private, and not permitted."""
PORT: Final = 8443
ALIASES: Final = [f"edge{number}.provider.test" for number in range(8)]
WAITS: Final = 5.0
"""Seconds: for a name (lookups.py)."""
GIVEN_UP: Final = {"upstream_unreachable", "upstream_connect_timeout"}
"""Both times are over at 5 s."""
THREADS: Final = 15
"""Lookups of one devbox at a time (lookups.py)."""
STUCK_SECONDS: Final = 25.0
"""A lookup that waits by TCP is ended by then: 5 s, and two looks, which are 5 s apart; here each look at it takes 5 s, too."""


@dataclass(frozen=True)
class Case:
    """A name."""

    name: str
    what: str
    answer: Answer
    demand: str = "200"
    """A status, or a refusal's code."""
    waits: float = 0.0
    """Seconds: for the name server, and for a datagram's second try."""

    @property
    def seconds(self) -> float:
        """At most, on a machine that does something else meanwhile."""
        return self.waits + 2


REACHED: Final = (
    Case("plain", "one address", Answer([HERE])),
    Case("chain", "eight aliases", Answer([HERE], ALIASES)),
    Case("ttl-0", "time to live 0", Answer([HERE], ALIASES[:1])),
    Case("ttl-1", "time to live 1 s", Answer([HERE], ALIASES[:1], ttl=1)),
    Case("ttl-most", "time to live 68 years", Answer([HERE], ALIASES[:1], ttl=2**31 - 1)),
    Case("ttl-over", "time to live with its highest bit", Answer([HERE], ttl=2**32 - 1)),
    Case("v6", "IPv6 alone", Answer([HERE6])),
    Case("many", "101 addresses, a truncated datagram, whole by TCP", Answer([HERE, *NOBODY])),
    Case("tcp", "a truncated datagram with nothing in it, whole by TCP", Answer([HERE], tcp_only=True)),
    Case("late", "100 ms late", Answer([HERE], late=0.1)),
    # (Not a whole number: when it asks again, once a second, glibc takes one answer without the other for a server that can't do two.)
    Case("later", "2.5 s late", Answer([HERE], late=2.5), waits=3),
    Case("lost", "the first datagrams lost", Answer([HERE], lost=1), waits=1),
    Case("v6-lost", "the first datagram about IPv6 lost", Answer([HERE], lost=1), waits=1),
    Case("v6-silent", "never an answer about IPv6", Answer([HERE], only=(A,)), waits=3),
    Case("v6-servfail", "SERVFAIL for IPv6", Answer([HERE], error=SERVFAIL, failing=(AAAA,))),
    Case("v6-nxdomain", "NXDOMAIN for IPv6", Answer([HERE], error=NXDOMAIN, failing=(AAAA,))),
)
REFUSED_ONES: Final = (
    Case("private", "eight aliases, and a private address", Answer([FORBIDDEN], ALIASES), "endpoint_refused"),
    Case("metadata", "an alias, and a metadata service", Answer(["169.254.169.254"], ALIASES[:1]), "endpoint_refused"),
    Case("mixed", "an alias, a permitted address and a private one", Answer([HERE, FORBIDDEN], ALIASES[:1]), "endpoint_refused"),
    Case("mixed-late", "101 permitted addresses, and a private one that only TCP tells of",
         Answer([HERE, *NOBODY, FORBIDDEN]), "endpoint_refused"),
    Case("mixed-6", "a permitted address, and a private one of IPv6", Answer([HERE, "fd00:9::9"]), "endpoint_refused"),
    Case("nxdomain", "NXDOMAIN", Answer(error=NXDOMAIN), "upstream_name_unknown"),
    Case("servfail", "SERVFAIL", Answer(error=SERVFAIL), "upstream_unreachable"),
    Case("refused", "REFUSED", Answer(error=REFUSED), "upstream_unreachable"),
    Case("nothing", "aliases that lead to nothing", Answer(aliases=ALIASES), "upstream_name_unknown"),
    Case("loop", "aliases in a circle", Answer(aliases=["a.test", "b.test", "a.test"]), "upstream_name_unknown"),
    Case("silent", "never an answer", Answer(only=()), "upstream_unreachable", 4),
)  # fmt: skip
BY_TCP: Final = Answer([HERE], tcp_only=True, tcp=False)
"""A truncated datagram, and by TCP a connection and then nothing."""


async def answers(long: bool) -> list[Row]:
    """C20, and RFC 1035, 2181 and 7766 as a client sees them."""
    zone = {f"{case.name}.{ZONE}": case.answer for case in (*REACHED, *REFUSED_ONES)}
    async with _stage(zone) as (stage, dns):
        clients = [_client(stage, number, case.name) for number, case in enumerate((*REACHED, *REFUSED_ONES))]
        await stage.known(len(clients))
        await asyncio.gather(*(client.connect() for client in clients))  # the pace of handshakes is none of this
        got = await asyncio.gather(*(client.request() for client in clients))
        rows = [_row(case, answer) for case, answer in zip((*REACHED, *REFUSED_ONES), got, strict=True)]
        rows.append(_by_tcp(dns))
        return [*rows, *await _tunnels(stage, zone), *await _changing(stage, zone), *await _stuck(stage, zone)]


@contextlib.asynccontextmanager
async def _stage(zone: dict[str, Answer]) -> AsyncIterator[tuple[World, DnsServer]]:
    change: dict[str, Any] = {"upstreams": {"allowedCIDRs": PERMITTED}, "egress": {"permittedCIDRs": PERMITTED}}
    async with dns_server(lambda name: zone.get(name, ())) as dns, world(**change) as stage:
        tls = server_tls(stage.folder)
        async with api(HERE, tls, PORT), api(HERE6, tls, PORT):
            yield stage, dns


def _client(stage: World, number: int, name: str) -> Client:
    devbox = stage.devbox(number)
    return stage.client(devbox, stage.gateway, stage.bind(devbox, "NAMED", f"https://{name}.{ZONE}:{PORT}"))


def _row(case: Case, answer: Response) -> Row:
    said = answer.code or answer.kind
    # Where something is waited for, a machine that is slow comes too late for it.
    right = said == case.demand or (case.waits > 0 and said in GIVEN_UP)
    in_time = said == case.demand and answer.seconds <= case.seconds
    demand = f"{case.demand} ≤{case.seconds:g} s"
    return timed(f"C20 a name with {case.what}", demand, f"{said} after {answer.seconds:.1f} s", in_time, right)


def _by_tcp(dns: DnsServer) -> Row:
    asked = sorted({name.partition(".")[0] for name in dns.by_tcp})
    return Row(
        "C20 names that were asked by TCP",
        "those that fit no datagram",
        ", ".join(asked),
        asked == ["many", "mixed-late", "tcp"],
    )


async def _tunnels(stage: World, zone: dict[str, Answer]) -> list[Row]:
    """The same names by the forward proxy, where a policy allows them all and their own range."""
    devbox = stage.devbox(60)
    policy = stage.cluster.policy(hostnames=[f"*.{ZONE}"], ports=[PORT], cidrs=PERMITTED)
    token = devbox.bind_egress(policy)
    await eventually(lambda: _tunnel(stage, devbox.address, token, f"plain.{ZONE}", "200"), 10)
    rows = []
    for case in (*REACHED, *REFUSED_ONES):
        if not case.waits:  # the others wait where these do
            wanted = "address_not_allowed" if case.demand == "endpoint_refused" else case.demand
            said = await _connect(stage, devbox.address, token, f"{case.name}.{ZONE}")
            if wanted not in said:
                rows.append(f"{case.name}: {said}")
    return [Row("C20 the same by tunnels", "as requests", "; ".join(rows) or "the same", not rows)]


async def _tunnel(stage: World, source: str, token: str, host: str, wanted: str) -> bool:
    return wanted in await _connect(stage, source, token, host)


async def _connect(stage: World, source: str, token: str, host: str) -> str:
    """Status and reason, or code, of a CONNECT."""
    async with await RawClient.connect((GATEWAY, stage.gateway.process.egress), source=source) as client:
        lines = [f"CONNECT {host}:{PORT} HTTP/1.1", f"Host: {host}:{PORT}", f"Proxy-Authorization: Bearer {token}", "", ""]
        await client.send("\r\n".join(lines).encode())
        await client.until(lambda client: b"\r\n\r\n" in client.received or client.ended is not None, WAITS + 2)
        await client.until(lambda client: client.received.startswith(b"HTTP/1.1 200") or client.ended is not None, 2)
        return client.received.decode("latin-1")


async def _changing(stage: World, zone: dict[str, Answer]) -> list[Row]:
    """A name of the longest time to live leads elsewhere at the next lookup: nothing is kept, and each answer is checked."""
    name = f"ttl-most.{ZONE}"
    client = _client(stage, 70, "ttl-most")
    await eventually(lambda: _fine(client), 10)
    client.close()
    zone[name] = Answer([FORBIDDEN], ALIASES[:2], ttl=2**31 - 1)
    others = [_client(stage, 71 + number, "ttl-most") for number in range(3)]
    await stage.known(len(REACHED) + len(REFUSED_ONES) + 5)
    codes = {(await other.request()).code for other in others}
    return [
        Row(
            "C20 a name turns to a private address by an alias",
            "endpoint_refused",
            ", ".join(sorted(codes)),
            codes == {"endpoint_refused"},
        )
    ]


async def _fine(client: Client) -> bool:
    return (await client.request()).fine


async def _stuck(stage: World, zone: dict[str, Answer]) -> list[Row]:
    """A name server is lost in the midst of answers by TCP: all lookups that a devbox may have wait for it. Then it is back."""
    names = [f"stuck-{number}" for number in range(THREADS)]
    zone |= dict.fromkeys((f"{name}.{ZONE}" for name in names), BY_TCP)
    devbox = stage.devbox(80)
    tokens = [stage.bind(devbox, name.upper().replace("-", "_"), f"https://{name}.{ZONE}:{PORT}") for name in (*names, "plain")]
    clients = [stage.client(devbox, stage.gateway, token) for token in tokens]
    await stage.known(len(REACHED) + len(REFUSED_ONES) + 6)
    loop = asyncio.get_running_loop()
    began = loop.time()
    first = await asyncio.gather(*(client.request() for client in clients[:-1]))
    zone |= dict.fromkeys((f"{name}.{ZONE}" for name in names), Answer([HERE]))
    kinds = sorted({answer.code or answer.kind for answer in first})
    with contextlib.suppress(TimeoutError):
        await eventually(lambda: _all_fine(clients), 3 * STUCK_SECONDS, every=0.5)
    took = loop.time() - began
    fine = await _all_fine(clients)
    return [
        Row("C20 by TCP a connection and no answer", "an error in time", ", ".join(kinds), set(kinds) <= GIVEN_UP),
        timed("C20 those names, and others of that devbox, once it answers", f"200 ≤{STUCK_SECONDS:g} s after the first question",
              f"{'200' if fine else 'not 200'} after {took:.1f} s", took <= STUCK_SECONDS, fine),
    ]  # fmt: skip


async def _all_fine(clients: Sequence[Client]) -> bool:
    return all(answer.fine for answer in await asyncio.gather(*(client.request() for client in clients)))
