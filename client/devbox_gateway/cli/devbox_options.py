"""What `create` and `run` are told of a devbox that is to be made.

Goes in: options as they stand in the line. Comes out: arguments of `client.devboxes.create`.
"""

import re
from collections.abc import Callable, Sequence
from typing import Any, Final, TypeVar

import click

from devbox_gateway.errors import InvalidError
from devbox_gateway.naming import GATEWAY_CONFIG
from devbox_gateway.objects.devbox_spec import duration
from devbox_gateway.objects.waiting import Progress

from . import complete
from .durations import to_live
from .plain import cell
from .work import Here

F = TypeVar("F", bound=Callable[..., Any])
ON_IDLE: Final = {"suspend": "Suspend", "delete": "Delete"}
_GATEWAY: Final = re.compile(r"(?P<variable>[^=:]+)(=(?P<config>[^:=]+)(:(?P<secret>.+))?)?", re.DOTALL)

_CLONE: Final = re.compile(r"((?P<path>[^=:@]+)=)?(?P<repository>[^@=]+)(@(?P<ref>.+))?", re.DOTALL)

OPTIONS: Final = (
    click.option("--image", metavar="IMAGE", help="What it runs; else the chart's default image."),
    click.option(
        "--gateway",
        "gateways",
        metavar="NAME[=CONFIG[:SECRET]]",
        multiple=True,
        help="An API that it may use: $NAME_URL and $NAME. CONFIG: else NAME in lower case; SECRET: else the config's own.",
    ),
    click.option("--env", "environment", metavar="NAME=VALUE", multiple=True, help="A variable. No secrets: the agent reads it."),
    click.option(
        "--secret-env", "secrets", metavar="NAME=SECRET", multiple=True, help="A variable with a secret's value: the agent reads it."
    ),
    click.option(
        "--policy", metavar="NAME", help="Its network policy; else `default`, if there is one.", shell_complete=complete.policies
    ),
    click.option(
        "--ttl",
        metavar="TIME",
        callback=to_live,
        help="Delete it so long after it was made, or last kept alive: 30m, 24h, 7d. Of run: after run was last there; else 24h.",
    ),
    click.option(
        "--idle",
        metavar="TIME",
        callback=to_live,
        help="Suspend it (--on-idle) once nobody has worked in it for so long: 30m, 2h, 7d. Of run: delete it; else 1h.",
    ),
    click.option(
        "--on-idle", type=click.Choice(tuple(ON_IDLE)), help="What is done about it then: suspend, unless told otherwise; or delete."
    ),
    click.option(
        "--clone",
        "clones",
        metavar="[PATH=]REPOSITORY[@REF]",
        multiple=True,
        help="A repository that is cloned before it starts: org/repo of github.com, or https://…; PATH: where in the workspace.",
    ),
    click.option("--install", metavar="COMMAND", help="Run in the clone before it starts, e.g. 'npm ci' (with one --clone)."),
    click.option("--workspace", metavar="SIZE", help="A directory of this size at /workspace that outlives its pods, e.g. 10Gi."),
    click.option("--retain", is_flag=True, help="Keep the workspace's files when it is deleted."),
    click.option("--launch", metavar="COMMAND", multiple=True, help="Run by sh before its command, once in each pod."),
    click.option("--size", metavar="NAME", help="How large it is: a size of the chart's, e.g. SMALL."),
    click.option("--metadata", metavar="KEY=VALUE", multiple=True, help="For you."),
    click.option("--timeout", type=click.FloatRange(min=1), default=600, show_default=True, help="Seconds, until it is ready."),
    click.option("--keep-on-failure", is_flag=True, help="Keep a devbox that does not become ready."),
)  # fmt: skip


def devbox_options(function: F) -> F:
    """All of them."""
    for option in reversed(OPTIONS):
        function = option(function)
    return function


def arguments(
    *,
    image: str | None,
    gateways: Sequence[str],
    environment: Sequence[str],
    secrets: Sequence[str],
    policy: str | None,
    ttl: int | None,
    metadata: Sequence[str],
    clones: Sequence[str] = (),
    install: str | None = None,
    workspace: str | None = None,
    retain: bool = False,
    launch: Sequence[str] = (),
    size: str | None = None,
    idle: int | None = None,
    on_idle: str | None = None,
) -> dict[str, Any]:
    """Raises InvalidError. `ttl`, `idle`: in seconds."""
    parameters = {
        "network_policy_id": policy,
        "keep_alive_time_seconds": None if idle else ttl,
        "launch_commands": list(launch) or None,
        "resource_size_request": size,
    }
    if retain and workspace is None:
        raise InvalidError("--retain", "there is nothing to keep: write --workspace SIZE, too")
    if on_idle is not None and idle is None:
        raise InvalidError("--on-idle", "say after which time by --idle, e.g. --idle 30m")
    spec: dict[str, Any] = {}
    if workspace is not None:
        spec["workspace"] = {"size": workspace, "retain": "Retain" if retain else "Delete"}
    if idle:
        # (Of the launch parameters, one of both would count alone.)
        spec["lifecycle"] = _lifecycle(ttl, idle, ON_IDLE[on_idle or "suspend"])
    return {
        "image": image,
        "gateways": dict(gateway(text) for text in gateways),
        "environment_variables": dict(pair("--env", text) for text in environment),
        "secrets": dict(pair("--secret-env", text) for text in secrets) or None,
        "launch_parameters": {name: value for name, value in parameters.items() if value is not None},
        "code_mounts": _code_mounts(clones, install) or None,
        "spec": spec or None,
        "metadata": dict(pair("--metadata", text) for text in metadata) or None,
    }


def _lifecycle(ttl: int | None, idle: int, action: str) -> dict[str, Any]:
    return {**({"ttl": duration(ttl)} if ttl else {}), "idle": {"after": duration(idle), "action": action}}


def gateway(text: str) -> tuple[str, dict[str, str]]:
    """Of NAME[=CONFIG[:SECRET]]; CONFIG may be namespace/name."""
    found = _GATEWAY.fullmatch(text)
    if found is None:
        raise InvalidError(
            "--gateway", f"{cell(text)!r} is not NAME, NAME=CONFIG or NAME=CONFIG:SECRET, e.g. ANTHROPIC=anthropic"
        )
    config = found["config"] or found["variable"].lower().replace("_", "-")
    if "/" in config and not config.startswith(GATEWAY_CONFIG.prefix):
        config = GATEWAY_CONFIG.prefix + config
    return found["variable"], {"gateway": config, **({} if found["secret"] is None else {"secret": found["secret"]})}


def _code_mounts(clones: Sequence[str], install: str | None) -> list[dict[str, str]]:
    mounts = [clone(text) for text in clones]
    if install is not None:
        if len(mounts) != 1:
            raise InvalidError(
                "--install", "it is for one --clone; of several, write installCommand into the Devbox (docs/codemounts.md)"
            )
        mounts[0]["install_command"] = install
    return mounts


def clone(text: str) -> dict[str, str]:
    """Of [PATH=]REPOSITORY[@REF]."""
    found = _CLONE.fullmatch(text)
    if found is None:
        raise InvalidError(
            "--clone", f"{cell(text)!r} is not [PATH=]REPOSITORY[@REF], e.g. org/app@main, docs=https://gitlab.com/org/docs"
        )
    address = "://" in found["repository"]
    # (What has no path before its @ has a user there, and is refused as a whole.)
    whole = found["ref"] is not None and address and found["repository"].count("/") < 3
    repository = f"{found['repository']}@{found['ref']}" if whole else found["repository"]
    mount = {"repository" if address else "repo_name": repository}
    return mount | {
        key: value
        for key, value in (("path", found["path"]), ("git_ref", None if whole else found["ref"]))
        if value is not None
    }


def pair(option: str, text: str) -> tuple[str, str]:
    """Of NAME=VALUE."""
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise InvalidError(option, f"{cell(text)!r} is not NAME=VALUE")
    return name, value


def progress(here: Here) -> Callable[[Progress], None]:
    """Says on stderr what a devbox waits for."""

    def said(now: Progress) -> None:
        here.note(
            ": ".join(part for part in (cell(now.name), f"{cell(now.phase)}, {cell(now.reason)}", cell(now.message)) if part)
        )

    return said
