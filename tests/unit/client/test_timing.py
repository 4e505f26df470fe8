"""A limit in time that forgets neither its caller's cancellation nor a result."""

import asyncio

import pytest

from devbox_gateway.kube.timing import within


async def test_in_time() -> None:
    assert await within(30, asyncio.sleep(0, "done")) == "done"
    assert await within(None, asyncio.sleep(0, "done")) == "done"


async def test_too_late_it_is_cancelled_and_has_ended() -> None:
    ended = asyncio.Event()

    async def work() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    with pytest.raises(TimeoutError):
        await within(0.01, work())
    assert ended.is_set()


async def test_its_failure_is_told() -> None:
    async def work() -> None:
        raise KeyError("x")

    with pytest.raises(KeyError):
        await within(30, work())


async def test_a_caller_that_is_cancelled_as_the_result_comes_stays_cancelled() -> None:
    """asyncio.wait_for of Python 3.11 returns the result."""
    come: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    async def work() -> str:
        return await come

    task = asyncio.create_task(within(30, work()))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    come.set_result("came")
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
