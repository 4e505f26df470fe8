"""What is to be cloned, as the operator says it: one document in the environment.

Goes in: JSON. Comes out: `Work`, or a ValueError. Everything is judged once more: a repository's address or a place that the API server
should have refused goes no further. Pure.

    {"version": 1, "workspace": "/workspace", "gateway": "https://gateway.system.svc", "mounts": [
      {"name": "app", "repository": "https://github.com/org/app", "path": "app",
       "ref": "main", "depth": 1, "submodules": true, "lfs": true,
       "binding": "GITHUB", "behind": "https://github.com/"}]}

`ref`, `depth`, `submodules` and `lfs` may be absent; so may `binding` and `behind`, both: such a repository is reached by the forward
proxy.
"""

import json
import re
from dataclasses import dataclass
from typing import Any, Final

from devbox_api.judge import mounts

VERSION: Final = 1
_BINDING: Final = re.compile(r"[A-Z][A-Z0-9_]{0,62}", re.ASCII)
_GATEWAY: Final = re.compile(r"https://[a-z0-9.-]+(:[0-9]+)?", re.ASCII)


@dataclass(frozen=True)
class Gateway:
    """Stands for the beginning of addresses."""

    url: str
    """Its own, without a slash at its end."""
    behind: str
    """What it stands for, with one: `https://github.com/`."""
    binding: str
    """The variable that holds its token."""

    def address(self, repository: str) -> str:
        """Where the repository is asked for."""
        return f"{self.url}/{repository.removeprefix(self.behind)}" if repository.startswith(self.behind) else repository


@dataclass(frozen=True)
class Mount:
    """One repository."""

    name: str
    repository: str
    path: str
    """Below the workspace."""
    ref: str | None = None
    """None: the repository's own default branch."""
    depth: int | None = None
    """Commits of each branch; None: all."""
    submodules: bool = False
    lfs: bool = False
    gateway: Gateway | None = None


@dataclass(frozen=True)
class Work:
    """All of them."""

    workspace: str
    mounts: tuple[Mount, ...]


def parse(text: str) -> Work:
    """Raises ValueError."""
    try:
        document = json.loads(text)
        if document["version"] != VERSION:
            raise ValueError(f"a document of version {document['version']}, and this program knows version {VERSION}")
        every = tuple(_mount(one, document.get("gateway")) for one in document["mounts"])
        workspace = document["workspace"]
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"a document without what it must have: {type(error).__name__} {error}") from None
    if not isinstance(workspace, str) or not workspace.startswith("/"):
        raise ValueError("the workspace is no absolute path")
    mounts.check_places(one.path for one in every)
    return Work(workspace, every)


def _mount(one: dict[str, Any], gateway: str | None) -> Mount:
    name, repository, path, ref, depth = str(one["name"]), one["repository"], one["path"], one.get("ref"), one.get("depth")
    try:
        mounts.check_repository(repository)
        mounts.check_path(path)
        if ref is not None:
            mounts.check_ref(ref)
        if depth is not None and (type(depth) is not int or depth < 1):
            raise ValueError("its depth is no number above 0")
        through = _gateway(gateway, one["behind"], one["binding"]) if "binding" in one else None
        if through is not None and not repository.startswith(through.behind):
            raise ValueError(f"its gateway stands for {through.behind}")
    except ValueError as error:
        raise ValueError(f"code mount {name}: {error}") from None
    return Mount(name, repository, path, ref, depth, one.get("submodules") is True, one.get("lfs") is True, through)


def _gateway(url: str | None, behind: str, binding: str) -> Gateway:
    if url is None or not _GATEWAY.fullmatch(url) or not _BINDING.fullmatch(binding) or not behind.endswith("/"):
        raise ValueError("its gateway can't be read")
    mounts.check_repository(f"{behind}x")
    return Gateway(url, behind, binding)
