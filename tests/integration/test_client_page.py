"""What users of the hosted product know by heart, on a cluster of their own: devboxes without a name, without an image."""

import asyncio
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from tests.support.workspace import Workspace

from devbox_cluster.paths import kubeconfig
from devbox_gateway import AsyncDevboxGateway, InUseError, InvalidError, NotFoundError
from devbox_gateway.objects.devbox import AsyncDevbox
from devbox_stage.upstream import HOSTS

PROGRAM = """
import json, os, urllib.request

body = {"model": "claude-sonnet-5-5", "max_tokens": 100, "messages": [{"role": "user", "content": "from Python"}]}
headers = {"x-api-key": os.environ["LLM"], "anthropic-version": "2023-06-01", "content-type": "application/json"}
request = urllib.request.Request(os.environ["LLM_URL"] + "/v1/messages", json.dumps(body).encode(), headers)
print(json.load(urllib.request.urlopen(request))["content"][0]["text"])
"""


@pytest_asyncio.fixture
async def client(workspace: Workspace) -> AsyncIterator[AsyncDevboxGateway]:
    async with AsyncDevboxGateway(kubeconfig=kubeconfig(), namespace=workspace.name) as made:
        yield made


async def printed(devbox: AsyncDevbox, command: str) -> str:
    """Of a command that succeeds."""
    result = await devbox.cmd.exec(command, timeout=60)
    assert result.success, f"{result.exit_code}: {await result.stdout()}{await result.stderr()}"
    return await result.stdout()


@pytest.mark.row("S7", "S9", "S18", "S24", "S25")
async def test_an_api_with_a_header_of_its_own(client: AsyncDevboxGateway, workspace: Workspace) -> None:
    config = await client.gateway_configs.create(
        name="my internal API",
        endpoint=f"https://{HOSTS['internal']}",
        auth_mechanism={"type": "header", "key": "X-Internal-Token"},
        description="of ours",
    )
    await client.api.secrets.create(name="INTERNAL_API_TOKEN", value=workspace.key("internal").value.reveal())
    gateways = {"INTERNAL": {"gateway": config.id, "secret": "INTERNAL_API_TOKEN"}}
    async with await client.devbox.create(gateways=gateways) as devbox:
        call = 'curl -sS --fail-with-body "$INTERNAL_URL/v1/customers?page=2" -H "X-Internal-Token: $INTERNAL"'
        assert '"page": 2' in await printed(devbox, call)
        assert (await printed(devbox, "echo $INTERNAL")).startswith("gws_")


@pytest.mark.row("S10", "S12", "S25")
async def test_several_apis_and_their_management(client: AsyncDevboxGateway, workspace: Workspace) -> None:
    gateways = {}
    for api in ("anthropic", "openai"):
        config = await client.gateway_config.create(
            name=f"{api}-gateway", endpoint=f"https://{HOSTS[api]}", auth_mechanism={"type": "bearer"}
        )
        await client.secret.create(name=f"MY_{api.upper()}_KEY", value=workspace.key(api).value.reveal())
        gateways[api.upper()] = {"gateway": config.id, "secret": f"MY_{api.upper()}_KEY"}
    assert {config.name: config.endpoint for config in await client.gateway_configs.list()} == {
        f"{api}-gateway": f"https://{HOSTS[api]}" for api in ("anthropic", "openai")
    }
    devbox = await client.devbox.create(name="several", gateways=gateways, metadata={"team": "a"})
    variables = await printed(devbox, "env | cut -d= -f1 | grep -E '^(ANTHROPIC|OPENAI)'")
    assert set(variables.split()) == {"ANTHROPIC", "ANTHROPIC_URL", "OPENAI", "OPENAI_URL"}
    for name, path in (("ANTHROPIC", "/v1/models"), ("OPENAI", "/v1/models")):
        call = f'curl -sS --fail-with-body "${name}_URL{path}" -H "Authorization: Bearer ${name}"'
        assert "data" in await printed(devbox, f'{call} -H "anthropic-version: 2023-06-01"')
    config = client.gateway_configs.from_id(gateways["OPENAI"]["gateway"])
    with pytest.raises(InUseError):
        await config.delete()
    updated = await config.update(endpoint=f"https://{HOSTS['openai']}/v1", description="another endpoint")
    assert (updated.endpoint, (await config.get_info()).description) == (f"https://{HOSTS['openai']}/v1", "another endpoint")
    await devbox.shutdown()
    await config.delete()
    with pytest.raises(NotFoundError):
        await config.get_info()
    assert [one.name for one in await client.gateway_configs.list()] == ["anthropic-gateway"]


@pytest.mark.row("S19", "S20")
async def test_a_restrictive_network_policy(client: AsyncDevboxGateway, registries: str) -> None:
    policy = await client.network_policies.create(
        name="gateway-only", allow_all=False, allowed_hostnames=["*.gateway.example", "pypi.org", "*.pypi.org"]
    )
    async with await client.devbox.create(launch_parameters={"network_policy_id": policy.id}) as devbox:
        status = "curl -sS -o /dev/null -w '%{http_code}' https://"
        assert await printed(devbox, f"{status}pypi.org/simple/") == "200"
        assert (await devbox.cmd.exec(f"{status}example.com/")).failed


@pytest.mark.row("S11")
async def test_a_secret_for_each_customer(client: AsyncDevboxGateway, workspace: Workspace) -> None:
    config = await client.gateway_configs.create(
        name="llm", endpoint=f"https://{HOSTS['anthropic']}", auth_mechanism={"type": "bearer"}
    )

    async def serve(customer: str) -> str:
        secret = f"CUSTOMER_{customer}_API_KEY"
        await client.secrets.create(name=secret, value=workspace.key(owner=f"customer {customer}").value.reveal())
        async with await client.devbox.create(gateways={"LLM": {"gateway": config.id, "secret": secret}}) as devbox:
            await devbox.file.write(file_path="program.py", contents=PROGRAM)
            return await printed(devbox, "python3 program.py")

    said = await asyncio.gather(serve("1"), serve("2"))
    assert list(said) == [f"Hello customer {customer}, you said: from Python\n" for customer in "12"]


async def test_what_needs_a_newer_chart_is_refused_before_anything_is_made(client: AsyncDevboxGateway) -> None:
    with pytest.raises(InvalidError, match="needs a chart that has it"):
        await client.devbox.create(spec={"colour": "red"})
    assert await client.devboxes.list() == []


@pytest.mark.row("S23")
async def test_launch_commands_and_an_idle_time_are_the_clusters_to_keep(client: AsyncDevboxGateway) -> None:
    parameters = {
        "launch_commands": ["echo yes >$HOME/launched"],
        "after_idle": {"idle_time_seconds": 3600, "on_idle": "suspend"},
    }
    async with await client.devbox.create(launch_parameters=parameters) as devbox:
        assert await printed(devbox, "cat $HOME/launched") == "yes\n"
