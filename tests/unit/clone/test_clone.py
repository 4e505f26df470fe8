"""`devbox-clone` against a real git server: what is cloned, what stays in the repository, what is left as it is."""

import asyncio
import signal
from pathlib import Path
from typing import Any

import pytest
from tests.support.repositories import git

from .world import TOKEN, World

pytestmark = pytest.mark.row("S23")


def head(clone: Path) -> str:
    return git(clone, "rev-parse", "HEAD")


async def test_the_default_branch(world: World) -> None:
    work = world.repository("app", {"README": "hello\n", "deep/er/file": b"\0\1"})
    ended = await world.works({"repository": world.url("app"), "path": "src/app"})
    clone = world.workspace / "src/app"
    assert (clone / "deep/er/file").read_bytes() == b"\0\1"
    assert git(clone, "status", "--porcelain", "--branch") == "## main...origin/main"
    assert git(clone, "config", "--get", "remote.origin.url") == world.url("app")
    assert head(clone) == head(work)
    assert f"app: at {clone}" in ended.log
    assert list((clone / ".git/hooks").glob("*")) == []


@pytest.mark.parametrize("depth", [None, 1])
@pytest.mark.parametrize(
    ("ref", "branch"),
    [("feature/a", "feature/a"), ("v1.0", ""), ("light", ""), ("commit", "")],
)
async def test_a_branch_a_tag_or_a_commit(world: World, ref: str, branch: str, depth: int | None) -> None:
    work = world.repository("app")
    git(work, "tag", "-m", "annotated", "v1.0")
    git(work, "tag", "light")
    first = world.commit(work, {"one": "1"}, "feature/a")
    git(work, "tag", "-f", "light")
    git(work, "push", "-qf", "origin", "light")
    world.commit(work, {"two": "2"})
    # (As GitHub and GitLab let it be asked for.)
    git(world.server.root / "app.git", "config", "uploadpack.allowReachableSHA1InWant", "true")
    expected = {"v1.0": git(work, "rev-parse", "v1.0^{commit}")}.get(ref, first)
    mount: dict[str, Any] = {"repository": world.url("app"), "ref": first if ref == "commit" else ref}
    await world.works({**mount, "depth": depth} if depth else mount)
    clone = world.workspace / "app"
    assert head(clone) == expected
    assert git(clone, "branch", "--show-current") == branch
    assert git(clone, "status", "--porcelain") == ""
    if depth:
        assert git(clone, "rev-list", "--count", "HEAD") == "1"


async def test_a_commit_by_its_first_letters(world: World) -> None:
    work = world.repository("app")
    first = head(work)
    world.commit(work, {"two": "2"})
    await world.works({"repository": world.url("app"), "ref": first[:9]})
    assert head(world.workspace / "app") == first


@pytest.mark.parametrize("ref", ["nowhere", "0" * 40, "abcdef1", "refs/heads/main"])
async def test_a_ref_that_is_not_there(world: World, ref: str) -> None:
    world.repository("app")
    said = await world.fails({"repository": world.url("app"), "ref": ref})
    assert (
        said == f"code mount app: {ref} is neither a branch nor a tag of the repository, nor a commit that one of them leads to"
    )
    assert not (world.workspace / "app").exists()


async def test_several_and_one_of_them_through_a_gateway(world: World) -> None:
    """Its addresses lead to the gateway, and the token is what its own variable holds when it is asked for."""
    world.repository("org/one")
    world.repository("two")
    world.more["GITHUB"] = TOKEN
    through = {"repository": "https://github.com/org/one.git", "binding": "GITHUB", "behind": "https://github.com/"}
    await world.works({**through, "path": "one"}, {"repository": world.url("two"), "path": "two"})
    one = world.workspace / "one"
    assert git(one, "config", "--get", "remote.origin.url") == "https://github.com/org/one.git"
    assert git(one, "remote", "get-url", "origin") == f"{world.server.url}/org/one.git"
    for path in world.workspace.rglob("*"):
        assert not path.is_file() or TOKEN.encode() not in path.read_bytes(), path
    # As later in the devbox, with whatever settings it has.
    world.server.password = TOKEN
    later = {"GITHUB": TOKEN, "GIT_SSL_CAINFO": str(world.ca), "GIT_TERMINAL_PROMPT": "0"}
    await asyncio.to_thread(git, one, "pull", "-q", more=later)
    git(world.server.root / "org/one.git", "config", "http.receivepack", "true")
    (one / "new").write_text("x")
    git(one, "add", "new")
    git(one, "commit", "-qm", "new")
    await asyncio.to_thread(git, one, "push", "-q", more=later)
    assert git(world.server.root / "org/one.git", "rev-parse", "main") == head(one)
    assert "url." not in git(world.workspace / "two", "config", "--local", "--list")


async def test_the_gateway_is_given_the_token_alone(world: World) -> None:
    world.repository("org/one")
    world.server.password = TOKEN
    through = {"repository": "https://github.com/org/one.git", "binding": "GITHUB", "behind": "https://github.com/"}
    world.more["GITHUB"] = TOKEN
    await world.works(through)
    world.more["GITHUB"] = "gws_another"
    said = await world.fails({**through, "path": "again"})
    assert said.startswith(
        "code mount app: git clone failed: the host does not take the credential of gateway GITHUB; see the Secret "
    )
    assert "Authentication failed" in said


async def test_a_repository_that_takes_a_credential_without_a_gateway(world: World) -> None:
    world.repository("app")
    world.server.password = "x"
    said = await world.fails({"repository": world.url("app")})
    assert "the repository takes a credential; name a gateway that has it (codeMounts[].gateway)" in said


async def test_a_repository_that_is_not_there(world: World) -> None:
    said = await world.fails({"repository": world.url("nothing")})
    assert f"fatal: repository '{world.url('nothing')}/' not found" in said
    assert "git clone failed: there is no such repository, or it is private: name a gateway that may read it" in said


async def test_a_finished_one_is_left_as_it_is(world: World) -> None:
    """Whatever was done in it, and though nobody answers."""
    world.repository("app")
    mount = {"repository": world.url("app"), "ref": "main"}
    await world.works(mount)
    clone = world.workspace / "app"
    (clone / "README").write_text("my work\n")
    (clone / ".git/config").write_text("[broken")
    (clone / ".git/HEAD").unlink()
    world.server.asked.clear()
    for change in ({}, {"ref": "other"}, {"depth": 1}):
        ended = await world.works({**mount, **change})
        assert f"already at {clone}, left as it is" in ended.log
    assert (clone / "README").read_text() == "my work\n"
    assert (clone / ".git/config").read_text() == "[broken"
    assert world.server.asked == []


async def test_one_that_was_taken_away_is_cloned_anew(world: World) -> None:
    world.repository("app")
    await world.works({"repository": world.url("app")})
    (world.workspace / "app").rename(world.folder / "elsewhere")
    await world.works({"repository": world.url("app")})
    assert (world.workspace / "app/README").exists()


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
async def test_what_was_half_made_is_begun_anew(world: World, number: signal.Signals) -> None:
    """Killed when the half of it is there."""
    world.repository("app")
    mount = {"repository": world.url("app")}
    assert await world.interrupted(mount, number=number) == (-signal.SIGKILL if number == signal.SIGKILL else 143)
    assert not (world.workspace / "app").exists()
    assert [(one / ".git").is_dir() for one in world.half_made] == [True] * (number == signal.SIGKILL)
    await world.works(mount)
    assert (world.workspace / "app/README").read_text() == "hello\n"


async def test_what_is_finished_is_untouched_when_another_is_interrupted(world: World) -> None:
    """With what nobody has committed in it; and what was half made goes though nobody asks for it any more."""
    world.repository("app")
    world.repository("other")
    app, other = {"repository": world.url("app")}, {"name": "other", "repository": world.url("other"), "path": "lib/other"}
    await world.works(app)
    clone = world.workspace / "app"
    (clone / "README").write_text("my work\n")
    git(clone, "stash", "-q")
    (clone / "new").write_text("mine\n")
    before = {path: path.read_bytes() for path in clone.rglob("*") if path.is_file()}
    assert await world.interrupted(app, other, number=signal.SIGKILL) == -signal.SIGKILL
    assert len(world.half_made) == 1
    await world.works(app)
    assert {path: path.read_bytes() for path in clone.rglob("*") if path.is_file()} == before
    await world.works(app, other)
    assert (world.workspace / "lib/other/README").exists()


async def test_one_that_was_noted_and_not_yet_in_its_place_is_cloned_anew(world: World) -> None:
    """Killed between the two: its place is empty."""
    world.repository("app")
    await world.works({"repository": world.url("app")})
    half = world.workspace / ".devbox-gateway/cloning/0123456789abcdef"
    half.parent.mkdir()
    (world.workspace / "app").rename(half)
    await world.works({"repository": world.url("app")})
    assert (world.workspace / "app/README").read_text() == "hello\n"


async def test_the_first_that_fails_is_told_and_those_before_it_stay(world: World) -> None:
    world.repository("one")
    mounts = [{"repository": world.url(name), "name": name, "path": name} for name in ("one", "missing", "three")]
    assert (await world.fails(*mounts)).startswith("code mount missing: git clone failed")
    assert (world.workspace / "one/README").exists()


async def test_submodules(world: World) -> None:
    """Of submodules, too; each leads through the gateway as the first does."""
    inner = world.repository("org/inner", {"deepest": "x"})
    middle = world.repository("org/middle")
    world.submodule(middle, "in", "../inner.git", head(inner))
    outer = world.repository("org/outer")
    world.submodule(outer, "mid.dle", "https://github.com/org/middle.git", head(middle), path="lib/middle")
    world.more["GITHUB"] = world.server.password = TOKEN
    through = {"repository": "https://github.com/org/outer.git", "binding": "GITHUB", "behind": "https://github.com/"}
    await world.works({**through, "submodules": True})
    deepest = world.workspace / "app/lib/middle/in"
    assert (deepest / "deepest").read_text() == "x"
    assert git(deepest, "config", "remote.origin.url") == "https://github.com/org/inner.git"
    later = {"GITHUB": TOKEN, "GIT_SSL_CAINFO": str(world.ca), "GIT_TERMINAL_PROMPT": "0"}
    await asyncio.to_thread(git, deepest, "fetch", "-q", more=later)
    assert not list((world.workspace / "app/.git").rglob("hooks/*"))
    await world.works({**through, "path": "without"})
    assert list((world.workspace / "without/lib/middle").iterdir()) == []


async def test_large_files(world: World) -> None:
    content = b"large" * 1000
    files: dict[str, str | bytes] = {"big.bin": world.server.large(content), ".gitattributes": "*.bin filter=lfs -text\n"}
    inner = world.repository("inner", files)
    work = world.repository("app", files)
    world.submodule(work, "inner", "../inner.git", head(inner))
    mount = {"repository": world.url("app"), "submodules": True}
    await world.works({**mount, "path": "pointers"})
    assert (world.workspace / "pointers/big.bin").read_text().startswith("version https://git-lfs")
    await world.works({**mount, "path": "whole", "lfs": True})
    for clone in (world.workspace / "whole", world.workspace / "whole/inner"):
        assert (clone / "big.bin").read_bytes() == content
        assert git(clone, "status", "--porcelain") == ""
        assert git(clone, "config", "--local", "filter.lfs.process") == "git-lfs filter-process"
    world.server.objects.clear()
    said = await world.fails({**mount, "path": "missing", "lfs": True})
    assert said.startswith("code mount app: git lfs failed\n")
    assert "no such object" in said
