"""Secrets that an agent is given to read, on a real API server, as the Python client gives them; and those that it never is."""

import base64
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
from tests.support.fake_kubelet import FakeKubelet
from tests.support.release import Release

from devbox_api import names
from devbox_common.kube import MERGE_PATCH, ApiError, Object
from devbox_gateway import AsyncDevboxGateway, InvalidError, NotFoundError, NotReadyError, PermissionDeniedError
from devbox_operator.kit import paths

from .clients import ANTHROPIC, IMAGE, at_work, everything, refused, said, wait_for
from .operator.stage import Stage

SPEC = {"terminationGracePeriodSeconds": 1}
FIRST, SECOND = "magic-forty-two", "magic-forty-three"
"""Values that nothing else has a part of: names and counts are random, or grow."""


class Look:
    """What there is of the devbox `agent`."""

    def __init__(self, made: Stage, client: AsyncDevboxGateway) -> None:
        self.made, self.space = made, client.namespace
        self.box = paths.devboxes(self.space, "agent")

    async def given(self) -> dict[str, str]:
        """What the container would find: the variables that come from Secrets, read as a kubelet reads them."""
        (pod,) = [pod for pod in await self.made.pods(self.space) if "deletionTimestamp" not in pod["metadata"]]
        found = {}
        for variable in pod["spec"]["containers"][0]["env"]:
            if reference := (variable.get("valueFrom") or {}).get("secretKeyRef"):
                secret = await self.made.api.request("GET", paths.secrets(self.space, reference["name"]))
                found[variable["name"]] = base64.b64decode(secret["data"][reference["key"]]).decode()
        return found

    def condition(self, kind: str, status: str, reason: str = "") -> Callable[[], Coroutine[Any, Any, str | None]]:
        """Asks for the message of a condition, once it is so."""

        async def look() -> str | None:
            seen = said(await self.made.api.request("GET", self.box), kind)
            return seen[2] or "-" if seen[:2] == (status, reason or seen[1]) else None

        return look

    async def secret(self, name: str, change: Object) -> None:
        """As its owner changes it."""
        await self.made.api.request("PATCH", paths.secrets(self.space, name), body=change, content_type=MERGE_PATCH)


async def test_what_is_named_can_be_read_and_a_gateways_key_can_not(release: Release) -> None:
    async with at_work(release) as (made, client), FakeKubelet(made.api, made.node).working():
        look = Look(made, client)
        number = await client.secrets.create(name="MAGIC_NUMBER", value=FIRST)
        upstream = await client.secrets.create(name="agent-gateway-secret", value="sk-example-upstream")
        gateway = await client.gateway_configs.create(**ANTHROPIC)
        devbox = await client.devboxes.create(
            name="agent",
            image=IMAGE,
            secrets={"MAGIC": number.name},
            gateways={"MY_API": {"gateway": gateway.id, "secret": upstream.name}},
            launch_parameters={"resource_size_request": "X_SMALL", "keep_alive_time_seconds": 300},
            spec=SPEC,
            timeout=60,
        )
        wired = (await devbox.get_info()).gateway_specs["MY_API"]
        assert (wired.gateway_config_id, wired.secret_id) == (gateway.id, upstream.id)
        given = await look.given()
        assert given["MAGIC"] == FIRST
        assert given["MY_API"].startswith("gws_")
        assert "sk-example" not in str(given)
        assert ((await number.get_info()).mountable, (await upstream.get_info()).mountable) == (True, False)
        assert (await number.get_info()).allowed_hosts == ()
        described = made.release.plane.kubectl("-n", client.namespace, "get", "dbx,pods,events,cm", "-o", "yaml")
        assert FIRST not in described, "nothing but the pod's own Secret holds it"

        # Another value: what runs keeps the one that it was given, also when its tokens' Secret is written anew, until it is restarted.
        await number.update(SECOND)
        message = await wait_for(look.condition("RestartRequired", "True", "SecretChanged"))
        assert "MAGIC" in message
        assert (await devbox.get_info()).status == "running"
        pod = (await made.pods(client.namespace))[0]["metadata"]["name"]
        await look.secret(pod, {"data": {"MY_API": "bm8="}})
        await wait_for(lambda: is_token(look))
        assert (await look.given())["MAGIC"] == FIRST
        await devbox.restart()
        await wait_for(look.condition("RestartRequired", "False"))
        await wait_for(lambda: becomes(look, "MAGIC", SECOND))

        # A grant takes it out of reach of every new pod, whatever the label says; without the label it is, too.
        for change, reason, back in (
            ({"annotations": {names.ALLOWED_HOSTS_ANNOTATION: ""}}, "SecretGranted", {"annotations": None}),
            ({"labels": {names.MOUNTABLE_LABEL: None}}, "SecretNotMountable", {"labels": {names.MOUNTABLE_LABEL: "true"}}),
        ):
            await look.secret(number.id.removeprefix("sec_"), {"metadata": change})
            message = await wait_for(look.condition("CredentialsResolved", "False", reason))
            assert SECOND not in message
            assert (await look.given())["MAGIC"] == SECOND, "what runs keeps it"
            await look.secret(number.id.removeprefix("sec_"), {"metadata": back})
            await wait_for(look.condition("CredentialsResolved", "True"))
        await devbox.shutdown()


async def is_token(look: Look) -> bool | None:
    """The gateway's token is in place again."""
    return True if (await look.given())["MY_API"].startswith("gws_") else None


async def becomes(look: Look, variable: str, value: str) -> bool | None:
    """A new pod is there, and has it."""
    try:
        return True if (await look.given()).get(variable) == value else None
    except (ApiError, ValueError, KeyError):
        return None


async def test_what_agents_may_not_read_is_refused_before_anything_is_made(release: Release) -> None:
    async with at_work(release) as (made, client):
        gateway = await client.gateway_configs.create(**ANTHROPIC)
        await client.secrets.create(name="key", value="sk-ant-first")
        await client.secrets.create(name="granted", value="sk-ant-second", allowed_hosts=["api.example.com"])
        await client.secrets.create(name="readable", value="x", mountable=True)
        body = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "theirs"}, "stringData": {"value": "sk-ant-theirs"}}
        await made.api.request("POST", paths.secrets(client.namespace), body=body)
        before = await everything(client)
        uses = {"A": {"gateway": gateway.id, "secret": "key"}}
        cases: list[tuple[Any, str, dict[str, Any]]] = [
            (NotFoundError, "'nope'", {"secrets": {"A": "nope"}}),
            (InvalidError, "secrets", {"secrets": ["key"]}),
            (InvalidError, "spec.secretEnv", {"secrets": {"A-B": "key"}}),
            (InvalidError, "spec.secretEnv", {"secrets": {"PATH": "key"}}),
            (InvalidError, "keeps it from the agent", {"secrets": {"B": "key"}, "gateways": uses}),
            (InvalidError, "secretEnv sets a variable", {"secrets": {"A_URL": "readable"}, "gateways": uses}),
            (InvalidError, "env and secretEnv", {"secrets": {"B": "key"}, "environment_variables": {"B": "1"}}),
            (PermissionDeniedError, "carries a grant", {"secrets": {"A": "granted"}}),
            (PermissionDeniedError, "label secret theirs", {"secrets": {"A": "theirs"}}),
            (PermissionDeniedError, "a secret of its own", {"gateways": {"A": {"gateway": gateway.id, "secret": "readable"}}}),
        ]
        for kind, words, change in cases:
            text = await refused(kind, client.devboxes.create(image=IMAGE, **change))
            assert words in text, f"{change}: {text}"
            assert "sk-ant" not in text
            assert await everything(client) == before
        info = await client.secrets.from_name("key").get_info()
        assert (info.allowed_hosts, info.mountable) == ((), False), "said though nothing was made"
        await refused(InvalidError, client.secrets.create(name="x", value="x", mountable=True, allowed_hosts=["a.example"]))

        # By YAML, where nobody looks before: the operator does.
        direct = {"secretEnv": [{"name": "A", "secretRef": {"name": "theirs"}}]}
        with pytest.raises(NotReadyError) as caught:
            await client.devboxes.create(image=IMAGE, spec=direct, timeout=60)
        assert caught.value.reason == "SecretNotMountable"
        assert f"kubectl -n {client.namespace} label secret theirs {names.MOUNTABLE_LABEL}=true" in str(caught.value)
        assert "sk-ant" not in str(caught.value)
