"""One process at a time: make, a demo and a test run in several clones may all want the same cluster and images.

Goes in: a name. Comes out: a held file lock in the cache folder, let go of when the process ends, however it ends.
"""

import contextlib
import fcntl
import threading
from collections.abc import Iterator
from typing import Final

from .paths import cache_dir
from .progress import step

_held: Final[set[tuple[str, int]]] = set()
"""Names, each with the thread that holds it."""


@contextlib.contextmanager
def locked(name: str) -> Iterator[None]:
    """Hold `$CACHE/<name>.lock`; say so while another process holds it. Raises RuntimeError instead of waiting for itself."""
    here = (name, threading.get_ident())
    if here in _held:
        raise RuntimeError(f"the lock {name} is held by this thread already")
    cache_dir().mkdir(parents=True, exist_ok=True)
    with (cache_dir() / f"{name}.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            with step(f"wait for another process that works on the {name}"):
                fcntl.flock(lock, fcntl.LOCK_EX)
        _held.add(here)
        try:
            yield
        finally:
            _held.remove(here)
