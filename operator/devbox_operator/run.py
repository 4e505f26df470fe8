"""The process: admin port, Lease, work, and an orderly end.

Goes in: settings. Comes out: the exit status.
"""

import asyncio
import os
import signal
import socket
import uuid

import structlog

from devbox_api import names
from devbox_common.adminport import AdminPort
from devbox_common.clock import CLOCK
from devbox_common.collector import settle
from devbox_common.kube import ApiError, KubeApi, Object
from devbox_operator.kit import admin, metrics, paths
from devbox_operator.kit.lease import Elector
from devbox_operator.kit.patient import PatientApi
from devbox_operator.leader import Leader
from devbox_operator.settings import Settings

log = structlog.get_logger()
FILES = 256
"""The admin port's, those of what is watched in the whole cluster and in the release's own namespaces, and some."""
FILES_PER_NAMESPACE = 16
"""A watch for each kind, each with a connection of its own."""


async def run(settings: Settings, files: int) -> int:
    """`files`: how many this process may open. Run until SIGTERM (0) or until the Lease is lost or something breaks (1)."""
    stop = asyncio.Event()

    def take_signals() -> None:
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)

    take_signals()
    tell(files, settings)
    async with await PatientApi.connect() as api:
        identity = f"{os.environ.get('POD_NAME') or socket.gethostname()}_{uuid.uuid4().hex[:8]}"
        owner = await deployment(api, settings)
        elector = Elector(
            api,
            settings.release_namespace,
            names.LEASE,
            identity,
            duration=settings.lease.duration_seconds,
            renew=settings.lease.renew_seconds,
            owner=owner,
        )
        leader = Leader(api, settings, elector=elector, take_signals=take_signals, owner=owner)
        port = _admin(leader, elector, settings.admin_port)
        await port.start()
        settle()
        work = asyncio.create_task(_work(api, settings, elector, leader))
        ending, clock = asyncio.create_task(stop.wait()), asyncio.create_task(CLOCK.follow())
        try:
            await asyncio.wait((work, ending, clock), return_when=asyncio.FIRST_COMPLETED)
            if clock.done():
                clock.result()  # it never ends by itself, and without it a pause would not be noticed
            if not work.done():
                log.info("stopping")
                return 0
            return _failed(work)
        finally:
            ending.cancel()
            clock.cancel()
            # What is under way is cut; then another replica may start. (kopf takes seconds to end, but it doesn't write.)
            work.cancel()
            await asyncio.wait((work,), timeout=0.5)
            await elector.release()
            await asyncio.wait((work,), timeout=10)
            await port.stop()


def tell(files: int, settings: Settings) -> None:
    """How many files may be open, and whether that is enough."""
    needed = FILES + FILES_PER_NAMESPACE * len(settings.scopes) + 2 * settings.workers
    log.info("open_files", limit=files, needed=needed)
    if files < needed:
        log.warning(
            "open_files_too_few",
            limit=files,
            needed=needed,
            advice="raise the hard limit of open files where the container runtime sets it (LimitNOFILE= of containerd.service), or have "
            "the operator watch all namespaces (watchNamespaces: [])",
        )


async def _work(api: KubeApi, settings: Settings, elector: Elector, leader: Leader) -> None:
    await wait_for_api(api, settings)
    await elector.acquire()
    keeping = asyncio.create_task(elector.keep())
    working = asyncio.create_task(leader.run())
    try:
        await asyncio.wait((keeping, working), return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            raise RuntimeError("the Lease was lost")
        await working
    finally:
        keeping.cancel()
        working.cancel()
        await asyncio.gather(keeping, working, return_exceptions=True)


def _failed(work: asyncio.Task[None]) -> int:
    error = work.exception()
    if error is None:
        log.info("stopping")
        return 0
    if isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    log.error("stopped", error=str(error), exc_info=None if isinstance(error, ApiError) else error)
    return 1


def _admin(leader: Leader, elector: Elector, port: int) -> AdminPort:
    def age() -> float | None:
        return leader.last_event_age() if leader.started.is_set() else None

    def gauges() -> None:
        metrics.LEADING.set(elector.held())
        metrics.QUEUE.set(len(leader.queue))
        metrics.LAST_EVENT.set(age() or 0.0)

    return admin.port(age, lambda: leader.started.is_set() or not elector.held(), gauges, port)


async def deployment(api: KubeApi, settings: Settings) -> Object | None:
    """The ownerReference of our own Deployment: the Lease and the gateway's certificate go with the release. None outside of
    a cluster, where there is no such Deployment."""
    path = paths.of("/apis/apps/v1", "deployments", settings.release_namespace, names.LEASE)
    try:
        found = await api.request("GET", path)
    except ApiError as error:
        log.info("no_owner", error=str(error))
        return None
    return {"apiVersion": "apps/v1", "kind": "Deployment", "name": names.LEASE, "uid": found["metadata"]["uid"]}


async def wait_for_api(api: KubeApi, settings: Settings) -> None:
    """Wait until the CustomResourceDefinitions are served: `helm install` brings them together with us."""
    path, said = paths.DEVBOXES, ""
    while True:
        try:
            served: Object = await api.request("GET", path)
            if {"devboxes", "gatewayconfigs"} <= {resource["name"] for resource in served.get("resources") or ()}:
                return
            message = "the CustomResourceDefinitions are not served yet"
        except ApiError as error:
            message = str(error)
        if message != said:
            log.info("waiting_for_api", path=path, message=message)
            said = message
        await asyncio.sleep(1.0)
