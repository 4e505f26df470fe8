"""The chart, rendered by Helm."""

import json
import subprocess
from pathlib import Path
from typing import Any

import yaml

from devbox_cluster.paths import bin_dir

Object = dict[str, Any]
CHART = Path(__file__).resolve().parents[3] / "charts" / "devbox-gateway"
NAMESPACE = "devbox-gateway-system"


def helm(values: Object, namespace: str = NAMESPACE) -> subprocess.CompletedProcess[str]:
    """`helm template` with values on standard input."""
    program = bin_dir() / "helm"
    assert program.exists(), "helm is not there; run: make tools"
    command = [str(program), "template", "devbox-gateway", str(CHART), "--namespace", namespace, "--values", "-"]
    return subprocess.run(command, input=json.dumps(values), capture_output=True, text=True, timeout=60, check=False)


def render(values: Object | None = None, namespace: str = NAMESPACE) -> list[Object]:
    """All objects, with an image given."""
    merged = {"image": {"repository": "registry.example/devbox-gateway"}, **(values or {})}
    done = helm(merged, namespace)
    assert done.returncode == 0, done.stderr
    return [one for one in yaml.safe_load_all(done.stdout) if one]


def one(objects: list[Object], kind: str, name: str, namespace: str | None = None) -> Object:
    """The object of that kind and name."""
    (found,) = (
        each
        for each in objects
        if each["kind"] == kind and each["metadata"]["name"] == name and namespace in (None, each["metadata"].get("namespace"))
    )
    return found
