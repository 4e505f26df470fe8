"""What README.md, docs/install.md and examples/ have a newcomer paste, on a real API server with the chart's admission policies."""

import base64
import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest
from tests.support.control_plane import ControlPlane
from tests.support.pages import PROJECT, first_devbox, guards_removal, readme_objects
from tests.support.release import NAMESPACE, installed

from devbox_cluster.paths import bin_dir
from devbox_operator.attach import network

pytestmark = pytest.mark.xdist_group("pages")
ROUNDS: Final = 3
"""The API server's own cache of Devboxes lags: whatever order is right has to be so every time."""
KEY: Final = "sk-of-the-readers-own"
KINDS: Final = "devboxes,gatewayconfigs,egresspolicies,secrets"


@pytest.fixture(scope="module")
def plane() -> Iterator[ControlPlane]:
    """By itself: in the end its guards are taken away."""
    with installed() as made:
        yield made.plane


def left(plane: ControlPlane, namespace: str) -> list[str]:
    """What of the pages is there."""
    return plane.kubectl("-n", namespace, "get", KINDS, "-o", "name").split()


def there_and_away(plane: ControlPlane, namespace: str, *files: str) -> None:
    """Applied and deleted, as often as it takes to trust it."""
    plane.kubectl("create", "namespace", namespace)
    for _ in range(ROUNDS):
        plane.kubectl("-n", namespace, "apply", *files)
        assert len(left(plane, namespace)) >= 4
        plane.kubectl("-n", namespace, "delete", "--timeout=30s", *files)
        assert left(plane, namespace) == []


def run(plane: ControlPlane, folder: Path, script: str) -> None:
    """As an administrator pastes it."""
    environment = {"PATH": f"{bin_dir()}:{os.defpath}", "KUBECONFIG": str(plane.admin_kubeconfig), "HOME": str(folder)}
    done = subprocess.run(
        ["sh", "-e", "-c", script], cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stderr


def test_the_readmes_objects_are_applied_and_deleted_by_their_file(plane: ControlPlane, tmp_path: Path) -> None:
    path = tmp_path / "agent.yaml"
    path.write_text(readme_objects(), encoding="utf-8")
    there_and_away(plane, "readme", f"--filename={path}")


def test_the_examples_are_applied_and_deleted_by_their_folder(plane: ControlPlane) -> None:
    there_and_away(plane, "devbox-examples", f"--filename={PROJECT / 'examples'}")


def test_a_first_devbox_keeps_the_readers_key(plane: ControlPlane, tmp_path: Path) -> None:
    """The script as it stands, but for its end: nothing runs a pod here. And then the examples, as their page has them applied."""
    (tmp_path / "anthropic.key").write_text(f"{KEY}\n")
    script = "\n".join(line for line in first_devbox().splitlines() if " wait " not in line)
    run(plane, tmp_path, script)
    plane.kubectl("create", "namespace", "beside")
    plane.kubectl("-n", "beside", "apply", f"--filename={PROJECT / 'examples'}")
    secret = json.loads(plane.kubectl("-n", "agents", "get", "secret", "anthropic", "-o", "json"))
    assert base64.b64decode(secret["data"]["api-key"]).decode().strip() == KEY
    assert secret["metadata"]["annotations"]["devbox-gateway.io/allowed-hosts"] == "api.anthropic.com"
    plane.kubectl("-n", "agents", "delete", "devbox/agent")
    plane.kubectl("-n", "agents", "delete", "gatewayconfig/anthropic", "secret/anthropic")
    assert left(plane, "agents") == []


def test_what_confined_devboxes_goes_in_the_end(plane: ControlPlane, tmp_path: Path) -> None:
    """The last test: it takes the guards away."""
    operator = f"--as=system:serviceaccount:{NAMESPACE}:devbox-operator"
    plane.kubectl("create", "namespace", "left")
    plane.kubectl("create", operator, "-f", "-", stdin=json.dumps(network.denial("left")))
    run(plane, tmp_path, guards_removal())
    kinds = "validatingadmissionpolicies,validatingadmissionpolicybindings"
    assert plane.kubectl("get", kinds, "-l", f"devbox-gateway.io/guard={NAMESPACE}", "-o", "name") == ""
    assert plane.kubectl("get", "networkpolicies", "--all-namespaces", "-o", "name").split() == [
        "networkpolicy.networking.k8s.io/devbox-gateway",
        "networkpolicy.networking.k8s.io/devbox-operator",
    ]
