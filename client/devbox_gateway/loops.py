"""How a synchronous face is put on asynchronous code: an event loop in a thread, and methods that wait for it.

Goes in: an asynchronous class's method. Comes out: one with the same arguments that returns the result.
"""

import asyncio
import atexit
import concurrent.futures
import functools
import inspect
import os
import threading
import weakref
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from typing import Any, Concatenate, Generic, ParamSpec, TypeVar

from devbox_gateway.errors import DevboxGatewayError
from devbox_gateway.kube.session import CLOSED
from devbox_gateway.kube.timing import within

A = TypeVar("A")
P = ParamSpec("P")
R = TypeVar("R")
S = TypeVar("S", bound="Blocking[Any]")
INTERRUPT_SECONDS = 60.0
"""For a call that is interrupted to clean up after itself: as long as one request may take."""
END_SECONDS = 30.0
"""For all of them when the client is closed, and for its connections."""
FORKED = "this client was made in another process (fork): make one here"


class Loop:
    """An event loop in a thread. Every object of a client holds it: it ends when it is told to, or with the last of them."""

    def __init__(self, at_end: Callable[[], Coroutine[Any, Any, object]]) -> None:
        """`at_end`: what is done there last."""
        self._thread = _Thread(at_end)
        # (Whoever collects garbage does not wait for connections to close: it may be the thread itself, or hold a lock.)
        weakref.finalize(self, self._thread.stop).atexit = False

    def run(self, work: Coroutine[Any, Any, R]) -> R:
        """Its result, here. Interrupted (Ctrl-C), the work is cancelled, and has cleaned up before this returns; a second time, it
        is not waited for."""
        call = _Call(work)
        try:
            self._thread.begin(call)
            return call.outcome.result()
        except BaseException:
            if not call.outcome.done():
                self._thread.give_up(call)
                concurrent.futures.wait([call.outcome], INTERRUPT_SECONDS)
            raise
        finally:
            # (An error's traceback holds this frame; it is not to hold the error in turn.)
            del call

    def end(self) -> None:
        """Give up what is under way, and close. (As often as one likes.)"""
        self._thread.stop()
        self._thread.join()


class _Call(Generic[R]):
    """One piece of work, from the thread that waits for it to the one that does it."""

    def __init__(self, work: Coroutine[Any, Any, R]) -> None:
        self._work: Coroutine[Any, Any, R] | None = work
        self._task: asyncio.Task[R] | None = None
        self.outcome: concurrent.futures.Future[R] = concurrent.futures.Future()

    def begin(self) -> None:
        if (work := self._taken()) is not None:
            self._task = asyncio.get_running_loop().create_task(work)
            self._task.add_done_callback(self._tell)

    def cancel(self) -> None:
        if self._task is not None:
            self._task.cancel()
        else:
            self.refuse()

    def refuse(self) -> None:
        """It never begins."""
        if (work := self._taken()) is not None:
            work.close()
            self.outcome.set_exception(DevboxGatewayError(CLOSED))

    def _taken(self) -> Coroutine[Any, Any, R] | None:
        work, self._work = self._work, None
        return work

    def _tell(self, task: asyncio.Task[R]) -> None:
        self._task = None
        if task.cancelled():
            self.outcome.set_exception(DevboxGatewayError(CLOSED))
        elif (error := task.exception()) is not None:
            self.outcome.set_exception(error)
        else:
            self.outcome.set_result(task.result())


class _Thread:
    """The loop's. (Nobody else holds a `Loop`: so that it can be seen when its last user is gone.)"""

    def __init__(self, at_end: Callable[[], Coroutine[Any, Any, object]]) -> None:
        self._at_end = at_end
        self._loop = asyncio.new_event_loop()
        self._lock = threading.RLock()  # (garbage may be collected while it is held)
        self._stopped = False
        self._process = os.getpid()
        self._thread = threading.Thread(target=self._work, name="devbox-gateway", daemon=True)
        self._thread.start()
        _RUNNING.add(self)

    def _work(self) -> None:
        try:
            self._loop.run_forever()
            self._loop.run_until_complete(self._finish())
        finally:
            self._loop.close()
            _RUNNING.discard(self)

    async def _finish(self) -> None:
        if others := asyncio.all_tasks() - {asyncio.current_task()}:
            for task in others:
                task.cancel()
            await asyncio.wait(others, timeout=END_SECONDS)
        with suppress(TimeoutError):
            await within(END_SECONDS, self._at_end())
        await self._loop.shutdown_asyncgens()

    def begin(self, call: _Call[Any]) -> None:
        if threading.current_thread() is self._thread:
            call.refuse()
            raise RuntimeError(
                "a callback can't make a call of the synchronous client; collect what it needs, and call afterwards"
            )
        with self._lock:
            if not self._stopped and self._process == os.getpid():
                self._loop.call_soon_threadsafe(call.begin)
                return
        call.refuse()
        if self._process != os.getpid():
            raise DevboxGatewayError(FORKED)

    def give_up(self, call: _Call[Any]) -> None:
        with suppress(RuntimeError):  # (the loop is closed, and all its work has ended)
            self._loop.call_soon_threadsafe(call.cancel)

    def stop(self) -> None:
        """What is under way is cancelled; nothing more begins."""
        with self._lock:
            if not self._stopped and self._process == os.getpid():
                self._stopped = True
                self._loop.call_soon_threadsafe(self._loop.stop)

    def join(self) -> None:
        """Wait for that."""
        if threading.current_thread() is not self._thread and self._process == os.getpid():
            self._thread.join(2 * END_SECONDS)


_RUNNING: set[_Thread] = set()


@atexit.register
def _end_all() -> None:
    """The program ends."""
    running = list(_RUNNING)
    for one in running:
        one.stop()
    for one in running:
        one.join()


class Blocking(Generic[A]):
    """The face of one asynchronous object."""

    def __init__(self, loop: Loop, wrapped: A) -> None:
        self._loop, self._wrapped = loop, wrapped

    def __init_subclass__(cls) -> None:
        """(Its methods are called after it, not after what they are made of.)"""
        for name, member in vars(cls).items():
            if inspect.isfunction(member) and hasattr(member, "__wrapped__"):
                member.__qualname__ = f"{cls.__qualname__}.{name}"

    def __repr__(self) -> str:
        return repr(self._wrapped).removeprefix("Async")

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Blocking) and bool(self._wrapped == other._wrapped)

    def __hash__(self) -> int:
        return hash(self._wrapped)


@functools.cache
def _signature(method: Callable[..., Any]) -> inspect.Signature:
    return inspect.signature(method)


def _begun(face: "Blocking[A]", method: Callable[Concatenate[A, P], Awaitable[R]], /, *args: P.args, **kwargs: P.kwargs) -> R:
    """Its result. Arguments that it does not have are told by the name that the caller used."""
    try:
        _signature(method).bind(face._wrapped, *args, **kwargs)
    except TypeError as error:
        raise TypeError(f"{type(face).__name__}.{method.__name__}(): {error}") from None
    return face._loop.run(_awaited(method, face._wrapped, *args, **kwargs))


async def _awaited(method: Callable[P, Awaitable[R]], /, *args: P.args, **kwargs: P.kwargs) -> R:
    """(The method is called once this has begun: of a client that is closed, never.)"""
    work = method(*args, **kwargs)
    # (What was given may be secret, and an error's traceback has what is held here.)
    del args, kwargs
    return await work


def call(method: Callable[Concatenate[A, P], Awaitable[R]]) -> Callable[Concatenate[Any, P], R]:
    """The method, as one that returns its result."""

    def blocked(self: Blocking[A], /, *args: P.args, **kwargs: P.kwargs) -> R:
        return _begun(self, method, *args, **kwargs)

    functools.update_wrapper(blocked, method)
    return blocked


def known(method: Callable[Concatenate[A, P], Coroutine[Any, Any, R]]) -> Callable[Concatenate[Any, P], R]:
    """Likewise, of a method that waits for nothing: what it answers is here, whether the client is closed or not."""

    def told(self: Blocking[A], /, *args: P.args, **kwargs: P.kwargs) -> R:
        work = method(self._wrapped, *args, **kwargs)
        try:
            work.send(None)
        except StopIteration as end:
            found: R = end.value
            return found
        work.close()
        raise AssertionError("it waits for something")

    functools.update_wrapper(told, method)
    return told


def made(kind: type[S], method: Callable[Concatenate[A, P], Awaitable[Any]]) -> Callable[Concatenate[Any, P], S]:
    """Likewise, where the result is an object with a face of its own."""

    def blocked(self: Blocking[A], /, *args: P.args, **kwargs: P.kwargs) -> S:
        return kind(self._loop, _begun(self, method, *args, **kwargs))

    functools.update_wrapper(blocked, method)
    return blocked


def made_same(method: Callable[Concatenate[A, P], Awaitable[Any]]) -> Callable[Concatenate[S, P], S]:
    """Likewise, where the result is the object itself."""

    def blocked(self: S, /, *args: P.args, **kwargs: P.kwargs) -> S:
        _begun(self, method, *args, **kwargs)
        return self

    functools.update_wrapper(blocked, method)
    return blocked


def listed(kind: type[S], method: Callable[[A], Awaitable[list[Any]]]) -> Callable[[Any], list[S]]:
    """Likewise, where it is a list of them."""

    def blocked(self: Blocking[A]) -> list[S]:
        return [kind(self._loop, one) for one in _begun(self, method)]

    functools.update_wrapper(blocked, method)
    return blocked


def find(kind: type[S], method: Callable[[A, str], Any]) -> Callable[[Any, str], S]:
    """A method that asks nobody, whose result has a face of its own."""

    def blocked(self: Blocking[A], id: str) -> S:  # noqa: A002 (the name that users know)
        return kind(self._loop, method(self._wrapped, id))

    functools.update_wrapper(blocked, method)
    return blocked
