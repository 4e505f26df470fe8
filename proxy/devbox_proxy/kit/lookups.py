"""Names to addresses, without the silent servers of one's names holding up the names of others.

Goes in: a host, and whose lookup it is. Comes out: addresses, or a gaierror. getaddrinfo(3) blocks, for as long as resolv.conf(5) has it
wait for servers that say nothing, and it can't be stopped; the event loop's own pool for it has four threads. So it gets threads of its
own, and a name one of them at a time.

A thread counts for its owner until it has ended, whether anybody still waits or not. How many an owner may have depends on how many are
free (dynamic thresholds, as switches share their buffers: Choudhury and Hahne, 1998): whoever has none gets one while there is any, and
others leave some free for them. Who may have no more waits, and a thread that ends goes to whoever has the fewest, in turns.

By TCP it may wait for ever: then what it waits for is ended (stuck_lookups.py).
"""

import asyncio
import socket
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import Final

import structlog

from devbox_common.stuck_lookups import StuckLookups

log = structlog.get_logger()

THREADS: Final = 128
"""So many names may have silent servers before others wait. A thread is started when there is work for it."""
FREE_FOR_EACH: Final = 8
"""More than so many must be free for each thread that an owner has, before it gets another. So one has 15 at most; eight have 8 each and
leave half of all free; fewer than 28 can't take all, in whatever order they come."""
SECONDS: Final = 5.0
"""For a caller, its turn included. A lookup that has a thread goes on, for whoever asks next."""


class _Lookup:
    """One name: from the first who asks until its thread has ended, or, while it has none, until nobody waits any more."""

    def __init__(self, host: str) -> None:
        self.host = host
        self.answer: asyncio.Future[list[str]] = asyncio.get_running_loop().create_future()
        self.callers: Counter[str] = Counter()
        """How many wait, by owner."""
        self.begun = False


class Lookups:
    """The names that are being looked up, or wait for it."""

    def __init__(self, threads: int = THREADS) -> None:
        self._threads = ThreadPoolExecutor(threads, "lookup")
        self._looks = ThreadPoolExecutor(1, "stuck-lookups")
        """Of its own: all others may be what it is to free."""
        self._free = threads
        self._busy: Counter[str] = Counter()
        """Threads, by owner."""
        self._lookups: dict[str, _Lookup] = {}
        self._waiting: dict[str, dict[_Lookup, None]] = {}
        """What has no thread yet, by every owner that waits for it. Who had a thread last comes last."""
        self._begun: dict[_Lookup, float] = {}
        """Those that have a thread, and since when: the oldest comes first."""
        self._watch: asyncio.Task[None] | None = None
        self._closed = False

    async def addresses(self, host: str, owner: str) -> list[str]:
        """The host's addresses, as the system orders them. Raises socket.gaierror where there is none, or no answer in time."""
        lookup = self._lookups.get(host)
        if lookup is None:
            lookup = self._lookups[host] = _Lookup(host)
        lookup.callers[owner] += 1
        try:
            if not lookup.begun:
                # Also where another owner asked first: who could have a thread does not wait for one who can't.
                self._waiting.setdefault(owner, {})[lookup] = None
                if self._may(owner):
                    self._begin(lookup, owner)
            async with asyncio.timeout(SECONDS):
                return await asyncio.shield(lookup.answer)
        except TimeoutError:
            raise socket.gaierror(socket.EAI_AGAIN, f"no answer from DNS in {SECONDS:g} s") from None
        finally:
            self._leave(lookup, owner)

    def close(self) -> None:
        """Start no more; those under way end by themselves."""
        self._closed = True
        if self._watch is not None:
            self._watch.cancel()
        self._looks.shutdown(wait=False, cancel_futures=True)
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _may(self, owner: str) -> bool:
        return self._busy[owner] * FREE_FOR_EACH < self._free and not self._closed

    def _begin(self, lookup: _Lookup, owner: str) -> None:
        thread = asyncio.get_running_loop().run_in_executor(self._threads, _ask, lookup.host)
        self._free -= 1
        self._busy[owner] += 1
        lookup.begun = True
        self._begun[lookup] = asyncio.get_running_loop().time()
        if self._watch is None or self._watch.done():
            self._watch = asyncio.create_task(self._watching())
        for caller in lookup.callers:
            self._no_longer_waits(lookup, caller)
        thread.add_done_callback(lambda done: self._ended(lookup, owner, done))

    async def _watching(self) -> None:
        """While any has a thread: end what nothing else would."""
        stuck = StuckLookups()
        while self._begun:
            await asyncio.sleep(SECONDS)
            since = next(iter(self._begun.values()), None)
            if since is not None and since + SECONDS < asyncio.get_running_loop().time():
                cut = await asyncio.get_running_loop().run_in_executor(self._looks, stuck.look)
                if cut:
                    log.warning("name_servers_silent", connections=cut, advice="see that they answer by TCP, too, on port 53")

    def _ended(self, lookup: _Lookup, owner: str, done: asyncio.Future[list[str]]) -> None:
        del self._begun[lookup]
        self._free += 1
        self._busy[owner] -= 1
        if not self._busy[owner]:
            del self._busy[owner]
        if owner in self._waiting:
            self._waiting[owner] = self._waiting.pop(owner)
        del self._lookups[lookup.host]
        if done.cancelled():
            lookup.answer.cancel()
        elif error := done.exception():
            lookup.answer.set_exception(error)
            lookup.answer.exception()  # seen, also when everybody has stopped waiting
        else:
            lookup.answer.set_result(done.result())
        self._next()

    def _next(self) -> None:
        while self._waiting:
            owner = min(self._waiting, key=lambda each: self._busy[each])
            if not self._may(owner):
                return
            self._begin(next(iter(self._waiting[owner])), owner)

    def _leave(self, lookup: _Lookup, owner: str) -> None:
        lookup.callers[owner] -= 1
        if not lookup.callers[owner]:
            del lookup.callers[owner]
            if not lookup.begun:
                self._no_longer_waits(lookup, owner)
        if not lookup.callers and not lookup.begun:
            del self._lookups[lookup.host]

    def _no_longer_waits(self, lookup: _Lookup, owner: str) -> None:
        waiting = self._waiting[owner]
        del waiting[lookup]
        if not waiting:
            del self._waiting[owner]


def _ask(host: str) -> list[str]:
    try:
        infos = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except UnicodeError:  # a label that is empty or too long (the standard library's IDNA codec)
        raise socket.gaierror(socket.EAI_NONAME, "not a name that DNS can hold") from None
    return list(dict.fromkeys(str(info[4][0]) for info in infos))
