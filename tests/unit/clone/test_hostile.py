"""Repositories, servers and workspaces that want code of theirs to run beside us, or a clone of ours to be elsewhere."""

import os
import shutil
import signal
from pathlib import Path

import pytest
from aiohttp import web
from tests.support.repositories import git

from devbox_clone.programs import run
from devbox_clone.settings import environment

from .world import TOKEN, World

pytestmark = pytest.mark.row("S23")


def config(evil: str) -> str:
    """Settings that make git run a command, in whatever it does."""
    return (
        f"[core]\n\tfsmonitor = {evil}\n\tsshCommand = {evil}\n\tgitProxy = {evil}\n\thooksPath = hooks\n\teditor = {evil}\n"
        f"\taskPass = {evil}\n\talternateRefsCommand = {evil}\n\tpager = {evil}\n"
        f'[filter "x"]\n\tclean = {evil}\n\tsmudge = {evil}\n\tprocess = {evil}\n\trequired = true\n[credential]\n\thelper = !{evil}\n'
        f"[diff]\n\texternal = {evil}\n[uploadpack]\n\tpackObjectsHook = {evil}\n[protocol]\n\tallow = always\n"
        f'[url "ext::{evil} "]\n\tinsteadOf = https://\n[init]\n\ttemplateDir = hooks\n'
    )


async def test_nothing_in_the_repository_runs(world: World) -> None:
    """Hooks, filters, templates, fsmonitor, an embedded repository: a commit can hold all of them, and none is read."""
    script = f"#!/bin/sh\n{world.evil}\n"
    hooks = "post-checkout pre-commit post-merge reference-transaction fsmonitor-watchman post-index-change".split()
    files: dict[str, str | bytes] = {
        ".gitattributes": "* filter=x diff=x merge=x\n",
        ".gitconfig": config(world.evil),
        # A bare repository, which git would find in a folder like every other.
        "config": config(world.evil) + "[core]\n\tbare = true\n\trepositoryFormatVersion = 0\n",
        "HEAD": "ref: refs/heads/main\n",
        "refs/heads/x": "",
        "objects/x": "",
    }
    files |= {f"hooks/{hook}": script for hook in hooks} | {f".git-templates/hooks/{hook}": script for hook in hooks}
    work = world.repository("app", files)
    for hook in hooks:
        (work / "hooks" / hook).chmod(0o755)
    inner = world.repository("inner", files)
    world.submodule(work, "inner", "../inner.git", git(inner, "rev-parse", "HEAD"))
    for path, lfs in (("plain", False), ("lfs", True)):
        await world.works({"repository": world.url("app"), "path": path, "submodules": True, "lfs": lfs, "ref": "main"})
        assert (world.workspace / path / "inner/config").exists()


async def test_nothing_in_the_workspace_runs(world: World) -> None:
    """What an agent left there, in earlier days: the workspace is a repository, and so is its HOME."""
    world.repository("app")
    world.workspace.mkdir()
    git(world.workspace, "init", "-q")
    for place in (world.workspace / ".git/config", world.workspace / ".gitconfig", world.workspace / ".config/git/config"):
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(config(world.evil))
    world.more |= {"HOME": str(world.workspace), "XDG_CONFIG_HOME": str(world.workspace / ".config")}
    world.more |= {
        "GIT_CONFIG_PARAMETERS": f"'core.fsmonitor'='{world.evil}'",
        "GIT_SSH_COMMAND": world.evil,
        "GIT_ASKPASS": world.evil,
    }
    world.more |= {"GIT_CONFIG_GLOBAL": str(world.workspace / ".gitconfig"), "GIT_DIR": str(world.workspace / ".git")}
    await world.works({"repository": world.url("app"), "ref": "main", "lfs": True, "submodules": True})


async def test_an_lfsconfig_leads_nowhere(world: World) -> None:
    content = b"large"
    settings = (
        f"[lfs]\n\turl = file://{world.folder}/elsewhere\n\tpushurl = ssh://elsewhere\n\tstandaloneTransferAgent = evil\n"
        f'[lfs "customTransfer.evil"]\n\tpath = /bin/sh\n\targs = -c "{world.evil}"\n'
        f'[lfs "extension.evil"]\n\tsmudge = {world.evil}\n\tclean = {world.evil}\n\tpriority = 0\n'
        f'[remote "origin"]\n\tlfsurl = https://localhost:1/elsewhere\n[core]\n\tfsmonitor = {world.evil}\n'
    )
    files: dict[str, str | bytes] = {
        "big.bin": world.server.large(content),
        ".gitattributes": "*.bin filter=lfs\n",
        ".lfsconfig": settings,
    }
    world.repository("app", files)
    await world.works({"repository": world.url("app"), "lfs": True})
    assert (world.workspace / "app/big.bin").read_bytes() == content
    assert "/app.git/info/lfs/objects/batch" in world.server.asked


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("ext::sh -c 'touch {ran}'", "cloned over https alone"),
        ("file://{repositories}/inner.git", "cloned over https alone"),
        ("{repositories}/inner.git", "cloned over https alone"),
        ("ssh://git@localhost/inner.git", "cloned over https alone"),
        ("git@localhost:inner.git", "cloned over https alone"),
        ("http://localhost/inner.git", "cloned over https alone"),
        ("https://user:pass@localhost/inner.git", "holds a user or password"),
        ("https://localhost/../inner.git", "not a repository's address"),
        ("../../localhost:1/inner.git", "leads above the root of the repository's host, to another one"),
        ("../../../../inner.git", "cloned over https alone"),
        ("../../../../../../inner.git", "cannot strip one component off url"),
        ("-u./evil", ""),
        ("https://localhost/\x1b]0;title\x07inner.git", "not a repository's address"),
    ],
)
async def test_a_submodule_of_another_kind(world: World, url: str, words: str) -> None:
    inner = world.repository("inner")
    work = world.repository("app")
    url = url.format(ran=world.ran, repositories=world.server.root)
    world.submodule(work, "inner", url, git(inner, "rev-parse", "HEAD"))
    said = await world.fails({"repository": world.url("app"), "submodules": True})
    assert words in said
    assert "\x1b" not in said
    assert not (world.workspace / "app").exists()


@pytest.mark.parametrize(
    ("name", "path", "more"),
    [
        ("../../hooks", "inner", {}),
        ("inner", "../../other", {}),
        ("inner", "inner", {"update": "!touch {ran}"}),
        ("inner", "inner", {"branch": "--upload-pack=touch {ran}"}),
        ("-c core.fsmonitor=x", "inner", {}),
    ],
)
async def test_a_submodule_that_is_no_ordinary_one(world: World, name: str, path: str, more: dict[str, str]) -> None:
    """It fails, or is left out: nothing is anywhere but below the clone."""
    inner = world.repository("inner")
    other = world.folder / "workspace" / "other"
    other.mkdir(parents=True)
    git(other, "init", "-q")
    (other / ".git/config").write_text(config(world.evil) + "[core]\n\tbare = false\n")
    work = world.repository("app")
    more = {key: value.format(ran=world.ran) for key, value in more.items()}
    world.submodule(work, name, "../inner.git", git(inner, "rev-parse", "HEAD"), path="inner", **more)
    text = (work / ".gitmodules").read_text().replace("path = inner", f"path = {path}")
    world.commit(work, {".gitmodules": text})
    before = (other / ".git/config").read_bytes()
    ended = await world.clone({"repository": world.url("app"), "submodules": True, "lfs": True, "path": "a/b"})
    assert ended.status in (0, 1)
    world.clean()
    assert (other / ".git/config").read_bytes() == before
    assert {path.name for path in world.workspace.iterdir()} <= {"other", "a", ".devbox-gateway"}


async def test_a_repository_that_holds_itself_has_an_end(world: World) -> None:
    work = world.repository("app")
    first = git(work, "rev-parse", "HEAD")
    for number in range(201):
        with (work / ".gitmodules").open("a") as file:
            file.write(f'[submodule "s{number}"]\n\tpath = s{number}\n\turl = ./\n')
        git(work, "update-index", "--add", "--cacheinfo", f"160000,{first},s{number}")
    git(work, "add", ".gitmodules")
    world.committed(work)
    said = await world.fails({"repository": world.url("app"), "submodules": True})
    assert "more than 200 submodules" in said


async def test_submodules_behind_more_files_than_are_kept_of_what_is_said(world: World) -> None:
    """Each is found and judged, wherever it is in the tree."""
    inner = world.repository("inner", {"x": "y"})
    commit = git(inner, "rev-parse", "HEAD")
    work = world.repository("app", {f"files/{number:05}-{'x' * 40}": "" for number in range(1500)})
    for path in ("a", "[a]*", "zz"):
        world.submodule(work, path, "../inner.git", commit)
    await world.works({"repository": world.url("app"), "submodules": True})
    for path in ("a", "[a]*", "zz"):
        assert (world.workspace / "app" / path / "x").read_text() == "y"
    world.submodule(work, "b", f"{world.server.url.replace('//', '//user:password@')}/inner.git", commit)
    assert "submodule b: " in await world.fails({"repository": world.url("app"), "submodules": True, "path": "again"})


async def test_lists_of_submodules_that_nobody_means(world: World) -> None:
    work = world.repository("app", {".gitmodules": "".join(f'[submodule "{n}"]\n\tpath = {n}\n' for n in range(10_001))})
    said = await world.fails({"repository": world.url("app"), "submodules": True})
    assert "its submodules can't be listed: more than 10000 entries" in said
    world.commit(work, {".gitmodules": "[submodule\n"})
    said = await world.fails({"repository": world.url("app"), "submodules": True})
    assert "its submodules can't be listed: .gitmodules is not what git can read; set submodules: false" in said


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize(
    "place", ["{url}/other.git/info/refs?service=git-upload-pack", "https://10.0.0.1/x", "http://169.254.169.254/x"]
)
async def test_a_redirect_is_not_followed(world: World, place: str, status: int) -> None:
    world.repository("other")

    async def elsewhere(request: web.Request) -> web.StreamResponse:
        return web.Response(status=status, headers={"Location": place.format(url=world.server.url)})

    world.server.planned["/app.git"] = elsewhere
    said = await world.fails({"repository": world.url("app")})
    assert "the address answers with a redirect, which is not followed; write the address that it leads to" in said
    assert all(path.startswith("/app.git/") for path in world.server.asked)


async def test_a_redirect_in_the_middle_is_not_followed(world: World) -> None:
    world.repository("app")

    async def elsewhere(request: web.Request) -> web.StreamResponse:
        return web.Response(status=307, headers={"Location": "/other.git/git-upload-pack"})

    world.server.planned["/app.git/git-upload-pack"] = elsewhere
    assert "redirect" in await world.fails({"repository": world.url("app")})
    assert not [path for path in world.server.asked if path.startswith("/other")]


async def test_a_server_of_files_and_its_alternates_lead_nowhere(world: World) -> None:
    """The older protocol, in which a server names others."""
    world.repository("app")
    bare = world.server.root / "app.git"
    git(bare, "update-server-info")
    (bare / "objects/info/http-alternates").write_text("https://localhost:1/elsewhere\nfile:///etc\n")
    pack = next((bare / "objects").glob("??"))
    shutil.rmtree(pack)

    async def file(request: web.Request) -> web.StreamResponse:
        path = bare / request.path.removeprefix("/app.git/")
        return web.Response(body=path.read_bytes()) if path.is_file() else web.Response(status=404)

    world.server.planned["/app.git/"] = file
    assert "git clone failed" in await world.fails({"repository": world.url("app")})


async def test_what_a_server_says_is_only_shown(world: World) -> None:
    """Escape sequences, tokens, and more than anybody reads."""

    async def words(request: web.Request) -> web.StreamResponse:
        text = (
            f"\x1b[2J\x1b]8;;https://evil\x07click\x1b]8;;\x07 \u202e {TOKEN} \x9b31m\r"
            + "line\n" * 100
            + "x" * 5000
            + "\nlast \x1b[31m\n"
        )
        return web.Response(status=403, text=text)

    world.server.planned["/app.git"] = words
    ended = await world.clone({"repository": world.url("app")})
    assert ended.status == 1
    for text in (ended.message, ended.log):
        assert not set(text) & {"\x1b", "\x07", "\x9b", "\r", "\u202e"}
        assert TOKEN not in text
        assert "last \\x1b[31m" in text
    assert "gws_…" in ended.log
    assert len(ended.message.splitlines()) <= 20
    assert len(ended.message.encode()) <= 2048
    assert ended.message.startswith("code mount app: git clone failed\n")


async def test_a_place_that_is_a_link(world: World) -> None:
    """In the workspace of an agent who wants a clone to be elsewhere."""
    world.repository("app")
    outside = world.folder / "outside"
    outside.mkdir()
    world.workspace.mkdir()
    mount = {"repository": world.url("app")}
    link = world.workspace / "link"
    link.symlink_to(outside)
    for path in ("link", "link/app", "link/deep/er"):
        said = await world.fails({**mount, "path": path})
        assert f"{link} is a link, " in said
    link.unlink()
    # What our own folders are led by.
    for name in (".devbox-gateway", ".devbox-gateway/clones"):
        own = world.workspace / name
        own.parent.mkdir(exist_ok=True)
        own.symlink_to(outside)
        assert f"{own} is a link, " in await world.fails({**mount, "path": "a"})
        own.unlink()
    assert list(outside.iterdir()) == []
    assert world.server.asked == []


async def test_links_in_a_repository_lead_nothing_out(world: World) -> None:
    """They are cloned as the links that they are: nothing is read or written through them. (.gitmodules as a link git itself refuses.)"""
    outside = world.folder / "outside"
    outside.mkdir()
    secret = '[submodule "inner"]\n\tpath = inner\n\turl = ext::sh -c secret-words\n[lfs]\n\turl = https://localhost:1/secret-words\n'
    (outside / "settings").write_text(secret)
    inner = world.repository("inner")
    work = world.repository("app", {"big.bin": world.server.large(b"large"), ".gitattributes": "*.bin filter=lfs\n"})
    settings = outside / "settings"
    for name, target in ("out", outside), ("deep", Path("../../..")), (".lfsconfig", settings), ("out.bin", settings):
        (work / name).symlink_to(target)
    git(work, "add", "-A", "-f")
    git(work, "update-index", "--add", "--cacheinfo", f"160000,{git(inner, 'rev-parse', 'HEAD')},inner")
    world.committed(work)
    ended = await world.works({"repository": world.url("app"), "submodules": True, "lfs": True})
    clone = world.workspace / "app"
    assert (clone / "out").readlink() == outside
    assert (clone / "big.bin").read_bytes() == b"large"
    assert [(one.name, one.read_text()) for one in outside.iterdir()] == [("settings", secret)]
    assert "secret-words" not in ended.log


async def test_what_is_in_the_way_of_a_half_made_clone(world: World) -> None:
    world.repository("app")
    mount = {"repository": world.url("app")}
    await world.interrupted(mount, number=signal.SIGKILL)
    outside = world.folder / "outside"
    outside.mkdir()
    (outside / "file").touch()
    (half,) = world.half_made
    for link in (half, half.parent):
        shutil.rmtree(link)
        link.symlink_to(outside)
        await world.works(mount)
        assert (outside / "file").exists()
        assert not (world.workspace / "app").is_symlink()
        (world.workspace / "app").rename(world.folder / link.name)
        half.parent.mkdir()


@pytest.mark.parametrize("kind", ["file", "folder", "fifo", "clone"])
async def test_a_place_that_is_taken(world: World, kind: str) -> None:
    world.repository("app")
    world.repository("other")
    target = world.workspace / "app"
    words = {
        "file": "is a file, so that nothing is cloned there; remove it, or choose another path",
        "fifo": "is neither a file nor a folder",
        "folder": "holds files that are no clone of a code mount; move them away, or choose another path",
        "clone": f"is a clone of {world.url('other')}; move it away, or choose another path for this repository",
    }[kind]
    if kind == "clone":
        await world.works({"repository": world.url("other")})
    else:
        world.workspace.mkdir()
        _make(target, kind)
    said = await world.fails({"repository": world.url("app")})
    assert said.startswith(f"code mount app: {target} {words}")
    assert target.exists()


def _make(target: Path, kind: str) -> None:
    if kind == "file":
        target.touch()
    elif kind == "fifo":
        os.mkfifo(target)
    else:
        (target / "x").mkdir(parents=True)


async def test_an_empty_folder_is_no_hindrance(world: World) -> None:
    world.repository("app")
    (world.workspace / "a/b").mkdir(parents=True)
    await world.works({"repository": world.url("app"), "path": "a/b"})
    assert (world.workspace / "a/b/README").exists()


async def test_a_note_that_nobody_can_read_counts_for_nothing(world: World) -> None:
    world.repository("app")
    await world.works({"repository": world.url("app")})
    (note,) = (world.workspace / ".devbox-gateway/clones").iterdir()
    nested = "[" * 4000
    for text in ("", "[]", "\xff", '{"repository": 1}', nested, f'{{"repository": "{"x" * 5000}"}}'):
        note.write_text(text, encoding="latin-1")
        assert "holds files that are no clone of a code mount" in await world.fails({"repository": world.url("app")})
    # As long as the disk, and of no size: it is not read whole.
    os.truncate(note, 1 << 40)
    assert "holds files that are no clone of a code mount" in await world.fails({"repository": world.url("app")})


async def test_what_a_note_says_is_only_shown(world: World) -> None:
    world.repository("app")
    await world.works({"repository": world.url("app")})
    (note,) = (world.workspace / ".devbox-gateway/clones").iterdir()
    note.write_text('{"repository": "x\\n\\u001b[2J\\ud800 y"}')
    said = await world.fails({"repository": world.url("app")})
    assert "is a clone of x \\x1b[2J\\ud800 y; move it away, or choose another path" in said


async def test_a_name_that_is_no_text(world: World) -> None:
    """Of what an agent left where a clone is half made, and nobody can take away."""
    world.repository("app")
    await world.interrupted({"repository": world.url("app")}, number=signal.SIGKILL)
    (half,) = world.half_made
    (half / os.fsdecode(b"\xff")).mkdir()
    mounted = (
        "unshare",
        "--map-root-user",
        "--mount",
        "sh",
        "-c",
        f'mount -t tmpfs none {half}/$(printf "\\377") && exec "$@"',
        "sh",
    )
    ended = await world.clone({"repository": world.url("app")}, prefix=mounted)
    assert ended.status == 1
    assert ended.message.startswith("code mount app: Device or resource busy: ")
    assert ended.message.endswith("\\udcff")


@pytest.mark.parametrize(("room", "large"), [("size=4m", False), ("size=4m", True), ("nr_inodes=2", False)])
async def test_a_full_disk(world: World, room: str, large: bool) -> None:
    """By git, by git-lfs, or before either begins; nothing of it is left to fill it."""
    content = os.urandom(6 << 20)
    files: dict[str, str | bytes] = {"big.bin": world.server.large(content) if large else content}
    world.repository("app", {**files, ".gitattributes": "*.bin filter=lfs\n"} if large else files)
    world.workspace.mkdir()
    mount = f'mount -t tmpfs -o {room} none {world.workspace} && "$@"; status=$?; ls -A {world.workspace}/.devbox-gateway; exit $status'
    small = ("unshare", "--map-root-user", "--mount", "sh", "-c", mount, "sh")
    ended = await world.clone({"repository": world.url("app"), "lfs": large}, prefix=small)
    assert ended.status == 1
    assert "the workspace is full; give it more room (spec.workspace.size), or clone less (depth: 1)" in ended.message
    assert "Traceback" not in ended.log
    assert "\ncloning\n" not in ended.log


@pytest.mark.parametrize(
    "url", ["file://{root}/app.git", "{root}/app.git", "ext::touch {ran}", "ssh://localhost/app.git", "http://localhost/x"]
)
async def test_what_was_not_judged_git_itself_refuses(world: World, url: str) -> None:
    world.repository("app")
    url = url.format(root=world.root, ran=world.ran)
    done, said = run(("git", "clone", "--", url, str(world.folder / "x")), environment(os.environ, None))
    assert not done
    assert b"not allowed" in said
    assert not world.ran.exists()
