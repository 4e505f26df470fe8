"""Every refusal, and what each SDK makes of it: its exception says our words, and whether it tries again is what the refusal says."""

from typing import Final

import pytest

from devbox_api.judge.refusals import Refusal

from .client import Client, Fact
from .refusing_api import refusing
from .sdks import SDKS, Sdk
from .world import World

ASK: Final = [sdk for sdk in SDKS if not sdk.socket and not sdk.old]
SAID: Final = [refusal for refusal in Refusal if refusal.status != 407]
"""By the data port. (A 407 is the forward proxy's alone, and no answer at all to Node's fetch.)"""
OBEYS: Final = [sdk for sdk in ASK if sdk.api != "GEMINI"]
"""`X-Should-Retry`. (Google's SDK tries nothing again unless it is told to.)"""
pytestmark = pytest.mark.asyncio(loop_scope="session")


def flaw(refusal: Refusal, fact: Fact, requests: int, most: int) -> str:
    """What is wrong with what the client made of it."""
    if fact.get("status") != refusal.status:
        return f"status {fact.get('status')}"
    if f"devbox-gateway: {refusal.message}" not in fact["said"]:
        return f"says {fact['said'][:200]}"
    return f"{requests} requests" if requests != most else ""


@pytest.mark.parametrize("sdk", ASK, ids=lambda sdk: sdk.name)
@pytest.mark.row("S16")
async def test_every_refusal_is_said_in_our_words(world: World, sdk: Sdk) -> None:
    """Once where it may be tried again (a test waits for nothing); else with the SDK's own retries, of which there is none."""
    flaws = {}
    async with refusing() as api:
        environment = world.environment(sdk.ca) | {f"{sdk.api}_URL": api.url}
        client = await Client.start(sdk.command(world.environments), world.home, environment)
        try:
            for refusal in SAID:
                api.says, api.requests = refusal, 0
                fact = await client.did("plain" if refusal.final else "fail")
                if wrong := flaw(refusal, fact, api.requests, 1):
                    flaws[refusal.code] = wrong
            if sdk in OBEYS:
                api.says, api.requests = Refusal.NOT_READY, 0
                fact = await client.did("plain")
                if wrong := flaw(api.says, fact, api.requests, 3):
                    flaws["not_ready, tried again after Retry-After"] = wrong
        finally:
            await client.close()
    assert not flaws
