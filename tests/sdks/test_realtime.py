"""WebSockets, as the SDKs open them: with the key in a header, or in a subprotocol where a header can't be set (browsers, Node)."""

import pytest

from .checks import arrived
from .client import Client
from .script import PIECES
from .sdks import BY_NAME, Sdk
from .world import World

WITH_SESSIONS = [BY_NAME[name] for name in ("openai-python", "openai-typescript", "google-genai-python")]
pytestmark = pytest.mark.asyncio(loop_scope="session")


@pytest.mark.parametrize("sdk", WITH_SESSIONS, ids=lambda sdk: sdk.name)
async def test_session_event_by_event(world: World, sdk: Sdk, client: Client) -> None:
    world.apis.hold = True
    seen = []
    async for fact in client.does("realtime"):
        assert "raised" not in fact, fact
        if "piece" in fact:
            seen.append(fact["piece"])
            assert world.apis.sent == len(seen)
            world.apis.step()
    assert tuple(seen) == PIECES
    (one,) = arrived(world, client.printed)
    assert one.compressed == sdk.compresses
    # Node's own WebSocket can set no header: there the token was the subprotocol that is gone.
    assert one.values("sec-websocket-protocol") == (["realtime"] if sdk.name == "openai-typescript" else [])


@pytest.mark.parametrize("sdk", [BY_NAME["websockets-python"]], ids=lambda sdk: sdk.name)
async def test_subprotocol_and_compression(world: World, sdk: Sdk, client: Client) -> None:
    fact = await client.did("plain")
    assert (fact["subprotocol"], fact["compressed"]) == ("realtime", True)
    (one,) = arrived(world, client.printed)
    assert one.compressed
    assert one.values("sec-websocket-protocol") == ["realtime"]
    assert one.values("authorization") == [world.apis.by_name["OPENAI"].expected()]


@pytest.mark.parametrize("sdk", [BY_NAME["websockets-python"]], ids=lambda sdk: sdk.name)
async def test_error_event(world: World, sdk: Sdk, client: Client) -> None:
    fact = await client.did("error event")
    assert fact["error"]["message"] == "Invalid value: 'no.such.event'."
    arrived(world, client.printed)


@pytest.mark.parametrize("sdk", [BY_NAME["websockets-python"]], ids=lambda sdk: sdk.name)
async def test_429_is_not_tried_again_by_the_client(world: World, sdk: Sdk, client: Client) -> None:
    world.apis.plan.append(429)
    fact = await client.did("retry")
    assert (fact.get("raised"), fact.get("status")) == ("InvalidStatus", 429)
    arrived(world, client.printed)
