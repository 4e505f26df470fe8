"""`kubectl devbox audit` through a real API server: lines of the gateway's own code, logs that break off, pods that come, rights."""

import asyncio
import contextlib
import io
import json
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.support.control_plane import NODE
from tests.support.kubelet_logs import KubeletLogs
from tests.support.release import NAMESPACE, Release

from devbox_common.kube import KubeApi
from devbox_operator.kit import paths
from devbox_proxy.accounting.audit import AuditLog, End
from devbox_proxy.decide.caller import Caller, about

from .clients import account
from .world import eventually

pytestmark = pytest.mark.xdist_group("audit")
SECONDS = 30.0


def gateway_pod(name: str) -> dict[str, Any]:
    labels = {"app.kubernetes.io/name": "devbox-gateway", "app.kubernetes.io/component": "gateway"}
    containers = [{"name": "mesh", "image": "x"}, {"name": "gateway", "image": "x"}]
    spec = {"nodeName": NODE, "containers": containers, "terminationGracePeriodSeconds": 0}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "labels": labels}, "spec": spec}


class Gateways:
    """Pods of the gateway, on a node whose kubelet has their logs."""

    def __init__(self, api: KubeApi, logs: KubeletLogs) -> None:
        self.api, self.logs = api, logs
        self._number = 0

    async def start(self, name: str) -> None:
        await self.api.request("POST", paths.pods(NAMESPACE), body=gateway_pod(name))

    def serves(self, pod: str, devbox: str, path: str, namespace: str = "agents") -> str:
        """A request from beginning to end, as the gateway logs it; returns its id."""
        self._number += 1
        request_id, output = f"req_{self._number}", io.BytesIO()
        audit = AuditLog(1000, drop=False, stream=output)
        caller = Caller(namespace, devbox, f"{devbox}-x", "uid", "ANTHROPIC", f"{namespace}/anthropic", "JTI=1")
        what = about(caller, "POST", path.encode())
        audit.start(request_id, "uid", what)
        audit.end(request_id, "uid", what, End(200, "complete", 12, 345, 0.25))
        audit.close()
        for line in output.getvalue().splitlines():
            self.logs.write(pod, line)
        self.logs.write(pod, b'{"event":"something_else","level":"info"}')
        return request_id


@contextlib.asynccontextmanager
async def gateways(release: Release) -> AsyncIterator[Gateways]:
    logs = KubeletLogs()
    async with release.plane.admin() as api, logs.serving(api, release.plane.pki):
        made = Gateways(api, logs)
        await made.start("gateway-1")
        try:
            yield made
        finally:
            for pod in (await api.list(paths.pods(NAMESPACE)))[0]:
                await api.request("DELETE", paths.pods(NAMESPACE, pod["metadata"]["name"]))


def line(kubeconfig: Path, *arguments: str) -> list[str]:
    return [sys.executable, "-m", "devbox_gateway.cli", "audit", "--kubeconfig", str(kubeconfig), *arguments]


async def audit(kubeconfig: Path, *arguments: str) -> tuple[int, str, str]:
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(*line(kubeconfig, *arguments), stdout=pipe, stderr=pipe)
    out, error = await process.communicate()
    assert process.returncode is not None
    return process.returncode, out.decode(), error.decode()


async def test_what_there_is_of_one_s_own(release: Release) -> None:
    async with gateways(release) as made:
        await made.start("gateway-2")
        made.serves("gateway-1", "agent", "/v1/messages")
        made.serves("gateway-2", "other", "/v1/models")
        made.serves("gateway-2", "agent", "/v1/theirs", namespace="strangers")
        admin = release.plane.admin_kubeconfig
        code, out, error = await audit(admin, "-n", "agents")
        assert code == 0, error
        assert [" ".join(row.split(" ")[1:]) for row in out.splitlines()] == [
            "agents/agent ANTHROPIC POST /v1/messages 200, 250 ms, 12 bytes up, 345 down",
            "agents/other ANTHROPIC POST /v1/models 200, 250 ms, 12 bytes up, 345 down",
        ]
        assert "/v1/theirs" in (await audit(admin, "-A"))[1]
        assert "/v1/models" not in (await audit(admin, "-n", "agents", "agent"))[1]
        assert "begins" in (await audit(admin, "-n", "agents", "-o", "wide"))[1]
        code, out, error = await audit(admin, "-n", "agents", "nope")
        assert (code, out) == (0, "")
        assert "there is no devbox 'nope' in namespace agents now" in error
        assert "the gateway's log has nothing of devbox 'nope' in namespace agents since then" in error
        documents = list(yaml.safe_load_all((await audit(admin, "-n", "agents", "dbx_agent", "-o", "yaml"))[1]))
        assert {row["path"] for row in documents} == {"/v1/messages"}
        rows = [json.loads(row) for row in (await audit(admin, "-n", "agents", "-o", "json", "dbx_agent"))[1].splitlines()]
        assert [(row["audit"], row["path"]) for row in rows] == [("start", "/v1/messages"), ("end", "/v1/messages")]


async def test_lines_come_once_each_whatever_breaks(release: Release) -> None:
    async with gateways(release) as made:
        before = made.serves("gateway-1", "agent", "/before")
        command = line(release.plane.admin_kubeconfig, "-n", "agents", "-f", "--since", "1h", "-o", "json")
        process = await asyncio.create_subprocess_exec(*command, stdout=subprocess.PIPE)
        assert process.stdout is not None
        seen: list[tuple[str, str]] = []

        async def read() -> None:
            assert process.stdout is not None
            async for row in process.stdout:
                fields = json.loads(row)
                seen.append((fields["request_id"], fields["audit"]))

        reading = asyncio.create_task(read())
        expected = [before]
        try:
            await eventually(lambda: len(seen) == 2, SECONDS)
            for number in range(3):
                expected.append(made.serves("gateway-1", "agent", f"/{number}"))
                await eventually(lambda: len(seen) == 2 * len(expected), SECONDS)
                made.logs.cut()
                expected.append(made.serves("gateway-1", "agent", f"/{number}/while-it-was-away"))
                await eventually(lambda: len(seen) == 2 * len(expected), SECONDS)
            await made.start("gateway-2")
            expected.append(made.serves("gateway-2", "agent", "/from-a-new-pod"))
            await eventually(lambda: len(seen) == 2 * len(expected), SECONDS)
            assert seen == [(request, kind) for request in expected for kind in ("start", "end")]
            assert all(query.get("follow") == "true" for query in made.logs.asked)
        finally:
            process.terminate()
            assert await process.wait() == 143
            await reading


async def test_who_may_not_is_told_what_it_takes(release: Release, tmp_path: Path) -> None:
    async with gateways(release) as made:
        await made.api.request(
            "POST", paths.core("namespaces"), body={"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "auditors"}}
        )
        kubeconfig = await account(made.api, release.plane, "auditors", "edit", tmp_path)
        for arguments in ((), ("-f",)):
            code, out, error = await audit(kubeconfig, "-n", "auditors", *arguments)
            assert (code, out) == (4, "")
            assert f"which you may not read: that takes list of pods and get of pods/log in namespace {NAMESPACE}" in error
        role, binding = error.strip().rpartition("decides: ")[2].split("; ")
        whose = "--serviceaccount=auditors:edit"
        try:
            for command in (role, binding.replace("--user=NAME", whose)):
                release.plane.kubectl(*command.split()[1:])
            made.serves("gateway-1", "agent", "/v1/messages", namespace="auditors")

            async def may() -> bool:
                return "/v1/messages" in (await audit(kubeconfig, "-n", "auditors"))[1]

            await eventually(may, SECONDS)
        finally:
            release.plane.kubectl("-n", NAMESPACE, "delete", "role,rolebinding", "devbox-audit")


async def test_an_installation_that_is_elsewhere(release: Release) -> None:
    code, _, error = await audit(release.plane.admin_kubeconfig, "--release-namespace", "default")
    assert code == 3
    assert "no pods of the gateway in namespace default" in error
