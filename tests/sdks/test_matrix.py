"""Every SDK, one scenario after the other: what the program saw, and what the API received."""

import hashlib
import json

import pytest

from devbox_common.redacted import Redacted

from . import traces
from .checks import arrived, refusal
from .client import Client
from .script import PIECES, TOOL_ARGUMENTS, TOOL_RESULT
from .sdks import SDKS, Sdk
from .world import World

pytestmark = pytest.mark.asyncio(loop_scope="session")
each = pytest.mark.parametrize("sdk", SDKS, ids=lambda sdk: sdk.name)
each_with_bodies = pytest.mark.parametrize("sdk", [sdk for sdk in SDKS if not sdk.socket], ids=lambda sdk: sdk.name)
TEXT = "".join(PIECES)


@each
@pytest.mark.row("S3", "S8", "S13", "S14", "S15")
async def test_plain_call(world: World, sdk: Sdk, client: Client) -> None:
    fact = await client.did("plain")
    assert fact.get("text") == TEXT, fact
    (one,) = arrived(world, client.printed)
    assert one.host == world.apis.by_name[sdk.api].host


@each_with_bodies
async def test_pointed_by_the_sdks_own_variables(world: World, sdk: Sdk, client: Client) -> None:
    """For programs that can't be changed."""
    fact = await client.did("own variables")
    assert fact.get("text") == TEXT, fact
    arrived(world, client.printed)


@each_with_bodies
@pytest.mark.row("S13", "S14", "S15")
async def test_whatever_base_url_people_write(world: World, sdk: Sdk, client: Client) -> None:
    """With a slash at its end, and with the version that the API's documentation has in it."""
    fact = await client.did("base urls")
    assert fact.get("text") == TEXT, fact
    received = arrived(world, client.printed, requests=fact["urls"])
    assert len({one.path for one in received}) == 1, "and it is the same place"


@each
@pytest.mark.row("S17")
async def test_stream_event_by_event(world: World, sdk: Sdk, client: Client) -> None:
    world.apis.hold = True
    seen = []
    async for fact in client.does("stream"):
        assert "raised" not in fact, fact
        if "piece" in fact:
            seen.append(fact["piece"])
            # The API sends a piece when the program has told that it saw the one before.
            assert world.apis.sent == len(seen)
            world.apis.step()
    assert tuple(seen) == PIECES
    assert fact["text"] == TEXT
    arrived(world, client.printed)


@each
async def test_a_stream_that_the_api_cuts_does_not_look_whole(world: World, sdk: Sdk, client: Client) -> None:
    world.apis.cut = True
    fact = await client.did("stream")
    assert fact["piece"] == PIECES[0]
    assert "raised" in fact, fact
    assert "text" not in fact
    arrived(world, client.printed)


@each
async def test_tool_call(world: World, sdk: Sdk, client: Client) -> None:
    fact = await client.did("tools")
    assert fact.get("tool") == TOOL_ARGUMENTS["city"], fact
    assert fact["text"] == f"The tool said: {TOOL_RESULT}"
    arrived(world, client.printed, requests=1 if sdk.socket else 2)


@each
async def test_upload(world: World, sdk: Sdk, client: Client) -> None:
    fact = await client.did("upload")
    assert "raised" not in fact, fact
    *_, last = arrived(world, client.printed, requests=sdk.upload_requests)
    if sdk.socket:
        assert fact["arrived"] == fact["sha256"]
        return
    content = last.form()["file"] if sdk.upload_requests == 1 else last.body
    assert len(content) == fact["bytes"] == 3 * 2**20
    assert hashlib.sha256(content).hexdigest() == fact["sha256"]


@each
@pytest.mark.parametrize("status", [404, 429, 500])
async def test_the_apis_error_is_the_sdks_exception(world: World, sdk: Sdk, client: Client, status: int) -> None:
    world.apis.plan.append(status)
    fact = await client.did("fail")
    assert (fact.get("raised"), fact.get("status")) == (sdk.exceptions[status], status), fact
    message = json.loads(str(world.apis.by_name[sdk.api].error(status).text))["error"]["message"]
    assert message in json.dumps(fact["body"])
    arrived(world, client.printed)


@each
async def test_the_sdk_tries_again(world: World, sdk: Sdk, client: Client) -> None:
    world.apis.plan.extend(sdk.retried)
    fact = await client.did("retry")
    assert fact.get("text") == TEXT, fact
    arrived(world, client.printed, requests=len(sdk.retried) + 1)


@each
@pytest.mark.row("S4")
async def test_the_gateways_refusal_is_the_sdks_exception(world: World, sdk: Sdk, client: Client) -> None:
    fact = await client.did("wrong token")
    assert (fact.get("raised"), fact.get("status")) == (sdk.exceptions[401], 401), fact
    assert refusal(fact)["code"] == "token_unknown"
    assert sdk.socket or "devbox-gateway: " in fact["said"], "whoever reads the exception alone learns why"
    arrived(world, client.printed, requests=0)


@each_with_bodies
@pytest.mark.row("S4")
async def test_a_refusal_is_heard_by_who_is_still_sending(world: World, sdk: Sdk, client: Client) -> None:
    fact = await client.did("wrong token upload")
    assert (fact.get("raised"), fact.get("status")) == (sdk.exceptions[401], 401), fact
    assert refusal(fact)["code"] == "token_unknown"
    arrived(world, client.printed, requests=0)


@each
@pytest.mark.row("S2")
async def test_the_process_never_saw_the_credential(world: World, sdk: Sdk, client: Client) -> None:
    """After all of the above, and although the API repeats the credential in every answer's headers."""
    await client.did("plain")
    (one,) = arrived(world, client.printed)
    token, secret = Redacted(world.tokens[sdk.api]), world.apis.apis[one.host].credential
    assert traces.in_memory(client.pid, [token, secret]) == [True, False], "the search finds what is there, and nothing else"
