"""What every part of the memory benchmark needs: devboxes in a cluster, the gateway and an API on cores of their own, figures.

Goes in: how many devboxes, and where TLS is spoken. Comes out: a `Setting` with the running gateway, whose memory, processor time and
files are looked at from outside.
"""

import asyncio
import contextlib
import json
import sys
import time
import uuid
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NamedTuple

import orjson
from tests.support import token_reviews
from tests.support.gateway_process import Process, Stage, stage
from tests.support.kube_api import DEVBOX_NAMESPACE, Cluster, Devbox, jwt
from tests.support.netns import GATEWAY

from devbox_api import names

from .memory_child import BadRun, Child, child, process

NAME: Final = "api.bench.example"
UPSTREAM: Final = "10.203.1.1"
PORT: Final = 9001
OURS: Final = ("taskset", "-c", "0")
"""The gateway has a core to itself; cluster, API and load share the other."""
OTHERS: Final = ("taskset", "-c", "1")
MIB: Final = 1 << 20
AT_ONCE: Final = 32
"""Requests under way, where the cost of one is measured."""
ANSWER: Final = "bench.upstream"
"""An API that answers at once."""
REVIEWS_PER_SECOND: Final = 400
"""At most, as the chart has it."""
COLD: Final = {"warmSeconds": 0, "spareReviewsPerSecond": 0}
"""The setting `identity` of a gateway that reviews those alone who ask."""


class Figure(NamedTuple):
    """One row of the table."""

    what: str
    measured: str
    value: float
    """What `measured` says, in the unit that it says."""
    bar: str = ""
    held: bool | None = None
    """None: there is no bar, the figure is there to be known."""


@dataclass(frozen=True)
class Bench:
    """How much is measured, and where it is told."""

    quick: bool
    gib: float
    say: Callable[[str], None]


class Caller(NamedTuple):
    """A devbox as the load programs know it."""

    address: str
    token: str


@dataclass(frozen=True)
class Setting:
    """What runs."""

    bench: Bench
    gateway: Stage
    cluster: Cluster
    callers: list[Caller]

    @property
    def process(self) -> Process:
        """The gateway's."""
        return self.gateway.process

    def load(self, module: str, *more: str) -> contextlib.AbstractAsyncContextManager[Child]:
        """A load program that knows the gateway; `more`: its further arguments."""
        return child(module, [self.gateway.host, str(self.gateway.port), *more], OTHERS, self.bench.say)

    def callers_file(self) -> str:
        """For a load program."""
        path = self.gateway.folder / "callers.json"
        path.write_text(json.dumps(self.callers))
        return str(path)


def address_of(number: int) -> str:
    """A devbox's; every address is this machine's own here (tests/support/netns.py)."""
    return f"10.204.{number >> 8}.{number & 255}"


def populate(cluster: Cluster, count: int, endpoint: str) -> list[Caller]:
    """`count` devboxes that share one gateway document and one credential, as those of one namespace mostly do."""
    names_of = {"gateway": "gateway-shared", "credential": "credential-shared"}
    document = {"version": 1, "name": "api", "namespace": DEVBOX_NAMESPACE, "uid": "shared", "endpoint": endpoint}
    content = orjson.dumps({**document, "auth": {"type": "Bearer"}})
    cluster.secret(names_of["gateway"], names.GATEWAY_TYPE, names.GATEWAY_KEY, content)
    grant = {names.ALLOWED_HOSTS_ANNOTATION: NAME}
    cluster.secret(names_of["credential"], names.CREDENTIAL_TYPE, names.CREDENTIAL_KEY, b"sk-bench-credential", grant)
    callers = []
    for number in range(1, count + 1):
        uid = str(uuid.UUID(int=number))
        devbox = Devbox(cluster, f"agent-{number}", uid=uid, address=address_of(number))
        devbox.pod_object()
        token = jwt(number, uid, aud=[names.audience("API")])
        cluster.issued[token] = uid
        binding = {"name": "API", "audience": names.audience("API"), **names_of}
        route = {
            "version": 1,
            "pod": {"uid": uid, "name": devbox.pod_name, "namespace": DEVBOX_NAMESPACE},
            "devbox": {"name": devbox.name, "uid": uid},
            "bindings": [{**binding, "token": token, "digests": [names.token_digest(token)]}],
        }
        cluster.secret(f"route-{uid}", names.ROUTE_TYPE, names.ROUTE_KEY, orjson.dumps(route))
        callers.append(Caller(devbox.address, f"{names.TOKEN_PREFIX}{token}"))
    return callers


@contextlib.asynccontextmanager
async def setting(
    bench: Bench, count: int, api: str, *, tls_down: bool = False, tls_up: bool = False, **change: Any
) -> AsyncIterator[Setting]:
    """The gateway with `count` devboxes and the module `api` behind it, ready. `change`: settings, as in proxy.yaml."""
    bench.say(f"starting the gateway with {count:,} devboxes")
    cluster = Cluster(token_reviews.AT_ONCE)
    callers = populate(cluster, count, f"{'https' if tls_up else 'http'}://{NAME}")
    change["upstreams"] = {"allowedCIDRs": ["10.203.1.0/24"], "addressOverrides": {NAME: f"{UPSTREAM}:{PORT}"}}
    change["identity"] = {**COLD, **change.get("identity", {})}
    if not tls_down:
        change["listen"] = {"tls": None}
    async with stage(cluster, host=GATEWAY, hosts=(NAME,), prefix=OURS, **change) as gateway:
        pair = [str(gateway.folder / "tls.crt"), str(gateway.folder / "tls.key")] if tls_up else []
        command = [*OTHERS, sys.executable, "-m", api, UPSTREAM, str(PORT), *pair]
        async with process(command) as running:
            await _listening(running)
            yield Setting(bench, gateway, cluster, callers)


async def _listening(process: asyncio.subprocess.Process) -> None:
    while process.returncode is None:
        try:
            _, writer = await asyncio.open_connection(UPSTREAM, PORT)
        except OSError:
            await asyncio.sleep(0.05)
        else:
            writer.close()
            return
    raise SystemExit("bench: the API did not start")


async def warm(here: Setting, load: Child, count: int, devboxes: int) -> None:
    """A first request on each of `count` connections, which waits for its devbox's review, and a second one: what was opened first
    is closed by then. So many devboxes must have been reviewed after the first. Raises BadRun."""
    here.bench.say(f"first requests of {devboxes:,} devboxes, about {devboxes / REVIEWS_PER_SECOND:.0f} s")
    await load.order("run", count=max(AT_ONCE, count), at_once=16)
    if len(here.cluster.reviews) < devboxes:
        raise BadRun("not every devbox was reviewed")
    await load.order("run", count=max(AT_ONCE, count), at_once=AT_ONCE)


def cpu_seconds(process: asyncio.subprocess.Process) -> float:
    """Processor time of user and system so far, to the nanosecond: the clock of clock_getcpuclockid(3), as Linux numbers it."""
    return time.clock_gettime((~process.pid << 3) | 2)


def forget_peak(process: Process) -> None:
    """Let the peak begin at the present memory (proc(5): clear_refs)."""
    Path(f"/proc/{process.process.pid}/clear_refs").write_text("5")


def peak(process: Process) -> int:
    """Most bytes of resident memory since `forget_peak`."""
    status = Path(f"/proc/{process.process.pid}/status").read_text()
    return 1024 * next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM:"))


def mib(count: float) -> str:
    """Bytes for people."""
    return f"{count / MIB:,.1f} MiB"
