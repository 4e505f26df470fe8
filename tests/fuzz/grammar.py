"""Requests that are almost right: a grammar of good ones, of what servers have read differently, and mutations of bytes.

Goes in: a seed and a number. Comes out: always the same `Sample`. A valid token is written as `TOKEN`, so that samples can be printed.
The variants are of RFC 9112, PortSwigger's and defparam/smuggler's permutations, and narfindustries/http-garden's TROPHIES.md.
"""

import random
from dataclasses import dataclass
from typing import Final

TOKEN: Final = b"gws_TOKEN"
METHODS: Final = b"GET GET GET POST POST PUT PATCH DELETE OPTIONS HEAD".split()
ODD_METHODS: Final = b"TRACE CONNECT PRI get GET\t G\x00T GE\xd4 POST_ PROPFIND A".split(b" ")
TARGETS: Final = (
    b"/v1/messages",
    b"/",
    b"/v1/a%20b?x=1&y=%2F",
    b"/v1/models/m:generate?alt=sse&&z",
    b"/a//b/./c",
    b"/v1?key=" + TOKEN + b"&a=1",
)
ODD_TARGETS: Final = (
    b"*",
    b"http://other.example/x",
    b"//evil/x",
    b"/../x",
    b"/%2e%2e/x",
    b"/..;/x",
    b"/a b",
    b"/a\tb",
    b"/\xc3\xa9",
    b"/x#y",
    b"/%00",
    b"/%zz",
    b"?x",
    b"/a%0d%0aX:%20y",
    b"/\\..\\x",
    b"/x\x00y",
    b"host:443",
)
VERSIONS: Final = (b"HTTP/1.1",) * 20 + (
    b"HTTP/1.0",
    b"HTTP/1.2",
    b"HTTP/2.0",
    b"HTTP/0.9",
    b"http/1.1",
    b"HTTP/1.1 ",
    b"HTTP/01.1",
    b"",
)
HEADERS: Final = (
    (b"Accept", b"*/*"),
    (b"User-Agent", b"fuzz/1"),
    (b"Content-Type", b"application/json"),
    (b"X-A", b"1"),
    (b"X-A", b""),
    (b"X-B", b"caf\xe9"),
    (b"Cookie", b"a=1; b=2"),
    (b"Accept-Encoding", b"gzip"),
    (b"Connection", b"keep-alive"),
    (b"Connection", b"close"),
    (b"Connection", b"X-A, keep-alive"),
    (b"Connection", b"content-length, authorization"),
    (b"TE", b"trailers"),
    (b"Trailer", b"X-A"),
    (b"Expect", b"100-continue"),
    (b"Upgrade", b"websocket"),
    (b"Upgrade", b"h2c"),
    (b"X-Forwarded-For", b"1.2.3.4"),
    (b"Forwarded", b"for=1.2.3.4"),
    (b"Via", b"1.1 x"),
    (b"Host", b"evil.example"),
    (b"Authorization", b"Bearer sk-evil"),
    (b"X-Api-Key", TOKEN),
    (b"x_api_key", b"sk-evil"),
    (b"user_id", b"42"),
    (b"x-amz-meta-realm_id", b"r_1"),
    (b"content_length", b"9"),
    (b"X-HTTP-Method-Override", b"DELETE"),
    (b"Content-Length", b"0"),
    (b"Transfer-Encoding", b"chunked"),
)
CODINGS: Final = (
    b"chunked",
    b"Chunked",
    b"CHUNKED",
    b"xchunked",
    b"chunked, identity",
    b"identity, chunked",
    b"gzip, chunked",
    b"chunked,",
    b",chunked",
    b"chunked;q=1",
    b'"chunked"',
    b"\x0bchunked",
    b"chunked\x0c",
    b"\tchunked",
    b"chunked\t ",
    b"chunk",
    b"identity",
    b"",
    b"chunked\x00",
    b"c\xe6hunked",
)
LENGTH_FORMS: Final = (
    b"%d",
    b"%d",
    b"%d",
    b"+%d",
    b"-%d",
    b"0x%x",
    b"%d, %d",
    b"%d,",
    b" %d ",
    b"0%d",
    b"%d.0",
    b"%d_0",
    b"%de0",
    b"9%018d",
    b"18446744073709551616",
    b"",
    b"%d\x00",
    b"\xd9\xa3",
)
SIZE_FORMS: Final = (
    b"%x",
    b"%x",
    b"%x",
    b"%X",
    b"0%x",
    b"000000000000000000000%x",
    b"%x;a=b",
    b'%x;a="b;c"',
    b"%x ;a",
    b"%x;a\tb",
    b"%x ",
    b" %x",
    b"+%x",
    b"-%x",
    b"0x%x",
    b"%x_0",
    b"%x\x00",
    b"%xg",
    b"fffffffffffffff0%x",
    b"%x;\n",
    b"%x;\r",
    b"",
)
ENDS: Final = (b"\r\n",) * 40 + (b"\n", b"\r", b"\r\r\n", b"\n\r", b"\r\n ", b"\r\n\t", b"", b"\x0b\r\n", b"\x85")
NAME_ENDS: Final = (b": ",) * 40 + (b":", b" : ", b"\t: ", b":\t", b"::", b" ", b"", b":\x00", b":\x0b", b"\x00: ", b":\xa0")
BYTES: Final = b'\x00\t\n\x0b\x0c\r "#%,:;=\\\x7f\x80\x85\xa0\xff_-'


@dataclass(frozen=True)
class Sample:
    """What one client sends on one connection."""

    number: int
    data: bytes
    """With `TOKEN` in the place of a token."""
    segments: tuple[int, ...]
    """Lengths of the pieces that it is sent in; the last one takes the rest."""
    fin: bool
    """The client then says that nothing more will come."""


class _Maker:
    """One sample's random choices."""

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance
        self.odd = chance.choice((0.0, 0.02, 0.05, 0.15))
        """How often an odd form is taken where a good one would do."""

    def pick(self, good: tuple[bytes, ...] | list[bytes], odd: tuple[bytes, ...] | list[bytes]) -> bytes:
        return self._chance.choice(odd if self._chance.random() < self.odd else good)

    def request(self) -> bytes:
        """One request."""
        method = self.pick(METHODS, ODD_METHODS)
        target = self.pick(TARGETS, ODD_TARGETS)
        version = self.pick((b"HTTP/1.1",), VERSIONS)
        headers = [(b"Host", b"gateway.system.svc"), (b"Authorization", b"Bearer " + TOKEN)]
        headers += self._chance.sample(HEADERS[:9], self._chance.randrange(4))
        if self._chance.random() < 3 * self.odd:
            headers += self._chance.sample(HEADERS, self._chance.randrange(1, 3))
        body = b""
        if method not in (b"GET", b"HEAD", b"OPTIONS") or self._chance.random() < 0.1:
            body, framing = self._body()
            headers += framing
        if self._chance.random() < 0.3:
            self._chance.shuffle(headers)
        if self._chance.random() < self.odd:
            headers.insert(self._chance.randrange(len(headers)), self._chance.choice(headers))
        lines = [method + b" " + target + b" " + version + self._end()]
        for name, value in headers:
            spelled = self._chance.choice((name, name.lower(), name.upper())) if self._chance.random() < 0.1 else name
            lines.append(spelled + self.pick((b": ",), NAME_ENDS) + value + self._end())
        return b"".join(lines) + self._end() + body

    def _end(self) -> bytes:
        return self.pick((b"\r\n",), ENDS)

    def _body(self) -> tuple[bytes, list[tuple[bytes, bytes]]]:
        content = self._content()
        if self._chance.random() < 0.5:
            form = self.pick((b"%d",), LENGTH_FORMS)
            length = len(content) + (self._chance.choice((-1, 1, 5)) if self._chance.random() < self.odd else 0)
            return content, [(b"Content-Length", form % ((length,) * form.count(b"%")))]
        framing = [(b"Transfer-Encoding", self.pick((b"chunked",), CODINGS))]
        if self._chance.random() < self.odd:
            framing.append((b"Content-Length", b"%d" % len(content)))
        return self._chunks(content), framing

    def _content(self) -> bytes:
        kind = self._chance.random()
        if kind < 0.1:
            return b""
        if kind < 0.2:
            return b"GET /smuggled HTTP/1.1\r\nHost: g\r\nX-Api-Key: " + TOKEN + b"\r\n\r\n"
        if kind < 0.25:
            return b"0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: g\r\n\r\n"
        return self._chance.randbytes(self._chance.choice((1, 3, 16, 200)))

    def _chunks(self, content: bytes) -> bytes:
        found, position = [], 0
        while position < len(content):
            size = self._chance.choice((1, 2, 16, 255, len(content)))
            piece = content[position : position + size]
            position += len(piece)
            form = self.pick((b"%x",), SIZE_FORMS)
            found.append(form % ((len(piece),) * form.count(b"%")) + self._end() + piece + self._end())
        trailer = b"X-Trailer: 1" + self._end() if self._chance.random() < 0.1 else b""
        if self._chance.random() < self.odd:
            trailer = self._chance.choice(
                (b"Content-Length: 3\r\n", b"Host: evil\r\n", b"X\r\n", b" x\r\n", b"GET / HTTP/1.1\r\n")
            )
        return (
            b"".join(found)
            + self.pick((b"0",), (b"00", b"", b"0;x", b"0 ", b"-0", b"0x0"))
            + self._end()
            + trailer
            + self._end()
        )

    def mutate(self, data: bytes) -> bytes:
        """One change of bytes."""
        chance, at = self._chance, self._chance.randrange(len(data) + 1)
        kind = chance.randrange(7)
        if kind == 0 and at < len(data):
            return data[:at] + bytes([data[at] ^ 1 << chance.randrange(8)]) + data[at + 1 :]
        if kind == 1:
            return data[:at] + bytes([chance.choice(BYTES)]) + data[at:]
        if kind == 2:
            return data[:at] + data[at + chance.randrange(1, 4) :]
        if kind == 3:
            end = at + chance.randrange(1, 40)
            return data[:end] + data[at:end] + data[end:]
        if kind == 4:
            other = self.request()
            return data[:at] + other[chance.randrange(len(other)) :]
        if kind == 5:
            return data[:at] + chance.choice((b"\r\n", b"\n", b"\r", b"\r\n\r\n", b"\r\n ", b"0\r\n\r\n")) + data[at:]
        return data[:at]


def sample(seed: int, number: int) -> Sample:
    """The same for the same seed and number, in every process and release of Python that random keeps its word in."""
    chance = random.Random(f"{seed}:{number}")  # noqa: S311 (it must be the same again)
    maker = _Maker(chance)
    data = b"".join(maker.request() for _ in range(chance.choice((1, 1, 1, 1, 2, 3))))
    for _ in range(chance.choice((0, 0, 1, 1, 2))):
        data = maker.mutate(data)
    segments: tuple[int, ...] = ()
    if chance.random() < 0.3:
        segments = tuple(chance.randrange(1, 60) for _ in range(chance.randrange(1, 6)))
    elif chance.random() < 0.03:
        segments = (1,) * min(len(data), 300)
    return Sample(number, data, segments, chance.random() < 0.1)
