"""The gateway's process: what it reads at its start, what it is made of, how it ends.

Goes in: the settings. Comes out: a gateway that serves until SIGTERM.
"""

import asyncio
import os
import signal
from collections.abc import Callable, Mapping
from ipaddress import ip_address
from pathlib import Path
from typing import Final, TypeVar
from urllib.parse import urlsplit

import structlog
import uvloop

from devbox_api.judge.policies import networks
from devbox_common.addresses import nat64_prefix
from devbox_common.clock import CLOCK
from devbox_common.collector import settle
from devbox_common.kube import KubeApi
from devbox_proxy.accounting.audit import AuditLog
from devbox_proxy.accounting.limits import Load
from devbox_proxy.accounting.recorder import Recorder
from devbox_proxy.kit import metrics
from devbox_proxy.kit.dialling import Attempts
from devbox_proxy.kit.lines import LineWriter, take_over_logging
from devbox_proxy.kit.memory import Memory, give_back, keep_heaps_trimmable
from devbox_proxy.known.facts import ReviewTimes
from devbox_proxy.known.floor import Own
from devbox_proxy.known.state import ClusterState
from devbox_proxy.ports.activity import ActivityPort
from devbox_proxy.ports.admin import AdminPort
from devbox_proxy.ports.canary import canary
from devbox_proxy.ports.certificates import Certificate
from devbox_proxy.ports.open_files import Shares, needed, shares
from devbox_proxy.ports.server import DataPort, EgressPort
from devbox_proxy.requests.data_path import DataPath
from devbox_proxy.requests.decider import TokenDecider
from devbox_proxy.reviews.operator_tokens import OperatorTokens
from devbox_proxy.reviews.reviewer import Reviewer
from devbox_proxy.reviews.waiting import Waiting
from devbox_proxy.reviews.warm import Warmth
from devbox_proxy.settings import Settings
from devbox_proxy.tunnels.forwarder import Forwarder
from devbox_proxy.tunnels.whereabouts import Whereabouts
from devbox_proxy.upstreams.current import Current
from devbox_proxy.upstreams.dial_check import Resolver, UpstreamReach, WayOut, cluster_domain
from devbox_proxy.upstreams.pool import Upstreams, tls_context
from devbox_proxy.upstreams.probe import Prober

log = structlog.get_logger()
RESOLV_CONF: Final = Path("/etc/resolv.conf")
LOG_KIB = 1024
"""Of log lines that may wait for a reader; more are dropped and counted."""


class Start:
    """What is read from the settings and files before anything is served. Raises ValueError or OSError, saying what is wrong."""

    def __init__(self, settings: Settings, files: int) -> None:
        """`files`: how many may be open."""
        self.policy = UpstreamReach.of(settings.upstreams)
        self.way_out = WayOut.of(settings.egress)
        self.files = shares(files, settings.limits, settings.egress, len(settings.watch_namespaces))
        self.trust = _named("upstreams.caBundle", lambda: tls_context(settings.upstreams.ca_bundle))
        tls = settings.listen.tls
        self.certificate = _named("listen.tls", lambda: Certificate(tls)) if tls else None
        self.tls = self.certificate.context if self.certificate else None
        self.cluster_domain = cluster_domain(RESOLV_CONF.read_text("utf-8", "replace")) if RESOLV_CONF.exists() else ""
        self.own_host = urlsplit(settings.public_url).hostname or ""
        self.own = Own(
            addresses=own_addresses(os.environ),
            closed=_named("floor.extraCIDRs", lambda: networks(settings.floor.extra_cidrs)),
            nat64=_named("nat64Prefixes", lambda: tuple(map(nat64_prefix, settings.nat64_prefixes))),
        )


def own_addresses(environment: Mapping[str, str]) -> frozenset[str]:
    """Where this pod of the gateway is (`POD_IPS`, as the chart sets it), before it stands in the floor document with the others. Raises
    ValueError."""
    return frozenset(str(ip_address(text.strip())) for text in environment.get("POD_IPS", "").split(",") if text.strip())


T = TypeVar("T")


def _named(field: str, read: Callable[[], T]) -> T:
    try:
        return read()
    except (OSError, ValueError) as error:
        raise ValueError(f"{field}: {error}") from None


def run(settings: Settings, files: int) -> None:
    """Serve devboxes until SIGTERM. `files`: how many this process may open. Raises ValueError, OSError (an ssl.SSLError is one) or
    NoAccess, saying what is wrong."""
    start = Start(settings, files)
    lines = LineWriter(LOG_KIB)
    take_over_logging(lines)
    keep_heaps_trimmable()
    tell(start.files, settings)
    try:
        uvloop.run(serve(settings, start))
    finally:
        lines.close()


def tell(files: Shares, settings: Settings) -> None:
    """What may be open, and what the settings ask for beyond that."""
    log.info(
        "open_files",
        limit=files.limit,
        connections=files.connections,
        connections_per_devbox=files.connections_per_devbox,
        tunnels=files.tunnels,
        tunnels_per_devbox=files.tunnels_per_devbox,
        idle_upstreams=files.kept,
        lookups=files.lookups,
    )
    if files.lowered:
        log.warning(
            "open_files_too_few",
            limit=files.limit,
            needed=needed(settings.limits, settings.egress, len(settings.watch_namespaces)),
            lowered={name: {"set": said, "holds": holds} for name, (said, holds) in files.lowered.items()},
            advice="raise the hard limit of open files where the container runtime sets it (LimitNOFILE= of containerd.service) to what is "
            "needed, or set these values to what holds",
        )


async def serve(settings: Settings, start: Start) -> None:
    """Everything the gateway is, until SIGTERM or SIGINT."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    identity = settings.identity
    files = start.files
    limits, egress_limits = files.limits(settings.limits), files.egress(settings.egress)
    attempts = Attempts(files.attempts)
    times = ReviewTimes(identity.review_seconds, identity.not_live_seconds, identity.outage_seconds)
    audit = AuditLog(settings.audit.queue, drop=settings.audit.on_overflow == "Drop")
    async with await KubeApi.connect() as api, asyncio.TaskGroup() as tasks:
        state = ClusterState(api, settings.credentials_namespace, settings.watch_namespaces, start.own, identity.outage_seconds)
        resolver = Resolver(
            start.policy,
            lambda: state.floor,
            own_host=start.own_host,
            cluster_domain=start.cluster_domain,
            threads=files.lookups,
        )
        upstreams = Upstreams(
            resolver,
            settings.timeouts,
            start.trust,
            kept=files.kept,
            attempts=attempts,
            current=Current(state.known, lambda: state.floor, resolver.reaches),
        )
        reviewer = Reviewer(api, state.known, identity.reviews_per_second, files.questions)
        warmth = Warmth(state, reviewer, identity)
        waiting = Waiting(state, reviewer, identity.wait_seconds, identity.review_wait_seconds, limits.requests)
        recorder = Recorder(audit)
        load = Load(
            Memory(limits.memory_percent),
            requests=(limits.requests, limits.requests_per_devbox),
            tunnels=(egress_limits.tunnels, egress_limits.tunnels_per_devbox),
        )
        path = DataPath(upstreams, load, recorder, public_url=settings.public_url, timeouts=settings.timeouts, limits=limits)
        # Names of devboxes' choosing have threads of their own: they hold up no API.
        outward = Resolver(start.way_out, lambda: state.floor, own_host=start.own_host, threads=files.lookups)
        forwarder = Forwarder(
            load,
            recorder,
            state,
            waiting,
            outward,
            times=times,
            settings=egress_limits,
            limits=limits,
            way_out=start.way_out,
            attempts=attempts,
            keepalive=path.keepalive,
        )
        admin = AdminPort(load, waiting, state, reviewer, warmth, listen=settings.listen)
        activity = ActivityPort(
            load.activity,
            OperatorTokens(api, settings.operator_user),
            settings.listen,
            start.tls,
            dials=upstreams.dials,
            probe=Prober(upstreams).probe,
        )
        data = DataPort(
            path,
            TokenDecider(state, waiting, load, times),
            upstreams,
            (settings.listen.host, settings.listen.data),
            start.tls,
        )
        egress = EgressPort(forwarder, settings.listen.host, settings.listen.egress)
        following = (CLOCK, reviewer.presence, warmth)
        running = (state.run(), load.activity.follow(state.known.pods), *(each.follow() for each in following))
        background = [tasks.create_task(each) for each in running]
        if start.certificate:
            background.append(tasks.create_task(start.certificate.follow()))
        canary_server = canary(settings.listen.host, settings.listen.canary, files.canary, refused=metrics.cut)
        # The canary listens for as long as the data port does, and longer: one that is silent beside it is what a policy at work looks
        # like. Where both are is said on the forward proxy's, which is the last.
        ports = {
            "admin": await admin.start(),
            "activity": await activity.start(),
            "canary": await canary_server.open(),
            "data": await data.start(),
        }
        forwarder.whereabouts = Whereabouts(tuple(sorted(start.own.addresses)), ports["data"], ports["canary"])
        forwarder.crowded = lambda: canary_server.crowded
        ports["egress"] = await egress.start()
        settle()
        give_back()  # what imports and the first lists have freed
        log.info("started", **ports)
        await stop.wait()
        log.info("draining", seconds=settings.drain_seconds)
        admin.draining = True
        data.drain()
        # The Service still sends new connections here until every node has heard of it.
        await asyncio.sleep(settings.drain_seconds)
        await asyncio.gather(data.stop(settings.shutdown_seconds), egress.stop(settings.shutdown_seconds))
        await activity.stop()
        await asyncio.gather(canary_server.close(), admin.stop())
        for each in (upstreams, resolver, outward):
            each.close()
        for task in background:
            task.cancel()
    audit.close()
    log.info("stopped")
