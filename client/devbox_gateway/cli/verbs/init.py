"""`init`: from a key to a devbox that may use its API, by a few questions, or by options alone."""

import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import click

from devbox_api.judge.doubts import Place
from devbox_gateway.cli import lookup, registries, values
from devbox_gateway.cli.devbox_options import progress
from devbox_gateway.cli.failures import Failed, code_of, text_of
from devbox_gateway.cli.plain import cell
from devbox_gateway.cli.verb import verb
from devbox_gateway.cli.verbs.gateway import AUTH, auth_of
from devbox_gateway.cli.work import Here
from devbox_gateway.errors import ConflictError, DevboxGatewayError, InvalidError, NotFoundError, NotReadyError
from devbox_gateway.kube.session import Object
from devbox_gateway.naming import object_name, slug
from devbox_gateway.objects.network_policies import DEFAULT


@dataclass(frozen=True)
class Api:
    """What has to be known of one."""

    endpoint: str
    auth: str
    variable: str


APIS: Final = {
    "anthropic": Api("https://api.anthropic.com", "bearer", "ANTHROPIC"),
    "openai": Api("https://api.openai.com", "bearer", "OPENAI"),
    "gemini": Api("https://generativelanguage.googleapis.com", "header:x-goog-api-key", "GEMINI"),
    "github": Api("https://api.github.com", "bearer", "GITHUB"),
}
OTHER: Final = "other"
CODE: Final = ("github.com", "codeload.github.com")


@dataclass(frozen=True)
class Plan:
    """Everything that is to be made."""

    name: str
    api: Api
    secret: str
    devbox: str | None
    image: str | None
    hosts: tuple[str, ...] | None
    """Of the network policy; None: none is made."""

    @property
    def auth(self) -> dict[str, str]:
        return auth_of(self.api.auth)

    @property
    def place(self) -> Place:
        """Where the credential goes."""
        auth = self.auth
        return Place(auth["type"].capitalize(), auth.get("key", ""), whole=auth["type"] == "basic" and "username" not in auth)


@verb()
@click.option("--api", metavar="NAME", help=f"{', '.join(APIS)}, or a name for another one.")
@click.option("--endpoint", metavar="URL", help="Of another one: its address.")
@click.option("--auth", metavar="HOW", help=f"Of another one: how its credential goes in: {AUTH}.")
@click.option("--variable", metavar="NAME", help="The devbox's variable; else the API's name, in upper case.")
@click.option("--secret", metavar="NAME", help="What the credential is called; else the API's name and -key.")
@click.option("--devbox", metavar="NAME", help="What the devbox is called; else agent.")
@click.option("--no-devbox", is_flag=True, help="Make none.")
@click.option("--image", metavar="IMAGE", help="What the devbox runs; else the chart's default image.")
@click.option("--policy/--no-policy", default=None, help="The namespace's network policy `default`, for code and packages.")
@click.option(
    "--allow-host", "hosts", metavar="HOST", multiple=True, help="In it; else GitHub and this machine's package registries."
)
@click.option("--dry-run", is_flag=True, help="Print what would be made, without the credential.")
@values.value_option
async def init(here: Here, *, from_file: str | None, dry_run: bool, **given: Any) -> int | None:
    """From a key to a devbox that may use its API: asks for what is not given, where stdin is a terminal.

    Made are a gateway config, a secret, the network policy `default` if it is wanted, and a devbox. What is there already is taken.
    """
    plan = _asked(sys.stdin.isatty() and not dry_run and from_file != "-", **given)
    client = here.client
    if dry_run or here.options.output in ("json", "yaml"):
        here.options.output = here.options.output if here.options.output in ("json", "yaml") else "yaml"
        here.show_document({"apiVersion": "v1", "kind": "List", "items": manifests(plan, client.namespace)})
        return 0
    value = values.read(from_file, f"Key of {plan.name!r} (it is not shown)")
    for remark in values.remarks(value, plan.place):
        here.note(f"warning: the key of {plan.name}: {remark}")
    made: list[str] = []
    try:
        await _make(here, plan, value, made)
    except DevboxGatewayError as error:
        there = (
            f" There already, or made before that: {', '.join(made)}; do the same again, and they are taken." if made else ""
        )
        raise Failed(_said(error) + there, code_of(error)) from None
    return None


def _said(error: DevboxGatewayError) -> str:
    """In the words of this verb, which has no --keep-on-failure."""
    said = text_of(error).replace("; --keep-on-failure keeps it", "")
    if isinstance(error, NotReadyError) and error.reason == "ImageMissing":
        said += "; name an image: --image IMAGE"
    return said


async def _make(here: Here, plan: Plan, value: str, made: list[str]) -> None:
    """In the order in which rights are most likely to be missing."""
    client = here.client
    configs, policies, secrets = client.gateway_configs, client.network_policies, client.secrets
    wanted = configs.from_id(plan.name)
    gateway = await here.made(
        wanted, configs.create(name=plan.name, endpoint=plan.api.endpoint, auth_mechanism=plan.auth), "made"
    )
    made.append(gateway.id)
    if plan.hosts is not None:
        try:
            asked = policies.create(name=DEFAULT, allowed_hostnames=list(plan.hosts))
            policy = await here.made(policies.from_id(DEFAULT), asked, "made")
        except ConflictError:
            here.note(f"the network policy {DEFAULT!r} is there, and stays as it is")
        else:
            made.append(policy.id)
    host = urlsplit(plan.api.endpoint).hostname or ""
    kept = secrets.from_id(plan.secret)
    secret = await here.made(kept, secrets.create(name=plan.secret, value=value, allowed_hosts=[host]), "made")
    made.append(secret.id)
    if plan.devbox is None:
        return
    try:
        devbox = await lookup.devbox(client, plan.devbox)
    except NotFoundError:
        devbox = await client.devboxes.create(
            name=plan.devbox,
            unique_name=True,
            image=plan.image,
            gateways={plan.api.variable: {"gateway": gateway, "secret": secret}},
            progress=progress(here),
        )
        here.done(devbox, "ready")
    else:
        here.done(devbox, "unchanged")
        if not uses(devbox._seen, plan.api.variable, gateway._reference.name, secret._reference.name):
            use = f"{plan.api.variable}={gateway._reference.name}:{secret._reference.name}"
            here.note(
                f"a devbox {plan.devbox!r} is there, and stays as it is: it does NOT use the key that was given. Make one that does: "
                f"kubectl devbox create NAME --gateway {use}"
            )
            return
    here.note(
        f"${plan.api.variable}_URL and ${plan.api.variable} are set in it; try: kubectl devbox shell {devbox._reference.name}"
    )


def uses(devbox: Object, variable: str, gateway: str, secret: str) -> bool:
    """Its variable leads to that gateway config of its namespace, with that secret."""
    for each in devbox["spec"].get("gateways") or []:
        config = each["gatewayRef"]
        home = config.get("namespace") in (None, devbox["metadata"]["namespace"])
        if each["name"] == variable and home and config["name"] == gateway:
            return bool((each.get("secretRef") or {}).get("name") == secret)
    return False


def _asked(ask: bool, *, api: str | None, no_devbox: bool, hosts: Sequence[str], **given: Any) -> Plan:
    """By options, by questions, else as help says. Raises InvalidError."""
    if api is None and given["endpoint"] is None and ask:
        api = _question("Which API? " + ", ".join((*APIS, OTHER)), "anthropic")
    known = APIS.get((api or "").lower())
    if known is None:
        known = _other(ask, api, **{name: given[name] for name in ("endpoint", "auth", "variable")})
    name = object_name(slug(api or urlsplit(known.endpoint).hostname or "") or "api")
    chosen = Api(given["endpoint"] or known.endpoint, given["auth"] or known.auth, given["variable"] or known.variable)
    auth_of(chosen.auth)
    devbox = None if no_devbox else given["devbox"] or (_question("Name of the devbox", "agent") if ask else "agent")
    return Plan(
        name=name,
        api=chosen,
        secret=given["secret"] or f"{name}-key",
        devbox=None if devbox is None else lookup.new_name("--devbox", devbox),
        image=given["image"]
        or ((_question("Its image (empty: the chart's default)", "") or None) if ask and not no_devbox else None),
        hosts=_policy(ask, given["policy"], hosts),
    )


def _other(ask: bool, api: str | None, endpoint: str | None, auth: str | None, variable: str | None) -> Api:
    if not ask and (endpoint is None or auth is None):
        what = "name an API" if api is None else f"{cell(api)!r} is none that is known; give --endpoint and --auth, or name one"
        raise InvalidError("--api", f"{what}: {', '.join(APIS)}")
    endpoint = endpoint or _question("Its address, e.g. https://api.example.com")
    auth = auth or _question(f"How does its credential go in? {AUTH}", "bearer")
    known = api if api and api != OTHER else (urlsplit(endpoint).hostname or "api").removeprefix("api.").partition(".")[0]
    return Api(endpoint, auth, variable or slug(known).replace("-", "_").upper() or "API")


def _policy(ask: bool, wanted: bool | None, hosts: Sequence[str]) -> tuple[str, ...] | None:
    found = tuple(hosts) or (*CODE, *registries.hosts(os.environ, Path.home()))
    if wanted is None and not hosts:
        if not ask or not click.confirm(
            f"May devboxes of this namespace reach {', '.join(map(cell, found))}?", default=True, err=True
        ):
            return None
        more = _question("Other hosts, such as package registries (empty: none)", "")
        found = (*found, *more.replace(",", " ").split())
    return None if wanted is False else tuple(dict.fromkeys(found))


def _question(text: str, default: str | None = None) -> str:
    answer: str = click.prompt(text, default=default, err=True, show_default=bool(default))
    return answer.strip()


def manifests(plan: Plan, namespace: str) -> list[dict[str, Any]]:
    """What would be made, as YAML has it. The Secret is without its value."""
    version = "devbox-gateway.io/v1alpha1"

    def made(kind: str, name: str, spec: dict[str, Any]) -> dict[str, Any]:
        return {
            "apiVersion": version,
            "kind": kind,
            "metadata": {"name": object_name(name), "namespace": namespace},
            "spec": spec,
        }

    auth: dict[str, Any] = {key: item for key, item in plan.auth.items() if key != "type"}
    auth |= {"type": plan.auth["type"].capitalize()}
    if plan.auth["type"] == "basic" and "username" not in auth:
        auth["userInSecret"] = True
    found = [made("GatewayConfig", plan.name, {"endpoint": plan.api.endpoint, "authMechanism": auth})]
    if plan.hosts is not None:
        found.append(made("EgressPolicy", DEFAULT, {"allowedHostnames": list(plan.hosts)}))
    secret = object_name(plan.secret)
    host = urlsplit(plan.api.endpoint).hostname or ""
    noted = {"devbox-gateway.io/allowed-hosts": host}
    metadata = {"name": secret, "namespace": namespace, "labels": {"devbox-gateway.io/made-by": "client"}, "annotations": noted}
    found.append({"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "type": "Opaque"})
    if plan.devbox is not None:
        gateway = {"name": plan.api.variable, "gatewayRef": {"name": plan.name}, "secretRef": {"name": secret}}
        spec: dict[str, Any] = {**({} if plan.image is None else {"image": plan.image}), "gateways": [gateway]}
        if plan.hosts is not None:
            spec["egressPolicyRef"] = {"name": DEFAULT}
        found.append(made("Devbox", plan.devbox, spec))
    return found
