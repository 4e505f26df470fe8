"""Every SDK, curl and git, unchanged, in a real devbox behind the installed release: what tests/sdks tries on loopback.

The same programs and scenarios, with real Secrets, tokens, certificates and pods. The stand-ins run in a pod and tell what arrived.
"""

import contextlib
import hashlib
import json
import secrets
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import pytest
import pytest_asyncio
from tests.sdks import traces
from tests.sdks.api import Received
from tests.sdks.checks import refusal
from tests.sdks.client import Client
from tests.sdks.curl import WAYS, call, data
from tests.sdks.git_api import USERNAME
from tests.sdks.git_settings import LOGINS, SETTINGS
from tests.sdks.in_pod import made
from tests.sdks.script import PIECES, TOOL_ARGUMENTS, TOOL_RESULT
from tests.sdks.sdks import BY_NAME, SDKS, Sdk
from tests.support import NAMESPACES, sdk_upstream
from tests.support.sdk_upstream import SdkUpstream
from tests.support.workspace import Workspace

from devbox_cluster.paths import PROJECT
from devbox_common.redacted import Redacted
from devbox_stage.kubectl import Kubectl, Result, environment
from devbox_stage.stage import PYTHON
from devbox_stage.upstream import Upstream

FOLDER: Final = "/tmp/clients"
BINDINGS: Final = {
    "ANTHROPIC": {"type": "Bearer"},
    "OPENAI": {"type": "Bearer"},
    "GEMINI": {"type": "Bearer"},
    "GITHUB": {"type": "Basic", "username": USERNAME},
}
PREFIXES: Final = {"ANTHROPIC": "sk-ant-api03-", "OPENAI": "sk-proj-", "GEMINI": "AIza", "GITHUB": "ghp_"}
UNPACK: Final = """
import json, os, sys
os.makedirs(sys.argv[1])
os.symlink("/opt/agent/node_modules", sys.argv[1] + "/node_modules")
for name, text in json.load(sys.stdin).items():
    open(f"{sys.argv[1]}/{name}", "w").write(text)
"""
SEED: Final = """
rm -rf project.git work; git init -q --bare -b main project.git; git -C project.git config http.receivepack true
git init -q -b main work; head -c 3145728 /dev/urandom > work/data.bin; git -C work add .
git -C work -c user.name=a -c user.email=a@devbox.test commit -qm first; git -C work push -q ../project.git main
sha256sum < work/data.bin
"""
TEXT: Final = "".join(PIECES)
each = pytest.mark.parametrize("sdk", SDKS, ids=lambda sdk: sdk.name)
pytestmark = pytest.mark.asyncio(loop_scope="module")


@dataclass(frozen=True)
class Box:
    """The devbox and what is behind its gateways."""

    home: Workspace
    pod: str
    apis: SdkUpstream
    credentials: dict[str, Redacted]
    tokens: dict[str, str] = field(repr=False)

    def command(self, sdk: Sdk) -> list[str]:
        """kubectl's, which runs the SDK's program in the pod, in the devbox's own environment."""
        program = f"{FOLDER}/{sdk.program}"
        python = "/opt/anthropic1/bin/python" if sdk.old else PYTHON
        argv = ["node", program] if sdk.program.endswith(".mjs") else [python, "-B", program]
        return self.home.kubectl.exec_command(self.home.name, self.pod, "devbox", argv)

    def sh(self, script: str) -> Result:
        """A shell's script in the devbox; its status is looked at by the test."""
        return self.home.exec(self.pod, ["sh", "-ec", f"cd {FOLDER}; {script}"], check=False)

    def arrived(self, output: str, requests: int | None = 1) -> list[Received]:
        """What the APIs received: so many requests, each with its credential and nothing of a token; `output` has no credential."""
        received = self.apis.received()
        by_host = {api.host: api for api in made(self.credentials).values()}
        for one in received:
            assert traces.wrong_with(one, by_host[one.host], self.tokens.values()) == []
        if requests is not None:
            assert len(received) == requests, [(one.method, one.path) for one in received]
        assert not traces.in_text(output, self.credentials.values()), "the client printed a credential"
        return received


@pytest.fixture(scope="module")
def box(cluster: Kubectl, image_references: dict[str, str], upstream: Upstream, release: None) -> Iterator[Box]:
    """A Ready one with the clients in it."""
    apis = sdk_upstream.deploy(cluster, image_references["demo"])
    credentials = {name: Redacted(prefix + secrets.token_hex(24)) for name, prefix in PREFIXES.items()}
    apis.credentials(credentials)
    hosts = {name: api.host for name, api in made(credentials).items()}
    home = Workspace(cluster, upstream)
    home.create()
    try:
        for name, mechanism in BINDINGS.items():
            lower = name.lower()
            home.secret(lower, credentials[name].reveal(), hosts=hosts[name].partition(":")[0])
            home.gateway_config(lower, endpoint=f"https://{hosts[name]}", authMechanism=mechanism)
        gateways = [{"name": name, "gatewayRef": {"name": name.lower()}} for name in BINDINGS]
        home.devbox(gateways=gateways, image=image_references["demo"])
        pod = home.ready()
        files = {path.name: path.read_text() for path in (PROJECT / "tests/sdks/clients").glob("*.*")}
        home.exec(pod, [PYTHON, "-c", UNPACK, FOLDER], stdin=json.dumps(files))
        tokens = {name: home.sh(pod, f'echo "${name}"') for name in BINDINGS}
        yield Box(home, pod, apis, credentials, tokens)
    finally:
        home.delete()


@pytest_asyncio.fixture(scope="module", loop_scope="module", name="clients")
async def all_clients(box: Box) -> AsyncIterator[dict[str, Client]]:
    """All of them, importing their SDKs at the same time."""
    async with contextlib.AsyncExitStack() as stack:
        started = {}
        for sdk in SDKS:
            started[sdk.name] = await Client.start(box.command(sdk), Path("/"), environment())
            stack.push_async_callback(started[sdk.name].close)
        yield started


@pytest.fixture
def client(clients: dict[str, Client], sdk: Sdk) -> Client:
    """The program of the test's SDK."""
    return clients[sdk.name]


@pytest.fixture(autouse=True)
def told(box: Box, request: pytest.FixtureRequest) -> None:
    """Where to look if it fails."""
    request.node.stash.setdefault(NAMESPACES, []).append(box.home.name)


@each
@pytest.mark.row("S3", "S8", "S13", "S14", "S15")
async def test_plain_call(box: Box, sdk: Sdk, client: Client) -> None:
    box.apis.then()
    fact = await client.did("plain")
    assert fact.get("text") == TEXT, fact
    (one,) = box.arrived(client.printed)
    assert one.host == made(box.credentials)[sdk.api].host


@each
@pytest.mark.row("S17")
async def test_stream_event_by_event(box: Box, sdk: Sdk, client: Client) -> None:
    box.apis.then(hold=True)
    seen = []
    async for fact in client.does("stream"):
        assert "raised" not in fact, fact
        if "piece" in fact:
            seen.append(fact["piece"])
            # The API sends a piece when the program has told that it saw the one before.
            assert box.apis.step() == len(seen)
    assert tuple(seen) == PIECES
    assert fact["text"] == TEXT
    box.arrived(client.printed)


@each
async def test_tool_call(box: Box, sdk: Sdk, client: Client) -> None:
    box.apis.then()
    fact = await client.did("tools")
    assert fact.get("tool") == TOOL_ARGUMENTS["city"], fact
    assert fact["text"] == f"The tool said: {TOOL_RESULT}"
    box.arrived(client.printed, requests=1 if sdk.socket else 2)


@each
async def test_upload(box: Box, sdk: Sdk, client: Client) -> None:
    box.apis.then()
    fact = await client.did("upload")
    assert "raised" not in fact, fact
    *_, one = box.arrived(client.printed, requests=sdk.upload_requests)
    if sdk.socket:
        assert fact["arrived"] == fact["sha256"]
        return
    content = one.body if sdk.upload_requests == 2 else one.form()["file"]
    assert len(content) == fact["bytes"] == 3 * 2**20
    assert hashlib.sha256(content).hexdigest() == fact["sha256"]


@each
async def test_the_apis_errors_are_the_sdks_exceptions(box: Box, sdk: Sdk, client: Client) -> None:
    statuses = [404, 429, 500]
    box.apis.then(plan=statuses)
    for status in statuses:
        fact = await client.did("fail")
        assert (fact.get("raised"), fact.get("status")) == (sdk.exceptions[status], status), fact
        message = json.loads(str(made(box.credentials)[sdk.api].error(status).text))["error"]["message"]
        assert message in json.dumps(fact["body"])
    box.arrived(client.printed, requests=len(statuses))


@each
async def test_the_sdk_tries_again(box: Box, sdk: Sdk, client: Client) -> None:
    box.apis.then(plan=sdk.retried)
    fact = await client.did("retry")
    assert fact.get("text") == TEXT, fact
    box.arrived(client.printed, requests=len(sdk.retried) + 1)


@each
@pytest.mark.row("S4")
async def test_the_gateways_refusal_is_the_sdks_exception(box: Box, sdk: Sdk, client: Client) -> None:
    box.apis.then()
    fact = await client.did("wrong token")
    assert (fact.get("raised"), fact.get("status")) == (sdk.exceptions[401], 401), fact
    assert refusal(fact)["code"] == "token_unknown"
    assert sdk.socket or "devbox-gateway: " in fact["said"], "whoever reads the exception alone learns why"
    box.arrived(client.printed, requests=0)


@pytest.mark.parametrize("sdk", [sdk for sdk in SDKS if not sdk.socket], ids=lambda sdk: sdk.name)
@pytest.mark.row("S4")
async def test_a_refusal_is_heard_by_who_is_still_sending(box: Box, sdk: Sdk, client: Client) -> None:
    box.apis.then()
    fact = await client.did("wrong token upload")
    assert (fact.get("raised"), fact.get("status")) == (sdk.exceptions[401], 401), fact
    assert refusal(fact)["code"] == "token_unknown"
    box.arrived(client.printed, requests=0)


@pytest.mark.parametrize(
    "sdk", [BY_NAME[name] for name in ("openai-python", "openai-typescript", "google-genai-python")], ids=lambda sdk: sdk.name
)
async def test_a_session_over_a_websocket(box: Box, sdk: Sdk, client: Client) -> None:
    box.apis.then(hold=True)
    seen = []
    async for fact in client.does("realtime"):
        assert "raised" not in fact, fact
        if "piece" in fact:
            seen.append(fact["piece"])
            assert box.apis.step() == len(seen)
    assert tuple(seen) == PIECES
    (one,) = box.arrived(client.printed)
    assert one.compressed == sdk.compresses


@pytest.mark.row("S16")
@pytest.mark.parametrize("way", [way for way in WAYS if WAYS[way][0] in BINDINGS])
async def test_curl(box: Box, way: str) -> None:
    box.apis.then()
    name, header, path, body = WAYS[way]
    ended = box.sh(call(name, header, path, data(body)))
    assert ended.code == 0, ended.err
    assert TEXT in json.dumps(json.loads(ended.out))
    assert "< X-Debug-" in ended.err, "the API repeats the credential, and the gateway hides it"
    box.arrived(ended.out + ended.err)


@pytest.mark.row("S4")
async def test_curl_with_a_wrong_token(box: Box) -> None:
    box.apis.then()
    name, header, path, body = WAYS["openai"]
    ended = box.sh(call(name, header, path, "--fail-with-body", data(body), token="${OPENAI%??????}AAAAAA"))
    assert ended.code == 22
    assert json.loads(ended.out)["error"]["code"] == "token_unknown"
    box.arrived(ended.out + ended.err, requests=0)


def git(box: Box, login: str, script: str) -> Result:
    """A script with a project of the git host, cloned anew; git tells what it sends and gets."""
    settings = " ".join(
        f"{name}='{value}'" for name, value in {**SETTINGS, "GIT_TRACE_CURL": "1", "GIT_TRACE_CURL_NO_DATA": "1"}.items()
    )
    return box.sh(f'export {settings}; rm -rf project; {LOGINS[login]}git clone -q "$GITHUB_URL/project.git"; {script}')


@pytest.mark.parametrize("login", LOGINS)
async def test_git_clones_and_pushes_some_mebibytes(box: Box, login: str) -> None:
    box.apis.then()
    digest = box.apis.sh(SEED)
    change = "head -c 3145728 /dev/urandom > more.bin; git add .; git commit -qm more; git push -q; git rev-parse HEAD"
    ended = git(box, login, f"cd project; sha256sum < data.bin; {change}")
    assert ended.code == 0, ended.err[-300:]
    assert ended.out.split("\n")[0] == digest
    assert ended.out.split()[-1] == box.apis.sh("git -C project.git rev-parse main")
    assert "<= Recv header: X-Debug-authorization: " in ended.err
    received = box.arrived(ended.out + ended.err, requests=None)
    assert max(len(one.body) for one in received) > 3 << 20


@pytest.mark.row("S4")
async def test_git_with_a_wrong_token(box: Box) -> None:
    box.apis.then()
    ended = box.sh(
        f'export GIT_TERMINAL_PROMPT=0 GITHUB="${{GITHUB%??????}}AAAAAA"; {LOGINS["basic"]}git ls-remote "$GITHUB_URL/project.git"'
    )
    assert ended.code == 128
    box.arrived(ended.out + ended.err, requests=0)


async def test_git_hears_that_there_is_no_such_repository(box: Box) -> None:
    box.apis.then()
    ended = box.sh(f'export GIT_TERMINAL_PROMPT=0; {LOGINS["basic"]}git ls-remote "$GITHUB_URL/none.git"')
    assert ended.code == 128
    assert "Repository not found." in ended.err
    box.arrived(ended.out + ended.err)
