"""Names that stop resolving, that move, and name servers that do not answer (C20).

Goes in: a gateway whose APIs have names without an override, and a DNS server. Comes out: rows.
"""

import asyncio
from time import monotonic as now
from typing import Final

from tests.support.dns_server import dns_server
from tests.support.gateway_process import server_tls
from tests.support.netns import SEARCH

from .api import Api, Ask, api
from .client import Answer, Client
from .report import Row, timed
from .world import World, eventually, world

NAME, SILENT, FINE = "moves.chaos.test", "silent.chaos.test", "fine.chaos.test"
PUBLIC: Final = "shadowed.chaos.test"
SERVICE: Final = "models.team-a.svc"
OLD, NEW = "10.203.1.3", "10.203.1.4"
PORT: Final = 8443
LATER: Final = 5
"""Devboxes that dial a name whose address has changed."""


async def names(long: bool) -> list[Row]:
    """C20."""
    now_at: dict[str, list[str]] = {NAME: [OLD], FINE: [NEW]}

    async with dns_server(now_at.get) as dns, world(upstreams={"allowedCIDRs": ["10.203.1.0/24"]}) as stage:
        tls = server_tls(stage.folder)
        async with api(OLD, tls, PORT) as old, api(NEW, tls, PORT) as new:
            return [
                *await _moves(stage, old, new, now_at),
                *await _silent(stage),
                *await _shadowed(stage, old, new, now_at, dns.asked),
            ]


def _client(stage: World, number: int, host: str) -> Client:
    devbox = stage.devbox(number)
    return stage.client(devbox, stage.gateway, stage.bind(devbox, "NAMED", f"https://{host}:{PORT}"))


async def _moves(stage: World, old: Api, new: Api, now_at: dict[str, list[str]]) -> list[Row]:
    pooled, fresh = _client(stage, 1, NAME), _client(stage, 2, NAME)
    await stage.known(2)
    first = await pooled.request()
    assert first.fine, first.kind
    connections = old.connections
    where = now_at.pop(NAME)  # DNS is down
    failed = asyncio.create_task(fresh.request())
    kept = []
    for _ in range(20):
        kept.append(await pooled.request())
        await asyncio.sleep(0.25)
    answer = await failed
    kinds = {each.kind for each in kept}
    same = kinds == {"200"} and old.connections == connections
    rows = [
        Row("C20 DNS down: pooled connections", "go on", f"{len(kept)} x {', '.join(kinds)}", same),
        timed(
            "C20 DNS down: new ones",
            "502 ≤5 s",
            f"{answer.kind} after {answer.seconds:.1f} s",
            answer.seconds <= 6,
            answer.kind == "502",
        ),
    ]
    now_at[NAME] = where
    returned = now()
    await eventually(lambda: _fine(fresh), 20, every=0.1)
    took = now() - returned
    rows.append(timed("C20 DNS is back", "recovered ≤ TTL + 5 s (TTL 0)", f"after {took:.1f} s", took <= 5))
    # The address changes, and what was there is gone.
    now_at[NAME] = [NEW]
    moved = now()
    old.drop()
    old.ways["/"] = _gone
    while not new.connections and now() - moved < 60:
        await fresh.request()
        await asyncio.sleep(0.1)
    took, stale = now() - moved, old.connections
    later = [_client(stage, 3 + number, NAME) for number in range(LATER)]
    await stage.known(2 + LATER)
    kinds = {(await client.request()).kind for client in later}  # each has a pool of its own, and dials
    measured = f"{', '.join(sorted(kinds))}; {old.connections - stale} connections to the old one"
    return [
        *rows,
        timed("C20 the address changed", "no stale answer after 60 s", f"the new one after {took:.1f} s", took <= 5, took < 60),
        Row(f"C20 {LATER} others after that", "200, none at the old one", measured, measured.startswith("200; 0 ")),
    ]


async def _fine(client: Client) -> bool:
    return (await client.request()).fine


async def _gone(ask: Ask) -> None:
    raise ConnectionResetError


async def _silent(stage: World) -> list[Row]:
    """One devbox asks for names whose server never answers; another's API is as it should be."""
    noisy = [_client(stage, 10 + number, SILENT) for number in range(8)]
    other = _client(stage, 30, FINE)
    await stage.known(11 + LATER)
    asking = [asyncio.create_task(client.request()) for client in noisy]
    await asyncio.sleep(0.2)
    answers: list[Answer] = []
    for _ in range(3):
        answer = await other.request(Connection="close")
        answers.append(answer)
        await asyncio.sleep(0.1)
    await asyncio.gather(*asking)
    slowest = max(answer.seconds for answer in answers)
    kinds = {answer.kind for answer in answers}
    measured = f"{', '.join(sorted(kinds))}, the slowest after {slowest:.1f} s"
    # With resolv.conf's usual 5 s x 2 it would be ten times as long as with the 1 s that the namespace has.
    return [
        timed(
            "C20 8 requests for a name whose server is silent: others",
            "200 at once",
            measured,
            slowest <= 0.9,
            kinds == {"200"},
        )
    ]


async def _shadowed(stage: World, shadow: Api, real: Api, now_at: dict[str, list[str]], asked: list[str]) -> list[Row]:
    """A namespace has the name of a top-level domain, and a Service in it that of an API: `shadowed.chaos.test.svc.cluster.local`. A
    search list leads there first."""
    now_at[PUBLIC] = [NEW]
    for place in SEARCH.split():
        now_at[f"{PUBLIC}.{place}"] = [OLD]
    now_at[f"{SERVICE}.cluster.local"] = [NEW]
    shadow.ways.pop("/", None)
    before, dialled = shadow.connections, real.connections
    asked.clear()
    public, service = _client(stage, 40, PUBLIC), _client(stage, 41, SERVICE)
    await stage.known(13 + LATER)
    answers = [await public.request(), await service.request()]
    strays = sorted({name for name in asked if name not in (PUBLIC, f"{SERVICE}.cluster.local")})
    return [
        Row("C20 a Service in a namespace called like a top-level domain has the API's name", "the API is dialled",
            f"{answers[0].kind}; {shadow.connections - before} connections to the Service, {real.connections - dialled} to the API",
            answers[0].fine and shadow.connections == before),
        Row("C20 names that DNS is asked for", "the endpoint's alone, and a Service's with the cluster's domain",
            f"{answers[1].kind}; others: {', '.join(strays) or 'none'}", answers[1].fine and not strays),
    ]  # fmt: skip
