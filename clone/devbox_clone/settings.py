"""What git is told in this container: by its environment, which every program that git starts inherits, and never by a command line.

Goes in: the container's environment, and a mount's gateway. Comes out: an environment, and the few settings that stay in the repository.
Pure.

A repository is written by strangers, and nothing of it may run here: no hook, no filter, no template, no protocol but https, no redirect.
Git reads its settings from nowhere else: not from the image, not from HOME.
"""

from collections.abc import Iterable, Mapping
from typing import Final

from .document import Gateway

_PASSED: Final = ("PATH", "GIT_SSL_CAINFO", "HTTPS_PROXY", "https_proxy", "NO_PROXY", "no_proxy")
_FIXED: Final = {
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_CONFIG_GLOBAL": "/dev/null",
    "GIT_TERMINAL_PROMPT": "0",
    # No template's hooks, for submodules neither.
    "GIT_TEMPLATE_DIR": "",
    "GIT_LFS_SKIP_SMUDGE": "1",
    "HOME": "/nonexistent",
    "LC_ALL": "C.UTF-8",
}
_ALWAYS: Final = (
    ("protocol.allow", "never"),
    ("protocol.https.allow", "always"),
    ("http.followRedirects", "false"),
    ("core.hooksPath", "/dev/null"),
    ("core.fsmonitor", "false"),
    ("core.askPass", ""),
    ("safe.bareRepository", "explicit"),
    ("submodule.recurse", "false"),
    ("fetch.recurseSubmodules", "false"),
    # Nothing goes on behind our back in a repository that is renamed meanwhile.
    ("maintenance.auto", "false"),
    ("gc.auto", "0"),
    ("advice.detachedHead", "false"),
    # A server that has stopped talking.
    ("http.lowSpeedLimit", "1"),
    ("http.lowSpeedTime", "300"),
    # No program but git-lfs itself moves files, whatever a server proposes.
    ("lfs.basicTransfersOnly", "true"),
    ("credential.helper", ""),
)


def environment(container: Mapping[str, str], gateway: Gateway | None, *more: tuple[str, str]) -> dict[str, str]:
    """For every git of a mount. `more`: settings of one command."""
    result = {name: container[name] for name in _PASSED if name in container} | _FIXED
    pairs = [*_ALWAYS, *more]
    if gateway is not None:
        result[gateway.binding] = container[gateway.binding]
        pairs += through(gateway)
    return result | _counted(pairs)


def through(gateway: Gateway) -> list[tuple[str, str]]:
    """Addresses that the gateway stands for lead to it, where the token is the password: told to nobody else, and read anew each time."""
    answer = f"""!f() {{ test "$1" = get && printf 'username=x\\npassword=%s\\n' "${gateway.binding}"; }}; f"""
    return [
        (f"url.{gateway.url}/.insteadOf", gateway.behind),
        (f"credential.{gateway.url}.helper", answer),
    ]


def lfs_url(repository: str, gateway: Gateway | None) -> str:
    """Where its large files are asked for, whatever a file .lfsconfig in it says."""
    address = gateway.address(repository) if gateway is not None else repository
    return f"{address}/info/lfs" if address.endswith(".git") else f"{address}.git/info/lfs"


def _counted(pairs: Iterable[tuple[str, str]]) -> dict[str, str]:
    result: dict[str, str] = {}
    for number, (key, value) in enumerate(pairs):
        result |= {f"GIT_CONFIG_KEY_{number}": key, f"GIT_CONFIG_VALUE_{number}": value}
    return result | {"GIT_CONFIG_COUNT": str(len(result) // 2)}
