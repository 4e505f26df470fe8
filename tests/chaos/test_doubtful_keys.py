"""Keys and grants that are nearly always a mistake: what client, operator and doctor say of them, on a real API server."""

import pytest
from tests.support.release import Release

from devbox_common.kube import MERGE_PATCH, Object
from devbox_operator.kit import paths

from .cli import Cli
from .clients import ANTHROPIC, empty_namespace, said, wait_for

pytestmark = pytest.mark.row("S29")
KEY = "sk-ant-hunter2"


async def test_what_is_wrong_in_a_grant_is_named(release: Release) -> None:
    """One look after the other, at one GatewayConfig: what is refused, what is said beside a grant that holds."""
    async with empty_namespace(release, "grants") as (made, namespace):
        annotation = "devbox-gateway.io/allowed-hosts"
        secret: Object = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "key"}, "stringData": {"value": KEY}}
        secret["metadata"]["labels"] = {annotation: "api.anthropic.com"}
        await made.api.request("POST", paths.secrets(namespace), body=secret)
        spec: Object = {"endpoint": ANTHROPIC["endpoint"], "authMechanism": {"type": "Bearer"}}
        spec["credential"] = {"secretRef": {"name": "key"}}
        body = {"apiVersion": "devbox-gateway.io/v1alpha1", "kind": "GatewayConfig", "metadata": {"name": "anthropic"}}
        await made.api.request("POST", paths.gatewayconfigs(namespace), body={**body, "spec": spec})

        async def wait(status: str, reason: str, words: str) -> None:
            async def so() -> bool | None:
                told = said(await made.api.request("GET", paths.gatewayconfigs(namespace, "anthropic")), "CredentialResolved")
                return True if told[:2] == (status, reason) and words in told[2] else None

            await wait_for(so)

        await wait("False", "SecretNotGranted", f"its label {annotation} grants nothing; that is the annotation {annotation}")
        for grant, status, reason, words in (
            ("https://api.anthropic.com", "False", "SecretNotGranted", "is a URL; write api.anthropic.com alone"),
            ("*.api.anthropic.com", "False", "SecretNotGranted", "is for the names below api.anthropic.com"),
            ("API.Anthropic.com.", "True", "Resolved", ""),
            ("api.anthropic.com,api.openai.com:443", "True", "SecretDoubtful", "api.openai.com:443 has a port"),
        ):
            change = {"metadata": {"annotations": {annotation: grant}}}
            await made.api.request("PATCH", paths.secrets(namespace, "key"), body=change, content_type=MERGE_PATCH)
            await wait(status, reason, words)
        cli = Cli(release.plane.admin_kubeconfig, namespace)
        err = await cli("secret", "grant", "key", "api.anthropic.com/v1", code=2)
        assert "has a path; write api.anthropic.com alone" in err


async def test_a_key_with_bearer_in_front_is_used_told_and_mended(release: Release) -> None:
    async with empty_namespace(release, "doubts") as (made, namespace):
        cli = Cli(release.plane.admin_kubeconfig, namespace)
        out, err = await cli.both("secret", "create", "key", "--host", "api.anthropic.com", stdin=f"Bearer {KEY}\n")
        assert "created" in out
        assert "warning: secret key: it is used as it is, but the value begins with the word of a scheme (Bearer" in err
        assert KEY not in out + err
        secret = (await cli("secret", "ls", "-o", "name")).strip().partition("/")[2]
        assert (await cli.both("secret", "create", "file", "--mountable", stdin='{"any": "thing"}'))[1] == ""
        spec: Object = {"endpoint": ANTHROPIC["endpoint"], "authMechanism": {"type": "Bearer"}}
        spec["credential"] = {"secretRef": {"name": secret}}
        body = {"apiVersion": "devbox-gateway.io/v1alpha1", "kind": "GatewayConfig", "metadata": {"name": "anthropic"}}
        await made.api.request("POST", paths.gatewayconfigs(namespace), body={**body, "spec": spec})

        async def told() -> tuple[str, str, str]:
            return said(await made.api.request("GET", paths.gatewayconfigs(namespace, "anthropic")), "CredentialResolved")

        async def doubted() -> bool | None:
            status, reason, message = await told()
            assert KEY not in message
            return True if (status, reason) == ("True", "SecretDoubtful") else None

        async def resolved() -> bool | None:
            return True if (await told())[:2] == ("True", "Resolved") else None

        await wait_for(doubted)
        found = (await cli.both("doctor", "-o", "json", code=1))[0]
        assert "SecretDoubtful" in found
        assert KEY not in found
        err = (await cli.both("secret", "rotate", secret, stdin=KEY))[1]
        assert "warning" not in err
        await wait_for(resolved)
