"""A devbox's HTTP client that never tries twice, so that nothing that goes wrong is hidden, and a load of such clients.

Goes in: requests, at a rate. Comes out: an `Answer` each, also where there was none, and tallies of them.
"""

import asyncio
import contextlib
import json
import ssl
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from time import monotonic as now
from typing import Final

from tests.support.gateway_process import HOST

from .report import p

Target = tuple[str, int]
AGAIN: Final = 10
"""Times in a row that something has to be so, to be so for good."""


async def for_good(right: Callable[[], Awaitable[bool]], seconds: float, every: float = 0.02) -> float | None:
    """Seconds until it is so and stays so; None if it is not in time. (What was refused once may be answered at the next moment.)"""
    start, count, since = now(), 0, 0.0
    while count < AGAIN and (count or now() - start < seconds):
        if await right():
            since, count = since if count else now(), count + 1
        else:
            count = 0
        await asyncio.sleep(every)
    return since - start if count == AGAIN else None


@dataclass
class Answer:
    """What came back."""

    status: int = 0
    """0: nothing, or no whole head."""
    headers: dict[str, str] = field(default_factory=dict)
    """Names in lower case."""
    body: bytes = b""
    error: str = ""
    """`refused`: no connection; `no answer`: it ended before a head; `cut`: the body is not whole."""
    seconds: float = 0.0
    """To the end."""

    @property
    def fine(self) -> bool:
        """200, and whole."""
        return self.status == 200 and not self.error

    @property
    def kind(self) -> str:
        """For a tally of errors."""
        return self.error or str(self.status)

    @property
    def code(self) -> str:
        """Of a refusal of the gateway's own; else nothing."""
        with contextlib.suppress(ValueError, KeyError, TypeError):
            return str(json.loads(self.body)["error"]["code"])
        return ""


class Client:
    """One keep-alive connection at a time, from one address."""

    def __init__(self, target: Callable[[], Target], source: str, token: str, trust: ssl.SSLContext, host: str = HOST) -> None:
        self._target, self._source, self._token, self._trust, self._host = target, source, token, trust, host
        self._pair: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def request(self, method: str = "GET", path: str = "/", body: bytes = b"", **headers: str) -> Answer:
        """Ask once, and read all of the answer."""
        answer, started = Answer(), now()
        pieces = bytearray()
        try:
            async for piece in self.stream(answer, method, path, body, **headers):
                pieces += piece
        finally:
            answer.body, answer.seconds = bytes(pieces), now() - started
        return answer

    async def stream(
        self, answer: Answer, method: str = "GET", path: str = "/", body: bytes = b"", **headers: str
    ) -> AsyncIterator[bytes]:
        """Ask once; fill `answer` in, and give the body as it comes."""
        try:
            if self._pair is None:
                self._pair = await self._connect()
        except OSError:
            answer.error = "refused"
            return
        reader, writer = self._pair
        try:
            writer.write(self._head(method, path, len(body), headers) + body)
            await _read_head(reader, answer)
        except (OSError, asyncio.IncompleteReadError):
            answer.error = "no answer"
            self.close()
            return
        try:
            async for piece in _body(reader, answer):
                yield piece
        except (OSError, asyncio.IncompleteReadError, ValueError):
            answer.error = "cut"
        if answer.error or answer.headers.get("connection", "").lower() == "close":
            self.close()

    async def connect(self) -> None:
        """Be connected before the first request. Raises OSError."""
        if self._pair is None:
            self._pair = await self._connect()

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        host, port = self._target()
        return await asyncio.open_connection(
            host, port, ssl=self._trust, server_hostname=self._host, local_addr=(self._source, 0), ssl_handshake_timeout=10
        )

    def _head(self, method: str, path: str, length: int, headers: dict[str, str]) -> bytes:
        lines = [f"{method} {path} HTTP/1.1", f"Host: {self._host}", f"x-api-key: {self._token}"]
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        if method in ("POST", "PUT"):
            lines.append(f"Content-Length: {length}")
        return "\r\n".join([*lines, "", ""]).encode()

    def close(self) -> None:
        """Let go of the connection, at once."""
        if self._pair is not None:
            self._pair[1].transport.abort()
            self._pair = None


async def _read_head(reader: asyncio.StreamReader, answer: Answer) -> None:
    while True:
        first, *lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").strip().split("\r\n")
        status = int(first.split(" ")[1])
        if status >= 200:
            break
    answer.status = status
    answer.headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}


async def _body(reader: asyncio.StreamReader, answer: Answer) -> AsyncIterator[bytes]:
    headers = answer.headers
    if "chunked" in headers.get("transfer-encoding", ""):
        while size := int(await reader.readuntil(b"\r\n"), 16):
            yield (await reader.readexactly(size + 2))[:-2]
        await reader.readuntil(b"\r\n")
        return
    left = int(headers["content-length"])
    while left:
        piece = await reader.read(min(left, 1 << 16))
        if not piece:
            raise asyncio.IncompleteReadError(b"", left)
        left -= len(piece)
        yield piece


@dataclass
class Tally:
    """Answers of a load."""

    seconds: list[float] = field(default_factory=list)
    """Of those that were fine."""
    errors: list[tuple[float, str]] = field(default_factory=list)
    """When they began (monotonic seconds), and what came of them."""
    codes: dict[str, set[str]] = field(default_factory=dict)
    """What the gateway said why, by what came."""

    def add(self, began: float, answer: Answer) -> None:
        """One of them."""
        if answer.fine:
            self.seconds.append(answer.seconds)
        else:
            self.errors.append((began, answer.kind))
            self.codes.setdefault(answer.kind, set()).add(answer.code)

    @property
    def kinds(self) -> str:
        """The errors, counted."""
        counts = Counter(kind for _, kind in self.errors)
        said = {kind: " ".join(["", *sorted(filter(None, self.codes.get(kind, ())))]) for kind in counts}
        return ", ".join(f"{count} x {kind}{said[kind]}" for kind, count in counts.items()) or "no error"

    @property
    def p99(self) -> float:
        """Seconds."""
        return p(99, self.seconds)


async def load(rate: float, seconds: float, clients: list[Client], one: Callable[[Client], Awaitable[Answer]]) -> Tally:
    """`rate` requests a second, each at its time, by whichever client is free: a slow answer delays nobody else's request."""
    tally, free, tasks = Tally(), list(clients), set[asyncio.Task[None]]()

    async def ask(client: Client) -> None:
        began = now()
        tally.add(began, await one(client))
        free.append(client)

    started = now()
    for number in range(int(rate * seconds)):
        await asyncio.sleep(max(0.0, started + number / rate - now()))
        while not free:  # all of them wait for an answer: the load is lower than it was to be
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        task = asyncio.create_task(ask(free.pop(0)))
        tasks.add(task)
        task.add_done_callback(tasks.discard)
    await asyncio.gather(*tasks)
    return tally
