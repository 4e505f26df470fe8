"""What others wrote into an object is plain text where a terminal shows it, and an annotation that forces is one that says so; on a real
API server with the chart's definitions and admission policies."""

import json
from collections.abc import Iterator
from typing import Any, Final

import pytest
import yaml
from tests.integration.rule_files import FILES, merged
from tests.support.control_plane import ControlPlane, control_plane
from tests.support.release import install

from devbox_api import devbox, egresspolicy, gatewayconfig, names
from devbox_api.schema import Schema, crd

from .world import inside

pytestmark = [
    pytest.mark.skipif(not inside(), reason="needs a network of its own: make chaos-short"),
    pytest.mark.xdist_group("plain-text"),
]
KINDS: Final = (gatewayconfig.KIND, egresspolicy.KIND, devbox.KIND)
OBEYED: Final = "a terminal would obey"
NEWER: Final = (OBEYED, "not an amount as Kubernetes has them")
"""What says no to such text, and an older release had not."""
TRIES: Final = 50
HOSTILE: Final = "\x1b[2Jx\x9b31m\u202e"
SPECS: Final[dict[str, dict[str, Any]]] = {
    "GatewayConfig": {
        "endpoint": "https://api.example.com",
        "authMechanism": {"type": "Bearer"},
        "description": HOSTILE,
        "tls": {"caBundle": f"{HOSTILE}\n-----BEGIN CERTIFICATE-----\n"},
    },
    "EgressPolicy": {"description": HOSTILE},
    "Devbox": {
        "image": f"registry.example/{HOSTILE}",
        "workingDir": f"/{HOSTILE}",
        "nodeSelector": {HOSTILE: HOSTILE},
        "tolerations": [{"key": HOSTILE, "value": HOSTILE}],
        "resources": {"limits": {HOSTILE: HOSTILE}},
        "volumes": [{"name": "a", "mountPath": f"/a{HOSTILE}", "emptyDir": {"sizeLimit": HOSTILE}}],
    },
}
"""What an older release's definitions took."""
EDITS: Final[dict[str, dict[str, Any]]] = {
    "GatewayConfig": {"maxRequestBody": "4Mi"},
    "EgressPolicy": {"allowAll": True},
    "Devbox": {"restartPolicy": "Never"},
}


@pytest.fixture(scope="module")
def plane() -> Iterator[ControlPlane]:
    with control_plane() as plane:
        made = install(plane)
        yield plane
        made.end()


def _without(node: Any) -> Any:
    """A definition as it was before these rules."""
    if isinstance(node, list):
        return [
            _without(each)
            for each in node
            if not (isinstance(each, dict) and any(words in each.get("message", "") for words in NEWER))
        ]
    return {key: _without(value) for key, value in node.items()} if isinstance(node, dict) else node


def _define(plane: ControlPlane, definitions: list[Schema]) -> None:
    for each in definitions:
        plane.kubectl("apply", "--server-side", "--force-conflicts", "-f", "-", stdin=json.dumps(each))


def _object(kind: str, name: str, spec: dict[str, Any]) -> dict[str, Any]:
    return {"apiVersion": names.API_VERSION, "kind": kind, "metadata": {"name": name}, "spec": spec}


def _refused(plane: ControlPlane, *arguments: str, stdin: str | None = None) -> str:
    """What is said; empty where it is taken."""
    try:
        plane.kubectl(*arguments, stdin=stdin)
    except RuntimeError as error:
        return str(error)
    return ""


def _until_refused(plane: ControlPlane, thing: dict[str, Any]) -> str:
    """A definition counts a moment after it was written."""
    for _ in range(TRIES):
        if said := _refused(plane, "create", "--dry-run=server", "-f", "-", stdin=json.dumps(thing)):
            return said
    raise AssertionError("accepted, and should have been refused")


def test_text_that_steers_terminals_is_refused_and_what_is_stored_stays_editable(plane: ControlPlane) -> None:
    plane.kubectl("create", "namespace", "text")
    now = [crd(kind) for kind in KINDS]
    _define(plane, [_without(each) for each in now])
    stored = {kind: _object(kind, "stored", spec) for kind, spec in SPECS.items()}
    for thing in stored.values():
        thing["metadata"]["namespace"] = "text"
        said = [_refused(plane, "create", "-f", "-", stdin=json.dumps(thing))]
        while said[-1]:
            assert len(said) < TRIES, said[-1]
            said.append(_refused(plane, "create", "-f", "-", stdin=json.dumps(thing)))
    _define(plane, now)
    for kind, thing in stored.items():
        assert OBEYED in _until_refused(plane, {**thing, "metadata": {"name": "new", "namespace": "text"}})
        resource = f"{kind.lower()}/stored"
        for patch in ({"metadata": {"labels": {"team": "a"}}}, {"spec": EDITS[kind]}):
            plane.kubectl("-n", "text", "patch", resource, "--type=merge", "-p", json.dumps(patch))
        status = json.dumps({"status": {"observedGeneration": 1}})
        plane.kubectl("-n", "text", "patch", resource, "--subresource=status", "--type=merge", "-p", status)


@pytest.mark.parametrize("kind", [kind.kind for kind in KINDS])
def test_each_place_is_judged_by_itself(plane: ControlPlane, kind: str) -> None:
    """The cases of tests/integration/api_rules that are about this."""
    content = yaml.safe_load(FILES[kind].read_text(encoding="utf-8"))
    cases = [case for case in content["cases"] if OBEYED in case.get("refused", "")]
    assert cases
    for case in cases:
        thing = json.dumps(merged(content["base"], case["change"]))
        assert OBEYED in _refused(plane, "create", "--dry-run=server", "-f", "-", stdin=thing), case["name"]


@pytest.mark.parametrize("value", ["", "false", "no", "True", "yes"])
def test_a_deletion_is_forced_by_true_alone(plane: ControlPlane, value: str) -> None:
    namespace = f"forced-{value.lower() or 'empty'}"
    plane.kubectl("create", "namespace", namespace)
    spec = {"image": "registry.example/a", "egressPolicyRef": {"name": "web"}}
    for thing in (_object("EgressPolicy", "web", {}), _object("Devbox", "one", spec)):
        plane.kubectl("-n", namespace, "create", "-f", "-", stdin=json.dumps(thing))
    annotate = ("-n", namespace, "annotate", "--overwrite", "egresspolicy", "web")
    delete = ("-n", namespace, "delete", "egresspolicy", "web", "--dry-run=server")
    plane.kubectl(*annotate, f"{names.FORCE_DELETE_ANNOTATION}={value}")
    said = next(filter(None, (_refused(plane, *delete) for _ in range(50))), "")
    assert f"{names.FORCE_DELETE_ANNOTATION}=true --overwrite" in said
    plane.kubectl(*annotate, f"{names.FORCE_DELETE_ANNOTATION}=true")
    assert _refused(plane, *delete) == ""
