"""`devbox-clone` through a gateway process: a repository of a host that takes a credential, public ones by the forward proxy, large files;
and git in the devbox afterwards."""

import asyncio
import hashlib
import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest
from tests.support.gateway_process import HOST
from tests.support.repositories import Repositories, git

from .api import Received
from .checks import arrived
from .client import Ended, program
from .git_settings import SETTINGS
from .world import World

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.row("S23"), pytest.mark.row("S2")]
GITHUB = {"binding": "GITHUB", "behind": "https://github.com/"}
LARGE = os.urandom(1 << 20)
POINTER = f"version https://git-lfs.github.com/spec/v1\noid sha256:{hashlib.sha256(LARGE).hexdigest()}\nsize {len(LARGE)}\n"


async def clone(world: World, workspace: Path, *mounts: dict[str, Any]) -> Ended:
    """As the operator's container does."""
    document = {"version": 1, "workspace": str(workspace), "gateway": f"https://{HOST}"}
    document["mounts"] = [{"name": mount["path"], **mount} for mount in mounts]
    workspace.mkdir(exist_ok=True)  # noqa: ASYNC240 (nobody waits)
    environment = {
        "PATH": os.environ["PATH"],
        "GIT_SSL_CAINFO": str(world.home / "ca.crt"),
        "HTTPS_PROXY": world.proxy,
        "NO_PROXY": HOST,
        "GITHUB": world.tokens["GITHUB"],
        "CODE_MOUNTS": json.dumps(document),
    }
    command = (sys.executable, "-m", "devbox_clone", f"--termination-log={workspace}/../log")
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(*command, env=environment, cwd="/", stdout=pipe, stderr=pipe)
    async with asyncio.timeout(60):
        out, errors = await process.communicate()
    assert process.returncode is not None
    return Ended(process.returncode, out.decode(), errors.decode())


def of_github(world: World, ended: Ended) -> list[Received]:
    """What it received, each request with its credential alone; the other host received none."""
    for one in world.apis.received:
        if one.host == world.public.host:
            assert not one.values("authorization")
            assert "gws_" not in one.text
    world.apis.received[:] = [one for one in world.apis.received if one.host != world.public.host]
    return arrived(world, ended.out + ended.errors, len(world.apis.received))


async def test_repositories_of_both_kinds(world: World, hosts: tuple[Repositories, Repositories], tmp_path: Path) -> None:
    github, public = hosts
    world.public.objects = {hashlib.sha256(LARGE).hexdigest(): LARGE}
    inner = github.repository("org/inner", {"inner": "x"})
    work = github.repository("org/app", {"big.bin": POINTER, ".gitattributes": "*.bin filter=lfs -text\n"})
    github.submodule(work, "inner", "../inner.git", git(inner, "rev-parse", "HEAD"))
    free = public.repository("free")
    github.submodule(work, "free", f"https://{world.public.host}/free.git", git(free, "rev-parse", "HEAD"))
    workspace = tmp_path / "workspace"
    private = {"repository": "https://github.com/org/app.git", "path": "app", "submodules": True, "lfs": True, **GITHUB}
    ended = await clone(world, workspace, private, {"repository": f"https://{world.public.host}/free.git", "path": "src/free"})
    assert ended.status == 0, ended.out
    assert (workspace / "app/big.bin").read_bytes() == LARGE
    assert (workspace / "app/inner/inner").read_text() == "x"
    assert (workspace / "app/free/README").exists()
    assert (workspace / "src/free/README").exists()
    received = of_github(world, ended)
    assert {one.path for one in received} > {"/org/app.git/git-upload-pack", "/org/app.git/info/lfs/objects/batch"}
    for path in workspace.rglob("*"):
        content = path.read_bytes() if path.is_file() else b""
        assert not any(credential.reveal().encode() in content for credential in world.credentials if credential.reveal()), path
        assert b"gws_" not in content or path.suffix == ".pack", path


async def test_pull_and_push_in_the_devbox_need_no_setting(
    world: World, hosts: tuple[Repositories, Repositories], tmp_path: Path
) -> None:
    """With the devbox's environment alone; tools that read the remote see the host's own address."""
    github, _ = hosts
    work = github.repository("org/app")
    git(github.root / "org/app.git", "config", "http.receivepack", "true")
    workspace = tmp_path / "workspace"
    ended = await clone(world, workspace, {"repository": "https://github.com/org/app.git", "path": "app", **GITHUB})
    assert ended.status == 0, ended.out
    github.commit(work, {"new": "1"})
    script = (
        f"cd {workspace}/app; git pull -q; git config remote.origin.url; echo mine > mine; git add .; git commit -qm mine; git push -q; "
        "git rev-parse HEAD"
    )
    async with program(script, world.home, {**world.environment("GIT_SSL_CAINFO"), **SETTINGS}) as running:
        ended = await running.ended()
    assert ended.status == 0, ended.errors
    assert ended.out.split() == ["https://github.com/org/app.git", git(github.root / "org/app.git", "rev-parse", "main")]
    assert {one.path for one in of_github(world, ended)} > {"/org/app.git/git-receive-pack"}


@pytest.mark.parametrize("status", [301, 404])
async def test_what_the_host_says(world: World, hosts: tuple[Repositories, Repositories], tmp_path: Path, status: int) -> None:
    world.apis.plan.extend([status] * 2)
    hosts[0].repository("org/app")
    ended = await clone(
        world, tmp_path / "workspace", {"repository": "https://github.com/org/app.git", "path": "app", **GITHUB}
    )
    assert ended.status == 1
    said = "code mount app: git clone failed: the address answers with a redirect" if status == 301 else "Repository not found."
    assert said in (tmp_path / "log").read_text()
    of_github(world, ended)


async def test_a_host_that_no_policy_allows(world: World, tmp_path: Path) -> None:
    ended = await clone(world, tmp_path / "workspace", {"repository": "https://elsewhere.test/org/app", "path": "app"})
    assert ended.status == 1
    said = (tmp_path / "log").read_text()
    assert "the devbox's EgressPolicy does not allow the repository's host; add it to allowedHostnames" in said
    assert "gws_" not in said.replace("gws_…", "")
    assert world.apis.received == []
