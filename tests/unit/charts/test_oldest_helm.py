"""The oldest Helm that docs/install.md names makes the same objects of the chart as the one that everything else is tested with."""

import json
import os
import subprocess
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from devbox_cluster.paths import PROJECT, bin_dir

OLDEST: Final = os.environ.get("DEVBOX_OLDEST_HELM", "")
pytestmark = pytest.mark.skipif(not OLDEST, reason="takes three minutes to build: make helm-oldest (part of make long)")
IMAGE: Final = {"image": {"repository": "registry.example/devbox-gateway"}}
VALUES: Final[dict[str, dict[str, Any]]] = {
    "nothing but the image": {},
    "roles in two namespaces": {"watchNamespaces": ["team-a", "team-b"], "crds": {"install": False}},
    "named secrets": {"watchNamespaces": ["team-a"], "rbac": {"sourceSecrets": "Named"}},
    "everything that is off": {
        "gateway": {"autoscaling": {"enabled": True}},
        "podMonitor": {"enabled": True},
        "alerts": {"enabled": True},
        "networkPolicy": {"adminFrom": [{"namespaceSelector": {}}], "gatewayEgress": [{}]},
    },
}


def _template(program: Path, values: dict[str, Any]) -> subprocess.CompletedProcess[str]:
    command = [str(program), "template", "devbox-gateway", str(PROJECT / "charts" / "devbox-gateway"), "--values", "-"]
    same = ["--namespace", "devbox-gateway-system", "--kube-version", "1.33.0"]
    return subprocess.run([*command, *same], input=json.dumps(values), capture_output=True, text=True, timeout=60, check=False)


def test_it_is_the_one_that_the_page_names() -> None:
    said = subprocess.run([OLDEST, "version", "--short"], capture_output=True, text=True, timeout=60, check=True).stdout
    page = (PROJECT / "docs" / "install.md").read_text("utf-8")
    assert f"Helm {said.strip().partition('+')[0].removeprefix('v')} or 4" in page


@pytest.mark.parametrize("name", VALUES)
def test_the_same_objects_come_out(name: str) -> None:
    made = []
    for program in (Path(OLDEST), bin_dir() / "helm"):
        done = _template(program, {**IMAGE, **VALUES[name]})
        assert done.returncode == 0, done.stderr
        made.append([one for one in yaml.safe_load_all(done.stdout) if one])
    assert made[0]
    assert made[0] == made[1]


@pytest.mark.parametrize("values", [{}, {**IMAGE, "gateway": {"replicas": "two"}}, {**IMAGE, "nosuch": 1}])
def test_bad_values_are_refused(values: dict[str, Any]) -> None:
    assert _template(Path(OLDEST), values).returncode != 0
