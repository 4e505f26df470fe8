"""The ways to hand a file to Gemini that work through a gateway: test_matrix.py has the one that does not."""

import base64
import hashlib
import json

import pytest
from tests.support.gateway_process import HOST

from .checks import arrived
from .client import Client
from .sdks import BY_NAME, Sdk
from .world import World

SDK = [BY_NAME["google-genai-python"]]
pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.parametrize("sdk", SDK, ids=lambda sdk: sdk.name)]


async def test_upload_with_base_url_and_header_said_again(world: World, sdk: Sdk, client: Client) -> None:
    fact = await client.did("upload with headers")
    assert "raised" not in fact, fact
    _, content = arrived(world, client.printed, requests=2)
    assert hashlib.sha256(content.body).hexdigest() == fact["sha256"]


async def test_upload_says_nothing_outside(world: World, sdk: Sdk, client: Client) -> None:
    """As the SDK's documentation has it: the file does not arrive, and goes nowhere else."""
    before = len(world.dns.asked)
    fact = await client.did("upload")
    assert fact["raised"] == "ConnectError"
    asked = {name for name in world.dns.asked[before:] if not name.startswith(f"{HOST}.") and name != HOST}
    # (By its resolver's search list, too.)
    assert {name.partition(".googleapis.com")[0] for name in asked} == {"generativelanguage"}, "a devbox can look up nothing"
    arrived(world, client.printed, requests=1)


async def test_file_inline(world: World, sdk: Sdk, client: Client) -> None:
    fact = await client.did("inline")
    assert "raised" not in fact, fact
    (one,) = arrived(world, client.printed)
    part = json.loads(one.body)["contents"][0]["parts"][0]["inlineData"]
    assert hashlib.sha256(base64.urlsafe_b64decode(part["data"])).hexdigest() == fact["sha256"]
