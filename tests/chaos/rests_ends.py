"""Connections that rest and are to rest no more: what they were dialled with counts no more, there are too many, or nobody has looked for a
while.

Goes in: a gateway, an API that leaves every connection open. Comes out: rows, judged by the sockets that the API has open.
"""

import asyncio
import base64
import contextlib
import signal
from collections.abc import Callable
from pathlib import Path
from time import monotonic as now
from typing import Final

import orjson
from tests.support.kube_api import Devbox

from devbox_api import names
from devbox_api.judge.refusals import Refusal

from .api import Api, Ask, api
from .client import Client, Tally
from .report import Row, timed
from .world import API_ADDRESS, API_HOST, World, eventually, world

PUBLIC: Final = "93.184.216.34"
"""As public as an address can be, and this namespace's own, as all are."""
BUSY: Final = "93.184.215.34"
OWN: Final = ("93.184.0.0/16",)
SOON_SECONDS: Final = 3.0
"""For what is to be closed: the gateway hears of a change within milliseconds, and looks twice a second."""
OF_A_NAMESPACE: Final = 16
"""Connections that rest on unused."""
FEW_FILES: Final = ("prlimit", "--nofile=1536:1536")
LONG_OF_FEW: Final = 16
"""Connections of a namespace that rest for long, where so few files may be open."""
FIRST_SECONDS: Final = 4.0
BUSY_SECONDS: Final = 10.0
STOPPED_SECONDS: Final = 2.5
"""Less than connections may rest, more than a gateway takes for nothing."""


async def _announcing(ask: Ask) -> None:
    """It would leave it open for minutes."""
    await ask.send(b"HTTP/1.1 200 OK\r\nKeep-Alive: timeout=120\r\nContent-Length: 0\r\n\r\n")


async def _slowly(ask: Ask) -> None:
    await asyncio.sleep(1)  # so that others need connections of their own
    await _announcing(ask)


async def revoked(long: bool) -> list[Row]:
    """A change of each kind, while two connections rest: the one that it is about goes, the other stays."""
    async with world() as stage, api(PUBLIC, None) as public, api(BUSY, None) as busy:
        for where in (stage.api, public, busy):
            where.ways |= dict.fromkeys(("/", "/warm"), _announcing)
        busy.ways["/slowly"] = _slowly
        boxes = [stage.devbox(number) for number in range(len(_CHANGES) + 1)]
        abroad = stage.devbox(len(boxes))
        stage.bind(abroad, "PUBLIC", f"http://{public.address[0]}:{public.address[1]}")
        never_rests = stage.devbox(len(boxes) + 1)
        stage.bind(never_rests, "BUSY", f"http://{busy.address[0]}:{busy.address[1]}")
        await stage.warm(*boxes, abroad, never_rests)
        control = stage.client(boxes[0], stage.gateway)
        rows = []
        for box, (name, change) in zip(boxes[1:], _CHANGES.items(), strict=True):
            rows.append(await _closes(stage.client(box, stage.gateway), name, stage.api, lambda: change(stage, box)))  # noqa: B023
        rows.append(await _served_no_more(stage.client(never_rests, stage.gateway), stage))
        client = stage.client(abroad, stage.gateway)
        rows.append(
            await _closes(client, "its address becomes the cluster's own", public, lambda: stage.cluster.floor(ranges=OWN))
        )
        before = stage.api.connections
        fine = (await control.request()).fine and stage.api.connections == before
        rows.append(Row("meanwhile, what rests on something else", "stays, and is used again", f"{fine}", fine))
        node = lambda: stage.cluster.floor((API_ADDRESS,))  # noqa: E731
        return [*rows, await _closes(control, "its address becomes a node's", stage.api, node)]


async def _closes(client: Client, name: str, where: Api, change: Callable[[], object]) -> Row:
    """From the change to the end of the one connection that rests on it."""
    assert (await client.request()).fine
    there = len(where.open)
    began = now()
    change()
    with contextlib.suppress(TimeoutError):
        await eventually(lambda: len(where.open) < there, 15, every=0.01)
    took, stay = now() - began, len(where.open)
    measured = f"{there} open, {stay} after {took:.1f} s"
    demand = f"closed ≤{SOON_SECONDS:g} s, no other"
    return timed(f"a connection rests: {name}", demand, measured, took <= SOON_SECONDS, stay == there - 1)


async def _served_no_more(client: Client, stage: World) -> Row:
    """One request after the other, so that the connection hardly ever rests; then its address becomes the cluster's own."""
    assert (await client.request(path="/slowly")).fine
    stage.cluster.floor(ranges=(f"{BUSY}/32",))
    began = now()
    while (answer := await client.request(path="/slowly")).fine and now() - began < BUSY_SECONDS:
        pass
    took, refused = now() - began, answer.code == Refusal.ENDPOINT_REFUSED.code
    measured = f"{answer.code or answer.kind} after {took:.1f} s"
    return timed(
        "a connection that never rests: its address becomes the cluster's own",
        f"not used after {SOON_SECONDS:g} s",
        measured,
        took <= SOON_SECONDS,
        refused,
    )


def _other_credential(stage: World, box: Devbox) -> None:
    stored = stage.cluster.objects["secrets"][f"credential-{box.name}-API"]
    metadata = {"annotations": stored["metadata"]["annotations"]}
    stage.cluster.put("secrets", stored["metadata"]["name"], type=stored["type"], data=stored["data"], metadata=metadata)


def _no_grant(stage: World, box: Devbox) -> None:
    stored = stage.cluster.objects["secrets"][f"credential-{box.name}-API"]
    stage.cluster.put("secrets", stored["metadata"]["name"], type=stored["type"], data=stored["data"])


def _document(stage: World, box: Devbox, **changed: str) -> None:
    """Its GatewayConfig's, changed; nothing else is."""
    name = f"gateway-{box.name}-API"
    document = orjson.loads(base64.b64decode(stage.cluster.objects["secrets"][name]["data"][names.GATEWAY_KEY]))
    stage.cluster.secret(name, names.GATEWAY_TYPE, names.GATEWAY_KEY, orjson.dumps(document | changed))


_CHANGES: Final[dict[str, Callable[[World, Devbox], object]]] = {
    "another version of the credential": _other_credential,
    "its grant is taken back": _no_grant,
    "the credential is deleted": lambda stage, box: stage.cluster.delete("secrets", f"credential-{box.name}-API"),
    "the GatewayConfig is deleted": lambda stage, box: stage.cluster.delete("secrets", f"gateway-{box.name}-API"),
    "another endpoint": lambda stage, box: _document(stage, box, endpoint=f"https://{API_HOST}:8443"),
    "other roots": lambda stage, box: _document(stage, box, ca_bundle=(stage.folder / "ca.crt").read_text()),
}


async def crowded(long: bool) -> list[Row]:
    """One namespace whose APIs would leave everything open: what rests on unused, and what an API asks to be left at rest."""
    endpoints, devboxes, each = (400, 20, 14) if long else (40, 12, 12)
    hosts = [f"rests-{number}.chaos.test" for number in range(endpoints)]
    async with (
        api(API_ADDRESS, None) as silent,
        world(overrides=dict.fromkeys(hosts, silent.address), prefix=FEW_FILES) as stage,
    ):
        box = stage.devbox()
        clients = [stage.client(box, stage.gateway, stage.bind(box, host, f"http://{host}")) for host in hosts]
        await stage.warm(box)
        for client in clients:
            assert (await client.request()).fine
            client.close()
        await asyncio.sleep(FIRST_SECONDS)
        unused = await _settles(silent, OF_A_NAMESPACE)
        rows = [
            Row(
                f"{endpoints} endpoints of one namespace, none of which closes anything",
                f"≤{OF_A_NAMESPACE} connections rest on unused",
                f"{unused} of {silent.connections}",
                0 < unused <= OF_A_NAMESPACE,
            )
        ]
        stage.api.ways["/slowly"] = _slowly
        boxes = [stage.devbox(number) for number in range(1, devboxes + 1)]
        await stage.warm(*boxes)
        await asyncio.gather(*(_at_once(stage, one, each) for one in boxes))
        kept = await _settles(stage.api, LONG_OF_FEW)
        return [
            *rows,
            Row(
                f"{devboxes * each} connections of one namespace to an API that announces two minutes",
                f"≤{LONG_OF_FEW} rest for longer than {FIRST_SECONDS:g} s, where few files may be open",
                f"{kept} of {stage.api.connections}",
                0 < kept <= LONG_OF_FEW < stage.api.connections,
            ),
        ]


async def _settles(where: Api, most: int) -> int:
    """Connections that are open at last."""
    with contextlib.suppress(TimeoutError):
        await eventually(lambda: len(where.open) <= most, 20)
    return len(where.open)


async def _at_once(stage: World, box: Devbox, count: int) -> None:
    clients = [stage.client(box, stage.gateway) for _ in range(count)]
    answers = await asyncio.gather(*(client.request(path="/slowly") for client in clients))
    assert all(answer.fine for answer in answers), [(answer.kind, answer.code) for answer in answers if not answer.fine]
    for client in clients:
        client.close()


async def stood_still(long: bool) -> list[Row]:
    """A gateway that is stopped while an API closes what rests: the calls that wait for it when it goes on meet none of these."""
    rounds, count = (20, 40) if long else (3, 20)
    async with world() as stage:
        boxes = [stage.devbox(number) for number in range(count)]
        clients = [stage.client(box, stage.gateway) for box in boxes]
        tally = Tally()
        await asyncio.gather(*(client.request() for client in clients))
        for _ in range(rounds):
            await asyncio.gather(*(client.request() for client in clients))
            stage.gateway.signal(signal.SIGSTOP)
            try:
                await eventually(lambda: _is_stopped(stage), 10)
                waiting = [asyncio.create_task(client.request("POST", "/", b"{}")) for client in clients]
                await asyncio.sleep(STOPPED_SECONDS)
                stage.api.drop()
                await eventually(lambda: not stage.api.open, 10)
            finally:
                stage.gateway.signal(signal.SIGCONT)
            for began, answer in [(now(), await task) for task in waiting]:
                tally.add(began, answer)
        measured = f"{tally.kinds} in {len(tally.seconds) + len(tally.errors)} calls"
        return [Row(f"stopped {rounds} times while an API closes what rests", "0 calls lost", measured, not tally.errors)]


def _is_stopped(stage: World) -> bool:
    """By what the kernel says: a signal may be late."""
    stat = Path(f"/proc/{stage.gateway.process.process.pid}/stat").read_text()
    return stat.rpartition(")")[2].split()[0] == "T"
