"""The narrow Role of docs/client.md, word for word: enough for a program that makes devboxes and works in them, and for no more."""

import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import yaml
from tests.support.workspace import IMAGE, Workspace

from devbox_cluster.paths import PROJECT, kubeconfig
from devbox_gateway import AsyncDevboxGateway, PermissionDeniedError
from devbox_stage.kubectl import Object
from devbox_stage.upstream import HOSTS

SECRET = "MY_ANTHROPIC_KEY"
ACCOUNT = "narrow"


def documented_role() -> Object:
    """Of docs/client.md."""
    text = (PROJECT / "docs" / "client.md").read_text(encoding="utf-8")
    (role,) = [yaml.safe_load(block) for block in re.findall(r"```yaml\n(.*?)```", text, re.DOTALL) if "kind: Role" in block]
    made: Object = role
    return made


def bound(workspace: Workspace, role: Object, folder: Path) -> Path:
    """A kubeconfig of an account that has this Role and nothing else."""
    name = role["metadata"]["name"]
    group = "rbac.authorization.k8s.io"
    workspace.apply(
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": ACCOUNT}},
        role,
        {
            "apiVersion": f"{group}/v1",
            "kind": "RoleBinding",
            "metadata": {"name": ACCOUNT},
            "roleRef": {"apiGroup": group, "kind": "Role", "name": name},
            "subjects": [{"kind": "ServiceAccount", "name": ACCOUNT, "namespace": workspace.name}],
        },
    )
    token = workspace.kubectl("-n", workspace.name, "create", "token", ACCOUNT).out.strip()
    content = yaml.safe_load(kubeconfig().read_text())
    for user in content["users"]:
        user["user"] = {"token": token}
    (path := folder / "narrow").write_text(yaml.safe_dump(content))
    return path


@pytest.fixture
async def owner(workspace: Workspace) -> AsyncIterator[AsyncDevboxGateway]:
    """Who made the gateway config and the secret."""
    async with AsyncDevboxGateway(kubeconfig=kubeconfig(), namespace=workspace.name) as made:
        await made.gateway_configs.create(
            name="llm", endpoint=f"https://{HOSTS['anthropic']}", auth_mechanism={"type": "bearer"}
        )
        await made.secrets.create(name=SECRET, value=workspace.key().value.reveal())
        yield made


async def test_the_narrow_role_is_enough(owner: AsyncDevboxGateway, workspace: Workspace, tmp_path: Path) -> None:
    path = bound(workspace, documented_role(), tmp_path)
    async with AsyncDevboxGateway(kubeconfig=path, namespace=workspace.name) as client:
        gateways = {"LLM": {"gateway": "llm", "secret": SECRET}}
        spec = {"terminationGracePeriodSeconds": 1}
        async with await client.devboxes.create(image=IMAGE, gateways=gateways, spec=spec, timeout=90) as devbox:
            call = 'curl -sS --fail-with-body "$LLM_URL/v1/models" -H "Authorization: Bearer $LLM" -H "anthropic-version: 2023-06-01"'
            result = await devbox.cmd.exec(call)
            assert "data" in await result.stdout(), await result.stderr()
            await devbox.file.write(file_path="a", contents="b")
            assert await devbox.file.read(file_path="a") == "b"
            assert await (await devbox.cmd.exec_async("echo c")).result()
            assert await devbox.logs() == ""
        for refused in (
            client.secrets.create(name="other", value="x"),
            client.secrets.list(),
            client.gateway_configs.create(name="x", endpoint="https://x.example", auth_mechanism={"type": "bearer"}),
            client.network_policies.create(name="x", allowed_hostnames=["x.example"]),
        ):
            with pytest.raises(PermissionDeniedError) as error:
                await refused
            assert yaml.safe_load(error.value.role)["kind"] == "Role"


async def test_what_is_missing_is_printed_and_enough(owner: AsyncDevboxGateway, workspace: Workspace, tmp_path: Path) -> None:
    """From Kubernetes 1.35 on a command takes the verb create, by which it is refused to a Role of older days."""
    old = documented_role()
    for rule in old["rules"]:
        if rule["resources"] == ["pods/exec"]:
            rule["verbs"] = ["get"]
    path = bound(workspace, old, tmp_path)
    async with AsyncDevboxGateway(kubeconfig=path, namespace=workspace.name) as client:
        spec = {"terminationGracePeriodSeconds": 1}
        async with await client.devboxes.create(image=IMAGE, spec=spec, timeout=90) as devbox:
            with pytest.raises(PermissionDeniedError, match=r"cannot create resource .pods/exec.") as error:
                await devbox.cmd.exec("true")
            missing = yaml.safe_load(error.value.role)
            assert missing["rules"] == [{"apiGroups": [""], "resources": ["pods/exec"], "verbs": ["create"]}]
            old["rules"] += missing["rules"]
            workspace.apply(old)
            assert (await devbox.cmd.exec("true")).success
