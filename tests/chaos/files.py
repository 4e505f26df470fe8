"""Connections that say nothing, more than the gateway may have file descriptors: everybody else is served as before.

Goes in: gateways that may open 1,024 files and can't raise that, which is what a container gets where its runtime sets a low hard limit;
and one whose limit is 1,024 until it raises it. Comes out: rows. Each port is flooded by itself, then all of them at once.
"""

import asyncio
import base64
import contextlib
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from time import monotonic as now
from typing import Any, Final

from tests.support.gateway_process import HOST
from tests.support.netns import GATEWAY
from tests.support.raw_client import RawClient

from .client import Client
from .report import Row, ms, p, timed
from .world import World, eventually, world

LIMIT: Final = 1024
HARD: Final = ("prlimit", f"--nofile={LIMIT}:{LIMIT}")
FAR: Final = ("10.203.1.9", 4443)
FAR_HOST: Final = "far.chaos.test"
OTHERS: Final = 4
"""Devboxes that go on as if nothing were."""
RATE: Final = 5
"""Rounds a second of each."""
SECONDS: Final = {True: 20.0, False: 4.0}
PATIENCE: Final = 1.0
"""Seconds beside three times what it takes when nobody attacks: flood and clients are one process. (Where it was wrong: 5 to 10 s.)"""
ATTACKERS: Final = ("10.203.0.101", "10.203.0.102", "10.203.0.103", "10.203.0.104")
EACH: Final = 256
MANY: Final = 1100
AGAIN_SECONDS: Final = 5.0
"""After which an attacker whose connection was closed makes another."""
HALF_HELLO: Final = bytes.fromhex("160301010001000102")
"""The first bytes of a TLS handshake whose rest never comes."""


class Flood:
    """Connections that are held open and say nothing, or the beginning of something; made again when they are closed."""

    def __init__(self, port: int, sources: dict[str, int], word: bytes = b"", *, trust: ssl.SSLContext | None = None) -> None:
        """`word`: what each begins with; `trust`: after a whole handshake."""
        self._port, self._sources, self._word = port, sources, word
        self._tls: dict[str, Any] = {"ssl": trust, "server_hostname": HOST} if trust else {}
        self.open = self.made = 0

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator["Flood"]:
        """With all of them tried once."""
        tasks = [
            asyncio.create_task(self._one(source, number)) for source, count in self._sources.items() for number in range(count)
        ]
        try:
            await eventually(lambda: self.made >= len(tasks), 30)
            yield self
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _one(self, source: str, number: int) -> None:
        await asyncio.sleep(number / 2000)
        while True:
            try:
                reader, writer = await asyncio.open_connection(GATEWAY, self._port, local_addr=(source, 0), **self._tls)
            except OSError:
                self.made += 1
                await asyncio.sleep(AGAIN_SECONDS)
                continue
            self.made += 1
            self.open += 1
            try:
                writer.write(self._word)
                with contextlib.suppress(OSError):
                    while await reader.read(1 << 10):
                        pass
            finally:
                self.open -= 1
                await _abort(writer)
            await asyncio.sleep(AGAIN_SECONDS)


async def _abort(writer: asyncio.StreamWriter) -> None:
    """Close at once, and wait until it is."""
    writer.transport.abort()
    with contextlib.suppress(OSError):
        await writer.wait_closed()


async def _hold(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Where tunnels lead: it says nothing, until the other side ends."""
    try:
        with contextlib.suppress(OSError):
            while await reader.read(1 << 10):
                pass
    finally:
        await _abort(writer)


class Others:
    """What the other devboxes met."""

    def __init__(self) -> None:
        self.seconds: list[float] = []
        self.wrong: list[str] = []

    async def ask(self, what: str, asking: Awaitable[str]) -> None:
        """One thing, which says what was wrong with it."""
        began = now()
        try:
            async with asyncio.timeout(10):
                wrong = await asking
        except (OSError, TimeoutError, asyncio.IncompleteReadError) as error:
            wrong = type(error).__name__
        self.seconds.append(now() - began)
        if wrong:
            self.wrong.append(f"{what}: {wrong}")

    @property
    def verdict(self) -> str:
        """For a row."""
        return f"{len(self.seconds)} asked, {len(self.wrong)} failed {sorted(set(self.wrong))}; p99 {ms(p(99, self.seconds))}"

    @property
    def right(self) -> bool:
        """Somebody asked, and nobody failed."""
        return bool(self.seconds) and not self.wrong

    def in_time(self, quiet: float) -> bool:
        """Nobody waited for much longer than the p99 when nobody attacks."""
        return p(99, self.seconds) <= PATIENCE + 3 * quiet


class Case:
    """One gateway, the devboxes that go on, and where their tunnels lead."""

    def __init__(self, stage: World) -> None:
        self.stage = stage
        policy = stage.cluster.policy(hostnames=[FAR_HOST])
        self.boxes = [stage.devbox(number) for number in range(OTHERS)]
        self.tokens = {box.name: box.bind_egress(policy) for box in self.boxes}
        self.kept = [stage.client(box, stage.gateway) for box in self.boxes]

    async def warm(self) -> None:
        """Every devbox is known, for both ports."""
        await self.stage.warm(*self.boxes)
        for box in self.boxes:
            await eventually(lambda: self._tunnel_works(box.name, box.address), 20)  # noqa: B023 (awaited here)

    async def _tunnel_works(self, name: str, address: str) -> bool:
        return not await self.tunnel(name, address)

    async def tunnel(self, name: str, address: str) -> str:
        """A CONNECT, up to its 200; says what was wrong."""
        secret = base64.b64encode(f"devbox:{self.tokens[name]}".encode()).decode()
        target = f"{FAR_HOST}:443"
        head = f"CONNECT {target} HTTP/1.1\r\nHost: {target}\r\nProxy-Authorization: Basic {secret}\r\n\r\n"
        async with await RawClient.connect((GATEWAY, self.stage.gateway.process.egress), source=address) as client:
            await client.send(head.encode())
            await client.until(lambda client: b"\r\n\r\n" in client.received or client.ended is not None, 10)
            return "" if client.received.startswith(b"HTTP/1.1 200") else bytes(client.received[:12]).decode() or "no answer"

    async def request(self, client: Client) -> str:
        """A request; says what was wrong."""
        answer = await client.request()
        return "" if answer.fine else answer.kind

    async def song(self, address: str) -> str:
        """The canary's."""
        async with await RawClient.connect((GATEWAY, self.stage.gateway.process.canary), source=address) as client:
            await client.until(lambda client: client.ended is not None, 10)
            return "" if client.received.startswith(b"devbox-gateway:") else "silent"

    async def ready(self) -> str:
        """What the kubelet asks, whose own connection it is."""
        return "" if await self.stage.gateway.readiness() == 200 else "not ready"

    async def go_on(self, seconds: float) -> Others:
        """Everything that others do, for so long: over connections that they have, over new ones, tunnels, probes."""
        others = Others()
        until = now() + seconds

        async def one(number: int) -> None:
            box = self.boxes[number]
            while now() < until:
                began = now()
                new = self.stage.client(box, self.stage.gateway)
                await asyncio.gather(
                    others.ask("kept connection", self.request(self.kept[number])),
                    others.ask("new connection", self.request(new)),
                    others.ask("tunnel", self.tunnel(box.name, box.address)),
                    others.ask("canary", self.song(box.address)),
                )
                new.close()
                await asyncio.sleep(max(0.0, began + 1 / RATE - now()))

        async def probe() -> None:
            while now() < until:
                await others.ask("probe", self.ready())
                await asyncio.sleep(0.5)

        await asyncio.gather(probe(), *(one(number) for number in range(OTHERS)))
        return others


def _sources(count: int = EACH) -> dict[str, int]:
    return dict.fromkeys(ATTACKERS, count)


Floods = Callable[[World], list[Flood]]
FLOODS: Final[dict[str, Floods]] = {
    f"{MANY} silent connections of one address to the admin port": lambda stage: [
        Flood(stage.gateway.process.admin, {ATTACKERS[0]: MANY})
    ],
    f"4 x {EACH} silent connections to the data port": lambda stage: [Flood(stage.gateway.process.data, _sources())],
    f"4 x {EACH} halves of a handshake to the data port": lambda stage: [
        Flood(stage.gateway.process.data, _sources(), HALF_HELLO)
    ],
    f"4 x {EACH // 4} whole handshakes, and then silence": lambda stage: [
        Flood(stage.gateway.process.data, _sources(EACH // 4), trust=stage.trust)
    ],
    f"4 x {EACH} silent connections to the forward proxy": lambda stage: [Flood(stage.gateway.process.egress, _sources())],
    f"4 x {EACH} connections to the canary": lambda stage: [Flood(stage.gateway.process.canary, _sources())],
    "all of these at once": lambda stage: [
        Flood(port, _sources(EACH // 2))
        for port in (
            stage.gateway.process.admin,
            stage.gateway.process.data,
            stage.gateway.process.egress,
            stage.gateway.process.canary,
        )
    ],
}


@contextlib.asynccontextmanager
async def _case(prefix: tuple[str, ...]) -> AsyncIterator[Case]:
    far = await asyncio.start_server(_hold, *FAR)
    async with far, world(prefix=prefix, egress={"addressOverrides": {FAR_HOST: f"{FAR[0]}:{FAR[1]}"}}) as stage:
        case = Case(stage)
        await case.warm()
        yield case


async def files(long: bool) -> list[Row]:
    """Every flood against a gateway that may have 1,024 files."""
    rows: list[Row] = []
    async with _case(HARD) as case:
        process = case.stage.gateway.process
        quiet = await case.go_on(SECONDS[long] / 2)
        usual = p(99, quiet.seconds)
        demand = f"others: no error, p99 ≤{ms(PATIENCE + 3 * usual)}"
        rows.append(Row(f"{LIMIT} files: nobody attacks", "no error", quiet.verdict, quiet.right))
        for name, floods in FLOODS.items():
            most = 0
            async with contextlib.AsyncExitStack() as stack:
                running = [await stack.enter_async_context(flood.running()) for flood in floods(case.stage)]
                going = asyncio.create_task(case.go_on(SECONDS[long]))
                while not going.done():
                    most = max(most, process.open_files)
                    await asyncio.sleep(0.1)
                others = await going
                held = sum(flood.open for flood in running)
            rows.append(timed(f"{LIMIT} files: {name}", demand, others.verdict, others.in_time(usual), others.right))
            rows.append(
                Row(f"{LIMIT} files: {name}: open", f"<{LIMIT}", f"{most} at most; {held} of the flood's held", most < LIMIT)
            )
        said = sum("accept_failed" in line for line in process.output)
        rows.append(Row(f"{LIMIT} files: it ran out of them", "never", f"{said} times", said == 0))
        told = any('"open_files_too_few"' in line for line in process.output)
        rows.append(Row(f"{LIMIT} files: said at the start", "what is lowered, and what to do", f"said: {told}", told))
    rows += await _raised(long, usual)
    return rows


async def _raised(long: bool, usual: float) -> list[Row]:
    """A limit of 1,024 that it may raise: as all tests start it."""
    async with _case(()) as case:
        sources = {f"10.203.0.{110 + number}": 200 for number in range(8)}
        async with Flood(case.stage.gateway.process.data, sources).running():
            most = 0
            going = asyncio.create_task(case.go_on(SECONDS[long]))
            while not going.done():
                most = max(most, case.stage.gateway.process.open_files)
                await asyncio.sleep(0.1)
            others = await going
        name = f"{LIMIT} files, to be raised: 1600 silent connections"
        demand = f"others: no error, p99 ≤{ms(PATIENCE + 3 * usual)}; more than {LIMIT} open"
        return [timed(name, demand, f"{others.verdict}; {most} open", others.in_time(usual), others.right and most > LIMIT)]
