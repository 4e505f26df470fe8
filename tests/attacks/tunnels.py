"""One run of a case of the group `connect`: a devbox asks the forward proxy, and what was dialled and said there is recorded.

Goes in: a slot, a case, a variant. Comes out: a `Run`. Every public address is the lab's sink, so a tunnel leads to something that
notes who called and what was said. Where an answer is 200 the tunnel is tried: the case's host must be reached by TLS that names it, and
by nothing else. Pipelined means: behind a CONNECT without a token, the one request that leaves its connection open.
"""

import asyncio
import contextlib
import ssl
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from typing import Final

from tests.support.raw_client import RawClient

from .corpus import Case, Generator, steps
from .exchange import FIRST, Marks, collect, talk
from .generators import get
from .lab import Slot
from .run import Run, Variant

ALLOWED: Final = ["*.github.com", "*.allowed.test"]
"""The hosts of the lab's EgressPolicy: the apex and everything else must be refused."""
FAR: Final = ("93.184.216.77", 443)
"""A host of the generators' own, in place of the sink."""
FAR_NAME: Final = "far.allowed.test"


async def perform_connect(slot: Slot, case: Case, variant: Variant) -> Run:
    """Everything of one run; where the case names several answers of DNS, one after the other, until one is wrong."""
    run = Run(case, variant, slot.values(slot.egress, name="egress"))
    marks = Marks.of(slot)
    generators = [step for step in steps(case.send, run.values) if isinstance(step, Generator)]
    if generators:
        for generator in generators:
            if generator.name not in GENERATORS:
                raise ValueError(f"generator not understood: {generator.name}")
            await GENERATORS[generator.name](slot, run)
        await collect(slot, run, marks)
        return run
    host = _host(steps(case.send, run.values))
    for addresses in case.config.get("dns", [()]):
        run = replace(run, sent=b"", facts={})
        if addresses:
            slot.lab.names[host] = [tuple(addresses)]
        await _one(slot, run, host)
        slot.lab.names.pop(host, None)
        if case.status and run.status not in case.status:
            run.problems.append(f"with the address {' and '.join(addresses) or 'of the lab'}")
            break
    await collect(slot, run, marks)
    return run


async def _one(slot: Slot, run: Run, host: str) -> None:
    data_port = run.case.config.get("port") == "data"
    before = b"CONNECT api.github.com:443 HTTP/1.1\r\nHost: api.github.com:443\r\n\r\n"
    if data_port:
        before = get(slot.values(slot.usual), FIRST)
    async with await (slot.client() if data_port else slot.egress_client()) as client:
        await talk(client, run, steps(run.case.send, run.values), before)
        if run.status == 200:
            await _try(slot, run, client, host)


async def _try(slot: Slot, run: Run, client: RawClient, host: str) -> None:
    """TLS through the tunnel, or what the case sent in its place."""
    lab, mark = slot.lab, len(slot.lab.stray)
    early = run.sent.partition(b"\r\n\r\n")[2]
    sni = run.case.config.get("sni", host)
    hello = b"" if early else hello_for(sni)
    await client.send(hello)
    for _ in range(40):
        if client.ended or (hello in lab.stray[mark:] and hello):
            break
        await asyncio.sleep(0.05)
    said = bytes(lab.stray[mark:])
    run.facts["through"] = bool(hello) and hello in said
    if early or sni != host:
        run.facts["kept out"] = not said and client.ended is not None
        if said:
            run.problems.append("bytes that were no ClientHello for the host reached it")
        if client.ended is None:
            run.problems.append("the tunnel stays open though its TLS names another host, or there is none")
    elif not run.facts["through"]:
        run.problems.append("TLS for the host did not reach it")
    run.ended = client.ended


def hello_for(name: str) -> bytes:
    """The first bytes of a TLS client."""
    context = ssl.create_default_context()
    outgoing = ssl.MemoryBIO()
    client = context.wrap_bio(ssl.MemoryBIO(), outgoing, server_hostname=name)
    with contextlib.suppress(ssl.SSLWantReadError):
        client.do_handshake()
    return outgoing.read()


def _host(script: Sequence[object]) -> str:
    """What the CONNECT asks for, as it is compared."""
    first = next((step for step in script if isinstance(step, bytes)), b"")
    words = first.partition(b"\r\n")[0].split(b" ")
    authority = words[1].decode("latin-1") if len(words) > 1 else ""
    return authority.rpartition(":")[0].lower().removesuffix(".")


# generators


async def _far(slot: Slot, serve: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]) -> asyncio.Server:
    slot.lab.names[FAR_NAME] = [(FAR[0],)]
    return await asyncio.start_server(serve, *FAR, reuse_port=True)


async def _open(slot: Slot, run: Run) -> RawClient:
    """A tunnel to FAR in which the first messages have passed."""
    client = await slot.egress_client()
    await client.send(
        run.values.fill(
            f"CONNECT {FAR_NAME}:443 HTTP/1.1\r\nHost: {FAR_NAME}:443\r\nProxy-Authorization: Basic {{{{B64TOKEN}}}}\r\n\r\n"
        )
    )
    await client.until(lambda client: b"\r\n\r\n" in client.received or client.ended is not None, 5)
    if not client.received.startswith(b"HTTP/1.1 200 "):
        run.problems.append(f"no tunnel: {bytes(client.received[:60])!r}")
    await client.send(hello_for(FAR_NAME))
    await client.until(lambda client: client.received.endswith(_GREETING) or client.ended is not None, 5)
    return client


_GREETING: Final = b"\x15\x03\x03\x00\x02\x01\x00"
"""What stands for a server's first message: a record that is no HelloRetryRequest."""


async def _half_close(slot: Slot, run: Run) -> None:
    """The devbox says its last word; the host hears it, and sends on for a while."""
    heard = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(FAR_NAME.encode())
        writer.write(_GREETING)
        await reader.read()
        heard.set()
        for number in range(5):
            writer.write(b"after %d;" % number)
            await writer.drain()
            await asyncio.sleep(0.1)
        writer.close()

    server = await _far(slot, serve)
    async with await _open(slot, run) as client:
        await client.send(b"last word")
        await client.fin()
        await client.until(lambda client: client.ended is not None, 10)
        run.received, run.ended = bytes(client.received), client.ended
        run.facts["delivered"] = heard.is_set() and client.received.endswith(b"after 0;after 1;after 2;after 3;after 4;")
    server.close()
    slot.lab.names.pop(FAR_NAME)


async def _policy_change(slot: Slot, run: Run) -> None:
    """The EgressPolicy loses the host while a tunnel to it is open; one to another host stays."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(FAR_NAME.encode())
        writer.write(_GREETING)
        with contextlib.suppress(ConnectionError):
            await reader.read()
        writer.close()

    loop = asyncio.get_running_loop()
    server = await _far(slot, serve)
    async with await _open(slot, run) as client:
        slot.lab.stage.cluster.policy(slot.policy, hostnames=[*ALLOWED, "more.example"])
        await asyncio.sleep(1)
        if client.ended:
            run.problems.append("a change that leaves the host allowed cut its tunnel")
        started = loop.time()
        slot.lab.stage.cluster.policy(slot.policy, hostnames=["*.github.com"])
        await client.until(lambda client: client.ended is not None, 20)
        run.ended = client.ended
        run.facts |= {
            "closed after": [client.ended_at - started] if client.ended else [],
            "still open": int(client.ended is None),
        }
    slot.lab.stage.cluster.policy(slot.policy, hostnames=ALLOWED)
    await asyncio.sleep(0.3)
    server.close()
    slot.lab.names.pop(FAR_NAME)


GENERATORS: Final[dict[str, Callable[[Slot, Run], Awaitable[None]]]] = {
    "half_close": _half_close,
    "policy_change": _policy_change,
}
