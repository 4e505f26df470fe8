"""`gateway`: where an API lives, and how its credential goes into a request."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, TypeVar

import click

from devbox_gateway.cli import complete
from devbox_gateway.cli.names import identity
from devbox_gateway.cli.output import Column, age
from devbox_gateway.cli.plain import cell
from devbox_gateway.cli.verb import Verbs, verb
from devbox_gateway.cli.work import Here
from devbox_gateway.errors import InvalidError
from devbox_gateway.naming import GATEWAY_CONFIG
from devbox_gateway.objects import probing
from devbox_gateway.objects.waiting import conditions_of

F = TypeVar("F", bound=Callable[..., Any])
AUTH: Final = "bearer, header:NAME, query:NAME, basic (a secret user:password) or basic:USER (the password alone)"


def _auth(seen: Mapping[str, Any]) -> str:
    spec = seen["spec"].get("authMechanism") or {}
    return ":".join(part for part in (str(spec.get("type", "")).lower(), spec.get("key") or spec.get("username")) if part)


COLUMNS: Final = (
    Column("NAME", lambda seen: seen["metadata"]["name"]),
    Column("ENDPOINT", lambda seen: seen["spec"].get("endpoint")),
    Column("AUTH", _auth),
    Column("READY", lambda seen: (conditions_of(seen).get("Ready") or {}).get("status")),
    Column("REACHABLE", lambda seen: (conditions_of(seen).get("Reachable") or {}).get("status")),
    Column("DEVBOXES", lambda seen: (seen.get("status") or {}).get("devboxes", 0)),
    Column("AGE", lambda seen: age(seen["metadata"]["creationTimestamp"])),
    Column("SECRET", lambda seen: ((seen["spec"].get("credential") or {}).get("secretRef") or {}).get("name"), wide=True),
    Column("DESCRIPTION", lambda seen: seen["spec"].get("description"), wide=True),
    Column("MESSAGE", lambda seen: (conditions_of(seen).get("Ready") or {}).get("message"), wide=True),
)
_NAME: Final = click.argument("name", shell_complete=complete.gateway_configs)


def _fields(*, required: bool) -> Callable[[F], F]:
    options = (
        click.option("--endpoint", metavar="URL", required=required, help="The API's address."),
        click.option("--auth", metavar="HOW", required=required, help=f"How its credential goes in: {AUTH}."),
        click.option("--prefix", metavar="TEXT", help="Before the credential, in a header."),
        click.option(
            "--secret",
            metavar="NAME",
            help="For devboxes that bring none; it must be granted.",
            shell_complete=complete.secrets,
        ),
        click.option(
            "--open-to", metavar="WHOM", help="Whose devboxes may use it: same (namespace), all, or namespaces' LABEL=VALUE."
        ),
        click.option(
            "--allow-insecure/--no-allow-insecure", default=None, help="An http:// endpoint: the credential goes in the clear."
        ),
        click.option("--description", metavar="TEXT", help="For people."),
    )

    def decorate(function: F) -> F:
        for option in reversed(options):
            function = option(function)
        return function

    return decorate


def auth_of(text: str, prefix: str | None = None) -> dict[str, str]:
    """Of --auth and --prefix. Raises InvalidError."""
    kind, colon, name = text.partition(":")
    kind = kind.strip().lower()
    if kind not in ("bearer", "header", "query", "basic") or (colon and not name) or (kind == "bearer" and colon):
        raise InvalidError("--auth", f"write {AUTH}")
    if kind in ("header", "query") and not name:
        raise InvalidError("--auth", f"write {kind}:NAME, with the name that the API wants")
    if prefix is not None and kind != "header":
        raise InvalidError("--prefix", "it goes with --auth header:NAME alone")
    key = {"basic": "username"}.get(kind, "key")
    return {"type": kind, **({key: name} if name else {}), **({} if prefix is None else {"prefix": prefix})}


def arguments(
    *,
    endpoint: str | None,
    auth: str | None,
    prefix: str | None,
    secret: str | None,
    open_to: str | None,
    allow_insecure: bool | None,
    description: str | None,
) -> dict[str, Any]:
    """What is given, as the client wants it. Raises InvalidError."""
    if prefix is not None and auth is None:
        raise InvalidError("--prefix", "it goes with --auth header:NAME")
    found: dict[str, Any] = {"endpoint": endpoint, "description": description}
    found["auth_mechanism"] = None if auth is None else auth_of(auth, prefix)
    found["credential"] = secret
    found["allow_insecure"] = allow_insecure
    found["allowed_namespaces"] = None if open_to is None else _opened(open_to)
    return {key: value for key, value in found.items() if value is not None}


def _opened(text: str) -> dict[str, Any]:
    if text.lower() in ("same", "all"):
        return {"from": text.capitalize(), "selector": None}
    labels = dict(part.partition("=")[::2] for part in text.split(","))
    if not all(labels.values()):
        raise InvalidError("--open-to", "write same, all, or labels of namespaces, e.g. team=a")
    return {"from": "Selector", "selector": {"matchLabels": labels}}


@click.group(cls=Verbs)
def gateway() -> None:
    """Gateway configs: where an API lives, and how its credential goes into a request."""


@verb(group=gateway)
async def ls(here: Here) -> None:
    """List gateway configs."""
    found = await here.client.gateway_configs.list()
    here.show_objects(
        GATEWAY_CONFIG, found, COLUMNS, empty=f"there are no gateway configs in namespace {here.client.namespace}"
    )


@verb(group=gateway)
@_NAME
async def get(here: Here, name: str) -> None:
    """Show one; with -o json or yaml, all of it."""
    found = here.client.gateway_configs.from_id(identity(GATEWAY_CONFIG, name))
    await found.get_info()
    here.show_objects(GATEWAY_CONFIG, [found], COLUMNS, one=True)


@verb(group=gateway)
@click.argument("name")
@_fields(required=True)
async def create(here: Here, name: str, **given: Any) -> None:
    """Make one."""
    configs = here.client.gateway_configs
    await here.made(configs.from_id(name), configs.create(name=name, **arguments(**given)))


@verb(group=gateway)
@_NAME
@_fields(required=False)
async def update(here: Here, name: str, **given: Any) -> None:
    """Change what is given, on running devboxes too, within seconds."""
    change = arguments(**given)
    if not change:
        raise click.UsageError("Name at least one field to change")
    changed = await here.client.gateway_configs.from_id(identity(GATEWAY_CONFIG, name)).update(**change)
    here.done(changed, "updated")
    for secret in changed.ungranted:
        here.note(f"secret {secret} is not granted to the new endpoint; its owner runs: {changed.line(secret)}")


@verb(group=gateway)
@_NAME
@click.option("--timeout", type=click.FloatRange(min=1), default=60, show_default=True, help="Seconds.")
async def probe(here: Here, name: str, timeout: float) -> int:
    """Have a gateway dial the API now, and say what it found.

    It connects, with TLS, and hangs up: no credential is sent, and no request. The exit code is 1 where it was not reached.
    """
    config = here.client.gateway_configs.from_id(identity(GATEWAY_CONFIG, name))
    found = await probing.probe(config, timeout)
    if here.options.output in ("json", "yaml", "name"):
        here.show_objects(GATEWAY_CONFIG, [config], (), one=True)
    elif found.get("reason") == "NotTried":
        here.note(f"nothing was tried: {_not_tried(config._seen)}")
    else:
        here.say(cell(f"{found.get('reason')}: {found.get('message')}"))
    return 0 if found.get("status") == "True" else 1


def _not_tried(seen: dict[str, Any]) -> str:
    accepted = conditions_of(seen).get("Accepted") or {}
    return str(accepted.get("message")) if accepted.get("status") == "False" else "no gateway answered the operator"


@verb(group=gateway)
@click.argument("names", metavar="NAME...", nargs=-1, required=True, shell_complete=complete.gateway_configs)
async def rm(here: Here, names: Sequence[str]) -> None:
    """Delete gateway configs; not while a devbox uses one."""
    for name in names:
        found = here.client.gateway_configs.from_id(identity(GATEWAY_CONFIG, name))
        await found.get_info()
        await found.delete()
        here.done(found, "deleted")
