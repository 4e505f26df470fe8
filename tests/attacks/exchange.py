"""One run of an ordinary case: a devbox says what the case says, its API answers what the case says, and all of it is recorded.

Goes in: a slot, a case, a variant. Comes out: a `Run`. Afterwards another client asks something harmless, to see that nothing is left
of it.
"""

import asyncio
import re
from dataclasses import dataclass
from typing import Final

from tests.support.http_reading import Response, responses
from tests.support.raw_client import RawClient
from tests.support.recorder import Peer, Recorded, answer_ok

from .corpus import Case, Step, Word, steps
from .declared import why_not
from .floods import FLOODS, flood
from .generators import EARLY, answer, client_steps, get
from .lab import API_SERVER, REAL, Slot
from .probes import OURS, PROBES
from .run import Run, Variant

FIRST: Final = f"{OURS}-before"
AFTER: Final = f"{OURS}-after"
ANSWER_SECONDS: Final = 8.0
"""How long a case may take to be answered, if it does not hold still itself."""
QUIET_SECONDS: Final = 0.15
"""With no more bytes for so long after an answer, no more will come."""
CLOSE_SECONDS: Final = 5.0
"""How long a connection that will be closed may stay open for what is on its way."""
_REQUEST_ID: Final = re.compile(r'"request_id":"(\w+)"')
SEGMENTED: Final = 4096
"""So many bytes are sent one by one; what follows them, in pieces of as many bytes."""


@dataclass(frozen=True)
class Marks:
    """Where the lab's records stood before."""

    lines: int
    reviews: int
    dials: int
    stray: int
    cpu: float

    @classmethod
    def of(cls, slot: Slot) -> "Marks":
        lab = slot.lab
        process = lab.stage.process
        counts = (len(process.output), len(lab.stage.cluster.reviews), len(lab.dials), len(lab.stray))
        return cls(*counts, process.cpu_seconds)


async def perform(slot: Slot, case: Case, variant: Variant) -> Run:
    """Everything of one run. Raises ValueError for what the case says and nobody understands."""
    run = await prepare(slot, case, variant)
    marks = Marks.of(slot)
    if any(name in case.generators() for name in FLOODS):
        await flood(slot, run)
        await collect(slot, run, marks)
        return run
    upstream = steps(case.upstream or [], run.values)
    script = client_steps(steps(case.send, run.values), run.values, case.generators())
    _serve(slot, run, upstream)
    async with await slot.client() as client:
        await talk(client, run, script, get(slot.values(slot.usual), FIRST))
        for probe in PROBES:
            if case.expects(*probe.keys):
                await probe.on_connection(run, client)
    if not run.facts.get("configured"):
        await _afterwards(slot, run)
    for probe in PROBES:
        if case.expects(*probe.keys):
            await probe.afterwards(run, slot)
    await collect(slot, run, marks)
    return run


async def prepare(slot: Slot, case: Case, variant: Variant) -> Run:
    """The devbox's binding as the case wants it."""
    slot.api.requests.clear()
    slot.api.answer, slot.api.early = answer_ok, False
    run = Run(case, variant, slot.values(slot.usual))
    config = dict(case.config)
    for item in case.send:
        if isinstance(item, dict) and item.get("gen") == "config":
            config |= {key: value for key, value in item.items() if key != "gen"}
    if config:
        await _configure(slot, run, config)
    return run


async def _configure(slot: Slot, run: Run, config: dict[str, object]) -> None:
    """A gateway of the case's own. What the operator would not write is not there."""
    endpoint = str(config.pop("endpoint", f"https://{slot.endpoint_host}"))
    secret = config.pop("secret_value", REAL)
    answers = config.pop("dns", None)
    if config:
        raise ValueError(f"config not understood: {', '.join(config)}")
    endpoint = endpoint.replace("{{UPSTREAM}}", slot.endpoint_host)
    if isinstance(answers, list):
        host = endpoint.partition("://")[2].partition("/")[0].partition(":")[0]
        slot.lab.names[host] = [tuple(addresses) for addresses in answers]
    floor, own = frozenset({API_SERVER}), "gateway.system.svc"
    run.accepted = why_not(endpoint, floor, own)
    only_in_clear = run.accepted is not None and why_not(endpoint, floor, own, allow_insecure=True) is None
    credential: str | None = None
    if isinstance(secret, str):
        # As in a YAML string with quotes: the file has them without.
        text = secret.replace("\\n", "\n").replace("\\r", "\r").replace("\\t", "\t").replace("\\0", "\0")
        credential = text.rstrip("\r\n")
        run.facts["raw_secret"] = text
    run.values = slot.values(
        slot.bind(f"N{len(slot.devbox.bindings)}", None if only_in_clear else endpoint, run.facts.get("raw_secret")),
        credential or REAL,
    )
    run.facts["configured"] = True
    await slot.known(run.values.token)
    slot.api.requests.clear()


def _serve(slot: Slot, run: Run, upstream: list[Step]) -> None:
    if not upstream:
        return
    scripted = answer(run, upstream)

    async def choose(request: Recorded, peer: Peer) -> None:
        ours = request.target.startswith(OURS.encode())
        await (answer_ok if ours else scripted)(request, peer)

    slot.api.answer = choose
    slot.api.early = bool(EARLY & set(run.case.generators()))


async def talk(client: RawClient, run: Run, script: list[Step], before: bytes) -> None:
    """Say all of it, behind `before` if that is the variant, and wait for what comes back."""
    loop = asyncio.get_running_loop()
    if run.variant is Variant.PIPELINED:
        if script and isinstance(script[0], bytes):
            run.sent, script = script[0], script[1:]
            await client.send(before + run.sent)
        else:
            await client.send(before)
    sent_at = loop.time()
    for step in script:
        if isinstance(step, bytes):
            run.sent += step[: max(0, (1 << 20) - len(run.sent))]
            await _send(client, step, segmented=run.variant is Variant.SEGMENTED)
            sent_at = loop.time()
        elif isinstance(step, Word):
            await _do(client, step)
    patience = ANSWER_SECONDS
    await client.until(lambda client: client.ended is not None or bool(_answers(client, run)), patience)
    run.first_byte_after = loop.time() - sent_at
    while not client.ended and await client.until(_Grown(len(client.received)), QUIET_SECONDS):
        if loop.time() - sent_at > patience:
            break
    _read(client, run)
    if run.case.close or any(b"close" in response.head.values("connection") for response in run.responses):
        await client.until(lambda client: client.ended is not None, CLOSE_SECONDS)
        _read(client, run)
    run.ended_after = (client.ended_at or loop.time()) - sent_at


@dataclass(frozen=True)
class _Grown:
    """More has come than before, or the end."""

    length: int

    def __call__(self, client: RawClient) -> bool:
        return len(client.received) > self.length or client.ended is not None


async def _send(client: RawClient, data: bytes, *, segmented: bool) -> None:
    if not segmented:
        await client.send(data)
        return
    await client.send(data[:SEGMENTED], 1)
    await client.send(data[SEGMENTED:], SEGMENTED)


async def _do(client: RawClient, word: Word) -> None:
    if word.waits:
        await client.until(lambda client: client.ended is not None, word.seconds)
    elif word.name == "FIN":
        await client.fin()
    elif word.name == "RST":
        await client.reset()
        client.ended = client.ended or "reset by us"
    else:
        await client.close()
        client.ended = client.ended or "closed by us"


def methods(run: Run) -> list[bytes]:
    """The methods of the requests, in order, as far as the first lines tell."""
    first = [b"GET"] if run.variant is Variant.PIPELINED else []
    return [*first, run.sent.partition(b" ")[0]]


def _answers(client: RawClient, run: Run) -> list[Response]:
    """The case's own answers that are whole."""
    try:
        found, _ = responses(bytes(client.received), methods(run), closed=client.ended is not None)
    except ValueError:
        return []
    final = [response for response in found if response.status == 101 or response.status >= 200]
    skipped = 1 if run.variant is Variant.PIPELINED else 0
    return [response for response in final[skipped:] if response.complete or response.status == 101]


def _read(client: RawClient, run: Run) -> None:
    run.received, run.ended = bytes(client.received), client.ended
    if "sent_at" in run.facts:
        run.facts["event delays"] = event_delays(client, run.facts["sent_at"])
    try:
        found, run.left_over = responses(run.received, methods(run), closed=client.ended is not None)
    except ValueError as error:
        run.problems = [f"what the client got is not HTTP: {error}"]
        return
    run.problems = []
    run.informational = [response.status for response in found if response.status < 200 and response.status != 101]
    final = [response for response in found if response.status >= 200 or response.status == 101]
    if run.variant is Variant.PIPELINED:
        run.first = final[0] if final else None
        final = final[1:]
    run.responses = final


def event_delays(client: RawClient, sent_at: list[float]) -> list[float]:
    """Seconds from when each numbered event was written to when the client had it."""
    found = []
    for number, at in enumerate(sent_at):
        end = client.received.find(b"data: event %02d" % number)
        arrived = next((when for when, length in client.arrivals if 0 <= end < length), None)
        if arrived is not None:
            found.append(arrived - at)
    return found


async def _afterwards(slot: Slot, run: Run) -> None:
    """A harmless request of another client of the same devbox."""
    async with await slot.client() as client:
        await client.send(get(run.values, AFTER))
        await client.until(lambda client: client.ended is not None or client.received.endswith(b"ok"), ANSWER_SECONDS)
        try:
            run.after, rest = responses(bytes(client.received), [b"GET"], closed=client.ended is not None)
        except ValueError as error:
            run.problems.append(f"the next client got what is not HTTP: {error}")
            return
        if rest:
            run.problems.append("the next client got more than its answer")
    run.after_connection = next((r.connection for r in slot.api.requests if r.target.endswith(AFTER.encode())), 0)


async def collect(slot: Slot, run: Run, marks: Marks) -> None:
    """Everything that the lab saw of it."""
    lab, own = slot.lab, slot.api.requests
    # The gateway may take a moment to let go of the API.
    await asyncio.sleep(0.05)
    for _ in range(10):
        unfinished = {r.connection for r in own if not r.complete} & slot.api.open_connections
        if not unfinished:
            break
        await asyncio.sleep(0.1)
    run.requests = [r for r in own if not r.target.startswith(OURS.encode())]
    run.wire = b"".join(bytes(r.wire) or r.raw_head for r in own)
    run.open_upstream = slot.api.open_connections
    run.dials, run.stray = lab.dials[marks.dials :], bytes(lab.stray[marks.stray :])
    run.reviews = lab.stage.cluster.reviews[marks.reviews :]
    run.cpu_seconds = lab.stage.process.cpu_seconds - marks.cpu
    run.metrics = await lab.stage.metrics()
    whose = f'"devbox":"agent-{slot.number}"'
    others = '"devbox":"agent-'
    output = lab.stage.process.output
    # The end of what was asked earlier may come late.
    earlier = set(_REQUEST_ID.findall("".join(output[max(0, marks.lines - 500) : marks.lines])))
    for _ in range(20):
        late = output[marks.lines :]
        run.lines = [x for x in late if (whose in x or others not in x) and not earlier & set(_REQUEST_ID.findall(x))]
        # A thread writes them.
        if sum('"audit":"start"' in x for x in run.lines) <= sum('"audit":"end"' in x for x in run.lines):
            break
        await asyncio.sleep(0.05)
