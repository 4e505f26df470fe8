"""Names to addresses, without one name's silent server holding up the others.

Goes in: a host and a port. Comes out: addresses, or OSError. getaddrinfo(3) blocks, for half a minute where a server says nothing,
and the event loop's own pool for it has four threads; so it gets threads of its own, and a name one of them at a time.
"""

import asyncio
import socket
from concurrent.futures import ThreadPoolExecutor
from typing import Final

THREADS: Final = 128
"""So many names may have silent servers before others wait. A thread is started when there is work for it."""
SECONDS: Final = 5.0
"""For a caller. The lookup itself goes on, for whoever asks next."""


class Lookups:
    """The names that are being looked up."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(THREADS, "lookup")
        self._running: dict[str, asyncio.Future[list[str]]] = {}

    async def addresses(self, host: str) -> list[str]:
        """The host's addresses, as the system orders them. Raises OSError where there is none, or no answer in time."""
        lookup = self._running.get(host)
        if lookup is None:
            lookup = self._running[host] = asyncio.get_running_loop().run_in_executor(self._threads, _ask, host)
            lookup.add_done_callback(lambda done: self._end(host, done))
        try:
            async with asyncio.timeout(SECONDS):
                return await asyncio.shield(lookup)
        except TimeoutError:
            raise OSError(f"no answer from DNS in {SECONDS:g} s") from None

    def close(self) -> None:
        """Start no more; those under way end by themselves."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _end(self, host: str, done: asyncio.Future[list[str]]) -> None:
        del self._running[host]
        if not done.cancelled():
            done.exception()  # seen, also when everybody has stopped waiting


def _ask(host: str) -> list[str]:
    try:
        infos = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except UnicodeError:  # a label that is empty or too long (the standard library's IDNA codec)
        raise OSError("not a name that DNS can hold") from None
    return list(dict.fromkeys(str(info[4][0]) for info in infos))
