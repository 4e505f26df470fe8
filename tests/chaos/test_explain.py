"""`kubectl devbox explain` on a real API server, with an operator at work, by people of different rights."""

import asyncio
import base64
import json
import sys
import uuid
from pathlib import Path
from typing import Any

from tests.support.fake_kubelet import FakeKubelet
from tests.support.fleet import gatewayconfig, source_secret
from tests.support.release import CREDENTIALS, Release

from devbox_api import names
from devbox_common.kube import MERGE_PATCH
from devbox_gateway import AsyncDevboxGateway
from devbox_gateway.explain.reading import see
from devbox_gateway.explain.seen import Missing
from devbox_operator.kit import paths

from .clients import account
from .operator.stage import Stage, stage
from .world import eventually

SECONDS = 60.0
GROUP = "devbox-gateway.io/v1alpha1"
RULES = [{"methods": ["POST"], "paths": ["/v1/messages"]}]


async def asked(kubeconfig: Path, namespace: str, *arguments: str) -> tuple[int, str, str]:
    pipe = asyncio.subprocess.PIPE
    options = ("--kubeconfig", str(kubeconfig), "-n", namespace)
    command = [sys.executable, "-m", "devbox_gateway.cli", "explain", *options, *arguments]
    process = await asyncio.create_subprocess_exec(*command, stdout=pipe, stderr=pipe)
    out, error = await process.communicate()
    assert process.returncode is not None
    return process.returncode, out.decode(), error.decode()


async def verdict(kubeconfig: Path, namespace: str, *arguments: str) -> tuple[int, dict[str, Any]]:
    code, out, error = await asked(kubeconfig, namespace, *arguments, "-o", "json")
    assert out, error
    answer: dict[str, Any] = json.loads(out)
    return code, answer


async def namespace(on: Stage, part: str) -> str:
    name = f"explain-{part}-{uuid.uuid4().hex[:6]}"
    body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
    await on.api.request("POST", paths.core("namespaces"), body=body)
    return name


async def world(on: Stage) -> tuple[str, str]:
    """A devbox that runs, with a gateway of its own namespace, one of another's, and a policy."""
    own, shared = await namespace(on, "own"), await namespace(on, "shared")
    config = gatewayconfig(own, "ANTHROPIC")
    config["spec"]["rules"] = RULES
    await on.api.request("POST", paths.secrets(own), body=source_secret(own, "ANTHROPIC"))
    await on.api.request("POST", paths.gatewayconfigs(own), body=config)
    theirs = gatewayconfig(shared, "OPENAI")
    theirs["spec"]["allowedNamespaces"] = {"from": "All"}
    await on.api.request("POST", paths.secrets(shared), body=source_secret(shared, "OPENAI"))
    await on.api.request("POST", paths.gatewayconfigs(shared), body=theirs)
    policy = {
        "apiVersion": GROUP,
        "kind": "EgressPolicy",
        "metadata": {"name": "code"},
        "spec": {"allowedHostnames": ["*.github.com"]},
    }
    await on.api.request("POST", paths.egresspolicies(own), body=policy)
    gateways = [
        {"name": "ANTHROPIC", "gatewayRef": {"name": "anthropic"}},
        {"name": "OPENAI", "gatewayRef": {"name": "openai", "namespace": shared}},
    ]
    await on.create(own, gateways=gateways, egressPolicyRef={"name": "code"})
    return own, shared


async def is_ready(on: Stage, space: str) -> bool:
    found = await on.get(paths.devboxes(space, "agent")) or {}
    conditions = (found.get("status") or {}).get("conditions", ())
    return any(each["type"] == "Ready" and each["status"] == "True" for each in conditions)


async def cut_off(on: Stage, space: str) -> bool:
    """As explain says: the operator lets the binding lead nowhere, and says on it that a grant is missing, which the gateway repeats."""
    (pod,) = await on.pods(space)
    route = await on.get(paths.secrets(CREDENTIALS, f"route-{pod['metadata']['uid']}")) or {}
    content = json.loads(base64.b64decode(route["data"][names.ROUTE_KEY]))
    return ("ANTHROPIC", "", "grant") in [(each["name"], each["gateway"], each["lacks"]) for each in content["bindings"]]


async def test_what_people_of_different_rights_are_told(release: Release, tmp_path: Path) -> None:
    async with stage(release) as on:
        await on.alone()
        async with FakeKubelet(on.api, on.node).working():
            own, shared = await world(on)
            await eventually(lambda: is_ready(on, own), SECONDS)
            admin = release.plane.admin_kubeconfig
            url = "https://api.anthropic.com/v1/messages"

            code, answer = await verdict(admin, own, "agent", "POST", f"{url}?key=sk-not-shown")
            assert (code, answer["verdict"]) == (0, "yes, as far as can be seen")
            way = answer["ways"][0]
            assert (way["by"], way["leads"], way["code"]) == ("gateway ANTHROPIC", url, "")
            assert way["decided"] == f"GatewayConfig {own}/anthropic, spec.rules[0]: POST on /v1/messages"
            assert ["api.anthropic.com" in each for each in way["unseen"]] == [True], (
                "and nothing else: the operator has seen the rest"
            )
            assert answer["notes"] == []

            code, out, _ = await asked(admin, own, "dbx_agent", "get", f"{url}?key=sk-not-shown")
            assert code == 1
            assert out.splitlines()[:2] == [f"no: GET {url}", "  gateway ANTHROPIC: no, rule_forbids"]
            assert "sk-not-shown" not in out

            for account_of, unseen in (("edit", False), ("view", True)):
                person = await account(on.api, release.plane, own, account_of, tmp_path)
                code, answer = await verdict(person, own, "agent", "POST", "$ANTHROPIC_URL/v1/messages")
                assert (code, answer["verdict"]) == (0, "yes, as far as can be seen")
                code, answer = await verdict(person, own, "agent", "GET", "https://api.openai.com/v1/models")
                assert (code, answer["verdict"]) == (0, "yes, as far as can be seen")
                way = answer["ways"][0]
                assert way["unseen"] == [f"GatewayConfig {shared}/openai (no right to get it): its rules and its credential"]
                code, answer = await verdict(person, own, "agent", "GET", "https://raw.github.com/")
                assert "allowedHostnames: *.github.com" in answer["ways"][0]["decided"]
                async with AsyncDevboxGateway(kubeconfig=person, namespace=own) as client:
                    secret = (await see(client._session, own, "agent")).secrets[f"{own}/anthropic"]
                    assert (secret is Missing.FORBIDDEN) is unseen
                    if not isinstance(secret, Missing):
                        assert "data" not in secret, "of a Secret the metadata alone are asked for"

            patch = {"metadata": {"annotations": {"devbox-gateway.io/allowed-hosts": "other.example"}}}
            await on.api.request("PATCH", paths.secrets(own, "anthropic"), body=patch, content_type=MERGE_PATCH)
            code, answer = await verdict(admin, own, "agent", "POST", url)
            assert (code, answer["ways"][0]["code"]) == (1, "credential_not_granted")

            await eventually(lambda: cut_off(on, own), SECONDS)

            nobody = await account(on.api, release.plane, own, "nobody", tmp_path)
            code, out, error = await asked(nobody, own, "agent", "GET", url)
            assert (code, out) == (4, "")
            assert "devboxes" in error
            assert (await asked(admin, own, "nope", "GET", url))[0] == 3
            assert (await asked(admin, own, "agent", "GET", "not a url"))[0] == 2


async def test_a_policy_that_may_not_be_read_is_no_no(release: Release, tmp_path: Path) -> None:
    async with stage(release) as on:
        await on.alone()
        own, _ = await world(on)
        kubeconfig = await account(on.api, release.plane, own, "narrow", tmp_path)
        rules = [{"apiGroups": ["devbox-gateway.io"], "resources": ["devboxes"], "verbs": ["get"]}]
        role = {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": {"name": "narrow"}, "rules": rules}
        await on.api.request("POST", f"/apis/rbac.authorization.k8s.io/v1/namespaces/{own}/roles", body=role)
        release.plane.kubectl(
            "-n", own, "create", "rolebinding", "narrow-own", "--role=narrow", f"--serviceaccount={own}:narrow"
        )

        async def told() -> bool:
            code, out, _ = await asked(kubeconfig, own, "agent", "GET", "https://github.com/", "-o", "name")
            return (code, out) == (4, "unseen\n")

        await eventually(told, SECONDS)
        _, out, _ = await asked(kubeconfig, own, "agent", "GET", "https://github.com/")
        assert f"EgressPolicy {own}/code (no right to get it)" in out
        assert "note: the devbox is not running" in out
