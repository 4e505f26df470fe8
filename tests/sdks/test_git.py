"""git over HTTPS, against a real `git http-backend`: clone, fetch and push, with the token as the password."""

import hashlib
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import pytest
from tests.support.gateway_process import HOST
from tests.support.repositories import Repositories

from .api import Received
from .checks import arrived
from .client import Ended, Program, program
from .git_settings import LOGINS, SETTINGS
from .world import World

pytestmark = pytest.mark.asyncio(loop_scope="session")
ALL = ["helper", "basic", "bearer"]
CLONE = 'git clone -q "$GITHUB_URL/project.git"; '
BRANCHES = 60


def git(folder: Path, *arguments: str) -> str:
    """On this side."""
    environment = {**os.environ, **SETTINGS, "GIT_CONFIG_GLOBAL": "/dev/null"}
    return subprocess.run(
        ["git", "-C", str(folder), *arguments], env=environment, check=True, capture_output=True, text=True
    ).stdout.strip()


@pytest.fixture(scope="module")
def seed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bare repository with a file of some MiB and many branches."""
    folder = tmp_path_factory.mktemp("seed")
    work, bare = folder / "work", folder / "project.git"
    git(folder, "init", "-q", "--bare", "-b", "main", bare.name)
    git(bare, "config", "http.receivepack", "true")
    git(folder, "init", "-q", "-b", "main", work.name)
    content = os.urandom(3 << 20)
    (work / "data.bin").write_bytes(content)
    (bare / "sha256").write_text(hashlib.sha256(content).hexdigest())
    git(work, "add", ".")
    git(work, "commit", "-qm", "first")
    tree = git(work, "rev-parse", "HEAD^{tree}")
    for number in range(BRANCHES):
        git(work, "branch", f"b{number}", git(work, "commit-tree", "-m", f"{number}", tree))
    git(work, "push", "-q", "--all", str(bare))
    return bare


@pytest.fixture
def project(world: World, seed: Path) -> Iterator[Path]:
    """The same at the stand-in, new for every test."""
    bare = shutil.copytree(seed, world.repositories / seed.name)
    yield bare
    shutil.rmtree(bare)
    shutil.rmtree(world.home / "project", ignore_errors=True)


def start(world: World, script: str) -> AbstractAsyncContextManager[Program]:
    """A script in the clients' folder; git tells what it sends and gets."""
    return program(script, world.home, {**world.environment("GIT_SSL_CAINFO"), **SETTINGS, "GIT_TRACE_CURL": "1"})


async def run(world: World, script: str) -> Ended:
    """To its end."""
    async with start(world, script) as running:
        return await running.ended()


def look(world: World, ended: Ended) -> list[Received]:
    """As `arrived`, for any number of requests; the API repeated the credential in its answers' headers."""
    assert "<= Recv header: X-Debug-authorization: " in ended.errors
    return arrived(world, ended.out + ended.errors, len(world.apis.received))


@pytest.mark.parametrize("login", ALL)
async def test_plain_call(world: World, project: Path, login: str) -> None:
    ended = await run(world, LOGINS[login] + 'git ls-remote "$GITHUB_URL/project.git" main')
    assert ended.status == 0, ended.errors[-300:]
    assert ended.out.split()[0] == git(project, "rev-parse", "main")
    look(world, ended)


@pytest.mark.parametrize("login", ALL)
async def test_clone(world: World, project: Path, login: str) -> None:
    ended = await run(world, LOGINS[login] + CLONE + "cat project/data.bin | sha256sum; git -C project branch -r | wc -l")
    assert ended.status == 0, ended.errors[-300:]
    assert ended.out.split()[0] == (project / "sha256").read_text()
    assert int(ended.out.split()[2]) == BRANCHES + 2
    compressed = [one for one in look(world, ended) if one.values("content-encoding") == ["gzip"]]
    assert compressed, "what git asks for is long enough for git to compress it"


@pytest.mark.parametrize("login", ALL)
async def test_push_of_some_mebibytes(world: World, project: Path, login: str) -> None:
    change = (
        "cd project; head -c 3145728 /dev/urandom > more.bin; git add .; git commit -qm more; git push -q; git rev-parse HEAD"
    )
    ended = await run(world, LOGINS[login] + CLONE + change)
    assert ended.status == 0, ended.errors[-300:]
    assert ended.out.strip() == git(project, "rev-parse", "main")
    chunked = [one for one in look(world, ended) if one.values("transfer-encoding") == ["chunked"]]
    assert max(len(one.body) for one in chunked) > 3 << 20, "what does not fit into http.postBuffer is sent in chunks"


async def test_remote_output_line_by_line(world: World, project: Path) -> None:
    hook = project / "hooks" / "post-receive"
    wait = 'while [ ! -e "step-$piece" ]; do sleep 0.01; done'
    hook.write_text(f"#!/bin/sh\nfor piece in one two three; do echo $piece; {wait}; done\n")
    hook.chmod(0o755)
    printed = ""
    async with start(world, LOGINS["basic"] + CLONE + "cd project; git push -q origin main:new") as running:
        for piece in ("one", "two", "three"):
            printed += await running.until(f"remote: {piece}", errors=True)
            (project / f"step-{piece}").touch()
        ended = await running.ended()
    assert ended.status == 0
    look(world, Ended(0, "", printed + ended.errors))


@pytest.mark.parametrize("status", [404, 429, 500])
async def test_the_hosts_error(world: World, project: Path, status: int) -> None:
    world.apis.plan.extend([status] * 2)
    ended = await run(world, LOGINS["basic"] + CLONE)
    assert ended.status == 128
    said = "Repository not found." if status == 404 else f"The requested URL returned error: {status}"
    assert said in ended.errors
    look(world, ended)


@pytest.mark.row("S4")
async def test_the_gateways_refusal(world: World, project: Path) -> None:
    """git shows the words of text/plain answers alone: what the gateway says is in its trace."""
    ended = await run(world, 'GITHUB="${GITHUB%??????}AAAAAA"; ' + LOGINS["basic"] + CLONE)
    assert ended.status == 128
    trace = "".join(re.findall(r"<= Recv data: (.*)\n", ended.errors))
    assert '"code":"token_unknown","message":"devbox-gateway: ' in trace
    arrived(world, ended.errors, requests=0)


@pytest.mark.row("S2")
@pytest.mark.parametrize("login", ALL)
async def test_the_hosts_own_address_large_files_and_another_host(
    world: World, hosts: tuple[Repositories, Repositories], tmp_path: Path, login: str
) -> None:
    """What is told for the gateway's address alone goes nowhere else: neither to where large files are, nor to a public host."""
    github, public = hosts
    content = os.urandom(1 << 20)
    digest = hashlib.sha256(content).hexdigest()
    pointer = f"version https://git-lfs.github.com/spec/v1\noid sha256:{digest}\nsize {len(content)}\n"
    github.repository("org/app", {"big.bin": pointer, ".gitattributes": "*.bin filter=lfs -text\n"})
    public.repository("free")
    world.public.objects = {digest: content}
    environment = {**world.environment("GIT_SSL_CAINFO"), **SETTINGS, "HTTPS_PROXY": world.proxy, "NO_PROXY": HOST}
    script = (
        f"cd {tmp_path}; git lfs install --skip-repo >/dev/null; git clone -q https://github.com/org/app.git; sha256sum < app/big.bin; "
        f"git clone -q https://{world.public.host}/free.git; cat free/README; git -C app config remote.origin.url"
    )
    async with program(LOGINS[login] + script, world.home, {**environment, "HOME": str(tmp_path)}) as running:
        ended = await running.ended()
    assert ended.status == 0, ended.errors[-300:]
    assert ended.out.split() == [digest, "-", "hello", "https://github.com/org/app.git"]
    elsewhere = [one for one in world.apis.received if one.host == world.public.host]
    assert {one.path for one in elsewhere} > {f"/{digest}"}
    for one in elsewhere:
        assert not one.values("authorization")
        assert "gws_" not in one.text
    world.apis.received[:] = [one for one in world.apis.received if one.host != world.public.host]
    received = arrived(world, ended.out + ended.errors, len(world.apis.received))
    assert "/org/app.git/info/lfs/objects/batch" in {one.path for one in received}
