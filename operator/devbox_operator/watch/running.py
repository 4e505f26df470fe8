"""Mirrors that run, each in a task of its own, from when they are needed until they are not."""

import asyncio
from typing import Any

from devbox_common.mirror import Mirror


class Running:
    """Starts and stops them."""

    def __init__(self) -> None:
        self._tasks: dict[Mirror[Any], asyncio.Task[None]] = {}

    def start(self, mirror: Mirror[Any]) -> None:
        """From now on it follows the API server."""
        self._tasks[mirror] = asyncio.create_task(mirror.run())

    def cancel(self, mirror: Mirror[Any]) -> None:
        """Nobody needs it any more."""
        self._tasks.pop(mirror).cancel()

    async def stop(self) -> None:
        """Cancel all."""
        for task in self._tasks.values():
            task.cancel()
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)
