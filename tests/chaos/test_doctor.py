"""`kubectl devbox doctor` on clusters that are really broken in one way each: a real API server, the chart's objects, an operator at work.

The program itself is run. What it says to do is done where it is a command, word for word, and then it finds nothing.
"""

import asyncio
import base64
import json
import signal
import subprocess
import sys
import uuid
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.support.control_plane import control_plane
from tests.support.fake_kubelet import FakeKubelet, waiting
from tests.support.pages import blocks
from tests.support.release import LEASE, NAMESPACE, Release, install

from devbox_api import names
from devbox_cluster.paths import bin_dir
from devbox_operator.kit import paths
from devbox_operator.release import certificates
from devbox_operator.release.system import CA_CERTIFICATE, CA_KEY

from .clients import account
from .operator.clocks import clock
from .operator.stage import Stage, stage
from .world import eventually

pytestmark = pytest.mark.xdist_group("doctor")
SECONDS = 60.0
IMAGE = "registry.example/agent:1"
GROUP = "devbox-gateway.io/v1alpha1"


class Doctor:
    """Asks it about a namespace, as one account."""

    def __init__(self, kubeconfig: Path, namespace: str) -> None:
        self.kubeconfig, self.namespace = kubeconfig, namespace

    async def says(self, *arguments: str, prefix: Sequence[str] = ()) -> dict[str, Any]:
        """Its report; the exit code is that of the report."""
        code, out, error = await self.run(*arguments, "-o", "json", prefix=prefix)
        assert out, error
        report: dict[str, Any] = json.loads(out)
        assert code == (1 if report["findings"] else 0)
        return report

    async def run(self, *arguments: str, prefix: Sequence[str] = ()) -> tuple[int, str, str]:
        options = ["--kubeconfig", str(self.kubeconfig), "-n", self.namespace]
        command = [*prefix, sys.executable, "-m", "devbox_gateway.cli", "doctor", *options, *arguments]
        process = await asyncio.create_subprocess_exec(*command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        out, error = await process.communicate()
        assert process.returncode is not None
        return process.returncode, out.decode(), error.decode()

    async def finds(self, *wanted: str) -> list[dict[str, Any]]:
        """The findings, once they are of these kinds and no others."""
        last: list[dict[str, Any]] = []

        async def so() -> bool:
            last[:] = (await self.says())["findings"]
            return sorted({finding["name"] for finding in last}) == sorted(set(wanted))

        try:
            await eventually(so, SECONDS)
        except TimeoutError:
            raise AssertionError(f"not {wanted} but {json.dumps(last, indent=1)}") from None
        return last


def paste(command: str, kubeconfig: Path) -> None:
    """As a person does it, with this cluster's administrator as the context."""
    environment = {"PATH": f"{bin_dir()}:/usr/bin:/bin", "KUBECONFIG": str(kubeconfig), "HOME": str(kubeconfig.parent)}
    done = subprocess.run(["sh", "-c", command], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{command}: {done.stderr}"


def commands(findings: list[dict[str, Any]]) -> list[str]:
    return [line for finding in findings for line in finding["do"] if line.startswith("kubectl ")]


async def empty_namespace(on: Stage) -> str:
    name = f"doctor-{uuid.uuid4().hex[:8]}"
    await on.api.request(
        "POST", paths.core("namespaces"), body={"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
    )
    return name


async def config(on: Stage, space: str, called: str, endpoint: str, **secret_ref: str) -> None:
    spec: dict[str, Any] = {"endpoint": endpoint, "authMechanism": {"type": "Bearer"}}
    if secret_ref:
        spec["credential"] = {"secretRef": secret_ref}
    body = {"apiVersion": GROUP, "kind": "GatewayConfig", "metadata": {"name": called, "namespace": space}, "spec": spec}
    await on.api.request("POST", paths.gatewayconfigs(space), body=body)


async def secret(on: Stage, space: str, name: str, data: dict[str, str], grant: str | None) -> None:
    metadata: dict[str, Any] = {"name": name}
    if grant is not None:
        metadata["annotations"] = {names.ALLOWED_HOSTS_ANNOTATION: grant}
    body = {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "stringData": data}
    await on.api.request("POST", paths.secrets(space), body=body)


async def box(on: Stage, space: str, name: str = "agent", **spec: Any) -> None:
    content = {"image": IMAGE, "terminationGracePeriodSeconds": 1, **spec}
    body = {"apiVersion": GROUP, "kind": "Devbox", "metadata": {"name": name, "namespace": space}, "spec": content}
    await on.api.request("POST", paths.devboxes(space), body=body)


def test_an_installation_that_is_not_there_is_old_and_does_not_run(tmp_path: Path) -> None:
    """From nothing to a working one, on a control plane of its own: each step is found, done, and found no more."""

    async def run() -> None:
        with control_plane() as plane:
            admin = Doctor(plane.admin_kubeconfig, "default")
            (finding,) = await admin.finds("definitions")
            assert "devboxes.devbox-gateway.io" in finding["what"]
            code, text, _ = await admin.run()
            assert code == 1
            assert "why: devbox-gateway's chart is not installed there" in text
            async with plane.admin() as api:
                await doctor_of_old(install(plane), admin, api)

    asyncio.run(run())


async def doctor_of_old(release: Release, admin: Doctor, api: Any) -> None:
    plane = release.plane
    (finding,) = await admin.finds("operator")
    assert "no operator has ever led" in finding["what"]
    basic = "/spec/versions/0/schema/openAPIV3Schema/properties/spec/properties/authMechanism"
    path = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/gatewayconfigs.devbox-gateway.io"
    crd = await api.request("GET", path)
    patch: list[dict[str, Any]] = [{"op": "remove", "path": f"{basic}/properties/userInSecret"}]
    if "x-kubernetes-validations" in _at(crd, basic):
        patch.append({"op": "remove", "path": f"{basic}/x-kubernetes-validations"})
    plane.kubectl("patch", "crd", "gatewayconfigs.devbox-gateway.io", "--type=json", "-p", json.dumps(patch))
    chart, _ = sorted(await admin.finds("chart", "operator"), key=lambda each: str(each["name"]))
    assert "spec.authMechanism.userInSecret" in chart["what"]
    install(plane)
    for closed in ("data", "canary"):
        release.gateway.close(closed)
    plane.kubectl(
        *("patch", "endpointslice", "gateway-standin", "-n", NAMESPACE, "--type=json", "-p"),
        json.dumps([{"op": "replace", "path": "/endpoints/0/conditions/ready", "value": False}]),
    )
    gateway, _ = sorted(await admin.finds("gateway", "operator"), key=lambda each: str(each["name"]))
    assert f"no gateway is ready in namespace {NAMESPACE} (1 not ready)" == gateway["what"]
    plane.kubectl(
        *("patch", "endpointslice", "gateway-standin", "-n", NAMESPACE, "--type=json", "-p"),
        json.dumps([{"op": "replace", "path": "/endpoints/0/conditions/ready", "value": True}]),
    )
    # An authority that ends in three weeks: an operator takes the one that is there.
    pair = certificates.make_ca(NAMESPACE, datetime.now(UTC) - timedelta(days=certificates.CA_DAYS - 21))
    data = {key: base64.b64encode(value).decode() for key, value in ((CA_CERTIFICATE, pair.certificate), (CA_KEY, pair.key))}
    body = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": names.CA_SECRET}, "type": "Opaque", "data": data}
    await api.request("POST", paths.secrets(NAMESPACE), body=body)
    async with stage(release) as on:
        for opened in ("data", "canary"):
            release.gateway.open(opened)
        await on.alone()
        await config(on, "default", "anthropic", "https://api.anthropic.com")
        (authority,) = await admin.finds("authority")
        assert "in less than 30 days" in authority["what"]
        (renew,) = commands([authority])
        paste(renew, plane.admin_kubeconfig)
        await on.alone()  # (which looks at everything at once)
        await admin.finds()
        on.stop()
        await on.patch(LEASE, {"spec": {"renewTime": "2026-01-01T00:00:00.000000Z"}})
        (finding,) = await admin.finds("operator")
        assert finding["what"] == f"no operator leads in namespace {NAMESPACE} since 2026-01-01 00:00:00 UTC"


def _at(document: Any, path: str) -> Any:
    for part in path.strip("/").split("/"):
        document = document[int(part)] if isinstance(document, list) else document[part]
    return document


async def test_what_is_wrong_with_a_namespace_s_objects(release: Release) -> None:
    async with stage(release) as on:
        await on.alone()
        space = await empty_namespace(on)
        (nowhere,) = await Doctor(release.plane.admin_kubeconfig, f"{space}-2").finds("namespace")
        for command in commands([nowhere]):
            paste(command, release.plane.admin_kubeconfig)
        await Doctor(release.plane.admin_kubeconfig, f"{space}-2").finds()
        admin = Doctor(release.plane.admin_kubeconfig, space)
        await admin.finds()

        await config(on, space, "theirs", "https://api.github.com", name="theirs")
        await secret(on, space, "theirs", {"key": "sk-one"}, "other.example")
        (grant,) = await admin.finds("grants")
        assert "sk-one" not in json.dumps(grant)
        (line,) = commands([grant])
        paste(line, release.plane.admin_kubeconfig)
        await admin.finds()

        await config(on, space, "keyless", "https://api.github.com", name="theirs", key="nope")
        await config(on, space, "absent", "https://api.github.com", name="absent")
        await secret(on, space, "blank", {"key": "two words\nand lines"}, "api.github.com")
        await config(on, space, "blank", "https://api.github.com", name="blank")
        reasons = {each["what"].split(": ")[1] for each in await admin.finds("credentials")}
        await eventually_three(admin)
        for name in ("keyless", "absent", "blank"):
            await on.api.request("DELETE", paths.gatewayconfigs(space, name))
        await admin.finds()
        assert reasons <= {"KeyNotFound", "SecretNotFound", "SecretInvalid"}

        await config(on, space, "loopback", "https://127.0.0.1:8443")
        (endpoint,) = await admin.finds("endpoints")
        assert "EndpointRefused" in endpoint["what"]
        await on.api.request("DELETE", paths.gatewayconfigs(space, "loopback"))

        await box(on, space, egressPolicyRef={"name": "nope"})
        (reference,) = await admin.finds("references")
        assert "EgressPolicyNotFound" in reference["what"]
        await on.api.request("DELETE", paths.devboxes(space, "agent"))
        await admin.finds()

        quota = {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "small"}, "spec": {"hard": {"pods": "0"}}}
        await on.api.request("POST", f"/api/v1/namespaces/{space}/resourcequotas", body=quota)
        await eventually(lambda: quota_counts(on, space), SECONDS)
        await box(on, space, "crowded")
        (full,) = await admin.finds("quota")
        assert "exceeded quota: small" in full["what"]
        for command in commands([full]):
            paste(command, release.plane.admin_kubeconfig)


async def eventually_three(admin: Doctor) -> None:
    async def so() -> bool:
        found = (await admin.says())["findings"]
        return {each["what"].split(": ")[1] for each in found} == {"KeyNotFound", "SecretNotFound", "SecretInvalid"}

    await eventually(so, SECONDS)


async def quota_counts(on: Stage, space: str) -> bool:
    """A quota is in force once its controller has counted."""
    found = await on.get(f"/api/v1/namespaces/{space}/resourcequotas/small")
    return bool(found and (found.get("status") or {}).get("hard"))


async def test_pods_that_do_not_come_and_confinement_that_does_not_hold(release: Release) -> None:
    async with stage(release) as on:
        await on.alone()
        space = await empty_namespace(on)
        admin = Doctor(release.plane.admin_kubeconfig, space)
        kubelet = FakeKubelet(on.api, on.node)
        async with kubelet.working():
            probed = await admin.says("--probe", "--image", IMAGE, "--seconds", "60")
            assert "probe" in probed["well"], probed
            await eventually(lambda: no_devboxes(on, space), SECONDS)

            await box(on, space)
            await eventually(lambda: runs(on, space), SECONDS)
            await admin.finds()
            foreign = {
                "apiVersion": "networking.k8s.io/v1",
                "kind": "NetworkPolicy",
                "metadata": {"name": "open"},
                "spec": {"podSelector": {}, "policyTypes": ["Egress"], "egress": [{}]},
            }
            await on.api.request("POST", paths.networkpolicies(space), body=foreign)
            (confinement,) = await admin.finds("confinement")
            assert "ForeignPolicy" in confinement["what"]
            await on.api.request("DELETE", paths.networkpolicies(space, "open"))
            await admin.finds()

            kubelet.idle = True
            await box(on, space, "pulling")
            pod = await ungated(on, space, "pulling")
            await kubelet.says(pod, **waiting("ImagePullBackOff", "no such image"))
            (image,) = await admin.finds("images")
            assert f"Devbox {space}/pulling: image localhost/agent can't be pulled: no such image" == image["what"]
            for command in commands([image]):
                paste(command, release.plane.admin_kubeconfig)
            await on.api.request("DELETE", paths.devboxes(space, "pulling"))
            await admin.finds()

            probing = asyncio.create_task(admin.says("--probe", "--image", IMAGE, "--seconds", "60"))
            pod = await ungated(on, space, "doctor-probe")
            done = {"exitCode": names.INIT_NOT_ENFORCED, "reason": "Error", "message": "over IPv4 port 8479 answered"}
            failed = {"name": names.INIT_CONTAINER, "image": "x", "imageID": "", "restartCount": 0, "ready": False}
            await kubelet.says(pod, phase="Pending", initContainerStatuses=[{**failed, "state": {"terminated": done}}])
            report = await probing
            (found,) = report["findings"]
            assert found["name"] == "confinement"
            assert "NotEnforced: " in found["what"]
            await eventually(lambda: no_devboxes(on, space, left=1), SECONDS)

            await interrupted(on, admin)
            await eventually(lambda: no_devboxes(on, space, left=1), SECONDS)


async def interrupted(on: Stage, admin: Doctor) -> None:
    """Ctrl-C while it waits for its devbox."""
    options = ["--kubeconfig", str(admin.kubeconfig), "-n", admin.namespace, "--probe", "--image", IMAGE]
    process = await asyncio.create_subprocess_exec(sys.executable, "-m", "devbox_gateway.cli", "doctor", *options)
    await ungated(on, admin.namespace, "doctor-probe")
    process.send_signal(signal.SIGINT)
    assert await process.wait() == 130


async def no_devboxes(on: Stage, space: str, left: int = 0) -> bool:
    return len((await on.api.list(paths.devboxes(space)))[0]) == left


async def runs(on: Stage, space: str) -> bool:
    found = await on.get(paths.devboxes(space, "agent")) or {}
    return any(
        each["type"] == "Ready" and each["status"] == "True" for each in (found.get("status") or {}).get("conditions", ())
    )


async def ungated(on: Stage, space: str, devbox: str) -> dict[str, Any]:
    """Its pod, once a scheduler would take it."""
    found: list[dict[str, Any]] = []

    async def so() -> bool:
        label = names.DEVBOX_LABEL
        found[:] = [
            pod
            for pod in await on.pods(space)
            if pod["metadata"]["labels"][label].startswith(devbox)
            and not pod["spec"].get("schedulingGates")
            and "deletionTimestamp" not in pod["metadata"]
        ]
        return bool(found)

    await eventually(so, SECONDS)
    return found[0]


async def test_rights_that_are_missing_and_what_may_not_be_looked_at(release: Release, tmp_path: Path) -> None:
    async with stage(release) as on:
        await on.alone()
        space = await empty_namespace(on)
        viewer = Doctor(await account(on.api, release.plane, space, "view", tmp_path), space)
        (rights,) = await viewer.finds("rights")
        assert f"system:serviceaccount:{space}:view may not make devboxes" in rights["what"]
        hidden = {each["name"]: each["because"] for each in (await viewer.says())["unchecked"]}
        assert hidden["gateway"] == f"no right to list endpointslices in namespace {NAMESPACE}"
        assert hidden["operator"] == f"no right to get the Lease devbox-operator in namespace {NAMESPACE}"
        (line,) = commands([rights])
        paste(line, release.plane.admin_kubeconfig)
        await viewer.finds()
        code, text, _ = await viewer.run()
        assert code == 0
        assert f"not checked: gateway: no right to list endpointslices in namespace {NAMESPACE}" in text
        user = Doctor(await account(on.api, release.plane, space, "edit", tmp_path), space)
        await user.finds()
        nobody = Doctor(await account(on.api, release.plane, space, "nobody", tmp_path), space)
        report = await nobody.says()
        assert [finding["name"] for finding in report["findings"]] == ["rights"]
        assert {"grants", "confinement", "images"} <= {each["name"] for each in report["unchecked"]}


async def test_the_narrow_role_of_the_docs_lacks_nothing(release: Release, tmp_path: Path) -> None:
    (role,) = [block for block in blocks("docs/client.md", "yaml") if "kind: Role" in block]
    async with stage(release) as on:
        await on.alone()
        space = await empty_namespace(on)
        narrow = Doctor(await account(on.api, release.plane, space, "narrow", tmp_path), space)
        release.plane.kubectl("-n", space, "apply", "-f", "-", stdin=role)
        release.plane.kubectl(
            *("-n", space, "create", "rolebinding", "its-role", "--role=devbox-user", f"--serviceaccount={space}:narrow")
        )
        await narrow.finds()
        code, text, _ = await narrow.run()
        assert code == 0
        assert f"not checked: rights: system:serviceaccount:{space}:narrow may not store credentials" in text
        assert "get pods" not in text


async def test_a_clock_that_is_minutes_off(release: Release) -> None:
    async with stage(release) as on:
        await on.alone()
        space = await empty_namespace(on)
        doctor = Doctor(release.plane.admin_kubeconfig, space)
        report = await doctor.says(prefix=clock(300))
        (finding,) = report["findings"]
        assert finding["name"] == "clock"
        assert "s ahead of the API server's" in finding["what"]
        assert 290 <= int(finding["what"].split(" s ")[0].rpartition(" ")[2]) <= 310


async def test_an_api_server_that_is_not_there(tmp_path: Path) -> None:
    kubeconfig = tmp_path / "config"
    kubeconfig.write_text(
        json.dumps(
            {
                "apiVersion": "v1",
                "kind": "Config",
                "current-context": "c",
                "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
                "clusters": [{"name": "c", "cluster": {"server": "https://127.0.0.1:1"}}],
                "users": [{"name": "u", "user": {"token": "x"}}],
            }
        )
    )
    code, out, error = await Doctor(kubeconfig, "default").run()
    assert code == 6
    assert not out
    assert "can't be reached" in error
