"""`python -m tests.chaos.noise`: a devbox that asks for far too much, in a process of its own, so that others' times are not its doing.

Goes in: a `Noise` as JSON on standard input. Comes out: on standard output, once it is over, JSON with what it got: answers by kind.
"""

import asyncio
import json
import ssl
import sys
from collections import Counter
from dataclasses import asdict, dataclass
from time import monotonic as now
from typing import Any, Final

import uvloop

from .client import Answer, Client, load

MODULE: Final = "tests.chaos.noise"


@dataclass
class Noise:
    """What to do."""

    host: str
    port: int
    source: str
    token: str
    ca: str
    rate: float
    """Requests a second, over `connections`."""
    seconds: float
    connections: int
    idle: int
    """Connections that are opened after that, and say nothing for as long again."""

    async def made(self) -> dict[str, Any]:
        """Make it, in a process."""
        pipe = asyncio.subprocess.PIPE
        process = await asyncio.create_subprocess_exec(sys.executable, "-m", MODULE, stdin=pipe, stdout=pipe)
        output, _ = await process.communicate(json.dumps(asdict(self)).encode())
        result: dict[str, Any] = json.loads(output)
        return result


async def make(noise: Noise) -> dict[str, Any]:
    """Until it is over."""
    trust = ssl.create_default_context(cadata=noise.ca)
    clients = [Client(lambda: (noise.host, noise.port), noise.source, noise.token, trust) for _ in range(noise.connections)]
    retry_after = Counter[str]()

    async def ask(client: Client) -> Answer:
        answer = await client.request("POST", "/work", b"{}")
        if answer.status == 429:
            retry_after[answer.headers.get("retry-after", "none")] += 1
        return answer

    tally = await load(noise.rate, noise.seconds, clients, ask)
    for client in clients:
        client.close()
    idle = await _connect(noise)
    kinds = Counter(kind for _, kind in tally.errors)
    return {"200": len(tally.seconds), **kinds, "retry_after": dict(retry_after), "idle": idle}


async def _connect(noise: Noise) -> dict[str, int]:
    """Open many connections: how many stay, and how many are closed at once."""
    pairs: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []
    closed = 0
    end = now() + noise.seconds
    for number in range(noise.idle):
        try:
            pairs.append(await asyncio.open_connection(noise.host, noise.port, local_addr=(noise.source, 0)))
            if number % 50 == 49:
                await asyncio.sleep(0.01)
        except OSError:
            closed += 1
    await asyncio.sleep(max(0.0, end - now()))
    for reader, writer in pairs:
        closed += reader.at_eof() or reader.exception() is not None
        writer.transport.abort()
    return {"opened": noise.idle, "closed": closed}


if __name__ == "__main__":
    print(json.dumps(uvloop.run(make(Noise(**json.load(sys.stdin))))))  # noqa: T201
