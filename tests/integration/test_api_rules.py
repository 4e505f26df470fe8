"""What `kubectl apply` says: every rule of the CRDs with an accepting and a refusing case, on the real API server.

The cases are in api_rules/, one file a kind; anybody can add. Nothing is stored: the API server is asked by a dry run. What a case says of
`before` is there for a moment, in the release's namespace, where the operator makes nothing of it.
The CRDs are those that the chart installed: the same files as crds/, by `make lint`.
"""

import json
import subprocess
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from devbox_api import devbox, egresspolicy, gatewayconfig
from devbox_api.schema import crd
from devbox_stage.stage import RELEASE_NAMESPACE

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
    if "before" in case:
        result = _changed(kubectl, manifest, case)
    else:
        result = _asked([*kubectl, "create", "--dry-run=server", "--validate=strict", "-n", "default"], manifest)
    if case.get("accepted"):
        assert result.returncode == 0, result.stderr
    else:
        assert result.returncode != 0, "accepted, and should have been refused"
        assert case["refused"] in result.stderr


def _changed(kubectl: list[str], manifest: dict[str, Any], case: dict[str, Any]) -> subprocess.CompletedProcess[str]:
    """The case's object is there as it was before, and is to be replaced."""
    there, metadata = [*kubectl, "-n", RELEASE_NAMESPACE], {"metadata": {"name": f"case-{uuid.uuid4().hex[:8]}"}}
    base = yaml.safe_load(FILES[manifest["kind"]].read_text(encoding="utf-8"))["base"]
    before = merged(merged(base, case["before"]), metadata)
    made = _asked([*there, "create"], before)
    assert made.returncode == 0, made.stderr
    try:
        return _asked([*there, "replace", "--dry-run=server", "--validate=strict"], merged(manifest, metadata))
    finally:
        _asked([*there, "delete", "--wait=false"], before)


def _asked(command: list[str], manifest: dict[str, Any]) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*command, "-f", "-"], input=json.dumps(manifest), capture_output=True, text=True, check=False)


@pytest.mark.parametrize("kind", [gatewayconfig.KIND, egresspolicy.KIND, devbox.KIND], ids=lambda kind: kind.kind)
def test_every_rule_has_a_case(kind: Any) -> None:
    """No rule without a case that expects its message."""
    expected = [case["refused"] for case in yaml.safe_load(FILES[kind.kind].read_text())["cases"] if "refused" in case]
    untested = {message for message in _rules(crd(kind)) if not any(part in message for part in expected)}
    assert not untested
