"""What changes under a devbox that calls: the Secret, the GatewayConfig, the reference. The same pod, the same token, no failed request.

Goes in: a stage. Comes out: rows. Timed is from a change's answer to the first request that the API sees with it. Meanwhile a client asks
on and on, and a request that was under way when the key changed ends with the old one.
"""

import asyncio
from collections.abc import Callable
from time import monotonic as now
from typing import Any, Final

from tests.chaos.api import Ask, plain
from tests.chaos.report import Row, p, timed
from tests.chaos.world import eventually
from tests.support.fleet import HOSTS

from devbox_api import names
from devbox_operator.kit import paths

from .stage import Stage
from .traffic import OTHER_HOST, Load, Traffic, credential, traffic

LIVE_SECONDS: Final = 5.0
SLOW_SECONDS: Final = 1.5


async def changes(stage: Stage, long: bool) -> list[Row]:
    """Again and again."""
    await stage.alone()
    async with traffic(stage) as cars:
        space = await stage.namespace()
        await stage.create(space)
        agent = await cars.agent(space)
        seen: list[Ask] = []

        async def record(ask: Ask) -> None:
            seen.append(ask)
            await plain(ask)

        cars.api.ways["/"] = record
        load = Load(cars.client(agent), 0.02)
        grant = {names.ALLOWED_HOSTS_ANNOTATION: f"{HOSTS['ANTHROPIC']},{OTHER_HOST}"}
        await stage.patch(paths.secrets(space, "anthropic"), {"metadata": {"annotations": grant}})
        took: dict[str, list[float]] = {}
        for number in range(20 if long else 4):
            for what, path, body, there in _changes(space, number):
                await stage.patch(path, body)
                took.setdefault(what, []).append(await _until(seen, there))
        rows = [await _in_flight(stage, cars, load, space)]
        tally = await load.end()
        count = len(tally.seconds) + len(tally.errors)
        everything = [seconds for each in took.values() for seconds in each]
        spread = "; ".join(f"{what}: worst {max(each):.2f} s" for what, each in took.items())
        slowest = p(99, everything)
        rows.append(
            timed(
                f"{len(everything)} changes under traffic",
                f"live: p99 ≤{LIVE_SECONDS:g} s",
                f"p99 {slowest:.2f} s ({spread})",
                slowest <= LIVE_SECONDS,
            )
        )
        rows.append(Row(f"{count} requests meanwhile", "0 failed", tally.kinds, count > 0 and not tally.errors))
        rows.append(await _rules(stage, cars, space))
        same = (await stage.pods(space))[0]["metadata"]["uid"] == agent.uid
        rows.append(Row("the pod", "the same all along", "the same" if same else "another", same))
        rows.append(await _restart(stage, cars, space))
        return rows


Change = tuple[str, str, dict[str, Any], Callable[[Ask], bool]]
"""What it is called, the object, a merge patch, and how a request shows it."""


def _changes(space: str, number: int) -> list[Change]:
    secret, config = paths.secrets(space, "anthropic"), paths.gatewayconfigs(space, "anthropic")
    host = (OTHER_HOST, HOSTS["ANTHROPIC"])[number % 2]
    header = f"X-Key-{number}"
    value = f"sk-value-{number}-of-a-key"
    mechanism = {"type": "Header", "key": header}
    other = {"credential": {"secretRef": {"name": "openai", "key": "key"}}}
    back = {"credential": {"secretRef": {"name": "anthropic", "key": "key"}}}
    either = {
        "metadata": {"annotations": {names.ALLOWED_HOSTS_ANNOTATION: f"{HOSTS['ANTHROPIC']},{OTHER_HOST},{HOSTS['OPENAI']}"}}
    }
    return [
        (
            "Secret's value",
            secret,
            {"stringData": {"key": value}},
            lambda ask: value in ask.headers.values() or credential(ask) == value,
        ),
        (
            "endpoint",
            config,
            {"spec": {"endpoint": f"https://{host}"}},
            lambda ask: ask.headers.get("host", "").startswith(host),
        ),
        ("auth", config, {"spec": {"authMechanism": mechanism}}, lambda ask: ask.headers.get(header.lower()) == value),
        (
            "auth back",
            config,
            {"spec": {"authMechanism": {"type": "Bearer", "key": None}}},
            lambda ask: credential(ask) == value,
        ),
        ("grant of another Secret", paths.secrets(space, "openai"), either, lambda _: True),
        ("reference to another Secret", config, {"spec": other}, lambda ask: credential(ask) == "sk-one"),
        ("reference back", config, {"spec": back}, lambda ask: credential(ask) == value),
    ]


async def _until(seen: list[Ask], there: Callable[[Ask], bool]) -> float:
    start, before = now(), len(seen)
    await eventually(lambda: any(there(ask) for ask in seen[before:]), 30, every=0.01)
    return now() - start


async def _in_flight(stage: Stage, cars: Traffic, load: Load, space: str) -> Row:
    """It was sent with the old key, and its answer comes after the change."""
    keys: list[str] = []

    async def slow(ask: Ask) -> None:
        keys.append(credential(ask))
        await asyncio.sleep(SLOW_SECONDS)
        await plain(ask)

    cars.api.ways["/slow"] = slow
    agent = await cars.agent(space)
    client = cars.client(agent)
    under_way = asyncio.create_task(client.request(path="/slow"))
    await eventually(lambda: keys, 10)
    await stage.patch(paths.secrets(space, "anthropic"), {"stringData": {"key": "sk-the-next-key"}})
    answer = await under_way
    later = await client.request(path="/slow")
    client.close()
    measured = (
        f"{answer.kind}, {later.kind}; the API saw {'another key' if keys[0] != keys[1] else 'the same key'} in the next one"
    )
    fine = answer.fine and later.fine and keys[0] != "sk-the-next-key" and keys[1] == "sk-the-next-key"
    return Row(
        "a request under way while the key changes", "whole, with the old key; the next one has the new one", measured, fine
    )


async def _rules(stage: Stage, cars: Traffic, space: str) -> Row:
    """A rule that allows another path alone, and none again."""
    agent, took = await cars.agent(space), []
    for rules, wanted in (([{"paths": ["/other"]}], 403), (None, 200)):
        await stage.patch(paths.gatewayconfigs(space, "anthropic"), {"spec": {"rules": rules}})
        start = now()
        async with asyncio.timeout(30):
            while (await cars.answers(agent)).status != wanted:  # noqa: ASYNC110 (another process)
                await asyncio.sleep(0.02)
        took.append(now() - start)
    return timed(
        "rules that forbid the path, and none again",
        f"live ≤{LIVE_SECONDS:g} s",
        f"{took[0]:.2f} s, {took[1]:.2f} s",
        max(took) <= LIVE_SECONDS,
    )


async def _restart(stage: Stage, cars: Traffic, space: str) -> Row:
    """What a running pod can't take up is named, and is taken up when somebody asks for it."""
    old, box = await cars.agent(space), paths.devboxes(space, "agent")
    await stage.patch(box, {"spec": {"image": "localhost/newer", "env": [{"name": "LEVEL", "value": "debug"}]}})
    said: list[str] = []

    async def required() -> bool:
        conditions = ((await stage.get(box)) or {})["status"]["conditions"]
        said[:] = [one["message"] for one in conditions if one["type"] == "RestartRequired" and one["status"] == "True"]
        return bool(said)

    await eventually(required, 20)
    kept = (await cars.agent(space)).uid == old.uid
    await stage.patch(box, {"metadata": {"annotations": {names.RESTARTED_AT_ANNOTATION: "1"}}})
    new = old
    async with asyncio.timeout(40):
        while new.uid == old.uid:
            await asyncio.sleep(0.1)
            new = await cars.agent(space)
    image = new.pod["spec"]["containers"][0]["image"]
    fine = (
        kept
        and said[0].startswith("spec.env, spec.image changed")
        and image == "localhost/newer"
        and (await cars.answers(new)).fine
    )
    return Row(
        "image and env changed; then a restart asked for", "RestartRequired names them; a pod that has them", said[0][:60], fine
    )
