"""`kubectl devbox` as a process, against a real API server with the chart on it."""

import asyncio
import json
import subprocess
import sys
import uuid
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.support.control_plane import control_plane
from tests.support.release import Release, write_kubeconfig

from .operator.stage import Stage, stage
from .test_client import account

IMAGE = "registry.example/agent:1"
NAME = "/apis/devbox-gateway.io/v1alpha1/namespaces"


class Cli:
    """For one kubeconfig and namespace."""

    def __init__(self, kubeconfig: Path, namespace: str) -> None:
        self.namespace, self._kubeconfig = namespace, kubeconfig

    async def __call__(self, *words: str, stdin: str = "", code: int = 0) -> str:
        """stdout, or, of what fails, stderr."""
        out, err = await self.both(*words, stdin=stdin, code=code)
        return err if code else out

    async def both(self, *words: str, stdin: str = "", code: int = 0) -> tuple[str, str]:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "devbox_gateway.cli", "--kubeconfig", str(self._kubeconfig), "-n", self.namespace, *words),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        try:
            out, err = (part.decode() for part in await asyncio.wait_for(process.communicate(stdin.encode()), 60))
        except TimeoutError:
            process.kill()
            raise AssertionError(f"{words} did not end") from None
        assert "Traceback" not in err
        assert "internal error" not in err
        assert process.returncode == code, f"{words}: {process.returncode}, {out}{err}"
        for text in (out, err):
            assert all(line.isprintable() for line in text.replace("\t", " ").split("\n")), text
        return out, err


@pytest.fixture
async def at_work(release: Release) -> AsyncIterator[tuple[Stage, Cli]]:
    """An operator, and an administrator in an empty namespace."""
    async with stage(release) as made:
        await made.alone()
        name = f"cli-{uuid.uuid4().hex[:8]}"
        await made.api.request(
            "POST", "/api/v1/namespaces", body={"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
        )
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
    assert await cli("create", "Agent 2", "--image", IMAGE, "--no-wait", "-o", "name") != ""
    listed = await cli("ls")
    assert listed.split()[:5] == ["NAME", "STATUS", "REASON", "GATEWAYS", "AGE"]
    assert len(listed.splitlines()) == 3
    assert "Agent 2" in await cli("ls", "-o", "wide")
    assert len(json.loads(await cli("ls", "-o", "json"))["items"]) == 2
    assert (await cli("get", "Agent 2", "-o", "name")).startswith("devbox.devbox-gateway.io/agent-2-")
    text = await cli("wait", "agent", "--timeout", "1", code=5)
    assert "was not ready within 1 s" in text
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


async def test_two_of_a_name_are_not_deleted_by_it(at_work: tuple[Stage, Cli]) -> None:
    _, cli = at_work
    for _ in range(2):
        await cli("create", "My agent", "--image", IMAGE, "--no-wait")
    assert "2 devboxes are called 'My agent'" in await cli("rm", "My agent", code=2)
    assert len((await cli("ls", "-o", "name")).split()) == 2


BAD: tuple[tuple[str, tuple[str, ...], int], ...] = (
    ("spec.image", ("create", "x", "--image", "a b"), 2),
    ("not NAME=VALUE", ("create", "x", "--image", IMAGE, "--env", "A"), 2),
    ("spec.env", ("create", "x", "--image", IMAGE, "--env", "HTTPS_PROXY=x"), 2),
    ("upper-case", ("create", "x", "--image", IMAGE, "--gateway", "anthropic"), 2),
    ("is not NAME, NAME=CONFIG", ("create", "x", "--image", IMAGE, "--gateway", "=x"), 2),
    ("no gateway config 'anthropic'", ("create", "x", "--image", IMAGE, "--gateway", "ANTHROPIC"), 3),
    ("no gateway config 'c' in namespace other", ("create", "x", "--image", IMAGE, "--gateway", "A=other/c"), 3),
    ("no network policy 'nope'", ("create", "x", "--image", IMAGE, "--policy", "nope"), 3),
    ("printable", ("create", "\x1b[31m", "--image", IMAGE), 2),
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
    ("write e.g.", ("logs", "nope", "--since", "soon"), 2),
    ("is not in the range", ("logs", "nope", "--tail", "-1"), 2),
)


async def test_bad_input_is_told_and_leaves_nothing(at_work: tuple[Stage, Cli]) -> None:
    _, cli = at_work
    for said, words, code in BAD:
        text = await cli(*words, code=code)
        assert said in text, f"{words}: {text}"
        assert len(text.splitlines()) == 1, text
    assert await cli("ls", "-o", "name") == ""


async def test_who_may_not(at_work: tuple[Stage, Cli], release: Release, tmp_path: Path) -> None:
    made, cli = at_work
    view = Cli(await account(made.api, release.plane, cli.namespace, "view", tmp_path), cli.namespace)
    assert "no devboxes" in (await view.both("ls"))[1]
    text = await view("create", "x", "--image", IMAGE, code=4)
    assert "cannot create resource" in text
    assert yaml.safe_load(text[text.index("apiVersion") :])["kind"] == "Role"
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
