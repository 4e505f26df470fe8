"""The gateway process of a lane and everything around it: devboxes with an API each, DNS, a sinkhole on every other address, and a
control client that must not notice anything.

Goes in: settings. Comes out: a `Lab` with `Slot`s. Works in a namespace only (tests/support/netns.py).
"""

import asyncio
import contextlib
import itertools
import json
import math
import re
import resource
import sys
from collections.abc import AsyncIterator, Callable
from typing import Any, Final

from tests.support.dns_server import Answer, DnsServer, dns_server
from tests.support.gateway_process import HOST, Stage, stage
from tests.support.kube_api import Cluster, Devbox, jwt
from tests.support.netns import GATEWAY
from tests.support.raw_client import RawClient
from tests.support.recorder import Recorder, recorder

from .control import RATE
from .corpus import Values

REAL: Final = "sk-real-value"
ZONE: Final = "upstream.test"
API_SERVER: Final = "10.96.0.1"
PLACE: Final = {"floor": {"extraCIDRs": ["93.184.217.0/24", "2a00:99::/48"]}, "nat64Prefixes": ["2a00:64::/56"]}
"""What the settings say of the lab's network."""
_SINK_PORTS: Final = (80, 443, 6443, 8080, 8443)
_ALIASES: Final = ("edge.provider.test", "pop7.edge.provider.test")
_PUBLIC: Final = "93.184.215.14"
_NAMES: Final = (
    ("kubernetes", (API_SERVER,)),
    ("metadata", ("169.254.169.254",)),
    ("link-?local", ("169.254.10.10",)),
    ("local(host)?\\b|loopback", ("127.0.0.1",)),
    ("mapped", ("::ffff:10.0.0.1",)),
    ("nat64", ("64:ff9b::a00:1",)),
    ("private.*6|ula", ("fd00:9::9",)),
    ("mixed|both", (_PUBLIC, "10.9.9.9")),
    ("cgnat|shared", ("100.64.0.9",)),
    ("private|internal|intranet", ("10.9.9.9",)),
    ("nx|missing|nowhere", ()),
)
"""What names that a corpus may hold lead to; the first that fits. Others are public."""


class Slot:
    """One devbox and its API, for one run at a time."""

    def __init__(self, lab: "Lab", number: int, api: Recorder) -> None:
        self.lab, self.number, self.api = lab, number, api
        self.address = f"10.203.0.{number + 2}"
        self.endpoint_host = f"api{number}.{ZONE}"
        self.devbox = Devbox(lab.stage.cluster, f"agent-{number}", address=self.address)
        self.devbox.pod_object()
        self.policy = f"lab-{number}"
        self.egress = self.devbox.bind_egress(
            lab.stage.cluster.policy(self.policy, hostnames=["*.github.com", "*.allowed.test"])
        )
        self.usual = self.bind("NAME", f"https://{self.endpoint_host}", REAL)

    def bind(self, name: str, endpoint: str | None, credential: str | None, **gateway: Any) -> str:
        """A token for one more gateway."""
        return self.devbox.bind(name, endpoint, credential, **gateway)

    def values(self, token: str, real: str = REAL, name: str = "NAME") -> Values:
        """For the placeholders."""
        audience, uid = f"devbox-gateway.io/{name}", self.devbox.uid
        none = jwt(0, uid, alg="none", aud=[audience]).rpartition(".")[0] + "."
        extra = {
            "GWS_KUBE_AUD": f"gws_{jwt(1, uid, aud=['https://kubernetes.default.svc'])}",
            "GWS_UNBOUND": "gws_" + jwt(2, "", aud=[audience]),
            "GWS_ALG_NONE": f"gws_{none}",
        }
        return Values(token, real, f"{HOST}:{self.lab.stage.port}", self.endpoint_host, f"https://{HOST}", name, extra)

    async def client(self, source: str | None = None, *, tls: bool = True, receive_buffer: int | None = None) -> RawClient:
        """A connection to the gateway, from this devbox unless `source` says otherwise."""
        return await self.lab.client(source or self.address, tls=tls, receive_buffer=receive_buffer)

    async def egress_client(self) -> RawClient:
        """A connection to the forward proxy, from this devbox."""
        return await RawClient.connect((self.lab.stage.host, self.lab.stage.egress), source=self.address)

    async def known(self, token: str) -> None:
        """Wait until the gateway knows a new token: until it is not 401."""
        head = f"HEAD /known HTTP/1.1\r\nHost: {HOST}\r\nAuthorization: Bearer {token}\r\nConnection: close\r\n\r\n"
        async with asyncio.timeout(10):
            while True:
                async with await self.client() as client:
                    await client.send(head.encode())
                    await client.until(lambda client: client.ended is not None, 5)
                    if client.received and not client.received.startswith(b"HTTP/1.1 401"):
                        return
                await asyncio.sleep(0.05)


class Lab:
    """What a lane has."""

    def __init__(self, stage: Stage, dns: DnsServer) -> None:
        self.stage, self.dns = stage, dns
        self.dials: list[str] = []
        self.stray = bytearray()
        self.names: dict[str, list[tuple[str, ...]]] = {}
        """What a case wants names to lead to: one answer after the other, the last for ever."""
        self.slots: list[Slot] = []
        self.control = Control()

    async def client(self, source: str, *, tls: bool = True, receive_buffer: int | None = None) -> RawClient:
        """A connection to the gateway from an address."""
        return await RawClient.connect(
            (self.stage.host, self.stage.port),
            source=source,
            tls=self.stage.trust if tls else None,
            server_hostname=HOST if tls else None,
            receive_buffer=receive_buffer,
        )

    async def sink(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Somebody called an address that nobody may call: note it, and listen to what they say."""
        host, port = writer.get_extra_info("sockname")[:2]
        self.dials.append(f"{host}:{port}")
        with contextlib.suppress(ConnectionError, TimeoutError):
            async with asyncio.timeout(1):
                self.stray += await reader.read(4096)
        writer.close()


class Control:
    """What the process of control.py says: a healthy client of a devbox of its own."""

    def __init__(self) -> None:
        self.errors: list[str] = []
        self.latencies: list[float] = []
        """Seconds."""
        self.baseline = 0.0
        """Seconds: p99 before anything else ran."""

    @contextlib.asynccontextmanager
    async def running(self, world: "Lab") -> AsyncIterator[None]:
        """With its first second behind it."""
        devbox = Devbox(world.stage.cluster, "control", address="10.203.0.240")
        devbox.pod_object()
        number = 248
        token = devbox.bind("CONTROL", f"https://api{number}.{ZONE}", "sk-control-value")
        where = {"host": world.stage.host, "port": world.stage.port, "folder": str(world.stage.folder)}
        order = {**where, "source": devbox.address, "api": f"10.203.1.{number + 2}", "token": token}
        pipe = asyncio.subprocess.PIPE
        command = (sys.executable, "-m", "tests.attacks.control")
        process = await asyncio.create_subprocess_exec(*command, stdin=pipe, stdout=pipe)
        assert process.stdin is not None
        process.stdin.write(json.dumps(order).encode() + b"\n")
        reading = asyncio.create_task(self._read(process))
        async with asyncio.timeout(10):
            while len(self.latencies) < RATE:  # noqa: ASYNC110 (another process)
                await asyncio.sleep(0.05)
        self.baseline = p99(self.latencies)
        self.latencies.clear()
        self.errors.clear()
        try:
            yield
        finally:
            process.kill()
            await reading

    async def _read(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdout is not None
        async for line in process.stdout:
            text = line.decode().strip()
            if text[:1].isdigit():
                self.latencies.append(float(text))
            else:
                self.errors.append(text)


def p99(values: list[float]) -> float:
    """The value that 99 % do not exceed; 0 if there is none. Never more than was seen, however few there are."""
    return sorted(values)[math.ceil(0.99 * len(values)) - 1] if values else 0.0


@contextlib.asynccontextmanager
async def lab(slots: int, **settings: Any) -> AsyncIterator[Lab]:
    """A running one, with the control client's first second behind it."""
    _raise_open_files()
    cluster, holder = Cluster(), list[Lab]()
    cluster.floor((API_SERVER, "10.96.0.2"))
    async with contextlib.AsyncExitStack() as stack:
        dns = await stack.enter_async_context(dns_server(_aliased(_answers(holder))))
        change = {"upstreams": {"allowedCIDRs": ["10.203.1.0/24"]}, **PLACE, "drainSeconds": 0, **settings}
        running = await stack.enter_async_context(stage(cluster, host=GATEWAY, hosts=(f"*.{ZONE}",), **change))
        result = Lab(running, dns)
        holder.append(result)
        for host, port in itertools.product(("0.0.0.0", "::"), _SINK_PORTS):  # noqa: S104 (everything here is ours)
            server = await asyncio.start_server(result.sink, host, port, reuse_port=True)
            stack.callback(server.close)
        for number in range(slots):
            api = await stack.enter_async_context(recorder(f"10.203.1.{number + 2}", running.server_tls))
            result.slots.append(Slot(result, number, api))
        for slot in result.slots:
            await slot.known(slot.usual)
            slot.api.requests.clear()
        await stack.enter_async_context(result.control.running(result))
        yield result


def _answers(holder: list[Lab]) -> Callable[[str], tuple[str, ...]]:
    def answer(name: str) -> tuple[str, ...]:
        if match := re.fullmatch(rf"api(\d+)\.{re.escape(ZONE)}", name):
            return (f"10.203.1.{int(match[1]) + 2}",)
        sequence = holder[0].names.get(name) if holder else None
        if sequence:
            # A lookup asks twice, for each family once.
            asked = holder[0].dns.asked.count(name) - 1
            return sequence[min(asked // 2, len(sequence) - 1)]
        if "rebind" in name and holder:
            return (_PUBLIC,) if holder[0].dns.asked.count(name) <= 2 else ("169.254.169.254",)
        return next((addresses for pattern, addresses in _NAMES if re.search(pattern, name)), (_PUBLIC,))

    return answer


def _aliased(leads_to: Callable[[str], tuple[str, ...]]) -> Callable[[str], Answer | tuple[str, ...]]:
    """By aliases, as most names of APIs lead somewhere."""

    def answer(name: str) -> Answer | tuple[str, ...]:
        addresses = leads_to(name)
        return Answer(addresses, _ALIASES) if addresses else ()

    return answer


def _raise_open_files() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
