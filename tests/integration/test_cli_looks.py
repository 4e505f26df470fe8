"""`explain`, `doctor` and `audit` on a real cluster: what is said beforehand is what the gateway then answers, and what its log has."""

import asyncio
import json
import sys
from typing import Any

from tests.support.workspace import IMAGE, Workspace

from devbox_cluster.paths import kubeconfig
from devbox_gateway import AsyncDevboxGateway
from devbox_stage.upstream import HOSTS

SECONDS = 60.0
RULES = [{"methods": ["POST"], "paths": ["/v1/messages"]}]

REFUSED = (
    *(("GET", "/v1/messages"), ("POST", "/v1/models"), ("POST", "/v1/%2e%2e/x")),
    *(("DELETE", "/v1/messages?_method=POST"), ("TRACE", "/v1/messages")),
)


async def said(namespace: str, *arguments: str) -> tuple[int, str, str]:
    """The program: exit code, stdout, stderr."""
    pipe = asyncio.subprocess.PIPE
    command = [sys.executable, "-m", "devbox_gateway.cli", "--kubeconfig", str(kubeconfig()), "-n", namespace, *arguments]
    process = await asyncio.create_subprocess_exec(*command, stdout=pipe, stderr=pipe)
    out, error = await process.communicate()
    assert process.returncode is not None
    return process.returncode, out.decode(), error.decode()


async def explained(namespace: str, method: str, url: str) -> dict[str, Any]:
    _, out, error = await said(namespace, "explain", "agent", method, url, "-o", "json")
    assert out, error
    answer: dict[str, Any] = json.loads(out)
    return answer


async def test_what_is_explained_is_what_happens(workspace: Workspace) -> None:
    async with AsyncDevboxGateway(kubeconfig=kubeconfig(), namespace=workspace.name) as client:
        host = HOSTS["anthropic"]
        config = await client.gateway_configs.create(
            name="anthropic", endpoint=f"https://{host}", auth_mechanism={"type": "bearer"}, rules=RULES
        )
        await client.secrets.create(name="key", value=workspace.key().value.reveal())
        policy = await client.network_policies.create(name="code", allowed_hostnames=["*.github.com"])
        devbox = await client.devboxes.create(
            name="agent",
            image=IMAGE,
            gateways={"ANTHROPIC": {"gateway": config.id, "secret": "key"}},
            launch_parameters={"network_policy_id": policy.id},
            spec={"terminationGracePeriodSeconds": 1},
            timeout=90,
        )
        assert (await said(workspace.name, "doctor"))[0] == 0

        yes = await explained(workspace.name, "POST", f"https://{host}/v1/messages")
        assert yes["ways"][0]["by"] == "gateway ANTHROPIC"
        assert yes["verdict"] == "yes, as far as can be seen"
        for method, path in REFUSED:
            no = await explained(workspace.name, method, f"$ANTHROPIC_URL{path}")
            curl = f'curl -sS --path-as-is -X {method} "$ANTHROPIC_URL{path}" -H "Authorization: Bearer $ANTHROPIC"'
            answer = json.loads(await (await devbox.cmd.exec(curl)).stdout())
            assert answer["error"]["code"] == no["ways"][0]["code"], (method, path)
            words = answer["error"]["message"]
            # (What the gateway says of rules names the request and the object.)
            assert no["ways"][0]["reason"] in words or f"GatewayConfig {workspace.name}/anthropic" in words
        for url in ("https://github.com/", "https://api.github.com:8443/", "https://10.1.2.3/", "http://api.github.com/"):
            no = await explained(workspace.name, "GET", url)
            shown = await devbox.cmd.exec(f"curl -sSv {url} 2>&1")
            assert f" {no['ways'][-1]['code']}" in (await shown.stdout()).replace('"', " "), (url, no)

        body = json.dumps({"model": "claude-sonnet-5-5", "max_tokens": 9, "messages": [{"role": "user", "content": "Hello"}]})
        headers = "-H 'content-type: application/json' -H 'anthropic-version: 2023-06-01'"
        curl = f"curl -sS $ANTHROPIC_URL/v1/messages -H \"Authorization: Bearer $ANTHROPIC\" {headers} -d '{body}'"
        assert '"assistant"' in await (await devbox.cmd.exec(curl)).stdout()
        async with asyncio.timeout(SECONDS):
            while True:
                code, out, error = await said(workspace.name, "audit", "agent", "--since", "10m")
                assert code == 0, error
                if "POST /v1/messages 200" in out:
                    break
        assert "ANTHROPIC GET refused: rule_forbids" in out
        assert "_method" not in out


async def test_a_devbox_of_the_doctor_s_sees_that_devboxes_are_confined(workspace: Workspace) -> None:
    code, out, error = await said(workspace.name, "doctor", "--probe", "--image", IMAGE, "-o", "json")
    report = json.loads(out)
    assert (code, report["findings"]) == (0, []), error
    assert "probe" in report["well"]
    async with AsyncDevboxGateway(kubeconfig=kubeconfig(), namespace=workspace.name) as client:
        left = [devbox for devbox in await client.devboxes.list() if (await devbox.get_info()).status != "shutdown"]
        assert left == []
