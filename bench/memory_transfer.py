"""Long bodies through the gateway: `python -m bench.memory_transfer HOST PORT ADDRESS TOKEN [CA]`, from ADDRESS, over TLS where CA is.

Goes in: the orders "upload" (with or without Content-Length) and "download" (of a kind) of so many bytes. Comes out: how long it took;
a byte that is missing, or is not the expected one, is a BadRun. Blocking sockets cost the least, and one body at a time is measured.
"""

import asyncio
import http.client
import json
import random
import ssl
import sys
import time
from collections.abc import Iterator
from typing import Final

from .memory_child import BadRun, Order, obey, tell

GIB: Final = 1 << 30
PIECE: Final = 256 * 1024
"""Bytes that are handed to the socket at a time."""
SECONDS: Final = 120.0
"""For a single read or write."""
PERIOD: Final = 1_048_573
"""Bytes after which the bodies repeat; a prime, so that no lost or doubled buffer goes unnoticed."""
PATTERN: Final = random.Random(1).randbytes(PERIOD) * 3  # noqa: S311 (a pattern, no secret)


class Checked:
    """Bytes of a body, counted and compared with what they should be."""

    def __init__(self) -> None:
        self.count = 0
        self.right = True

    def add(self, data: bytes | memoryview) -> None:
        """The next piece, of PERIOD bytes at most."""
        self.right = self.right and PATTERN.startswith(data, self.count % PERIOD)
        self.count += len(data)


def pieces(size: int) -> Iterator[memoryview]:
    """A body of `size` bytes; tells its progress at every GiB."""
    view, sent = memoryview(PATTERN), 0
    while sent < size:
        start = sent % PERIOD
        step = min(PIECE, size - sent)
        yield view[start : start + step]
        if sent // GIB != (sent + step) // GIB and sent + step < size:
            tell(progress=f"  {(sent + step) // GIB} GiB of {size // GIB}")
        sent += step


class Client:
    """One devbox that sends and fetches."""

    def __init__(self, host: str, port: int, address: str, token: str, ca: str | None) -> None:
        self._token = token
        self._connection = http.client.HTTPConnection(host, port, timeout=120, source_address=(address, 0))
        if ca is not None:
            context = ssl.create_default_context(cafile=ca)
            context.check_hostname = False  # it is called by its address here
            source = (address, 0)
        if ca is None:
            self._connection = http.client.HTTPConnection(host, port, timeout=SECONDS, source_address=source)
        else:
            context = ssl.create_default_context(cafile=ca)
            context.check_hostname = False  # it is called by its address here
            self._connection = http.client.HTTPSConnection(host, port, timeout=SECONDS, source_address=source, context=context)

    def upload(self, size: int, *, chunked: bool) -> None:
        """POST. Raises BadRun if the API had anything else."""
        framing = {"Transfer-Encoding": "chunked"} if chunked else {"Content-Length": str(size)}
        headers = {**framing, "x-api-key": self._token}
        self._connection.request("POST", "/v1/upload", pieces(size), headers, encode_chunked=chunked)
        answer = self._answer()
        arrived = json.loads(answer.read())
        if arrived != {"bytes": size, "right": True}:
            raise BadRun(f"of {size} bytes that were sent the API had {arrived}")

    def download(self, size: int, kind: str) -> None:
        """GET. Raises BadRun if anything else came."""
        self._connection.request("GET", f"/v1/{kind}/{size}", headers={"x-api-key": self._token})
        answer, checked, buffer = self._answer(), Checked(), memoryview(bytearray(PIECE))
        while got := answer.readinto(buffer):
            if checked.count // GIB != (checked.count + got) // GIB and checked.count + got < size:
                tell(progress=f"  {(checked.count + got) // GIB} GiB of {size // GIB}")
            checked.add(buffer[:got])
        if (checked.count, checked.right) != (size, True):
            raise BadRun(f"of {size} bytes that were asked for {checked.count} came, as they should be: {checked.right}")

    def _answer(self) -> http.client.HTTPResponse:
        answer = self._connection.getresponse()
        if answer.status != 200:
            raise BadRun(f"{answer.status} {answer.read(500)!r}")
        return answer

    async def act(self, order: Order) -> Order:
        """See the head of the module."""
        started = time.monotonic()
        if order["do"] == "download":
            self.download(order["bytes"], order["kind"])
        else:
            self.upload(order["bytes"], chunked=order["chunked"])
        return {"seconds": time.monotonic() - started}


if __name__ == "__main__":
    _host, _port, _address, _token, *_ca = sys.argv[1:]
    asyncio.run(obey(Client(_host, int(_port), _address, _token, _ca[0] if _ca else None).act))
