"""From `code_mounts` of `devboxes.create` to `spec.codeMounts`; pure.

Goes in: the mounts as they were given, the devbox's gateways, what its network policy allows. Comes out: the field. What can't be cloned is
an InvalidError before anything is made.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from devbox_api.judge import hosts, mounts
from devbox_api.judge.endpoints import Endpoint, parse_endpoint
from devbox_gateway.errors import InvalidError
from devbox_gateway.kube.session import Object

from .base import text

FIELD: Final = "code_mounts"
GIT_HOST: Final = "github.com"
"""Whose repositories are named `org/repo`."""
_TEXTS: Final = {"git_ref": "ref", "path": "path", "install_command": "installCommand"}
_OTHERS: Final[Mapping[str, tuple[str, type]]] = {
    "depth": ("depth", int),
    "submodules": ("submodules", bool),
    "lfs": ("lfs", bool),
    "install_timeout_seconds": ("installTimeoutSeconds", int),
}
_CHECKS: Final = {"git_ref": mounts.check_ref, "path": mounts.check_path}
_KNOWN: Final = ("repo_name", "repo_owner", "repository", "gateway", *_TEXTS, *_OTHERS)


@dataclass(frozen=True)
class Reach:
    """What leads out of the devbox."""

    gateways: Mapping[str, str]
    """Endpoints, by the variable."""
    policy: str | None
    """The network policy's name; None: there is none."""
    allowed: tuple[str, ...] | None
    """Host patterns; None: all hosts."""


def found_in(
    code_mounts: Sequence[Mapping[str, Any]] | None, others: Sequence[Mapping[str, Any]] | None
) -> list[Mapping[str, Any]]:
    """`code_mounts`, and the older `mounts=[{"type": "code_mount", …}]`. Raises InvalidError for mounts of another kind."""
    found = _mappings(FIELD, code_mounts or ())
    for mount in _mappings("mounts", others or ()):
        if mount.get("type") != "code_mount":
            raise InvalidError(
                "mounts", f"mounts of type {mount.get('type')!r} are not known; code_mount is, and spec volumes are"
            )
        found.append(mount)
    return found


def spec_of(given: Sequence[Mapping[str, Any]], reach: Reach) -> list[Object]:
    """The field. Raises InvalidError."""
    specs: list[Object] = []
    for mount in given:
        specs.append(_one(mount, reach, [spec["name"] for spec in specs]))
    try:
        mounts.check_places(str(spec.get("path", spec["name"])) for spec in specs)
    except ValueError as error:
        raise InvalidError(FIELD, str(error)) from None
    return specs


def _one(mount: Mapping[str, Any], reach: Reach, taken: Sequence[str]) -> Object:
    """`{"repo_name", "repo_owner"?, "git_ref"?, "install_command"?, …}`."""
    given = {key: value for key, value in mount.items() if key != "type" and value is not None}
    if "token" in given:
        raise InvalidError(
            f"{FIELD}.token", "no token goes into a devbox; name a gateway config for the git host in gateways instead"
        )
    if unknown := sorted(set(map(str, given)) - set(_KNOWN)):
        raise InvalidError(FIELD, f"no such field: {', '.join(unknown)}; known are {', '.join(_KNOWN)}")
    field, repository = _repository(given)
    try:
        where = mounts.check_repository(repository)
    except ValueError as error:
        raise InvalidError(field, str(error)) from None
    spec: Object = {"name": _name(repository, taken), "repository": repository}
    for key, name in _TEXTS.items():
        if key in given:
            spec[name] = text(f"{FIELD}.{key}", given[key])
            try:
                if key in _CHECKS:
                    _CHECKS[key](given[key])
            except ValueError as error:
                raise InvalidError(f"{FIELD}.{key}", str(error)) from None
    for key, (name, kind) in _OTHERS.items():
        if key in given:
            if type(given[key]) is not kind:
                raise InvalidError(f"{FIELD}.{key}", "write True or False" if kind is bool else "write a number, e.g. 1")
            spec[name] = given[key]
    gateway = _gateway(given.get("gateway"), where, reach, field)
    return spec | ({} if gateway is None else {"gateway": gateway})


def _repository(given: Mapping[str, Any]) -> tuple[str, str]:
    """The field that names it, and its address."""
    if "repository" in given:
        if "repo_name" in given:
            raise InvalidError(f"{FIELD}.repository", "give repository (an address) or repo_name, not both")
        return f"{FIELD}.repository", text(f"{FIELD}.repository", given["repository"])
    name, owner = text(f"{FIELD}.repo_name", given.get("repo_name")), given.get("repo_owner")
    path = f"{text(f'{FIELD}.repo_owner', owner)}/{name}" if owner else name
    if path.count("/") != 1:
        raise InvalidError(f"{FIELD}.repo_name", "write org/repo, or give repo_owner; or give the whole address as repository")
    return f"{FIELD}.repo_name", f"https://{GIT_HOST}/{path}"


def _name(repository: str, taken: Sequence[str]) -> str:
    """After the repository, as the object's names are; another one where it is taken."""
    last = repository.rpartition("/")[2].removesuffix(".git").lower()
    name = re.sub(r"[^a-z0-9]+", "-", last).strip("-")[:50] or "code"
    return name if name not in taken else next(one for n in range(2, 99) if (one := f"{name}-{n}") not in taken)


def _gateway(given: Any, where: Endpoint, reach: Reach, field: str) -> str | None:
    """The one named; else one that leads to the repository; None: the network policy lets it be reached."""
    leading = [name for name, endpoint in reach.gateways.items() if mounts.mismatch(where, parse_endpoint(endpoint)) is None]
    if given is not None:
        name = text(f"{FIELD}.gateway", given)
        if name not in reach.gateways:
            raise InvalidError(
                f"{FIELD}.gateway", f"gateways has no {name}; write one of: {', '.join(reach.gateways) or 'none'}"
            )
        if name not in leading:
            why = mounts.mismatch(where, parse_endpoint(reach.gateways[name]))
            raise InvalidError(f"{FIELD}.gateway", f"{why}; name a gateway config whose endpoint is the repository's own host")
        return name
    if leading:
        return leading[0]
    if reach.policy is None:
        raise InvalidError(
            field,
            f"nothing leads to {where.host}: give launch_parameters.network_policy_id a network policy that allows it (allowed_hostnames), "
            "or gateways a gateway config with that host as its endpoint",
        )
    if reach.allowed is not None and not hosts.any_matches(reach.allowed, where.host):
        raise InvalidError(
            field,
            f"network policy {reach.policy} does not allow {where.host}; add it to allowed_hostnames, or give gateways a gateway config "
            "with that host as its endpoint",
        )
    return None


def _mappings(field: str, given: object) -> list[Mapping[str, Any]]:
    found = [] if isinstance(given, (str, bytes, Mapping)) or not isinstance(given, Iterable) else list(given)
    if (not found and given) or not all(isinstance(one, Mapping) for one in found):
        raise InvalidError(field, 'write a list, e.g. [{"type": "code_mount", "repo_owner": "org", "repo_name": "repo"}]')
    return found
