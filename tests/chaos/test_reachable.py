"""What a gateway found at its last dial, in the condition Reachable: real operator and gateway at a real API server."""

import pytest
from tests.chaos.world import eventually
from tests.support.fleet import HOSTS
from tests.support.release import Release

from devbox_api import names
from devbox_common.kube import Object
from devbox_operator.kit import paths

from .cli import Cli
from .clients import said
from .operator.asked import asked
from .operator.stage import Stage

pytestmark = pytest.mark.row("S29")
SECONDS = 60.0
"""For anything, on a machine that is busy."""
CLOSED, WRONG = "closed.example", "wrong.example"


async def make(stage: Stage, space: str, name: str, endpoint: str) -> None:
    body: Object = {"apiVersion": names.API_VERSION, "kind": "GatewayConfig", "metadata": {"name": name, "namespace": space}}
    body["spec"] = {"endpoint": endpoint, "authMechanism": {"type": "Bearer"}}
    await stage.api.request("POST", paths.gatewayconfigs(space), body=body)


async def until(stage: Stage, space: str, name: str, kind: str, *wanted: tuple[str, str]) -> str:
    """The condition's message, once it has one of those statuses and reasons."""
    found: list[tuple[str, str, str]] = []

    async def so() -> bool:
        found.append(said(await stage.get(paths.gatewayconfigs(space, name)) or {}, kind))
        return found[-1][:2] in wanted

    try:
        await eventually(so, SECONDS)
    except TimeoutError:
        raise AssertionError(f"{name}: {kind} is {found[-1]}") from None
    return found[-1][2]


async def test_a_probe_on_request_says_what_is_wrong_with_an_endpoint(release: Release) -> None:
    async with asked(release, others={CLOSED: 1, WRONG: 0}) as (made, cars, _):
        space = await made.namespace()
        endpoints = {
            "closed": f"https://{CLOSED}",
            "wrong": f"https://{WRONG}",
            "nowhere": "https://no-such-name.example",
            "inside": "https://models.team-a.svc",
        }
        for name, endpoint in endpoints.items():
            await make(made, space, name, endpoint)
        assert "kubectl devbox gateway probe NAME" in await until(
            made, space, "anthropic", "Reachable", ("Unknown", "NotTried")
        )
        cli = Cli(release.plane.admin_kubeconfig, space)
        out = await cli("gateway", "probe", "anthropic")
        assert out.startswith(f"Reached: https://{HOSTS['ANTHROPIC']} was reached, as a gateway first found at ")
        for name, reasons, words in (
            ("closed", {"ConnectionRefused"}, "refuses connections on its port"),
            ("wrong", {"CertificateInvalid"}, "shows a certificate that is for another name"),
            ("nowhere", {"NameNotFound", "LookupFailed"}, ""),
        ):
            out, _ = await cli.both("gateway", "probe", name, code=1)
            assert out.partition(":")[0] in reasons, out
            assert words in out
            assert cars.api.address[0] not in out
            await until(made, space, name, "Reachable", *(("False", reason) for reason in reasons))
            await until(made, space, name, "Ready", ("True", "Ready"))
        assert cars.shown == [], "no request, and no credential"
        refused = await until(made, space, "inside", "Accepted", ("False", "EndpointRefused"))
        assert "upstreams.allowedHosts: [models.team-a.svc]" in refused
        assert "upstreams.allowedHosts: [models.team-a.svc]" in (await cli.both("gateway", "probe", "inside", code=1))[1]
        assert "REACHABLE" in await cli("gateway", "ls")
        assert "ConnectionRefused" in (await cli.both("doctor", code=1))[0]
        await made.patch(paths.gatewayconfigs(space, "closed"), {"spec": {"endpoint": f"https://{HOSTS['OPENAI']}"}})
        await until(made, space, "closed", "Reachable", ("Unknown", "NotTried"))


async def test_what_calls_have_found_is_told_by_the_next_operator_and_stays_as_it_is(release: Release) -> None:
    async with asked(release) as (made, cars, token_file):
        space = await made.namespace()
        await made.create(space)
        agent = await cars.agent(space)
        assert (await cars.answers(agent)).fine
        await made.alone(patient=True, activity={"tokenFile": str(token_file)})
        message = await until(made, space, "anthropic", "Reachable", ("True", "Reached"))
        metadata = {"metadata": {"annotations": {names.PROBE_REQUESTED_ANNOTATION: "again"}}}
        await made.patch(paths.gatewayconfigs(space, "anthropic"), metadata)

        async def answered() -> bool:
            config = await made.get(paths.gatewayconfigs(space, "anthropic")) or {}
            return bool((config.get("status") or {}).get("probeRequestedAt") == "again")

        await eventually(answered, SECONDS)
        assert await until(made, space, "anthropic", "Reachable", ("True", "Reached")) == message
