"""Tokens for life: a devbox calls with the token that it was started with, while the operator renews, is away, or is cut short.

Goes in: a stage. Comes out: rows. The long form waits for three real renewals of 10-minute tokens (the shortest that an API server gives),
the third with the operator away for 15 % of a token's life across the moment at which it was due. The short form forces three renewals by
deleting the pods' service account, with which every token of before is dead for the API server. The devbox has called before: a first
question about a token that falls between its service account's end and the next token is refused, by right.
"""

import asyncio
import json
from base64 import b64decode
from datetime import UTC, datetime
from time import monotonic as now
from typing import Final

from tests.chaos.client import Tally
from tests.chaos.report import Row
from tests.chaos.world import eventually
from tests.support.control_plane import MOST_TOKEN_SECONDS
from tests.support.release import CREDENTIALS

from devbox_api import names
from devbox_api.route import Route
from devbox_operator.attach.tokens import claims, renewal
from devbox_operator.kit import paths

from .stage import Stage
from .traffic import Agent, Load, Traffic, traffic

LIFE_SECONDS: Final = 600
RENEWALS: Final = 3
AWAY_SECONDS: Final = 0.15 * LIFE_SECONDS
FRACTION: Final = 0.8
DEAD_SECONDS: Final = 5.0
NAME: Final = "ANTHROPIC"


async def life(stage: Stage, long: bool) -> list[Row]:
    """From the pod's start to its end."""
    await stage.alone(**({"tokens": {"expirationSeconds": LIFE_SECONDS}} if long else {}))
    async with traffic(stage) as cars:
        space = await stage.namespace()
        await stage.create(space)
        agent = await cars.agent(space)
        rows = [await _expiry(stage, agent, LIFE_SECONDS if long else MOST_TOKEN_SECONDS)]
        assert (await cars.answers(agent)).fine
        load = Load(cars.client(agent), 0.05)
        start = now()
        if long:
            for _ in range(RENEWALS - 1):
                await _renewed(stage, agent)
            rows.append(await _away(stage, agent))
            await asyncio.sleep(2)
            rows.append(_lasting(f"10-minute tokens, {RENEWALS} renewals in {(now() - start) / 60:.1f} min", await load.end()))
        else:
            for _ in range(RENEWALS):
                await _force(stage, agent)
            await asyncio.sleep(2)
            rows.append(_lasting(f"service account of the pods deleted, {RENEWALS} times", await load.end()))
        rows += await _after(stage, cars, agent)
    return rows


def _lasting(how: str, tally: Tally) -> Row:
    count = len(tally.seconds) + len(tally.errors)
    return Row(f"{how}: the first token", "0 refusals", f"{tally.kinds} in {count}", count > 0 and not tally.errors)


async def _route(stage: Stage, agent: Agent) -> Route:
    item = await stage.get(paths.secrets(CREDENTIALS, f"route-{agent.uid}"))
    assert item is not None, "the Route is gone"
    return Route.model_validate(json.loads(b64decode(item["data"][names.ROUTE_KEY])))


async def _current(stage: Stage, agent: Agent) -> str:
    return next(binding.token for binding in (await _route(stage, agent)).bindings if binding.name == NAME)


async def _expiry(stage: Stage, agent: Agent, seconds: int) -> Row:
    """status.gateways[].expiresAt is the token's own end, whatever was asked for."""
    found = claims(agent.tokens[NAME].removeprefix(names.TOKEN_PREFIX))
    assert found is not None
    given = (found.expires - found.issued).total_seconds()
    box = await stage.get(paths.devboxes(agent.namespace, "agent"))
    assert box is not None
    shown = {one["name"]: datetime.fromisoformat(one["expiresAt"]) for one in box["status"]["gateways"]}
    asked = "10 min asked for" if seconds == LIFE_SECONDS else f"30 days asked for, the cluster gives {seconds // 3600} h"
    measured = f"the token lives {given:.0f} s; expiresAt {'is' if shown[NAME] == found.expires else 'is not'} its end"
    return Row(
        asked, "status.gateways[].expiresAt is the token's end", measured, given == seconds and shown[NAME] == found.expires
    )


async def _renewed(stage: Stage, agent: Agent) -> None:
    """Wait for the next token, which comes at its time."""
    before = await _current(stage, agent)
    at = renewal(before, agent.uid, found.service_account if (found := claims(before)) else "", FRACTION)
    assert at is not None

    async def another() -> bool:
        return await _current(stage, agent) != before

    await eventually(another, (at - datetime.now(UTC)).total_seconds() + 30, every=1)


async def _away(stage: Stage, agent: Agent) -> Row:
    """No operator from shortly before a renewal is due."""
    before = await _current(stage, agent)
    found = claims(before)
    assert found is not None
    at = renewal(before, agent.uid, found.service_account, FRACTION)
    assert at is not None
    await asyncio.sleep((at - datetime.now(UTC)).total_seconds() - 15)
    stage.stop()
    left = now()
    await asyncio.sleep(AWAY_SECONDS)
    assert await _current(stage, agent) == before, "somebody renewed it"
    gone = now() - left
    await stage.alone(tokens={"expirationSeconds": LIFE_SECONDS})

    async def another() -> bool:
        return await _current(stage, agent) != before

    back = now()
    await eventually(another, 60, every=0.1)
    took = now() - back
    spare = (found.expires - datetime.now(UTC)).total_seconds()
    measured = f"away {gone:.0f} s; renewed {took:.1f} s after it was back, {spare:.0f} s before the end"
    return Row("operator away for 15 % of a token's life, across its renewal", "renewed before the end", measured, spare > 0)


async def _force(stage: Stage, agent: Agent) -> None:
    """A service account that is deleted comes back with another UID, and every token has to be made anew."""
    before = await _current(stage, agent)
    await stage.api.request("DELETE", paths.core("serviceaccounts", agent.namespace, names.AGENT_SERVICE_ACCOUNT))

    async def another() -> bool:
        return await _current(stage, agent) != before

    await eventually(another, 20, every=0.1)


async def _after(stage: Stage, cars: Traffic, agent: Agent) -> list[Row]:
    """What the digest list says, what a gateway makes of it that has seen nothing, and the end."""
    listed = next(binding.digests for binding in (await _route(stage, agent)).bindings if binding.name == NAME)
    first = names.token_digest(agent.tokens[NAME].removeprefix(names.TOKEN_PREFIX))
    rows = [
        Row(
            "digest list",
            f"{RENEWALS + 1} tokens, the first among them",
            f"{len(listed)}",
            len(listed) > RENEWALS and first in listed,
        )
    ]
    await cars.start_gateway()
    cold = await cars.answers(agent)
    rows.append(Row("the first token at a gateway that has just started", "200", cold.kind, cold.fine))
    secret = await stage.get(paths.secrets(agent.namespace, agent.name))
    assert secret is not None
    current = b64decode(secret["data"][NAME]).decode()
    fresh = await cars.answers(agent, token=current)
    rows.append(
        Row("the newest token, as a new shell reads it", "200", fresh.kind, fresh.fine and current != agent.tokens[NAME])
    )
    await stage.api.request("DELETE", paths.devboxes(agent.namespace, "agent"))
    took = await cars.refused(agent)
    measured = "still answered" if took is None else f"{took:.2f} s"
    rows.append(
        Row(
            "the devbox deleted: its first token",
            f"refused ≤{DEAD_SECONDS:g} s",
            measured,
            took is not None and took <= DEAD_SECONDS,
        )
    )
    return rows
