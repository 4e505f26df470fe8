"""`gen: <name>` where it stands for bytes: long requests, and answers of an API that can't be written down.

Goes in: the generator and the run's values. Comes out: steps of the client, or an `Answer` of the recorder. Generators that need
many connections or a clock are in floods.py.
"""

import asyncio
import base64
import functools
import gzip
import re
import struct
import zlib
from collections.abc import AsyncIterator, Callable
from typing import Final
from urllib.parse import quote

from tests.support.recorder import Answer, Peer, Recorded

from .corpus import Generator, Step, Values, Word
from .run import Run

PIECE: Final = 64 * 1024
EVENTS: Final = 8
EVENT_SECONDS: Final = 0.25
UPLOAD: Final = 4 << 20


def post(values: Values, framing: str, path: str = "/v1/models") -> bytes:
    """The head of a POST."""
    return f"POST {path} HTTP/1.1\r\nHost: {values.host}\r\nAuthorization: Bearer {values.token}\r\n{framing}\r\n\r\n".encode()


def get(values: Values, path: str = "/v1/models", more: str = "") -> bytes:
    """A GET."""
    return f"GET {path} HTTP/1.1\r\nHost: {values.host}\r\nAuthorization: Bearer {values.token}\r\n{more}\r\n".encode()


def _chunk_ext_flood(generator: Generator, values: Values) -> list[Step]:
    chunk = b"1;x=" + b"a" * generator.number("ext_bytes", 4096) + b"\r\nb\r\n"
    return [post(values, "Transfer-Encoding: chunked") + chunk * generator.number("n", 1000) + b"0\r\n\r\n"]


def _tiny_chunks(generator: Generator, values: Values) -> list[Step]:
    return [post(values, "Transfer-Encoding: chunked") + b"1\r\nb\r\n" * generator.number("n", 1_000_000) + b"0\r\n\r\n"]


def _segmented_request_line(generator: Generator, values: Values) -> list[Step]:
    size, segment = generator.number("bytes", 9216), generator.number("segment", 64)
    data = get(values, "/" + "a" * size)
    found: list[Step] = []
    for start in range(0, len(data), segment):
        found += [data[start : start + segment], Word("DELAY", 0.001)]
    return found


def _config(generator: Generator, values: Values) -> list[Step]:
    return [get(values)]


CLIENT: Final[dict[str, Callable[[Generator, Values], list[Step]]]] = {
    "chunk_ext_flood": _chunk_ext_flood,
    "tiny_chunks": _tiny_chunks,
    "segmented_request_line": _segmented_request_line,
    "config": _config,
}
"""What a client sends. `config` changes what the gateway is told (exchange.py) and then asks."""


def answer(run: Run, script: list[Step]) -> Answer:
    """The API's side of a run: the case's own answer to the case's own requests."""

    async def scripted(request: Recorded, peer: Peer) -> None:
        for step in script:
            if isinstance(step, bytes):
                run.script += step
                await peer.write(step)
            elif isinstance(step, Generator):
                if step.name not in UPSTREAM:
                    raise ValueError(f"generator not understood: {step.name}")
                async for piece in UPSTREAM[step.name](run, request):
                    run.script += piece[: max(0, (8 << 20) - len(run.script))]
                    await peer.write(piece)
            elif step.waits:
                await asyncio.sleep(step.seconds)
            else:
                peer.closing = True
                if step.name == "RST":
                    peer.writer.transport.abort()
        if not _stays_open(run.script, request.method):
            await asyncio.sleep(0.05)
            peer.closing = True

    return scripted


_INFORMATIONAL: Final = re.compile(rb"(?:HTTP/1\.1 1(?!01)\d\d [^\r]*\r\n(?:[^\r]+\r\n)*\r\n)*")
_LENGTH: Final = re.compile(rb"\ncontent-length:[ \t]*(\d+)[ \t]*\r?(?:\n|$)")


def _stays_open(data: bytes, method: bytes) -> bool:
    """The answer ends by itself, so that its connection could be used again; else only a close ends it."""
    informational = _INFORMATIONAL.match(data)
    head, _, body = data[informational.end() if informational else 0 :].partition(b"\r\n\r\n")
    lower = head.lower()
    if method == b"HEAD" or re.match(rb"http/1\.1 (?:101|204|304)", lower):
        return True
    if b"connection: close" in lower:
        return False
    if b"transfer-encoding: chunked" in lower:
        return body.endswith(b"\r\n\r\n") or body == b"0\r\n\r\n"
    length = _LENGTH.search(lower)
    # A length that is no number is the gateway's to end.
    return len(body) >= int(length[1]) if length else b"content-length:" in lower


async def _gzip_body(run: Run, request: Recorded) -> AsyncIterator[bytes]:
    text = b'{"you sent":"Bearer ' + run.values.real.encode() + b'"}'
    coded = request.values("accept-encoding") != [b"identity"]
    body = gzip.compress(text) if coded else text
    head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n" + (b"Content-Encoding: gzip\r\n" if coded else b"")
    yield head + b"Content-Length: " + str(len(body)).encode() + b"\r\n\r\n" + body


def encoded_forms(real: str) -> dict[str, bytes]:
    """The forms in which a credential may come back."""
    return {
        "raw": real.encode(),
        "base64": base64.b64encode(real.encode()),
        "base64 with a user": base64.b64encode(f"user:{real}".encode()),
        "percent-encoded": quote(real, safe="").encode(),
        "JSON-escaped": real.replace("/", "\\/").encode(),
        "percent-encoded throughout": "".join(f"%{ord(letter):02X}" for letter in real).encode(),
        "reversed": real[::-1].encode(),
    }


async def _encoded_secret_variants(run: Run, request: Recorded) -> AsyncIterator[bytes]:
    body = b"\n".join(name.encode() + b"=" + value for name, value in encoded_forms(run.values.real).items())
    yield b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: " + str(len(body)).encode() + b"\r\n\r\n" + body


async def _huge_response_headers(run: Run, request: Recorded) -> AsyncIterator[bytes]:
    lines = b"".join(b"X-%d: " % number + b"a" * 56 + b"\r\n" for number in range(1000))
    yield b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n" + lines + b"\r\nok"


@functools.cache
def _bomb() -> bytes:
    """A GiB of zeros in a MiB (RFC 1952), of one compressed MiB again and again: compressing all of it takes seconds."""
    coder, zeros, many = zlib.compressobj(9, wbits=-15), bytes(1 << 20), 1024
    block = coder.compress(zeros) + coder.flush(zlib.Z_FULL_FLUSH)
    checksum = functools.reduce(lambda sum_, _: zlib.crc32(zeros, sum_), range(many), 0)
    head = b"\x1f\x8b\x08\0\0\0\0\0\x02\xff"
    return head + block * many + coder.flush() + struct.pack("<II", checksum, many << 20)


async def _gzip_bomb(run: Run, request: Recorded) -> AsyncIterator[bytes]:
    run.facts["body"] = body = await asyncio.to_thread(_bomb)
    head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Encoding: gzip\r\nContent-Length: "
    yield head + str(len(body)).encode() + b"\r\n\r\n" + body


async def _early_response(run: Run, request: Recorded) -> AsyncIterator[bytes]:
    yield b"HTTP/1.1 413 Content Too Large\r\nContent-Length: 4\r\nConnection: close\r\n\r\nfull"


async def _sse(run: Run, request: Recorded) -> AsyncIterator[bytes]:
    yield b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
    sent: list[float] = run.facts.setdefault("sent_at", [])
    for number in range(EVENTS):
        sent.append(asyncio.get_running_loop().time())
        yield b"10\r\ndata: event %02d\n\n\r\n" % number
        await asyncio.sleep(EVENT_SECONDS)
    yield b"0\r\n\r\n"


UPSTREAM: Final[dict[str, Callable[[Run, Recorded], AsyncIterator[bytes]]]] = {
    "gzip_body_with_secret": _gzip_body,
    "encoded_secret_variants": _encoded_secret_variants,
    "huge_response_headers": _huge_response_headers,
    "gzip_bomb": _gzip_bomb,
    "early_response": _early_response,
    "sse": _sse,
}
"""What an API answers."""
EARLY: Final = frozenset({"early_response"})
"""Before the body is there."""


def client_steps(script: list[Step], values: Values, upstream: list[str]) -> list[Step]:
    """What the client does, generators worked out. Raises ValueError for an unknown one."""
    if EARLY & set(upstream):
        # An answer in the middle of an upload needs an upload.
        pieces: list[Step] = [post(values, f"Content-Length: {UPLOAD}")]
        for _ in range(16):
            pieces += [bytes(UPLOAD // 16), Word("DELAY", 0.02)]
        return pieces
    found: list[Step] = []
    for step in script:
        if isinstance(step, Generator):
            if step.name not in CLIENT:
                raise ValueError(f"generator not understood: {step.name}")
            found += CLIENT[step.name](step, values)
        else:
            found.append(step)
    return found
