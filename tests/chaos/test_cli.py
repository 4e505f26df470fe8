"""`kubectl devbox` as a process, against a real API server with the chart on it."""

import asyncio
import json
import shlex
import signal
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.support.control_plane import control_plane
from tests.support.release import Release, write_kubeconfig

from devbox_gateway import AsyncDevboxGateway, InUseError
from devbox_gateway.objects.secret_users import users_of

from .cli import Cli
from .clients import account, empty_namespace
from .clients import wait_for as until
from .operator.stage import Stage

IMAGE = "registry.example/agent:1"
NAME = "/apis/devbox-gateway.io/v1alpha1/namespaces"


@pytest.fixture
async def at_work(release: Release) -> AsyncIterator[tuple[Stage, Cli]]:
    """An operator, and an administrator in an empty namespace."""
    async with empty_namespace(release, "cli") as (made, name):
        yield made, Cli(release.plane.admin_kubeconfig, name)


async def test_devboxes(at_work: tuple[Stage, Cli]) -> None:
    _, cli = at_work
    assert "no devboxes" in (await cli.both("ls"))[1]
    assert await cli("create", "agent", "--image", IMAGE, "--env", "A=b=c", "--no-wait", "--", "sleep", "-x", "1") == (
        "devbox.devbox-gateway.io/agent created\n"
    )
    made = json.loads(await cli("get", "agent", "-o", "json"))
    assert made["kind"] == "Devbox"
    assert made["spec"]["command"] == ["sleep", "-x", "1"]
    assert made["spec"]["env"] == [{"name": "A", "value": "b=c"}]
    assert "managedFields" not in made["metadata"]
    assert yaml.safe_load(await cli("get", "agent", "-o", "yaml"))["metadata"]["uid"] == made["metadata"]["uid"]
    assert "CALLED" not in await cli("ls")
    assert "CALLED" in await cli("ls", "-o", "wide")
    assert await cli("create", "agent-2", "--image", IMAGE, "--no-wait", "-o", "name") == "devbox.devbox-gateway.io/agent-2\n"
    listed = await cli("ls")
    assert listed.split()[:5] == ["NAME", "STATUS", "REASON", "GATEWAYS", "AGE"]
    assert len(listed.splitlines()) == 3
    assert len(json.loads(await cli("ls", "-o", "json"))["items"]) == 2
    text = await cli("wait", "agent", "--timeout", "1", code=5)
    assert "was not ready within 1 s" in text
    assert "CONDITION" in await cli("get", "agent")
    text = await cli("create", "third", "--image", IMAGE, "--timeout", "1", code=5)
    assert "deleted again; --keep-on-failure keeps it" in text
    assert "ImageMissing" in await cli("create", "fourth", code=5)
    await cli("restart", "agent")
    assert "devbox-gateway.io/restarted-at" in await cli("get", "agent", "-o", "json")
    assert "Pending" in (await cli.both("logs", "agent"))[1] or "Starting" in (await cli.both("logs", "agent"))[1]
    await cli("rm", "agent", "nope", code=3)
    names = (await cli("ls", "-o", "name")).split()
    assert len(names) == 2
    assert len((await cli("rm", *names)).splitlines()) == 2
    assert await cli("rm", "agent", "--ignore-not-found") == ""
    assert await cli("wait", "agent", "--for", "deleted") == ""
    assert "no devbox" in await cli("rm", "agent", code=3)


@pytest.mark.row("S23")
async def test_code_mounts_and_a_workspace_that_stays(at_work: tuple[Stage, Cli]) -> None:
    made, cli = at_work
    await cli("policy", "create", "default", "--allow-host", "github.com")
    begin = ("create", "agent", "--image", IMAGE, "--no-wait", "--workspace", "1Gi")
    assert "does not allow gitlab.com" in await cli(*begin, "--clone", "https://gitlab.com/o/r", code=2)
    assert "holds a user or password" in await cli(*begin, "--clone", "https://u:p@github.com/o/r", code=2)
    words = (
        "--clone",
        "src/app=org/app@main",
        "--install",
        "npm ci",
        "--retain",
        "--launch",
        "date",
        "--size",
        "SMALL",
        "--ttl",
        "24h",
    )
    await cli(*begin, *words)
    spec = json.loads(await cli("get", "agent", "-o", "json"))["spec"]
    (mount,) = spec["codeMounts"]
    assert (mount["repository"], mount["ref"], mount["path"]) == ("https://github.com/org/app", "main", "src/app")
    assert mount["installCommand"] == "npm ci"
    assert (spec["workspace"]["size"], spec["workspace"]["retain"]) == ("1Gi", "Retain")
    assert (spec["launchCommands"], spec["resourceSize"]) == (["date"], "SMALL")

    async def claim() -> str | None:
        status = json.loads(await cli("get", "agent", "-o", "json")).get("status") or {}
        found = status.get("workspace") or {}
        return str(found["claimName"]) if found.get("retain") == "Retain" and status.get("expiresAt") else None

    name = await until(claim)
    shown = await cli("get", "agent")
    for part in ("CODE MOUNT", "https://github.com/org/app", "src/app", name, "stays", "ENDS IN"):
        assert part in shown, part
    said = (await cli.both("rm", "agent"))[1]
    (line,) = [words.partition("for good: ")[2] for words in said.splitlines() if "stay in PersistentVolumeClaim" in words]
    assert line == f"kubectl -n {cli.namespace} delete pvc {name}"
    made.release.plane.kubectl(*shlex.split(line)[1:], "--wait=false")


async def test_which_ones_are_listed(at_work: tuple[Stage, Cli]) -> None:
    made, cli = at_work
    other = Cli(cli.kubeconfig, f"{cli.namespace}-2")
    body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": other.namespace}}
    await made.api.request("POST", "/api/v1/namespaces", body=body)
    for each, name in ((cli, "one"), (cli, "two"), (other, "three")):
        await each("create", name, "--image", IMAGE, "--no-wait")
    path = f"{NAME}/{cli.namespace}/devboxes/two"
    await made.patch(path, {"metadata": {"labels": {"team": "a"}}})
    everywhere = (await cli("ls", "-A")).splitlines()
    assert everywhere[0].split()[:2] == ["NAMESPACE", "NAME"]
    seen = {tuple(line.split()[:2]) for line in everywhere}
    assert {(cli.namespace, "one"), (cli.namespace, "two"), (other.namespace, "three")} <= seen
    assert await cli("ls", "-l", "team=a", "-o", "name") == "devbox.devbox-gateway.io/two\n"
    assert "devbox.devbox-gateway.io/two\n" in await cli("ls", "-A", "-l", "team=a", "-o", "name")
    assert (await cli.both("ls", "-l", "team=b"))[1] == f"there are no devboxes of these labels in namespace {cli.namespace}\n"
    assert "--selector: unable to parse" in await cli("ls", "-l", "a=(", code=2)
    assert [line.split()[0] for line in (await cli("ls", "two", "one")).splitlines()] == ["NAME", "two", "one"]
    assert json.loads(await cli("ls", "two", "-o", "json"))["kind"] == "Devbox"
    assert "no devbox 'nope'" in await cli("ls", "nope", code=3)
    assert "not both" in await cli("ls", "one", "-A", code=2)
    process = await asyncio.create_subprocess_exec(*cli.line(("ls", "-w")), stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout is not None

    async def until(name: str, status: str) -> None:
        assert process.stdout is not None
        while True:
            words = (await asyncio.wait_for(process.stdout.readline(), 60)).decode().split()
            assert words, "it ended"
            if words[0] == name and (not status or words[1] == status):
                return

    await until("NAME", "STATUS")
    await until("two", "")
    await cli("create", "four", "--image", IMAGE, "--no-wait")
    await until("four", "")
    await cli("rm", "one")
    await until("one", "deleted")
    process.send_signal(signal.SIGINT)
    assert await process.wait() == 130


async def test_what_is_interrupted_leaves_nothing(at_work: tuple[Stage, Cli]) -> None:
    _, cli = at_work
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        assert await cli.interrupted(number, "create", "agent", "--image", IMAGE) == 128 + number
        assert await cli("wait", "agent", "--for", "deleted", "--timeout", "60") == ""
        assert await cli("ls", "-o", "name") == ""


async def test_a_name_is_one_devbox_s(at_work: tuple[Stage, Cli]) -> None:
    """What is made again is refused, and what is deleted again deletes no neighbour."""
    _, cli = at_work
    await cli("create", "same", "--image", IMAGE, "--no-wait")
    text = await cli("create", "same", "--image", IMAGE, "--no-wait", code=7)
    assert f"devbox 'same' exists in namespace {cli.namespace}; delete it first" in text
    assert "exists in namespace" in await cli("run", "--name", "same", "--image", IMAGE, "--", "true", code=125)
    for name in ("My agent", "agent-", "1agent", "a.b", "x" * 53):
        assert "can be no devbox's name" in await cli("create", name, "--image", IMAGE, "--no-wait", code=2), name
    assert "write e.g. my-agent" in await cli("run", "--name", "My agent", "--image", IMAGE, "--", "true", code=125)
    assert "write e.g. my-agent" in await cli("init", "--api", "openai", "--devbox", "My agent", stdin="sk", code=2)
    # The Python client's names are for people, and several devboxes may have one.
    async with AsyncDevboxGateway(kubeconfig=cli.kubeconfig, namespace=cli.namespace) as client:
        neighbour = await client.devboxes.create_async(name="same", image=IMAGE)
        other = await client.devboxes.create_async(name="My agent", image=IMAGE)
    name, mine = neighbour.id.removeprefix("dbx_"), other.id.removeprefix("dbx_")
    assert "CALLED" in await cli("ls")
    await cli("rm", "same")
    for words in (("rm", "same"), ("get", "same"), ("wait", "same"), ("restart", "same")):
        assert f"there is no devbox 'same' in namespace {cli.namespace}; called so is {name}: write that" in await cli(
            *words, code=3
        )
    assert await cli("rm", "same", "--ignore-not-found") == ""
    assert await cli("wait", "same", "--for", "deleted", "--timeout", "1") == ""
    assert f"called so is {mine}" in await cli("rm", "My agent", code=3)
    assert {f"devbox.devbox-gateway.io/{one}" for one in (name, mine)} == set((await cli("ls", "-o", "name")).split())


async def test_a_devbox_that_is_not_made_is_granted_nothing(at_work: tuple[Stage, Cli]) -> None:
    _, cli = at_work
    await cli("create", "same", "--image", IMAGE, "--no-wait")
    await cli("gateway", "create", "openai", "--endpoint", "https://api.openai.com", "--auth", "bearer")
    await cli("secret", "create", "key", stdin="sk-given")
    await cli("create", "same", "--image", IMAGE, "--gateway", "OPENAI=openai:key", "--no-wait", code=7)
    assert "api.openai.com" not in await cli("secret", "ls")


async def test_what_devboxes_use(at_work: tuple[Stage, Cli]) -> None:
    made, cli = at_work
    first = ("gateway", "create", "anthropic", "--endpoint", "https://api.anthropic.com", "--auth", "bearer")
    for what in ("created", "unchanged"):
        assert await cli(*first, "--description", "for people") == f"gatewayconfig.devbox-gateway.io/anthropic {what}\n"
    assert "differs in authMechanism" in await cli(*first[:-1], "header:X-Api-Key", code=7)
    await cli("gateway", "update", "anthropic", "--auth", "header:X-Api-Key", "--prefix", "Key ", "--open-to", "team=a")
    found = json.loads(await cli("gateway", "get", "gatewayconfig/anthropic", "-o", "json"))["spec"]
    assert found["authMechanism"] | {"type": "Header", "key": "X-Api-Key", "prefix": "Key "} == found["authMechanism"]
    assert found["allowedNamespaces"] == {"from": "Selector", "selector": {"matchLabels": {"team": "a"}}}
    await cli("gateway", "update", "anthropic", "--open-to", "same")
    assert "anthropic" in await cli("gateway", "ls")
    created = await cli("secret", "create", "MY_KEY", stdin="sk-ant-first\n")
    secret = (await cli("secret", "ls", "-o", "name")).strip()
    assert created == f"{secret} created\n"
    text = await cli("secret", "create", "MY_KEY", stdin="sk-ant-second\n", code=7)
    assert "differs in value; give it this one (kubectl devbox secret rotate NAME)" in text
    assert "sk-ant" not in text
    assert await cli("secret", "create", "MY_KEY", stdin="sk-ant-first\n") == f"{secret} unchanged\n"
    insecure = ("gateway", "create", "insecure", "--endpoint", "http://api.insecure.example", "--auth", "bearer")
    assert "add --allow-insecure" in await cli(*insecure, code=2)
    await cli(*insecure, "--allow-insecure")
    await cli("gateway", "rm", "insecure")
    assert "write --allow-all" in await cli("policy", "create", "open", "--allow-host", "*", code=2)
    for words in (("secret", "ls", "-o", "json"), ("secret", "ls", "-o", "yaml"), ("secret", "ls", "-o", "wide")):
        shown = await cli(*words)
        assert "MY_KEY" in shown
        assert "c2st" not in shown
        assert "sk-ant" not in shown
    await cli("create", "agent", "--image", IMAGE, "--gateway", "ANTHROPIC=anthropic:MY_KEY", "--no-wait")
    assert "api.anthropic.com" in await cli("secret", "ls")
    await cli("gateway", "create", "other", "--endpoint", "https://api.other.example", "--auth", "bearer")
    text = await cli("create", "two", "--image", IMAGE, "--gateway", "OTHER=other:MY_KEY", "--no-wait", code=4)
    line = shlex.split(text.partition("its owner runs: ")[2])
    assert line[:4] == ["kubectl", "devbox", "-n", cli.namespace]
    await cli(*line[4:])
    await cli("create", "two", "--image", IMAGE, "--gateway", "OTHER=other:MY_KEY", "--no-wait")
    assert "api.anthropic.com,api.other.example" in await cli("secret", "ls")
    assert await cli("secret", "rotate", "MY_KEY", stdin="sk-ant-new") == f"{secret} rotated\n"
    stored = await made.api.request("GET", f"/api/v1/namespaces/{cli.namespace}/secrets/{secret.partition('/')[2]}")
    assert stored["data"] == {"value": "c2stYW50LW5ldw=="}
    await cli("secret", "create", "plain", "--mountable", stdin="for-eyes")
    assert "may read it" in await cli("secret", "ls", "-o", "wide")
    assert "agents may read it" in await cli("secret", "grant", "plain", "api.anthropic.com", code=2)
    assert "not for both" in await cli("secret", "create", "both", "--mountable", "--host", "a.example", stdin="x", code=2)
    await cli("create", "reader", "--image", IMAGE, "--secret-env", "PLAIN=plain", "--no-wait")
    assert json.loads(await cli("get", "reader", "-o", "json"))["spec"]["secretEnv"] != []
    await cli("rm", "reader", "--no-wait")
    await cli("secret", "rm", "plain")
    body = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "theirs"}, "stringData": {"api-key": "sk-ant-theirs"}}
    await made.api.request("POST", f"/api/v1/namespaces/{cli.namespace}/secrets", body=body)
    await cli("secret", "grant", "theirs", "api.anthropic.com", "*.example.com")
    await cli("secret", "grant", "theirs", "api.anthropic.com")
    theirs = await made.api.request("GET", f"/api/v1/namespaces/{cli.namespace}/secrets/theirs")
    assert theirs["metadata"]["annotations"]["devbox-gateway.io/allowed-hosts"] == "api.anthropic.com,*.example.com"
    assert theirs["data"] == {"api-key": "c2stYW50LXRoZWlycw=="}
    assert "was not made by this client" in await cli("secret", "rotate", "theirs", stdin="x", code=7)
    assert "was not made by this client" in await cli("secret", "rm", "theirs", code=7)
    code = ("policy", "create", "code", "--allow-host", "GitHub.com", "--allow-cidr", "8.8.8.8/32", "--allow-port", "443")
    assert (await cli(*code)).endswith("/code created\n")
    assert (await cli(*code)).endswith("/code unchanged\n")
    await cli("policy", "update", "code", "--allow-host", "*.github.com", "--description", "for code")
    assert json.loads(await cli("policy", "get", "code", "-o", "json"))["spec"]["allowedHostnames"] == ["*.github.com"]
    assert "8.8.8.8/32" in await cli("policy", "ls")
    await cli("create", "three", "--image", IMAGE, "--policy", "code", "--no-wait")
    await cli("gateway", "create", "own", "--endpoint", "https://api.own.example", "--auth", "bearer", "--secret", "theirs")
    await cli("secret", "grant", "theirs", "api.own.example")
    await cli("create", "four", "--image", IMAGE, "--gateway", "OWN=own", "--no-wait")
    in_use = f"Secret {cli.namespace}/{secret.partition('/')[2]} is used by {cli.namespace}/agent, {cli.namespace}/two; "
    assert f"{in_use}delete these devboxes first, or cut them off: --force" in await cli("secret", "rm", secret, code=7)
    async with AsyncDevboxGateway(kubeconfig=cli.kubeconfig, namespace=cli.namespace) as client:
        with pytest.raises(InUseError, match="force=True") as used:
            await client.secrets.delete("MY_KEY")
        assert used.value.devboxes == (f"{cli.namespace}/agent", f"{cli.namespace}/two")
        assert await users_of(client._session, cli.namespace, "theirs") == [f"{cli.namespace}/four"]
    assert secret in await cli("secret", "ls", "-o", "name")
    for kind, name in (("gateway", "anthropic"), ("policy", "code")):
        for _ in range(50):
            _, err = await cli.both(kind, "rm", name, code=None)
            if "is used by" in err:
                break
        assert cli.namespace in err
    await cli("rm", "two", "three", "four", "--no-wait")
    assert await cli("secret", "rm", secret, "--force") == f"{secret} deleted\n"
    await cli("rm", "agent", "--no-wait")
    await cli("gateway", "rm", "anthropic", "other", "own")
    await cli("policy", "rm", "code")


PLURALS = {
    "Secret": "api/v1/namespaces/{}/secrets",
    "GatewayConfig": "apis/devbox-gateway.io/v1alpha1/namespaces/{}/gatewayconfigs",
    "EgressPolicy": "apis/devbox-gateway.io/v1alpha1/namespaces/{}/egresspolicies",
    "Devbox": "apis/devbox-gateway.io/v1alpha1/namespaces/{}/devboxes",
}


async def test_init(at_work: tuple[Stage, Cli]) -> None:
    made, cli = at_work
    line = ("init", "--api", "anthropic", "--policy", "--allow-host", "github.com", "--image", IMAGE)
    shown = yaml.safe_load(await cli(*line, "--dry-run"))
    assert await cli("gateway", "ls", "-o", "name") == ""
    for item in shown["items"]:
        where = f"/{PLURALS[item['kind']].format(cli.namespace)}"
        await made.api.request("POST", where, params={"dryRun": "All", "fieldValidation": "Strict"}, body=item)
    text = await cli(*line[:-1], "a b", stdin="sk-ant-key\n", code=2)
    assert "sk-ant" not in text
    assert "There already, or made before that: gwc_anthropic, npl_default, sec_anthropic-key" in text
    assert await cli("ls", "-o", "name") == ""
    await cli("create", "agent", "--image", IMAGE, "--no-wait")
    out, err = await cli.both(*line, stdin="sk-ant-key\n")
    assert out.split()[0::2] == [
        *("gatewayconfig.devbox-gateway.io/anthropic", "egresspolicy.devbox-gateway.io/default"),
        *("secret/anthropic-key", "devbox.devbox-gateway.io/agent"),
    ]
    assert [words.split()[1] for words in out.splitlines()] == ["unchanged"] * 4
    assert "it does NOT use the key that was given" in err
    assert "kubectl devbox create NAME --gateway ANTHROPIC=anthropic:anthropic-key" in err
    assert "are set in it" not in err
    await cli("rm", "agent")
    await cli("create", "agent", "--image", IMAGE, "--gateway", "ANTHROPIC=anthropic:anthropic-key", "--no-wait")
    out, err = await cli.both(*line, stdin="sk-ant-key\n")
    assert [words.split()[1] for words in out.splitlines()] == ["unchanged"] * 4
    assert "are set in it; try: kubectl devbox shell agent" in err
    text = await cli("init", "--api", "openai", "--devbox", "imageless", stdin="sk-key", code=5)
    assert "name an image: --image IMAGE" in text
    assert "keep" not in text
    await cli("rm", "imageless", "--ignore-not-found")
    text = await cli(*line, stdin="sk-ant-other", code=7)
    assert "secret rotate" in text
    assert "sk-ant" not in text
    policy = await cli("policy", "get", "default", "-o", "json")
    assert json.loads(policy)["spec"]["allowedHostnames"] == ["github.com"]
    assert "stays as it is" in (await cli.both(*line, "--allow-host", "a.example", stdin="sk-ant-key"))[1]


BAD: tuple[tuple[str, tuple[str, ...], int], ...] = (
    ("spec.image", ("create", "x", "--image", "a b"), 2),
    ("not NAME=VALUE", ("create", "x", "--image", IMAGE, "--env", "A"), 2),
    ("spec.env", ("create", "x", "--image", IMAGE, "--env", "HTTPS_PROXY=x"), 2),
    ("upper-case", ("create", "x", "--image", IMAGE, "--gateway", "anthropic"), 2),
    ("is not NAME, NAME=CONFIG", ("create", "x", "--image", IMAGE, "--gateway", "=x"), 2),
    ("no gateway config 'anthropic'", ("create", "x", "--image", IMAGE, "--gateway", "ANTHROPIC"), 3),
    ("no gateway config 'c' in namespace other", ("create", "x", "--image", IMAGE, "--gateway", "A=other/c"), 3),
    ("no network policy 'nope'", ("create", "x", "--image", IMAGE, "--policy", "nope"), 3),
    ("can be no devbox's name", ("create", "\x1b[31m", "--image", IMAGE), 2),
    ("printable", ("get", "\x1b[31m"), 2),
    ("no devbox", ("get", "nope"), 3),
    ("no devbox", ("get", "Nope nope"), 3),
    ("not found", ("get", "dbx_nope"), 3),
    ("a secret, where", ("get", "sec_nope"), 2),
    ("no devbox", ("wait", "nope"), 3),
    ("Missing argument", ("wait",), 2),
    ("is not in the range", ("wait", "x", "--timeout", "0"), 2),
    ("no devbox", ("restart", "nope"), 3),
    ("no devbox", ("rm", "nope"), 3),
    ("no devbox", ("logs", "nope"), 3),
    ("Missing option '--endpoint'", ("gateway", "create", "x", "--auth", "bearer"), 2),
    ("write bearer", ("gateway", "create", "x", "--endpoint", "https://a.example", "--auth", "beer"), 2),
    ("spec.endpoint", ("gateway", "create", "x", "--endpoint", "http://a.example", "--auth", "bearer"), 2),
    ("form of an id", ("gateway", "create", "gwc_x", "--endpoint", "https://a.example", "--auth", "bearer"), 2),
    ("at least one field", ("gateway", "update", "x"), 2),
    ("--open-to", ("gateway", "update", "x", "--open-to", "team"), 2),
    ("not found", ("gateway", "update", "x", "--description", "y"), 3),
    ("not found", ("gateway", "get", "x"), 3),
    ("not found", ("gateway", "rm", "x"), 3),
    ("No such command", ("gateway", "nope"), 2),
    ("hosts alone", ("secret", "create", "x", "--host", "https://a.example"), 2),
    ("not found", ("secret", "rotate", "x"), 3),
    ("not found", ("secret", "grant", "x", "a.example"), 3),
    ("HOST: write hosts alone", ("secret", "grant", "x", "https://a.example"), 2),
    ("Missing argument", ("secret", "grant", "x"), 2),
    ("not found", ("secret", "rm", "x"), 3),
    ("host name", ("policy", "create", "x", "--allow-host", ""), 2),
    ("spec.allowedHostnames", ("policy", "create", "x", "--allow-host", "https://a.example"), 2),
    ("is not in the range", ("policy", "create", "x", "--allow-port", "0"), 2),
    ("at least one field", ("policy", "update", "x"), 2),
    ("not found", ("policy", "update", "x", "--allow-all"), 3),
    ("not found", ("policy", "rm", "x"), 3),
    ("write e.g.", ("logs", "nope", "--since", "soon"), 2),
    ("is not in the range", ("logs", "nope", "--tail", "-1"), 2),
)


GIVEN = "sk-ant-given"


async def test_bad_input_is_told_and_leaves_nothing(at_work: tuple[Stage, Cli]) -> None:
    _, cli = at_work
    for said, words, code in BAD:
        text = await cli(*words, stdin=GIVEN, code=code)
        assert said in text, f"{words}: {text}"
        assert GIVEN not in text
        assert len(text.splitlines()) == 1, text
    for kind in ((), ("gateway",), ("secret",), ("policy",)):
        assert await cli(*kind, "ls", "-o", "name") == ""


async def wait_for(cli: Cli, words: tuple[str, ...], code: int) -> str:
    """Once its pod is there."""
    for _ in range(30):
        _, err = await cli.both(*words, code=None)
        if "no pod yet" not in err:
            break
    await cli(*words, code=code)
    return err


async def test_who_may_not(at_work: tuple[Stage, Cli], release: Release, tmp_path: Path) -> None:
    made, cli = at_work
    view = Cli(await account(made.api, release.plane, cli.namespace, "view", tmp_path), cli.namespace)
    assert "no devboxes" in (await view.both("ls"))[1]
    text = await view("create", "x", "--image", IMAGE, code=4)
    assert "cannot create resource" in text
    assert yaml.safe_load(text[text.index("apiVersion") :])["kind"] == "Role"
    for words in (
        ("gateway", "create", "x", "--endpoint", "https://a.example", "--auth", "bearer"),
        ("policy", "create", "x", "--allow-all"),
        ("secret", "create", "x"),
        ("secret", "ls"),
        ("init", "--api", "openai"),
    ):
        assert "forbidden" in await view(*words, stdin="sk-ant-key", code=4), words
    await cli("create", "agent", "--image", IMAGE, "--no-wait")
    lines: tuple[tuple[tuple[str, ...], int], ...] = (
        (("exec", "agent", "--", "ls"), 125),
        (("shell", "agent"), 125),
        (("run", "--image", IMAGE, "--", "ls"), 125),
        (("cp", "agent:x", "y"), 4),
        (("restart", "agent"), 4),
        (("rm", "agent"), 4),
    )
    for line, code in lines:
        text = await wait_for(view, line, code)
        assert "Role" in text, line
    view.namespace = "default"
    assert "cannot list resource" in await view("ls", code=4)


async def test_a_cluster_without_the_chart_and_one_that_goes_away(tmp_path: Path) -> None:
    with control_plane() as plane:
        cli = Cli(plane.admin_kubeconfig, "default")
        for words in (("ls",), ("get", "x"), ("create", "x", "--image", IMAGE), ("rm", "x"), ("rm", "x", "--ignore-not-found")):
            assert "is devbox-gateway's chart installed there?" in await cli(*words, code=3), words
        write_kubeconfig(tmp_path / "config", plane, plane.url, "not-a-token")
        text = await Cli(tmp_path / "config", "default")("ls", code=4)
        assert "does not accept these credentials" in text
        assert "not-a-token" not in text
        plane.kill("kube-apiserver")
        assert "can't be reached" in await cli("ls", code=6)


async def test_what_others_wrote_steers_no_terminal(at_work: tuple[Stage, Cli]) -> None:
    """Cli looks at every answer for what a terminal obeys."""
    made, cli = at_work
    body: dict[str, Any] = {
        "apiVersion": "devbox-gateway.io/v1alpha1",
        "kind": "Devbox",
        "metadata": {
            "name": "nasty",
            "annotations": {"devbox-gateway.io/name": "a\x1b[31m\u202eb [red]x[/red]", "other": "\x9b2J\n\x07"},
        },
        "spec": {"image": IMAGE, "env": [{"name": "A", "value": "\x1b]8;;http://evil.example\x07"}]},
    }
    await made.api.request("POST", f"{NAME}/{cli.namespace}/devboxes", body=body)
    wide = await cli("ls", "-o", "wide")
    assert "a\\x1b[31m\\u202eb [red]x[/red]" in wide
    for form, read in (("json", json.loads), ("yaml", yaml.safe_load)):
        read_again = read(await cli("get", "nasty", "-o", form))
        assert read_again["metadata"]["annotations"]["other"] == "\x9b2J\n\x07"
        assert read_again["spec"]["env"] == body["spec"]["env"]
    assert "printable" in await cli("get", "a\x1b[31m", code=2)
