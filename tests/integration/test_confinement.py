"""A devbox reaches the gateway and nothing else; nobody reaches a devbox. Each cut has a control that is not cut."""

import json
import subprocess

import pytest
from tests.support.admission import until
from tests.support.workspace import Workspace

from devbox_api import names
from devbox_demo import attacks
from devbox_stage.kubectl import Kubectl, environment
from devbox_stage.stage import RELEASE_NAMESPACE, Stage

CONNECT = """
import json, socket, sys
results = {}
for name, host, port in json.load(sys.stdin):
    try:
        socket.create_connection((host, port), timeout=3).close()
        results[name] = "open"
    except OSError as error:
        results[name] = type(error).__name__
print(json.dumps(results))
"""
PYTHON = "/opt/agent/bin/python"


def connects(kubectl: Kubectl, where: attacks.Place, targets: list[tuple[str, str, int]]) -> dict[str, str]:
    """Which TCP connections a pod can open."""
    namespace, pod, container = where
    out = kubectl.exec(namespace, pod, [PYTHON, "-c", CONNECT], container=container, stdin=json.dumps(targets)).out
    found: dict[str, str] = json.loads(out)
    return found


@pytest.mark.row("S20")
def test_a_devbox_reaches_the_gateway_alone(examples: Stage, cluster: Kubectl) -> None:
    def address(kind: str, name: str, namespace: str) -> str:
        found = cluster.get(kind, name, namespace)
        assert found is not None
        return str(found["spec"]["clusterIP"])

    (gateway, *_) = cluster.all("pods", RELEASE_NAMESPACE, "app.kubernetes.io/component=gateway")
    standin = cluster.get("pod", examples.upstream.pod, "devbox-gateway-demo")
    node = cluster.get("pod", attacks.node_pod(examples)[1], attacks.node_pod(examples)[0])
    assert standin is not None
    assert node is not None
    targets = [
        ("the gateway", examples.gateway_address, 443),
        ("the forward proxy", examples.gateway_address, 3128),
        ("the canary", examples.gateway_address, 8479),
        ("the API server", address("service", "kubernetes", "default"), 443),
        ("the API's Service", examples.upstream.address, 443),
        ("the API's pod", standin["status"]["podIP"], 8443),
        ("the node's kubelet", node["status"]["hostIP"], 10250),
        ("the gateway's admin port", gateway["status"]["podIP"], 8080),
        ("DNS", address("service", "kube-dns", "kube-system"), 53),
    ]
    control = connects(cluster, attacks.control_pod(examples), targets)
    reachable = {name for name, result in control.items() if result == "open"}
    assert reachable >= {name for name, _, _ in targets} - {"the gateway's admin port"}, f"the control is cut: {control}"
    devbox = connects(cluster, attacks.devbox_pod(examples, "agent"), targets)
    assert {name for name, result in devbox.items() if result == "open"} == {"the gateway", "the forward proxy"}


@pytest.mark.row("S20")
def test_nobody_reaches_a_devbox(examples: Stage, cluster: Kubectl) -> None:
    """A server in the devbox answers the devbox itself, and no other pod."""
    serve = (
        f"{PYTHON} -m http.server 8999 --directory /run/devbox-gateway/ca >/dev/null 2>&1 & "
        "for i in $(seq 100); do curl -so /dev/null http://127.0.0.1:8999/ && break; sleep 0.1; done; "
        "echo up; read -r end; kill $!"
    )
    pod = cluster.get("pod", examples.pods["customer-b"], examples.namespace)
    assert pod is not None
    where = [("the devbox", pod["status"]["podIP"], 8999)]
    command = cluster.exec_command(examples.namespace, examples.pods["customer-b"], "devbox", ["sh", "-c", serve])
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment()) as server:
        assert server.stdin is not None
        assert server.stdout is not None
        try:
            assert server.stdout.readline() == "up\n"
            assert connects(cluster, attacks.devbox_pod(examples, "customer-b"), where) == {"the devbox": "open"}
            assert connects(cluster, attacks.control_pod(examples), where)["the devbox"] != "open"
            assert connects(cluster, attacks.devbox_pod(examples, "agent"), where)["the devbox"] != "open"
        finally:
            server.stdin.write("\n")
            server.stdin.close()


@pytest.mark.row("S20")
def test_names_do_not_resolve_in_a_devbox_and_fail_at_once(examples: Stage) -> None:
    script = """
import socket, time
for name in ("api.anthropic.com", "kubernetes.default.svc", "leak.example"):
    start = time.monotonic()
    try:
        print(name, socket.getaddrinfo(name, 443))
    except socket.gaierror:
        print("no", time.monotonic() - start < 2)
"""
    assert examples.exec("agent", [PYTHON, "-c", script]).out.splitlines() == ["no True"] * 3


@pytest.mark.row("S2", "S20")
def test_the_pod_is_restricted_by_construction(examples: Stage, cluster: Kubectl) -> None:
    pod = cluster.get("pod", examples.pods["agent"], examples.namespace)
    assert pod is not None
    spec = pod["spec"]
    assert spec["automountServiceAccountToken"] is False
    assert spec["enableServiceLinks"] is False
    assert spec["dnsPolicy"] == "None"
    assert not any(spec.get(name) for name in ("hostNetwork", "hostPID", "hostIPC"))
    assert spec["serviceAccountName"] == "devbox-agent"
    for container in [*spec["containers"], *spec.get("initContainers", [])]:
        security = container["securityContext"]
        assert security["allowPrivilegeEscalation"] is False
        assert security["capabilities"] == {"drop": ["ALL"]}
    inside = examples.exec(
        "agent", ["sh", "-c", "ls /var/run/secrets/kubernetes.io 2>&1; id -u; grep CapEff /proc/self/status"]
    ).out
    assert "No such file" in inside
    assert "\n1000\n" in inside
    assert "0000000000000000" in inside
    environment = examples.exec("agent", ["env"]).out
    found = {line for line in environment.splitlines() if "_SERVICE_HOST=" in line or line.startswith("KUBERNETES_")}
    assert found == {f"{name}=" for name in names.CLUSTER_VARIABLES}, "no service links, and nothing of the API server"


FIRST_SECONDS = """
import json, selectors, socket, sys, time
targets, opened, end, selector = json.loads(sys.argv[1]), set(), time.monotonic() + 5, selectors.DefaultSelector()
while (now := time.monotonic()) < end:
    for name, host, port in targets:
        sock = socket.socket()
        sock.setblocking(False)
        if sock.connect_ex((host, port)) == 0:
            opened.add(name)
        selector.register(sock, selectors.EVENT_WRITE, (name, now))
    for key, _ in selector.select(0.01):
        if key.fileobj.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == 0:
            opened.add(key.data[0])
        selector.unregister(key.fileobj)
        key.fileobj.close()
    for key in [key for key in selector.get_map().values() if now - key.data[1] > 1]:
        selector.unregister(key.fileobj)
        key.fileobj.close()
    time.sleep(max(0, now + 0.01 - time.monotonic()))
print("opened", json.dumps(sorted(opened)), flush=True)
time.sleep(3600)
"""
"""Tries all targets every 10 ms of the agent's first five seconds."""


@pytest.mark.row("S20")
def test_k8_16_nothing_gets_out_in_the_agents_first_seconds(workspace: Workspace, examples: Stage, cluster: Kubectl) -> None:
    """Some CNIs put a policy in force seconds after the pod has started; devbox-init waits for that."""
    api = cluster.get("service", "kubernetes", "default")
    node = cluster.get("pod", attacks.node_pod(examples)[1], attacks.node_pod(examples)[0])
    assert api is not None
    assert node is not None
    targets = [
        ("the gateway", examples.gateway_address, 443),
        ("the canary", examples.gateway_address, 8479),
        ("the API server", api["spec"]["clusterIP"], 443),
        ("the API's Service", examples.upstream.address, 443),
        ("the node's kubelet", node["status"]["hostIP"], 10250),
        ("metadata", "169.254.169.254", 80),
    ]
    workspace.secret("anthropic", workspace.key().value.reveal())
    workspace.gateway_config()
    workspace.devbox(command=[PYTHON, "-c", FIRST_SECONDS, json.dumps(targets)])
    pod = workspace.ready()
    until("five seconds", lambda: "opened" in cluster("-n", workspace.name, "logs", pod, "-c", "devbox").out, 30)
    line = cluster("-n", workspace.name, "logs", pod, "-c", "devbox").out.strip()
    assert json.loads(line.removeprefix("opened ")) == ["the gateway"]
