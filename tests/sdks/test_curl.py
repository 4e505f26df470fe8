"""curl, as scripts use it. The token comes from a config on standard input, so that no list of processes shows it."""

import hashlib
import json
from contextlib import AbstractAsyncContextManager

import pytest

from .checks import arrived
from .client import Ended, Program, program
from .curl import CHAT, CONTENT, WAYS, call, data
from .script import PIECES
from .world import World

pytestmark = pytest.mark.asyncio(loop_scope="session")


OPENAI = WAYS["openai"]


def start(world: World, script: str) -> AbstractAsyncContextManager[Program]:
    """A script in the clients' folder."""
    return program(script, world.home, world.environment("CURL_CA_BUNDLE"))


async def run(world: World, script: str, requests: int = 1) -> Ended:
    """To its end; `requests`: how many have to reach the API."""
    async with start(world, script) as running:
        ended = await running.ended()
    arrived(world, ended.out + ended.errors, requests)
    return ended


@pytest.mark.row("S16")
@pytest.mark.parametrize("way", WAYS)
async def test_plain_call(world: World, way: str) -> None:
    name, header, path, body = WAYS[way]
    ended = await run(world, call(name, header, path, data(body)))
    assert ended.status == 0
    assert "".join(PIECES) in json.dumps(json.loads(ended.out))
    assert "< X-Debug-" in ended.errors, "the API repeats the credential, and the gateway hides it"


@pytest.mark.parametrize("name", ["GEMINI_HEADER", "GEMINI"])
async def test_token_in_the_query(world: World, name: str) -> None:
    path = "/v1beta/models/gemini-4-flash:generateContent"
    script = f'printf \'url = "%s{path}?key=%s"\\n\' "${name}_URL" "${name}" | curl -sS --config - {data(CONTENT)}'
    ended = await run(world, script)
    assert ended.status == 0
    assert json.loads(ended.out)["candidates"]


@pytest.mark.row("S17")
async def test_stream_event_by_event(world: World) -> None:
    world.apis.hold = True
    body = CHAT.replace("{", '{"stream": true, ', 1)
    out = ""
    async with start(world, call(*OPENAI[:3], "-N", data(body))) as running:
        for number, piece in enumerate(PIECES, 1):
            out += await running.until(f'"content": "{piece}"')
            assert world.apis.sent == number
            world.apis.step()
        ended = await running.ended()
    assert ended.status == 0
    assert ended.out.endswith("data: [DONE]\n\n")
    arrived(world, out + ended.out + ended.errors)


async def test_upload(world: World) -> None:
    make = "head -c 3145728 /dev/urandom > data.bin; sha256sum data.bin; "
    ended = await run(world, make + call("OPENAI", OPENAI[1], "/v1/files", "-F purpose=user_data -F file=@data.bin"))
    (one,) = world.apis.received
    assert hashlib.sha256(one.form()["file"]).hexdigest() == ended.out[:64]
    assert "< HTTP/1.1 100 Continue" in ended.errors, "curl asks before it sends so much"


@pytest.mark.parametrize("status", [404, 429, 500])
async def test_the_apis_error(world: World, status: int) -> None:
    world.apis.plan.append(status)
    ended = await run(world, call(*OPENAI[:3], "--fail-with-body", data(CHAT)))
    assert ended.status == 22
    assert json.loads(ended.out) == json.loads(str(world.apis.by_name["OPENAI"].error(status).text))


async def test_curl_tries_again(world: World) -> None:
    world.apis.plan.extend([429, 500])
    ended = await run(world, call(*OPENAI[:3], "--fail --retry 3", data(CHAT)), requests=3)
    assert ended.status == 0
    assert "".join(PIECES) in ended.out


@pytest.mark.row("S4")
async def test_the_gateways_refusal(world: World) -> None:
    script = call(*OPENAI[:3], "--fail-with-body", data(CHAT), token="${OPENAI%??????}AAAAAA")
    ended = await run(world, script, requests=0)
    assert ended.status == 22
    assert json.loads(ended.out)["error"]["code"] == "token_unknown"
