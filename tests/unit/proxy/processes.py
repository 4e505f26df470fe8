"""What tests of a gateway process share."""

import asyncio
from collections.abc import Awaitable, Callable

import aiohttp
import pytest
from tests.support import addresses
from tests.support.gateway_process import Process


def own_address() -> str:
    """An address of this machine that is not loopback, where no setting lets a gateway lead."""
    try:
        return addresses.own_address()
    except OSError:
        pytest.skip("this machine has no address but loopback")


async def readiness(http: aiohttp.ClientSession, gateway: Process) -> int:
    async with http.get(f"http://127.0.0.1:{gateway.admin}/readyz") as response:
        return response.status


async def until_ready(http: aiohttp.ClientSession, gateway: Process, status: int) -> None:
    async with asyncio.timeout(10):
        while await readiness(http, gateway) != status:  # noqa: ASYNC110 (another process)
            await asyncio.sleep(0.02)


async def until_refused(call: Callable[[], Awaitable[object]], error: type[Exception]) -> None:
    """Nobody listens any more."""
    while True:
        try:
            await call()
        except error:
            return
        await asyncio.sleep(0.05)
