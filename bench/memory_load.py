"""Short requests of many devboxes: `python -m bench.memory_load HOST PORT CALLERS`, in clear, keep-alive, in turn.

CALLERS is a file with a JSON list of addresses and tokens: a connection for each, and 32 at least. Goes in: the order "run", so many
requests, so many under way at a time, or so many a second. Comes out: latencies, and how many answers were not 200.
"""

import asyncio
import json
import random
import re
import statistics
import sys
import time
from collections import Counter, deque
from pathlib import Path
from typing import Final, cast

import uvloop

from .memory_child import BadRun, Order, obey, tell
from .upstream import BODY

CONNECTIONS: Final = 32
"""At least, also with one devbox."""
TICK: Final = 0.005
"""Seconds between two lots of requests, where the rate is given."""
TOLD_SECONDS: Final = 15.0
_HEAD: Final = (
    "POST /v1/messages HTTP/1.1\r\nHost: gateway.system.svc\r\nAccept: application/json\r\nAccept-Encoding: gzip, deflate\r\n"
    "User-Agent: Anthropic/Python 0.80.0\r\nX-Stainless-Lang: python\r\nX-Stainless-Package-Version: 0.80.0\r\n"
    "X-Stainless-OS: Linux\r\nX-Stainless-Arch: x64\r\nX-Stainless-Runtime: CPython\r\nX-Stainless-Runtime-Version: 3.11.7\r\n"
    "anthropic-version: 2023-06-01\r\nContent-Type: application/json\r\nx-api-key: {token}\r\nContent-Length: {length}\r\n\r\n"
)
"""Those of a request of Anthropic's SDK."""
_BODY: Final = b"y" * BODY
_LENGTH: Final = re.compile(rb"content-length: (\d+)", re.IGNORECASE)


class Line(asyncio.Protocol):
    """One connection of one devbox, opened when it is needed, and anew when the gateway has closed it."""

    def __init__(self, load: "Load", address: str, token: str) -> None:
        self.address = address
        self._load = load
        self._request = _HEAD.format(token=token, length=BODY).encode() + _BODY
        self._transport: asyncio.Transport | None = None
        self._sent = 0.0
        """When the request under way began; 0 if there is none."""
        self._again = False
        """It was sent on a connection that was just being closed, and is sent once more."""
        self._answer = b""

    def send(self) -> None:
        """One request."""
        self._sent, self._answer, self._again = time.monotonic(), b"", False
        self._write()

    def _write(self) -> None:
        if self._transport is None or self._transport.is_closing():
            self._load.connect(self)
        else:
            self._transport.write(self._request)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        self._answer += data
        end = self._answer.find(b"\r\n\r\n")
        if end < 0 or not self._sent:
            return
        length = _LENGTH.search(self._answer)
        if length is not None and len(self._answer) >= end + 4 + int(length[1]):
            self._over(self._answer[9:12].decode())

    def connection_lost(self, error: Exception | None) -> None:
        self._transport = None
        if self._sent and not self._answer and not self._again:
            self._again = True
            self._load.again += 1
            self._load.connect(self)
        elif self._sent:
            self._over("lost")

    def failed(self) -> None:
        """There is no connection to be had."""
        if self._sent:
            self._over("connect")

    def _over(self, status: str) -> None:
        sent, self._sent = self._sent, 0.0
        self._load.over(self, status, time.monotonic() - sent)


class Load:
    """All of them, and what came of their requests."""

    def __init__(self, host: str, port: int, callers: list[tuple[str, str]]) -> None:
        self.again = 0
        self._server = (host, port)
        lines = [Line(self, *callers[number % len(callers)]) for number in range(max(CONNECTIONS, len(callers)))]
        self._idle = deque(lines)
        self._lines = len(lines)
        self._dialling: set[asyncio.Task[None]] = set()
        self._statuses: Counter[str] = Counter()
        self._latencies: list[float] = []
        self._left = self._under_way = 0
        self._follow = False
        self._whole = asyncio.Event()

    def connect(self, line: Line) -> None:
        """Open its connection, in the background."""
        task = asyncio.get_running_loop().create_task(self._connect(line))
        self._dialling.add(task)
        task.add_done_callback(self._dialling.discard)

    async def _connect(self, line: Line) -> None:
        try:
            await asyncio.get_running_loop().create_connection(lambda: line, *self._server, local_addr=(line.address, 0))
        except OSError:
            line.failed()

    def over(self, line: Line, status: str, seconds: float) -> None:
        """An answer, or the want of one."""
        self._statuses[status] += 1
        self._latencies.append(seconds)
        self._idle.append(line)
        self._under_way -= 1
        if self._follow:
            self._next()
        if not self._left and not self._under_way:
            self._whole.set()

    def _next(self) -> None:
        if self._left and self._idle:
            self._left -= 1
            self._under_way += 1
            self._idle.popleft().send()

    async def act(self, order: Order) -> Order:
        """See the head of the module. Raises BadRun if an answer was not 200 and the order does not say that it may be."""
        self._left, self._follow, self.again = order["count"], "rate" not in order, 0
        self._statuses.clear()
        self._latencies = []
        self._whole.clear()
        telling = asyncio.create_task(self._tell(order["count"]))
        started = time.monotonic()
        try:
            if self._follow:
                for _ in range(order["at_once"]):
                    self._next()
            else:
                await self._paced(order["count"], order["rate"])
            await self._whole.wait()
        finally:
            telling.cancel()
        seconds = time.monotonic() - started
        refused = self._statuses.total() - self._statuses["200"]
        if refused and not order.get("may_be_refused"):
            raise BadRun(f"statuses: {dict(self._statuses)}")
        shares = statistics.quantiles(self._latencies, n=100) if len(self._latencies) > 1 else [0.0] * 99
        facts = {"p50": shares[49], "p99": shares[98], "most": max(self._latencies)}
        return {"seconds": seconds, "again": self.again, "refused": refused, **facts}

    async def _paced(self, count: int, rate: float) -> None:
        """Each connection once in a round, in another order in each: devboxes do not keep step with one another."""
        started, issued, shuffled = time.monotonic(), 0, -self._lines
        while issued < count:
            await asyncio.sleep(TICK)
            due = min(count, int((time.monotonic() - started) * rate))
            if issued - shuffled >= self._lines:
                self._idle = deque(random.sample(list(self._idle), len(self._idle)))
                shuffled = issued
            for _ in range(due - issued):
                self._next()
            issued = count - self._left

    async def _tell(self, count: int) -> None:
        while True:
            await asyncio.sleep(TOLD_SECONDS)
            tell(progress=f"  {len(self._latencies)} of {count} requests")


if __name__ == "__main__":
    _list = [(address, token) for address, token in json.loads(Path(sys.argv[3]).read_text())]
    uvloop.run(obey(Load(sys.argv[1], int(sys.argv[2]), _list).act))
