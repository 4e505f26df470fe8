"""The ways to hand a file to Gemini, besides the one of test_matrix.py, and where it goes."""

import base64
import hashlib
import json

import pytest

from .checks import arrived
from .client import Client
from .sdks import BY_NAME, Sdk
from .world import World

SDK = [BY_NAME["google-genai-python"]]
pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.parametrize("sdk", SDK, ids=lambda sdk: sdk.name)]


async def test_upload_with_base_url_and_header_said_again(world: World, sdk: Sdk, client: Client) -> None:
    """As our documentation had it, for programs that were written so."""
    fact = await client.did("upload with headers")
    assert "raised" not in fact, fact
    _, content = arrived(world, client.printed, requests=2)
    assert hashlib.sha256(content.body).hexdigest() == fact["sha256"]


@pytest.mark.parametrize("scenario", ["upload", "upload at once"])
async def test_upload_goes_nowhere_else(world: World, sdk: Sdk, client: Client, scenario: str) -> None:
    """As the SDK's documentation has it, in both of its ways: the API answers with an address at Google, the client gets the gateway's."""
    before = len(world.dns.asked)
    fact = await client.did(scenario)
    assert "raised" not in fact, fact
    assert not [name for name in world.dns.asked[before:] if "googleapis" in name]
    begun, content = arrived(world, client.printed, requests=2)
    assert hashlib.sha256(content.body).hexdigest() == fact["sha256"]
    assert content.target == f"{begun.path}?upload_id=42&upload_protocol=resumable", "nothing of the token is left in it"


async def test_file_inline(world: World, sdk: Sdk, client: Client) -> None:
    fact = await client.did("inline")
    assert "raised" not in fact, fact
    (one,) = arrived(world, client.printed)
    part = json.loads(one.body)["contents"][0]["parts"][0]["inlineData"]
    assert hashlib.sha256(base64.urlsafe_b64decode(part["data"])).hexdigest() == fact["sha256"]
