"""The Python client and a real API server with the chart on it: every bad input is told, and nothing half made is left."""

import asyncio
import uuid
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.support.control_plane import ControlPlane, control_plane
from tests.support.release import Release, write_kubeconfig

from devbox_gateway import (
    APIConnectionError,
    APITimeoutError,
    AsyncDevboxGateway,
    AuthenticationError,
    ConflictError,
    DevboxGateway,
    DevboxGatewayError,
    InUseError,
    InvalidError,
    NotFoundError,
    PermissionDeniedError,
)

from .clients import ANTHROPIC, IMAGE, account, at_work, everything, nothing, refused, wait_for


async def test_from_nothing_to_a_devbox_and_back(release: Release, caplog: pytest.LogCaptureFixture) -> None:
    async with at_work(release) as (_, client):
        gateway = await client.gateway_configs.create(**ANTHROPIC, description="for people")
        assert await client.gateway_config.create(**ANTHROPIC) == gateway
        assert (gateway.name, gateway.endpoint, gateway.auth_mechanism.type) == (
            "anthropic-gateway",
            "https://api.anthropic.com",
            "bearer",
        )
        assert [config.name for config in await client.gateway_configs.list()] == ["anthropic-gateway"]
        said = await refused(
            ConflictError, client.gateway_configs.create(**{**ANTHROPIC, "endpoint": "https://api.other.example"})
        )
        assert "endpoint" in said
        for _ in range(2):
            both = await client.gateway_configs.create(**{**ANTHROPIC, "name": "basic", "auth_mechanism": {"type": "basic"}})
        assert (both.auth_mechanism.type, both._spec["authMechanism"]) == ("basic", {"type": "Basic", "userInSecret": True})
        await both.update(auth_mechanism={"type": "basic", "username": "me"})
        assert (await both.get_info()).auth_mechanism.username == "me"
        await both.delete()
        secret = await client.secrets.create(name="MY_ANTHROPIC_KEY", value="sk-ant-first")
        assert await client.secrets.create(name="MY_ANTHROPIC_KEY", value="sk-ant-first") == secret
        assert "sk-ant" not in await refused(
            ConflictError, client.secrets.create(name="MY_ANTHROPIC_KEY", value="sk-ant-other")
        )
        policy = await client.network_policies.create(
            name="code", allow_all=False, allowed_hostnames=["GitHub.com", "*.github.com"]
        )
        devbox = await client.devboxes.create_async(
            name="agent-with-gateway",
            image=IMAGE,
            gateways={"ANTHROPIC": {"gateway": gateway.id, "secret": "MY_ANTHROPIC_KEY"}},
            launch_parameters={"network_policy_id": policy.id},
            environment_variables={"LOG": "debug"},
            metadata={"team": "a"},
        )
        info = await devbox.get_info()
        assert (info.name, info.status, info.metadata, info.image) == (
            "agent-with-gateway",
            "provisioning",
            {"team": "a"},
            IMAGE,
        )
        assert (await secret.get_info()).allowed_hosts == ("api.anthropic.com",)
        await client.secrets.update("MY_ANTHROPIC_KEY", "sk-ant-second")
        used = await wait_for(lambda: in_use(gateway.delete()))
        assert used.devboxes == (f"{client.namespace}/agent-with-gateway",)
        await refused(InUseError, policy.delete())
        await gateway.update(description="stays")
        assert list(gateway.ungranted) == []
        await gateway.update(endpoint="https://api.new.example", description="moved")
        (lacking,) = gateway.ungranted
        assert lacking == secret._reference.name
        assert gateway.line(lacking) in caplog.text
        assert gateway.line(lacking).endswith(f"secret grant {lacking} api.new.example")
        assert (await gateway.get_info()).endpoint == "https://api.new.example"
        await devbox.shutdown()
        await gateway.delete()
        await policy.delete()
        await secret.delete()
        assert (await devbox.get_info()).status == "shutdown"
        assert await everything(client) == []


async def in_use(work: Coroutine[Any, Any, Any]) -> InUseError | None:
    try:
        await work
    except InUseError as error:
        return error
    return None


async def test_a_devbox_that_does_not_come(release: Release) -> None:
    """There is no kubelet: its pod never starts."""
    async with at_work(release) as (_, client):
        gateway = await client.gateway_configs.create(**ANTHROPIC)
        await client.secrets.create(name="key", value="sk-ant-first")
        what: dict[str, Any] = {"image": IMAGE, "gateways": {"ANTHROPIC": {"gateway": gateway, "secret": "key"}}}
        said: list[Any] = []
        devbox = await client.devboxes.create_async(**what)
        while (await devbox.get_info()).status != "initializing":  # noqa: ASYNC110 (an operator's work)
            await asyncio.sleep(0.1)
        text = await refused(APITimeoutError, devbox.await_running(timeout=1, progress=said.append))
        assert "PodPending" in text
        assert [progress.reason for progress in said] == ["PodPending"]
        await devbox.shutdown()
        text = await refused(APITimeoutError, client.devboxes.create(**what, timeout=1))
        assert "deleted again" in text
        await wait_for(lambda: nothing(client))
        await refused(APITimeoutError, client.devboxes.create(**what, timeout=1, keep_on_failure=True))
        assert len(await client.devboxes.list()) == 1
        for pause in (0.0, 0.01, 0.05, 0.2, 1.0):
            task = asyncio.create_task(client.devboxes.create(**what, name="cancelled"))
            await asyncio.sleep(pause)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            names = [devbox.name for devbox in await client.devboxes.list() if (await devbox.get_info()).status != "shutdown"]
            assert "cancelled" not in names, f"after {pause} s"


BAD: dict[str, tuple[type[DevboxGatewayError], str, dict[str, Any]]] = {
    "an empty image": (InvalidError, "spec.image", {"image": ""}),
    "an image with a space": (InvalidError, "spec.image", {"image": "a b"}),
    "a name of a gateway in lower case": (
        InvalidError,
        "upper-case",
        {"gateways": {"anthropic": {"gateway": "anthropic-gateway", "secret": "key"}}},
    ),
    "a gateway without a config": (InvalidError, "gateways.A", {"gateways": {"A": {"secret": "key"}}}),
    "a gateway config that is not there": (NotFoundError, "'nope'", {"gateways": {"A": {"gateway": "nope", "secret": "key"}}}),
    "a secret that is not there": (
        NotFoundError,
        "'nope'",
        {"gateways": {"A": {"gateway": "anthropic-gateway", "secret": "nope"}}},
    ),
    "no secret anywhere": (InvalidError, "name a secret", {"gateways": {"A": {"gateway": "anthropic-gateway"}}}),
    "a secret of somebody else's": (
        PermissionDeniedError,
        "secret grant",
        {"gateways": {"A": {"gateway": "anthropic-gateway", "secret": "theirs"}}},
    ),
    "the id of another kind": (InvalidError, "secret, where", {"gateways": {"A": {"gateway": "sec_key", "secret": "key"}}}),
    "a policy that is not there": (NotFoundError, "'nope'", {"launch_parameters": {"network_policy_id": "nope"}}),
    "a snapshot": (InvalidError, "snapshot", {"snapshot_id": "snp_1"}),
    "an argument that nobody knows": (InvalidError, "colour", {"colour": "red"}),
    "a launch parameter that nobody knows": (InvalidError, "launch_parameters.x", {"launch_parameters": {"x": 1}}),
    "a launch parameter of a wrong form": (InvalidError, "user_parameters", {"launch_parameters": {"user_parameters": 3}}),
    "root": (InvalidError, "never runs as root", {"launch_parameters": {"user_parameters": {"uid": 0}}}),
    "a variable of the operator's": (InvalidError, "spec.env", {"environment_variables": {"HTTPS_PROXY": "x"}}),
    "a number as a variable's value": (InvalidError, "text belongs", {"environment_variables": {"A": 1}}),
    "two commands": (InvalidError, "not both", {"command": ["a"], "entrypoint": "a"}),
    "a command as text": (InvalidError, "a list", {"command": "sleep 1"}),
    "an idle time of a wrong form": (
        InvalidError,
        "launch_parameters.after_idle.on_idle: write one of",
        {"launch_parameters": {"after_idle": {"idle_time_seconds": 60, "on_idle": "explode"}}},
    ),
    "code mounts of a wrong form": (InvalidError, "code_mounts: write a list", {"code_mounts": "org/repo"}),
    "a time-out as text": (InvalidError, "timeout: a number of seconds", {"timeout": "x"}),
    "a field that the chart does not know": (InvalidError, "needs a chart", {"spec": {"colour": "red"}}),
    "a name with an escape sequence": (
        InvalidError,
        "printable",
        {"gateways": {"A": {"gateway": "\x1b[31m"}}},
    ),
    "a devbox called by an escape sequence": (InvalidError, "printable", {"name": "\x1b[31m"}),
    "a devbox called by a number": (InvalidError, "not by int", {"name": 3}),
}


async def test_bad_input_leaves_nothing(release: Release) -> None:
    async with at_work(release) as (made, client):
        await client.gateway_configs.create(**ANTHROPIC)
        await client.secrets.create(name="key", value="sk-ant-first")
        body = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "theirs"}, "stringData": {"value": "sk-ant-theirs"}}
        await made.api.request("POST", f"/api/v1/namespaces/{client.namespace}/secrets", body=body)
        before = await everything(client)
        for name, (kind, words, change) in BAD.items():
            text = await refused(kind, client.devboxes.create(**{"image": IMAGE, **change}))
            assert words in text, f"{name}: {text}"
            assert "\x1b" not in text, name
            assert await everything(client) == before, name
        assert (await client.secrets.from_name("key").get_info()).allowed_hosts == (), "granted though nothing was made"
        await refused(
            InvalidError, client.gateway_configs.create(**{**ANTHROPIC, "name": "x", "endpoint": "http://api.example"})
        )
        await refused(
            InvalidError, client.gateway_configs.create(**{**ANTHROPIC, "name": "x", "auth_mechanism": {"type": "beer"}})
        )
        await refused(InvalidError, client.gateway_configs.create(**{**ANTHROPIC, "name": "gwc_x"}))
        await refused(InvalidError, client.network_policies.create(name="x", allowed_hostnames=["https://github.com"]))
        await refused(InvalidError, client.network_policies.create(name="x", allowed_hostnames="github.com"))
        await refused(ConflictError, client.secrets.create(name="theirs", value="sk-ant-theirs"))
        await refused(ConflictError, client.secrets.update("theirs", "x"))
        await refused(ConflictError, client.secrets.delete("theirs"))
        await refused(InvalidError, client.secrets.create(name="y", value=""))
        await refused(NotFoundError, client.devboxes.from_id("dbx_nope").get_info())
        assert await everything(client) == before


async def test_what_a_gateway_config_names_is_granted_by_its_owner_alone(release: Release) -> None:
    """Its author may well have no right to any Secret; whoever uses it has not said which of his own goes where."""
    async with at_work(release) as (_, client):
        await client.secrets.create(name="database", value="for something else")
        await client.gateway_configs.create(**{**ANTHROPIC, "endpoint": "https://evil.example", "credential": "database"})
        gateways = {"ANTHROPIC": {"gateway": "anthropic-gateway"}}
        making = client.devboxes.create_async(name="box", image=IMAGE, gateways=gateways)
        assert (await refused(PermissionDeniedError, making)).endswith("secret grant database evil.example")
        database = client.secrets.from_name("database")
        assert (await database.get_info()).allowed_hosts == ()
        assert await client.devboxes.list() == []
        await database.grant(["evil.example"])
        made = await client.devboxes.create_async(name="box", image=IMAGE, gateways=gateways)
        assert "secretRef" not in made._spec["gateways"][0]


async def test_who_may_do_what(release: Release, tmp_path: Path) -> None:
    async with at_work(release) as (made, admin):
        gateway = await admin.gateway_configs.create(**ANTHROPIC)
        clients = {}
        for role in ("view", "edit", "admin"):
            path = await account(made.api, release.plane, admin.namespace, role, tmp_path)
            clients[role] = AsyncDevboxGateway(kubeconfig=path, namespace=admin.namespace)
        try:
            for client in clients.values():
                assert [found.id for found in await client.gateway_configs.list()] == [gateway.id]
                assert await client.devboxes.list() == []
            text = await refused(PermissionDeniedError, clients["view"].devboxes.create_async(image=IMAGE))
            assert yaml.safe_load(text[text.index("apiVersion") :])["rules"] == [
                {"apiGroups": ["devbox-gateway.io"], "resources": ["devboxes"], "verbs": ["create"]}
            ]
            edit = clients["edit"]
            await edit.secrets.create(name="key", value="sk-ant-first")
            await edit.devboxes.create_async(image=IMAGE, gateways={"A": {"gateway": gateway.id, "secret": "key"}})
            await refused(PermissionDeniedError, edit.gateway_configs.create(**{**ANTHROPIC, "name": "other"}))
            await refused(PermissionDeniedError, edit.network_policies.create(name="other", allow_all=True))
            await clients["admin"].gateway_configs.create(**{**ANTHROPIC, "name": "other"})
            await clients["admin"].network_policies.create(name="other", allow_all=True)
        finally:
            for client in clients.values():
                await client.close()


async def test_the_default_network_policy(release: Release) -> None:
    async with at_work(release) as (_, client):
        without = await client.devboxes.create_async(image=IMAGE)
        await client.network_policies.create(name="default", allowed_hostnames=["github.com"])
        with_it = await client.devboxes.create_async(image=IMAGE)
        for devbox, expected in ((without, None), (with_it, {"name": "default"})):
            await devbox.get_info()
            assert devbox._spec.get("egressPolicyRef") == expected


def test_the_synchronous_one(release: Release) -> None:
    """In a script; and where another loop runs, as in a notebook."""
    name = f"client-{uuid.uuid4().hex[:8]}"
    release.plane.kubectl("create", "namespace", name)

    def use() -> None:
        with DevboxGateway(kubeconfig=release.plane.admin_kubeconfig, namespace=name) as client:
            gateway = client.gateway_configs.create(**ANTHROPIC)
            assert client.gateway_configs.from_id(gateway.id).get_info().endpoint == gateway.endpoint
            client.api.secrets.create(name="MY_KEY", value="sk-ant-first")
            devbox = client.devbox.create_async(
                name="agent", image=IMAGE, gateways={"A": {"gateway": gateway, "secret": "MY_KEY"}}
            )
            assert [found.id for found in client.devboxes.list()] == [devbox.id]
            assert gateway.update(description="new") is gateway
            with pytest.raises(NotFoundError):
                client.secrets.from_name("nope").get_info()
            devbox.shutdown()
            client.secrets.delete("MY_KEY")
            assert "gwc_" in repr(gateway)

    async def notebook() -> None:
        use()

    use()
    asyncio.run(notebook())


def test_a_cluster_without_the_chart_and_one_that_goes_away() -> None:
    async def use(plane: ControlPlane) -> None:
        async with AsyncDevboxGateway(kubeconfig=plane.admin_kubeconfig, namespace="default") as client:
            assert "chart" in await refused(NotFoundError, client.gateway_configs.create(**ANTHROPIC))
            assert "chart" in await refused(NotFoundError, client.devboxes.list())
            await client.secrets.create(name="key", value="sk-ant-first")
            plane.kill("kube-apiserver")
            assert "can't be reached" in await refused(APIConnectionError, client.secrets.list())

    with control_plane() as plane:
        asyncio.run(use(plane))


async def test_credentials_that_nobody_knows(release: Release, tmp_path: Path) -> None:
    write_kubeconfig(tmp_path / "config", release.plane, release.plane.url, "not-a-token")
    async with AsyncDevboxGateway(kubeconfig=tmp_path / "config", namespace="default") as client:
        assert "not-a-token" not in await refused(AuthenticationError, client.devboxes.list())
