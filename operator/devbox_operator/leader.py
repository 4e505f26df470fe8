"""What the active replica does: mirrors, index, workers, kopf. Everything is wired here.

Goes in: settings, the API, the elector. Comes out: `Leader`, whose `run()` ends only by failure or cancellation. It begins
once the Lease is held.
"""

import asyncio
import itertools
import logging
import random
import time
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Final

import kopf
import structlog
from kopf._core.engines.peering import Identity

from devbox_api import names
from devbox_common.clock import CLOCK
from devbox_common.kube import ApiError, KubeApi, Object
from devbox_operator.attach.attaching import Attacher
from devbox_operator.attach.denial import Denial
from devbox_operator.configs.egress import EgressReconciler
from devbox_operator.configs.gateways import GatewayReconciler
from devbox_operator.configs.sources import SourceReconciler
from devbox_operator.devbox.reconcile import DevboxReconciler, PodRefusedError
from devbox_operator.kit import metrics
from devbox_operator.kit.lease import Elector
from devbox_operator.kit.queue import WorkQueue, pause
from devbox_operator.kit.writer import NotLeadingError, Writer
from devbox_operator.release.control import Control
from devbox_operator.release.sweep import Sweeper
from devbox_operator.release.system import SystemReconciler
from devbox_operator.seen.index import Index
from devbox_operator.seen.keys import SWEEP, Kind, WorkKey
from devbox_operator.seen.visibility import Visibility
from devbox_operator.settings import Settings
from devbox_operator.watch import handlers, kopfsource
from devbox_operator.watch.activity import ActivityWatch
from devbox_operator.watch.asking import Asker
from devbox_operator.watch.dials import DialWatch
from devbox_operator.watch.mirrors import Watches
from devbox_operator.watch.observe import Observer
from devbox_operator.watch.tools import Tools

LONGEST_SECONDS: Final = 3.0
"""Between two tries of what comes before all work."""

log = structlog.get_logger()


class Leader:
    """The operator at work."""

    def __init__(
        self,
        api: KubeApi,
        settings: Settings,
        *,
        elector: Elector,
        take_signals: Callable[[], None],
        owner: Object | None,
    ) -> None:
        """`elector`: whether a write may start, and how long it may take; `take_signals()`: called when kopf has put its own
        signal handlers in place of ours; `owner`: the Deployment."""
        self._take_signals = take_signals
        self._source = kopfsource.Source(api)
        self.settings = settings
        self.index = Index()
        self.queue: WorkQueue[WorkKey] = WorkQueue(self._work, on_error=_failed)
        self.watches = Watches(api, settings, self.index, self.queue.add)
        observer, writer = (
            Observer(api, self.watches, self.index, settings),
            Writer(api, elector.held, elector.left, self.watches.note),
        )
        denial = Denial(observer, self.watches.denial, writer)
        asker = Asker(
            names.gateway_host(settings.release_namespace),
            settings.activity.token_file,
            lambda: observer.gateway_authority,
        )
        self._activity = ActivityWatch(
            self.watches.asked,
            asker,
            server_time=observer.server_time,
            news=lambda box: self.queue.add(WorkKey(Kind.DEVBOX, *box)),
            noted=elector.noted,
            note=elector.note,
        )
        self._dials = DialWatch(self.watches.asked, asker, lambda config: self.queue.add(WorkKey(Kind.GATEWAY, *config)))
        tools = Tools(observer, self.watches, self.index, writer, settings, self.queue, self._activity, self._dials)
        self._devboxes = DevboxReconciler(tools, Attacher(writer, settings, denial), denial)
        self._gateways = GatewayReconciler(tools)
        self._egress = EgressReconciler(tools)
        self._sources = SourceReconciler(tools)
        self._system = SystemReconciler(tools, owner=owner)
        self._sweeper = Sweeper(tools, api, denial)
        self._control = Control(self.watches.places, self._visibility_changed)
        self.watches.on_gateways = self._gateways_changed
        self._observer = observer
        self.started = asyncio.Event()

    async def run(self) -> None:
        """Work until cancelled, or until something fails that only a new process repairs."""
        try:
            await self.watches.start()
            # The index first: nothing that is in use may look unused. Then the certificates, which every pod needs.
            await insist(self._sweeper.sweep)
            await insist(self._system.certificates)
            self.queue.add(SWEEP, after=self.settings.resync_seconds)
            self.started.set()
            with CLOCK.telling(self._paused):
                await self._until_one_ends(
                    self.queue.run(self.settings.workers),
                    self._kopf(),
                    self._control.run(),
                    self._activity.run(),
                    self._dials.run(),
                )
        finally:
            await self.watches.stop()

    def _paused(self, _: float) -> None:
        """What was due in the pause (a key to be taken back, a token to be renewed) waits for a timer that stood still with us."""
        self._activity.paused()
        self._sweeper.at_once()
        self.queue.add(SWEEP)
        self._control.look_again()

    def _gateways_changed(self) -> None:
        self._control.look_again()
        self._activity.look_again()

    def last_event_age(self) -> float:
        """Seconds since the API server said anything of what it has said least of: mirrors and kopf's watches."""
        return time.monotonic() - min(self.watches.last_event(), self._source.last_event())

    async def _kopf(self) -> None:
        namespaces = self.settings.watch_namespaces
        where: dict[str, Any] = {"namespaces": namespaces} if namespaces else {"clusterwide": True}
        logging.getLogger("kopf").setLevel(logging.WARNING)
        kopfsource.install(self._source)
        ours = asyncio.all_tasks()
        tasks = await kopf.spawn_tasks(
            registry=handlers.registry(self.queue.add, self._namespace_changed, self._devboxes.wrote),
            # Else kopf looks up the user's name, and a container's user need not have one.
            identity=Identity(names.LEASE),
            settings=handlers.operator_settings(self.settings),
            **where,
        )
        # spawn_tasks has put kopf's handlers for SIGTERM and SIGINT in place of ours: with them, stopping takes six seconds
        # in which the Lease is held and nobody works.
        self._take_signals()
        await kopf.run_tasks(tasks, ignored=ours)

    async def _until_one_ends(self, *parts: Coroutine[Any, Any, None]) -> None:
        tasks = [asyncio.create_task(part) for part in parts]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                await task
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def _visibility_changed(self, visibility: Visibility) -> None:
        self._observer.visibility = visibility
        # Where nothing waits for it, what all conditions say depends on it.
        keys = self.watches.gated() if self.settings.egress.require_enforcement else sorted(self.index.devboxes)
        for box in keys:
            self.queue.add(WorkKey(Kind.DEVBOX, *box))
        for key in self.queue.working():
            if key.kind is Kind.DEVBOX:  # by what was known before; its pod may be on its way
                self.queue.add(key)

    def _namespace_changed(self, name: str, ending: bool) -> None:
        (self.index.ending.add if ending else self.index.ending.discard)(name)
        for box in self.index.devboxes_in(name):
            self.queue.add(WorkKey(Kind.DEVBOX, *box))

    async def _work(self, key: WorkKey) -> float | None:
        kind, place = key.kind, (key.namespace, key.name)
        with metrics.RECONCILE_SECONDS.labels(kind).time():
            match kind:
                case Kind.DEVBOX:
                    after = await self._devboxes.reconcile(place)
                case Kind.GATEWAY:
                    after = await self._gateways.reconcile(place)
                case Kind.EGRESS:
                    after = await self._egress.reconcile(place)
                case Kind.SOURCE:
                    after = await self._sources.reconcile(place)
                case Kind.CERTIFICATES:
                    after = await self._system.certificates()
                case Kind.FLOOR:
                    after = await self._system.floor()
                case Kind.SWEEP:
                    after = await self._sweeper.sweep()
        metrics.RECONCILES.labels(kind, "ok").inc()
        return after


async def insist(look: Callable[[], Awaitable[object]]) -> None:
    """What comes before all work, once more where the API server had no answer: that is no reason to begin anew as another process. (While
    it has none, the Lease runs out, and that is the end.)"""
    for tries in itertools.count(1):
        try:
            await look()
        except ApiError as error:
            if not (error.transient or error.conflict):
                raise
            log.warning("start_delayed", error=str(error), tries=tries)
            await asyncio.sleep(min(LONGEST_SECONDS, pause(tries)) * random.uniform(0.5, 1.0))  # noqa: S311 (jitter)
        else:
            return


def _failed(key: WorkKey, error: Exception, again: float) -> None:
    """Conflict and NotFound are the normal way of things: somebody else was first, and the next look sees it."""
    about = {"kind": key.kind, "namespace": key.namespace, "name": key.name, "again_in": round(again, 1)}
    match error:
        case PodRefusedError():
            result = "refused"
            log.warning("pod_refused", **about, error=str(error))
        case ApiError() if error.conflict or error.not_found:
            result = "conflict"
            log.info("requeued", **about, error=str(error))
        case ApiError():
            result = "error"
            log.warning("reconcile_failed", **about, error=str(error))
        case NotLeadingError():
            result = "not_leading"
            log.warning("reconcile_stopped", **about, error=str(error))
        case _:
            result = "error"
            log.error("reconcile_failed", **about, exc_info=error)
    metrics.RECONCILES.labels(key.kind, result).inc()
