"""One of the gateway's watches fails alone, all else works: what it serves meanwhile, and for how long.

Goes in: a stage with an operator at work. Comes out: rows. The gateway's way to the API server is a proxy's, which spoils the one
collection and nothing else; and once it is the API server itself that refuses, since the right was taken away.
"""

import asyncio
import base64
import contextlib
import re
import ssl
from collections.abc import AsyncIterator, Callable, Coroutine
from time import monotonic as now
from typing import Any, Final

from tests.chaos.client import for_good
from tests.chaos.report import Row, timed
from tests.chaos.world import eventually
from tests.support.fleet import GATEWAYS
from tests.support.release import CREDENTIALS

from devbox_api import names
from devbox_common.kube import OPEN_SECONDS, Object
from devbox_operator.kit import paths

from .proxy import Fault, Proxy
from .stage import Stage
from .traffic import OTHER_HOST, Agent, Traffic, traffic

OUTAGE: Final = 8.0
LATE: Final = 6.0
"""Beyond the bound: what is open is decided about anew every few seconds, and the machine has other things to do."""
BACK_SECONDS: Final = 10.0
BINDING: Final = f"/apis/rbac.authorization.k8s.io/v1/namespaces/{CREDENTIALS}/rolebindings/devbox-gateway"
OF_CREDENTIALS: Final = f"/namespaces/{CREDENTIALS}/secrets"
OF_PODS: Final = "/pods?"
Spoil = Callable[[], Coroutine[Any, Any, None]]


async def blind(stage: Stage, long: bool) -> list[Row]:
    """In every way, of the credentials and of the pods."""
    await stage.alone()
    rows = []
    async with Proxy(stage.release.plane) as way:
        identity = {"outageSeconds": OUTAGE, "notLiveSeconds": 2}
        async with traffic(stage, way.url, identity=identity, through=True) as cars:
            for what, path, fault in WAYS if long else WAYS[:2]:

                async def spoil(made: Fault = fault(path)) -> None:  # noqa: B008 (of this turn)
                    way.fault = made
                    way.cut_watches()

                # A watch that ended by itself is opened anew, and stays live until that has no answer.
                noticed = OPEN_SECONDS if fault is _hanging else 0.0
                rows += await _case(stage, cars, way, f"the gateway's watch of {what}", spoil, noticed=noticed)
            rows += await _case(
                stage, cars, way, "the gateway's right to read credentials taken away", lambda: _unbind(stage, way)
            )
            rows.append(await _watch_alone(stage, cars, way))
    return rows


async def _case(stage: Stage, cars: Traffic, way: Proxy, what: str, spoil: Spoil, *, noticed: float = 0.0) -> list[Row]:
    """A devbox that calls and has a tunnel open; the watch fails, and the grant of one of its two keys is taken back, which the gateway
    learns at once if it is not this watch; then the watch is back. `noticed`: seconds before the gateway can know of the failure."""
    told_at_once = "pods" in what
    space = await stage.namespace()
    policy = {"allowedHostnames": [OTHER_HOST], "allowedPorts": [443]}
    body = {
        "apiVersion": names.API_VERSION,
        "kind": "EgressPolicy",
        "metadata": {"name": "web", "namespace": space},
        "spec": policy,
    }
    await stage.api.request("POST", paths.egresspolicies(space), body=body)
    await stage.create(space, egressPolicyRef={"name": "web"})
    agent = await cars.agent(space)
    assert (await cars.answers(agent)).fine
    async with _tunnel(stage, cars, agent) as tunnel:
        before, failed, old = now(), 0, True
        await spoil()
        cut = now()
        await stage.patch(
            paths.secrets(space, "anthropic"), {"metadata": {"annotations": {names.ALLOWED_HOSTS_ANNOTATION: None}}}
        )
        while now() - before < OUTAGE - 1:
            failed += not (await cars.answers(agent, "OPENAI")).fine
            old = (await cars.answers(agent)).fine
            await asyncio.sleep(0.1)
        bound = OUTAGE + noticed + LATE
        waited = now()
        took = await for_good(lambda: _refused(cars, agent), cut + bound - waited)
        until = None if took is None else waited + took
        ended = await _until(lambda: _true(tunnel.ended), cut + bound)
        said = await _connect(cars, agent, await _egress_token(stage, agent))
        ready, age = await cars.readiness(), await _age(cars)
    counted = await cars.metric('devbox_gateway_refusals_total{reason="state_stale"}')
    await _restore(stage, way)
    back = now()
    healed = await _until(lambda: _withdrawn(cars, agent), back + BACK_SECONDS)
    ready_again = await cars.readiness()
    told = f"{said}; /readyz {ready}; {age:.0f} s old; {counted:.0f} refusals"
    return [
        Row(f"{what}: within outageSeconds ({OUTAGE:g})", "served as before", f"{failed} failed", not failed and old != told_at_once),
        _row(f"{what}: both keys, one with its grant taken back", f"go out no more ≤{bound:g} s after", until, cut, bound),
        _row(f"{what}: a tunnel that was open", f"cut ≤{bound:g} s after", ended, cut, bound),
        Row(f"{what}: forward proxy, readiness, metrics", "503 state_stale; not ready; age; counted", told,
            said.startswith("503 state_stale") and ready == 503 and age > OUTAGE and counted > 0),
        _late(f"{what}: back", "knows of the grant, and is ready", healed if ready_again == 200 else None, back, BACK_SECONDS),
    ]  # fmt: skip


async def _watch_alone(stage: Stage, cars: Traffic, way: Proxy) -> Row:
    """Lists are answered, watches are not: each try is a list, so what is known is a few seconds old, and that is good enough."""
    space = await stage.namespace()
    await stage.create(space)
    agent = await cars.agent(space)
    way.fault = Fault(refuse_watch=lambda path: 500 if OF_CREDENTIALS in path else 0)
    way.cut_watches()
    cut = now()
    await stage.patch(paths.secrets(space, "anthropic"), {"stringData": {"key": "sk-by-list"}})

    async def shown() -> bool:
        return (await cars.answers(agent)).fine and cars.shown[-1] == "sk-by-list"

    seen = await _until(shown, cut + BACK_SECONDS)
    failed = 0
    while now() - cut < OUTAGE + LATE:
        failed += not (await cars.answers(agent)).fine
        await asyncio.sleep(0.1)
    way.fault = Fault()
    took = "never" if seen is None else f"{seen - cut:.1f} s"
    fine = seen is not None and not failed
    return Row(
        "the watch fails, lists are answered", f"a new key ≤{BACK_SECONDS:g} s, nothing refused", f"{took}; {failed}", fine
    )


def _status(status: int) -> Callable[[str], Fault]:
    def fault(path: str) -> Fault:
        return Fault(
            refuse=lambda call: status if path in f"{call.path}?" and call.method == "GET" else 0,
            refuse_watch=lambda asked: status if path in asked else 0,
        )

    return fault


def _hanging(path: str) -> Fault:
    return Fault(hold=lambda asked: path in asked)


WAYS: Final[tuple[tuple[str, str, Callable[[str], Fault]], ...]] = (
    ("pods refused (403)", OF_PODS, _status(403)),
    ("credentials refused (403)", OF_CREDENTIALS, _status(403)),
    ("credentials answered with 500", OF_CREDENTIALS, _status(500)),
    ("credentials without an answer", OF_CREDENTIALS, _hanging),
)
_bindings: list[Object] = []
UNGRANTED: Final = {"credential_not_granted", "credential_gone"}
"""The second until its Route says why there is none."""


async def _unbind(stage: Stage, way: Proxy) -> None:
    """The API server's own 403. (Its authoriser hears of it by a watch.)"""
    binding = await stage.api.request("GET", BINDING)
    metadata = {key: binding["metadata"][key] for key in ("name", "namespace", "labels")}
    _bindings.append({**binding, "metadata": metadata})
    await stage.api.request("DELETE", BINDING)

    async def refused() -> bool:
        way.cut_watches()
        await asyncio.sleep(0.2)
        return await _not_live(way)

    await eventually(refused, 20)


async def _not_live(way: Proxy) -> bool:
    """The last list of the credentials was refused by the API server."""
    return any(call.status == 403 for call in way.calls[-20:] if OF_CREDENTIALS in call.path)


async def _restore(stage: Stage, way: Proxy) -> None:
    way.fault = Fault()
    while _bindings:
        await stage.api.request("POST", BINDING.rpartition("/")[0], body=_bindings.pop())


class _Tunnel:
    """TLS through the forward proxy, a request every now and then."""

    def __init__(self, writer: asyncio.StreamWriter) -> None:
        self.ended = False
        self._writer = writer

    async def run(self, reader: asyncio.StreamReader) -> None:
        try:
            while True:
                self._writer.write(f"GET / HTTP/1.1\r\nHost: {OTHER_HOST}\r\n\r\n".encode())
                await self._writer.drain()
                if not await reader.read(65536):
                    break
                await asyncio.sleep(0.2)
        except OSError:
            pass
        self.ended = True


@contextlib.asynccontextmanager
async def _tunnel(stage: Stage, cars: Traffic, agent: Agent) -> AsyncIterator[_Tunnel]:
    token = await _egress_token(stage, agent)
    reader, writer = await _open(cars, agent, token)
    head = await reader.readuntil(b"\r\n\r\n")
    assert b" 200 " in head.partition(b"\r\n")[0], head
    trust = ssl.create_default_context(cafile=cars.folder / "ca.crt")
    await writer.start_tls(trust, server_hostname=OTHER_HOST)
    tunnel = _Tunnel(writer)
    running = asyncio.create_task(tunnel.run(reader))
    try:
        yield tunnel
    finally:
        running.cancel()
        writer.transport.abort()
        await asyncio.gather(running, return_exceptions=True)


async def _open(cars: Traffic, agent: Agent, token: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    reader, writer = await asyncio.open_connection(*cars.egress_address, local_addr=(agent.address, 0))
    writer.write(
        f"CONNECT {OTHER_HOST}:443 HTTP/1.1\r\nHost: {OTHER_HOST}:443\r\nProxy-Authorization: Bearer {token}\r\n\r\n".encode()
    )
    return reader, writer


async def _connect(cars: Traffic, agent: Agent, token: str) -> str:
    """The status line's end."""
    reader, writer = await _open(cars, agent, token)
    try:
        line = await asyncio.wait_for(reader.readline(), 10)
        return line.decode().strip().partition(" ")[2]
    finally:
        writer.transport.abort()


async def _egress_token(stage: Stage, agent: Agent) -> str:
    secret = await stage.get(paths.secrets(agent.namespace, agent.name))
    assert secret is not None
    found = re.search(r"gws_[\w.-]+", base64.b64decode(secret["data"][names.PROXY_KEY]).decode())
    assert found is not None
    return found.group()


async def _refused(cars: Traffic, agent: Agent) -> bool:
    """Whatever its key, grant or no grant."""
    return {(await cars.answers(agent, name)).code for name in GATEWAYS} == {"state_stale"}


async def _withdrawn(cars: Traffic, agent: Agent) -> bool:
    """It is served again as far as the cluster goes: the OpenAI key, whose grant stands."""
    answers = await cars.answers(agent, "OPENAI"), await cars.answers(agent)
    return answers[0].fine and answers[1].code in UNGRANTED


async def _age(cars: Traffic) -> float:
    ages = [await cars.metric(f'devbox_gateway_watch_age_seconds{{watch="{watch}"}}') for watch in ("routes", "pods")]
    return max(ages)


async def _true(value: bool) -> bool:
    return value


async def _until(condition: Callable[[], Coroutine[Any, Any, bool]], deadline: float) -> float | None:
    """When it was met; None if it is not in time."""
    while now() < deadline:
        if await condition():
            return now()
        await asyncio.sleep(0.05)
    return None


def _late(fault: str, demand: str, met: float | None, since: float, limit: float) -> Row:
    took = None if met is None else met - since
    return timed(fault, demand, "not in time" if took is None else f"{took:.1f} s", took is not None and took <= limit)


def _row(fault: str, demand: str, met: float | None, since: float, limit: float) -> Row:
    took = None if met is None else met - since
    return Row(fault, demand, "not in time" if took is None else f"{took:.1f} s", took is not None and took <= limit)
