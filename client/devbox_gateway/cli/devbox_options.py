"""What `create` and `run` are told of a devbox that is to be made.

Goes in: options as they stand in the line. Comes out: arguments of `client.devboxes.create`.
"""

import re
from collections.abc import Callable, Sequence
from typing import Any, Final, TypeVar

import click

from devbox_gateway.errors import InvalidError
from devbox_gateway.naming import GATEWAY_CONFIG
from devbox_gateway.objects.waiting import Progress

from . import complete
from .durations import to_live
from .plain import cell
from .work import Here

F = TypeVar("F", bound=Callable[..., Any])
_GATEWAY: Final = re.compile(r"(?P<variable>[^=:]+)(=(?P<config>[^:=]+)(:(?P<secret>.+))?)?", re.DOTALL)

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
) -> dict[str, Any]:
    """Raises InvalidError. `ttl`: in seconds."""
    launch = {"network_policy_id": policy, "keep_alive_time_seconds": ttl}
    return {
        "image": image,
        "gateways": dict(gateway(text) for text in gateways),
        "environment_variables": dict(pair("--env", text) for text in environment),
        "secrets": dict(pair("--secret-env", text) for text in secrets) or None,
        "launch_parameters": {name: value for name, value in launch.items() if value is not None},
        "metadata": dict(pair("--metadata", text) for text in metadata) or None,
    }


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
