"""What `kubectl apply` says: every rule of the CRDs with an accepting and a refusing case, on the real API server.

The cases are in api_rules/, one file a kind; anybody can add. Nothing is stored: the API server is asked by a dry run.
The CRDs are those that the chart installed: the same files as crds/, by `make lint`.
"""

import json
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from devbox_api import devbox, egresspolicy, gatewayconfig
from devbox_api.schema import crd

from .rule_files import FILES, merged


def _cases() -> Iterator[Any]:
    for kind, path in FILES.items():
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
        for case in content["cases"]:
            yield pytest.param(merged(content["base"], case["change"]), case, id=f"{kind}: {case['name']}")


def _rules(node: Any) -> Iterator[str]:
    """All rules' messages in a schema."""
    if isinstance(node, dict):
        for rule in node.get("x-kubernetes-validations", ()):
            yield rule["message"]
        for value in node.values():
            yield from _rules(value)


@pytest.mark.cluster
@pytest.mark.row("S5", "S7", "S29")
@pytest.mark.usefixtures("release")
@pytest.mark.parametrize(("manifest", "case"), list(_cases()))
def test_apply_says(kubectl: list[str], manifest: dict[str, Any], case: dict[str, Any]) -> None:
    """Each case is accepted, or refused with the message that it names."""
    result = subprocess.run(
        [*kubectl, "create", "--dry-run=server", "--validate=strict", "-n", "default", "-f", "-"],
        input=json.dumps(manifest),
        capture_output=True,
        text=True,
        check=False,
    )
    if case.get("accepted"):
        assert result.returncode == 0, result.stderr
    else:
        assert result.returncode != 0, "accepted, and should have been refused"
        assert case["refused"] in result.stderr


@pytest.mark.parametrize("kind", [gatewayconfig.KIND, egresspolicy.KIND, devbox.KIND], ids=lambda kind: kind.kind)
def test_every_rule_has_a_case(kind: Any) -> None:
    """No rule without a case that expects its message."""
    expected = [case["refused"] for case in yaml.safe_load(FILES[kind.kind].read_text())["cases"] if "refused" in case]
    untested = {message for message in _rules(crd(kind)) if not any(part in message for part in expected)}
    assert not untested
