"""When devboxes were last active, asked for with real packets: by the operator's pod, and by those that must not be told."""

import base64
import json
import shlex
from collections.abc import Sequence
from typing import Any, Final

import pytest
from tests.support.workspace import IMAGE, Workspace

from devbox_api import names
from devbox_stage.kubectl import Kubectl
from devbox_stage.stage import RELEASE_NAMESPACE
from devbox_stage.waiting import NotYet, wait_for

OPERATOR: Final = {"app.kubernetes.io/name": "devbox-gateway", "app.kubernetes.io/component": "operator"}
TOKEN_FILE: Final = "/run/devbox-gateway/activity/token"
ASKS: Final = f"""
import json, pathlib, socket, ssl, sys
what = json.load(sys.stdin)
token = what["token"] or pathlib.Path("{TOKEN_FILE}").read_text()
trust = ssl.create_default_context(cadata=what["ca"])
for address in what["addresses"]:
    with socket.create_connection((address, {names.ACTIVITY_PORT}), 10) as plain:
        with trust.wrap_socket(plain, server_hostname="{names.gateway_host(RELEASE_NAMESPACE)}") as secure:
            head = "GET {names.ACTIVITY_PATH} HTTP/1.1\\r\\nHost: gateway\\r\\nAuthorization: Bearer " + token + "\\r\\n\\r\\n"
            secure.sendall(head.encode())
            head, _, body = b"".join(iter(lambda: secure.recv(65536), b"")).decode().partition("\\r\\n\\r\\n")
    print(json.dumps([int(head.split()[1]), body]))
"""
"""Each gateway in turn, for whoever has the token, or by the pod's own."""
RESTRICTED: Final = {
    "runAsNonRoot": True,
    "runAsUser": 1000,
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
    "seccompProfile": {"type": "RuntimeDefault"},
}
UNREACHED: Final = (7, 28)
"""curl: refused on the way (kube-router answers so), or no answer."""


class Release:
    """The gateways, and the operator's pod."""

    def __init__(self, cluster: Kubectl) -> None:
        self._cluster = cluster
        gateways = cluster.all("pods", RELEASE_NAMESPACE, "app.kubernetes.io/component=gateway")
        self.addresses = [pod["status"]["podIP"] for pod in gateways if "deletionTimestamp" not in pod["metadata"]]
        operators = cluster.all("pods", RELEASE_NAMESPACE, "app.kubernetes.io/component=operator")
        self._operator = next(pod["metadata"]["name"] for pod in operators if "deletionTimestamp" not in pod["metadata"])
        authority = cluster.get("secret", names.CA_SECRET, RELEASE_NAMESPACE)
        assert authority is not None
        self._ca = base64.b64decode(authority["data"]["ca.crt"]).decode()

    def token(self, account: str, audience: str = names.audience(names.ACTIVITY)) -> str:
        """Of an account of the release."""
        return self._cluster("-n", RELEASE_NAMESPACE, "create", "token", account, f"--audience={audience}").out.strip()

    def asked(self, token: str | None = None) -> list[tuple[int, str]]:
        """What each gateway answers the operator's pod, with its own token or another one."""
        what = {"token": token, "ca": self._ca, "addresses": self.addresses}
        python = ["/opt/devbox-gateway/bin/python", "-c", ASKS]

        def attempt() -> list[tuple[int, str]]:
            done = self._cluster.exec(
                RELEASE_NAMESPACE, self._operator, python, container="operator", stdin=json.dumps(what), check=False
            )
            if done.code:  # of a pod that is new the CNI has not let all know yet
                raise NotYet(done.err[-300:])
            answers = [(code, body) for code, body in map(json.loads, done.out.splitlines())]
            if 429 in dict(answers):
                raise NotYet("somebody has asked much lately")
            return answers

        return wait_for("the gateways answer the operator's pod", attempt, seconds=60)


def _calls(workspace: Workspace, pod: str, container: str, token: str, targets: Sequence[str]) -> list[int]:
    """curl's exit codes, from that pod; the token, which is right, goes in by stdin."""
    each = "; ".join(
        f"printf '%s\\n' \"$head\" | curl -sk --noproxy '*' -m 5 -o /dev/null -H @- {shlex.quote(target)}; echo $?"
        for target in targets
    )
    command = ["sh", "-c", f"head=$(cat); {each}"]
    done = workspace.kubectl.exec(workspace.name, pod, command, container=container, stdin=f"Authorization: Bearer {token}")
    return [int(line) for line in done.out.split()]


@pytest.mark.row("S23")
def test_the_operator_learns_of_a_devboxs_calls_and_nobody_else_is_told(workspace: Workspace, cluster: Kubectl) -> None:
    container = {"name": "scraper", "image": IMAGE, "command": ["sleep", "infinity"], "securityContext": RESTRICTED}
    # With the operator's labels: in another namespace they count for nothing.
    scraper: dict[str, Any] = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "scraper", "labels": OPERATOR},
        "spec": {"terminationGracePeriodSeconds": 0, "automountServiceAccountToken": False, "containers": [container]},
    }
    workspace.apply(scraper)
    pod = workspace.working_devbox()
    assert workspace.status(pod) == 200
    (uid,) = (one["metadata"]["uid"] for one in workspace.pods())

    release = Release(cluster)
    answers = release.asked()
    assert [code for code, _ in answers] == [200] * len(release.addresses)
    ages = [pods[uid] for _, body in answers if uid in (pods := json.loads(body)["pods"])]
    assert ages, "the gateway that it called knows"
    assert 0 <= min(ages) < 60

    for what, token in {
        "another account's": release.token("devbox-gateway"),
        "for the API server": release.token("devbox-operator", "https://kubernetes.default.svc.cluster.local"),
    }.items():
        assert release.asked(token) == [(403, "")] * len(release.addresses), what

    token = release.token("devbox-operator")
    assert {code for code, _ in release.asked(token)} == {200}, "it is the network that holds those off who follow"
    workspace.kubectl("-n", workspace.name, "wait", "--for=condition=Ready", "pod/scraper", "--timeout=60s")
    for address in release.addresses:
        activity = f"https://{address}:{names.ACTIVITY_PORT}{names.ACTIVITY_PATH}"
        (scraped, told) = _calls(
            workspace, "scraper", "scraper", token, [f"http://{address}:{names.ADMIN_PORT}/metrics", activity]
        )
        assert scraped == 0, "who may scrape metrics"
        assert told in UNREACHED
        (data, told) = _calls(workspace, pod, names.CONTAINER, token, [f"https://{address}:{names.DATA_PORT}/", activity])
        assert data == 0, "a devbox reaches the gateway"
        assert told in UNREACHED
