"""Audit lines of all of the gateway's pods, as they are written; pods that come are followed, too.

Goes in: a session, the installation's namespace. Comes out: entries. The API server breaks a log off now and then: it is taken up again
from the second of the last line on, and a line that was there before is not told twice.
"""

import asyncio
from collections import OrderedDict
from collections.abc import AsyncIterator
from contextlib import suppress
from datetime import datetime, timedelta, timezone
from typing import Final

from devbox_api.judge.shown import command
from devbox_gateway.errors import APIConnectionError, InvalidError, NotFoundError, PermissionDeniedError
from devbox_gateway.kube.session import Object, Session

from .lines import Entry, parse

SELECTOR: Final = "app.kubernetes.io/name=devbox-gateway,app.kubernetes.io/component=gateway"
CONTAINER: Final = "gateway"
LOOK_SECONDS: Final = 3.0
"""Between two looks for new pods."""
PAUSE: Final = 1.0
QUIET_SECONDS: Final = 60.0
"""After which a log is taken up again: it costs one request, and loses nothing."""
REMEMBERED: Final = 4096
"""Lines of a pod that are known again when a log is taken up."""
WAITING: Final = 1000
"""Entries that wait for whoever prints them: then the logs wait."""


async def read(session: Session, release: str, since: int) -> list[Entry]:
    """What there is, of so many seconds, by time. Raises PermissionDeniedError, with the role; NotFoundError where there are no pods."""
    found: list[Entry] = []
    for pod in await _pods(session, release):
        with suppress(InvalidError):  # (it has not begun)
            found += [entry async for entry in _log(session, release, pod, {"sinceSeconds": str(since)})]
    return sorted(found, key=lambda entry: entry.time)


async def follow(session: Session, release: str, since: int) -> AsyncIterator[Entry]:
    """The same, and what is written from now on, for ever. Raises as `read`."""
    queue: asyncio.Queue[Entry | Exception] = asyncio.Queue(WAITING)
    watcher = asyncio.create_task(_watched(session, release, since, queue))
    try:
        while True:
            entry = await queue.get()
            if isinstance(entry, Exception):
                raise entry
            yield entry
    finally:
        watcher.cancel()
        await asyncio.gather(watcher, return_exceptions=True)


async def _watched(session: Session, release: str, since: int, queue: "asyncio.Queue[Entry | Exception]") -> None:
    """Looks for pods, each of which is followed by a task of its own."""
    following: dict[str, asyncio.Task[None]] = {}
    first = True
    try:
        while True:
            try:
                for pod in await _pods(session, release):
                    if pod not in following:
                        # (What a pod that came later has said is all new.)
                        start = datetime.now(timezone.utc) - timedelta(seconds=since if first else 3600)
                        following[pod] = asyncio.create_task(_followed(session, release, pod, start, queue))
                first = False
            except (NotFoundError, APIConnectionError):
                if first:
                    raise
            await asyncio.sleep(LOOK_SECONDS)
    except Exception as error:
        await queue.put(error)
    finally:
        for task in following.values():
            task.cancel()
        await asyncio.gather(*following.values(), return_exceptions=True)


async def _followed(
    session: Session, release: str, pod: str, start: datetime, queue: "asyncio.Queue[Entry | Exception]"
) -> None:
    """One pod's, until it is gone."""
    known: OrderedDict[bytes, None] = OrderedDict()
    while True:
        query = {"sinceTime": start.strftime("%Y-%m-%dT%H:%M:%SZ"), "follow": "true"}
        try:
            async for entry in _until_quiet(_log(session, release, pod, query)):
                start = max(start, _time(entry) or start)
                if entry.raw not in known:
                    known[entry.raw] = None
                    while len(known) > REMEMBERED:
                        known.popitem(last=False)
                    await queue.put(entry)
        except NotFoundError:
            return
        except (APIConnectionError, InvalidError):
            pass  # (broken off; or it has not begun)
        except PermissionDeniedError as error:
            await queue.put(error)
            return
        await asyncio.sleep(PAUSE)


async def _until_quiet(entries: AsyncIterator[Entry]) -> AsyncIterator[Entry]:
    """Until nothing has come for a while: a connection whose other side is gone (a machine that slept) says nothing, for ever."""
    while True:
        try:
            yield await asyncio.wait_for(entries.__anext__(), QUIET_SECONDS)
        except (StopAsyncIteration, asyncio.TimeoutError, TimeoutError):
            return


async def _log(session: Session, release: str, pod: str, query: dict[str, str]) -> AsyncIterator[Entry]:
    # (By its name: a mesh may have put a container of its own beside it.)
    query = {"container": CONTAINER, **query}
    try:
        async for line in session.lines(f"/api/v1/namespaces/{release}/pods/{pod}/log", query):
            if (entry := parse(line)) is not None:
                yield entry
    except PermissionDeniedError:
        raise _denied(release) from None


async def _pods(session: Session, release: str) -> list[str]:
    try:
        found: list[Object] = await session.list(f"/api/v1/namespaces/{release}/pods", {"labelSelector": SELECTOR})
    except PermissionDeniedError:
        raise _denied(release) from None
    if not found:
        raise NotFoundError(
            f"there are no pods of the gateway in namespace {release}; if it is installed in another one: --release-namespace"
        )
    return sorted(pod["metadata"]["name"] for pod in found)


def _denied(release: str) -> PermissionDeniedError:
    """Of everybody's lines, not one's own alone: so it is an administrator's to give."""
    role = command("kubectl", "-n", release, "create", "role", "devbox-audit", "--verb=get,list", "--resource=pods,pods/log")
    whose = ("--role=devbox-audit", "--user=NAME")
    binding = command("kubectl", "-n", release, "create", "rolebinding", "devbox-audit", *whose)
    return PermissionDeniedError(
        "audit lines are in the logs of the gateway's pods, which you may not read: that takes list of pods and get of pods/log in "
        f"namespace {release}. They are everybody's there, so an administrator of the installation decides: {role}; {binding}"
    )


def _time(entry: Entry) -> datetime | None:
    try:
        return datetime.fromisoformat(entry.time.replace("Z", "+00:00"))
    except ValueError:
        return None
