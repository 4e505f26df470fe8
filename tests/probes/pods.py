"""Pods beside the devboxes: one that no policy holds, and some that listen.

Goes in: a namespace. Comes out: objects, and `Pod`s to run probes in.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address
from pathlib import Path
from typing import Any, Final

from tests.support.workspace import IMAGE

from devbox_stage.kubectl import Kubectl, Object
from devbox_stage.waiting import NotYet, wait_for

PYTHON: Final = "/opt/agent/bin/python"
SCRIPT: Final = Path(__file__).with_name("inside.py").read_text(encoding="utf-8")
PORT: Final = 7001
LISTEN: Final = f"""
import socket, threading
udp = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
udp.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
udp.bind(("::", {PORT}))
def echo():
    while True:
        data, peer = udp.recvfrom(2048)
        udp.sendto(data, peer)
threading.Thread(target=echo).start()
server = socket.create_server(("::", {PORT}), family=socket.AF_INET6, dualstack_ipv6=True)
while True:
    server.accept()[0].close()
"""


@dataclass(frozen=True)
class Pod:
    """One that runs."""

    kubectl: Kubectl
    namespace: str
    name: str
    address: str
    address6: str | None = None
    """None in a cluster without IPv6."""
    container: str = "devbox"

    @property
    def addresses(self) -> set[str]:
        """Those that its status knows."""
        return {self.address} | ({self.address6} if self.address6 else set())

    def run(self, probes: Sequence[Mapping[str, Any]], *, timeout: float = 120) -> dict[str, str]:
        """Try each probe from this pod; probe's name → what the pod saw."""
        argv = [PYTHON, "-c", SCRIPT]
        result = self.kubectl.exec(
            self.namespace, self.name, argv, container=self.container, stdin=json.dumps(list(probes)), timeout=timeout
        )
        seen: dict[str, str] = json.loads(result.out)
        return seen

    def link_local(self) -> str | None:
        """Its IPv6 address on the link, which the kernel makes by itself wherever IPv6 is not switched off."""
        lines = self.kubectl.exec(
            self.namespace, self.name, ["cat", "/proc/net/if_inet6"], container=self.container, check=False
        )
        for line in lines.out.splitlines():
            digits, *_, device = line.split()
            if device == "eth0" and digits.startswith("fe80"):
                return str(IPv6Address(bytes.fromhex(digits)))
        return None


def manifest(name: str, command: Sequence[str], *, root: bool = False, labels: Mapping[str, str] | None = None) -> Object:
    """A pod that is no devbox. `root`: with the capabilities that container runtimes give, NET_RAW among them."""
    restricted = {
        "runAsNonRoot": True,
        "runAsUser": 1000,
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    container = {
        "name": "devbox",
        "image": IMAGE,
        "imagePullPolicy": "IfNotPresent",
        "command": list(command),
        "securityContext": {"runAsUser": 0, "capabilities": {"add": ["NET_RAW"]}} if root else restricted,
    }
    spec = {"containers": [container], "automountServiceAccountToken": False, "terminationGracePeriodSeconds": 0}
    metadata = {"name": name, "labels": {"app": name, **(labels or {})}}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}


def service(name: str, port: int) -> Object:
    """A Service in front of a listening pod."""
    spec = {
        "ipFamilyPolicy": "PreferDualStack",
        "selector": {"app": name},
        "ports": [{"name": "tcp", "port": port, "targetPort": PORT}],
    }
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name}, "spec": spec}


def addresses(status: Mapping[str, Any]) -> list[str]:
    """Of a pod's status, IPv4 first; as the kernel writes them."""
    found = [ip_address(one["ip"]) for one in status.get("podIPs") or ()]
    return [str(one) for one in sorted(found, key=lambda one: one.version)]


def running(kubectl: Kubectl, namespace: str, name: str, *, seconds: float = 60) -> Pod:
    """The pod, once it runs."""

    def attempt() -> Pod:
        found = kubectl.get("pod", name, namespace)
        status = (found or {}).get("status", {})
        if status.get("phase") != "Running" or not status.get("podIP"):
            raise NotYet(f"it is {status.get('phase')}")
        return Pod(kubectl, namespace, name, *addresses(status))

    return wait_for(f"pod {name}", attempt, seconds=seconds)
