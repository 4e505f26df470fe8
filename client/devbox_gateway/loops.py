"""How a synchronous face is put on asynchronous code: an event loop in a thread, and methods that wait for it.

Goes in: an asynchronous class's method. Comes out: one with the same arguments that returns the result.
"""

import asyncio
import functools
import threading
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Concatenate, Generic, ParamSpec, TypeVar

A = TypeVar("A")
P = ParamSpec("P")
R = TypeVar("R")
S = TypeVar("S", bound="Blocking[Any]")
END_SECONDS = 30.0
"""For a call that is interrupted to clean up after itself."""


class Loop:
    """An event loop in a thread."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="devbox-gateway", daemon=True)
        self._thread.start()

    def run(self, work: Coroutine[Any, Any, R]) -> R:
        """Its result, here. Interrupted (Ctrl-C), the work is cancelled, and cleans up, before this returns."""
        if threading.current_thread() is self._thread:
            work.close()
            raise RuntimeError(
                "a callback can't make a call of the synchronous client; collect what it needs, and call afterwards"
            )
        future = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return future.result()
        except BaseException:
            if not future.done():
                future.cancel()
                done = threading.Event()
                future.add_done_callback(lambda _: done.set())
                done.wait(END_SECONDS)
            raise

    def end(self) -> None:
        """Once."""
        if self._loop.is_running():
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(END_SECONDS)
            self._loop.close()


class Blocking(Generic[A]):
    """The face of one asynchronous object."""

    def __init__(self, loop: Loop, wrapped: A) -> None:
        self._loop, self._wrapped = loop, wrapped

    def __repr__(self) -> str:
        return repr(self._wrapped).removeprefix("Async")

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Blocking) and bool(self._wrapped == other._wrapped)

    def __hash__(self) -> int:
        return hash(self._wrapped)


async def _awaited(work: Awaitable[R]) -> R:
    return await work


def call(method: Callable[Concatenate[A, P], Awaitable[R]]) -> Callable[Concatenate[Any, P], R]:
    """The method, as one that returns its result."""

    def blocked(self: Blocking[A], /, *args: P.args, **kwargs: P.kwargs) -> R:
        return self._loop.run(_awaited(method(self._wrapped, *args, **kwargs)))

    functools.update_wrapper(blocked, method)
    return blocked


def made(kind: type[S], method: Callable[Concatenate[A, P], Awaitable[Any]]) -> Callable[Concatenate[Any, P], S]:
    """Likewise, where the result is an object with a face of its own."""

    def blocked(self: Blocking[A], /, *args: P.args, **kwargs: P.kwargs) -> S:
        return kind(self._loop, self._loop.run(_awaited(method(self._wrapped, *args, **kwargs))))

    functools.update_wrapper(blocked, method)
    return blocked


def made_same(method: Callable[Concatenate[A, P], Awaitable[Any]]) -> Callable[Concatenate[S, P], S]:
    """Likewise, where the result is the object itself."""

    def blocked(self: S, /, *args: P.args, **kwargs: P.kwargs) -> S:
        self._loop.run(_awaited(method(self._wrapped, *args, **kwargs)))
        return self

    functools.update_wrapper(blocked, method)
    return blocked


def listed(kind: type[S], method: Callable[[A], Awaitable[list[Any]]]) -> Callable[[Any], list[S]]:
    """Likewise, where it is a list of them."""

    def blocked(self: Blocking[A]) -> list[S]:
        return [kind(self._loop, one) for one in self._loop.run(_awaited(method(self._wrapped)))]

    functools.update_wrapper(blocked, method)
    return blocked


def find(kind: type[S], method: Callable[[A, str], Any]) -> Callable[[Any, str], S]:
    """A method that asks nobody, whose result has a face of its own."""

    def blocked(self: Blocking[A], id: str) -> S:  # noqa: A002 (the name that users know)
        return kind(self._loop, method(self._wrapped, id))

    functools.update_wrapper(blocked, method)
    return blocked
