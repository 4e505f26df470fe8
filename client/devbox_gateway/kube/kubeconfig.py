"""A kubeconfig, read as kubectl reads it.

Goes in: paths, or none (then $KUBECONFIG, else ~/.kube/config). Comes out: the `Context` that counts: cluster, user, namespace, as the
files have them, with relative paths made absolute. Nothing is dialled and no program is run (credentials.py).
Source of the rules: https://kubernetes.io/docs/concepts/configuration/organize-cluster-access-kubeconfig/
"""

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import yaml

from devbox_gateway.errors import InvalidError, NotFoundError

Entry = Mapping[str, Any]
KINDS: Final = {"clusters": "cluster", "users": "user", "contexts": "context"}
PATHS: Final = {
    "clusters": ("certificate-authority",),
    "users": ("client-certificate", "client-key", "tokenFile"),
    "contexts": (),
}
"""What is relative to the file that it stands in."""


@dataclass(frozen=True)
class Context:
    """One choice of cluster, user and namespace."""

    name: str
    cluster: Entry
    user: Entry = field(repr=False)
    """It may hold a token or a key."""
    namespace: str
    user_name: str = ""
    user_file: Path | None = None
    """Where the user's entry stands: a refreshed OIDC token is written back there."""


@dataclass
class _Merged:
    """What several files say together: of two entries of a name, the one in the first file counts."""

    clusters: dict[str, Entry] = field(default_factory=dict)
    users: dict[str, Entry] = field(default_factory=dict)
    contexts: dict[str, Entry] = field(default_factory=dict)
    files: dict[str, Path] = field(default_factory=dict)
    current: str = ""


def find(explicit: str | os.PathLike[str] | None, environ: Mapping[str, str], home: Path) -> list[Path]:
    """The files that count and exist. One that is named and is not there is an error."""
    if explicit:
        path = Path(explicit).expanduser()
        if not path.is_file():
            raise NotFoundError(f"there is no kubeconfig {str(path)!r}; name a file that exists, or none for the usual one")
        return [path]
    paths = _listed(environ) if environ.get("KUBECONFIG") else [home / ".kube" / "config"]
    return [path for path in dict.fromkeys(paths) if path.is_file()]


def named(environ: Mapping[str, str]) -> list[str]:
    """What $KUBECONFIG names, where nothing of it is there: kubectl leaves out files that are missing, but for all of them."""
    paths = _listed(environ)
    return [] if any(path.is_file() for path in paths) else [str(path) for path in paths]


def _listed(environ: Mapping[str, str]) -> list[Path]:
    return [Path(part) for part in environ.get("KUBECONFIG", "").split(os.pathsep) if part]


def load(paths: Sequence[Path], context: str | None = None) -> Context | None:
    """The context of that name, else the current one. None: the files (or no file at all) name none."""
    merged = _merge(paths)
    name = context or merged.current
    if not name:
        return None
    if name not in merged.contexts:
        known = ", ".join(sorted(merged.contexts)) or "none"
        raise NotFoundError(f"the kubeconfig has no context {name!r}; it has: {known}")
    chosen = merged.contexts[name]
    cluster, user = str(chosen.get("cluster") or ""), str(chosen.get("user") or "")
    if cluster not in merged.clusters:
        raise NotFoundError(f"context {name!r} of the kubeconfig refers to cluster {cluster!r}, which is not there")
    if user and user not in merged.users:
        raise NotFoundError(f"context {name!r} of the kubeconfig refers to user {user!r}, which is not there")
    return Context(
        name=name,
        cluster=merged.clusters[cluster],
        user=merged.users.get(user, {}),
        namespace=str(chosen.get("namespace") or ""),
        user_name=user,
        user_file=merged.files.get(user),
    )


def contexts(paths: Sequence[Path]) -> list[str]:
    """The names of all contexts."""
    return list(_merge(paths).contexts)


def _merge(paths: Iterable[Path]) -> _Merged:
    merged = _Merged()
    for path in paths:
        content = _read(path)
        for kind in KINDS:
            into: dict[str, Entry] = getattr(merged, kind)
            for name, entry in _entries(path, content, kind):
                if name not in into:
                    into[name] = _absolute(path, kind, entry)
                    if kind == "users":
                        merged.files[name] = path
        merged.current = merged.current or str(content.get("current-context") or "")
    return merged


def _read(path: Path) -> Entry:
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise NotFoundError(f"the kubeconfig {str(path)!r} can't be read: {error.strerror}") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        # (Its own text quotes the line, where a token may stand.)
        mark = getattr(error, "problem_mark", None)
        place = f", line {mark.line + 1}" if mark else ""
        raise InvalidError("kubeconfig", f"{str(path)!r} is not YAML{place}") from None
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise InvalidError("kubeconfig", f"{str(path)!r} is no kubeconfig: a mapping with clusters, users and contexts is one")
    return content


def _entries(path: Path, content: Entry, kind: str) -> Iterable[tuple[str, Entry]]:
    listed = content.get(kind) or []
    if not isinstance(listed, list) or not all(isinstance(item, dict) and isinstance(item.get("name"), str) for item in listed):
        raise InvalidError("kubeconfig", f"{kind} of {str(path)!r} is no list of entries with a name")
    for item in listed:
        entry = item.get(KINDS[kind]) or {}
        if not isinstance(entry, dict):
            raise InvalidError("kubeconfig", f"{KINDS[kind]} {item['name']!r} of {str(path)!r} is no mapping")
        yield item["name"], entry


def _absolute(path: Path, kind: str, entry: Entry) -> Entry:
    folder = path.absolute().parent
    resolved: dict[str, Any] = {key: str(folder / entry[key]) for key in PATHS[kind] if entry.get(key)}
    command = (entry.get("exec") or {}).get("command") if kind == "users" else None
    if isinstance(command, str) and os.path.basename(command) != command:  # noqa: PTH119 (a Path drops the './')
        resolved["exec"] = {**entry["exec"], "command": str(folder / command)}
    return {**entry, **resolved}
