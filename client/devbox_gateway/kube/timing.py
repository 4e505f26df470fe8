"""A limit in time for something that is waited for.

asyncio.wait_for of Python 3.10 and 3.11 forgets that its caller was cancelled where the result comes in the same moment: whoever pressed
Ctrl-C then waits for ever.
"""

import asyncio
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any, TypeVar

T = TypeVar("T")


async def within(seconds: float | None, work: Coroutine[Any, Any, T]) -> T:
    """Its result. Raises TimeoutError after so many seconds, when it was cancelled and has ended; a cancelled caller stays cancelled."""
    task = asyncio.ensure_future(work)
    try:
        done, _ = await asyncio.wait({task}, timeout=seconds)
    except asyncio.CancelledError:
        task.cancel()
        with suppress(asyncio.CancelledError, Exception):
            await task
        raise
    if not done:
        task.cancel()
        with suppress(asyncio.CancelledError):
            return await task  # (it may have come meanwhile)
        raise TimeoutError
    return task.result()
