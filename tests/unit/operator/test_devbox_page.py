"""docs/devbox.md says what a change of a field does: it is what the operator does."""

import re
from pathlib import Path
from typing import Any

import pytest

from devbox_api.devbox import DevboxSpec
from devbox_operator.devbox import pod
from devbox_operator.settings import Devboxes, Image, Settings, Size

IPS = ("10.96.0.9",)
SETTINGS = Settings(
    release_namespace="rel",
    credentials_namespace="rel-credentials",
    image=Image(reference="r.example/gw:1"),
    devboxes=Devboxes(sizes={"SMALL": Size(limits={"cpu": "1"})}, git_image="r.example/git:1"),
)
ANOTHER: dict[str, Any] = {
    "image": "img:2",
    "imagePullPolicy": "Always",
    "imagePullSecrets": [{"name": "registry"}],
    "command": ["sleep", "infinity"],
    "args": ["x"],
    "launchCommands": ["npm ci"],
    "workingDir": "/workspace",
    "gateways": [{"name": "OPENAI", "gatewayRef": {"name": "anthropic"}}],
    "env": [{"name": "LOG_LEVEL", "value": "debug"}],
    "secretEnv": [{"name": "PASSWORD", "secretRef": {"name": "database"}}],
    "egressPolicyRef": {"name": "code"},
    "resources": {"limits": {"cpu": "1"}},
    "resourceSize": "SMALL",
    "volumes": [{"name": "cache", "mountPath": "/cache", "emptyDir": {}}],
    "workspace": {"size": "1Gi"},
    "codeMounts": [{"name": "app", "repository": "https://github.com/org/app"}],
    "runAsUser": 1001,
    "fsGroup": 2000,
    "runtimeClassName": "gvisor",
    "nodeSelector": {"a": "b"},
    "tolerations": [{"operator": "Exists"}],
    "restartPolicy": "Never",
    "terminationGracePeriodSeconds": 44,
    "podMetadata": {"labels": {"team": "a"}},
    "suspend": True,
    "lifecycle": {"ttl": "24h"},
}
"""Another value of each field."""
LIVE_PARTS = {"gatewayRef": {"gatewayRef": {"name": "other"}}, "secretRef": {"secretRef": {"name": "mine"}}}
FIRST = {"name": "ANTHROPIC", "gatewayRef": {"name": "anthropic"}}
"""The builder's gateway."""


@pytest.fixture(scope="module")
def rows(project_root: Path) -> dict[str, list[str]]:
    """The cells behind each field of the first table."""
    page = (
        (project_root / "docs" / "devbox.md")
        .read_text(encoding="utf-8")
        .partition("## What may be said")[2]
        .partition("\n## ")[0]
    )
    cells = [
        [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in page.splitlines() if line.startswith("| `")
    ]
    return {row[0].strip("`"): row[1:] for row in cells}


def restarts(devbox: Any, **spec: Any) -> bool:
    """RestartRequired, and what it names."""
    before, after = devbox(), devbox(spec=spec)
    return pod.spec_hash(before, SETTINGS, IPS) != pod.spec_hash(after, SETTINGS, IPS)


def test_every_field_is_tried(rows: dict[str, list[str]]) -> None:
    fields = {field.alias for field in DevboxSpec.model_fields.values()}
    assert set(ANOTHER) == fields
    assert set(rows) == fields


@pytest.mark.parametrize("field", ANOTHER)
def test_what_a_change_does(devbox: Any, rows: dict[str, list[str]], field: str) -> None:
    *_, change = rows[field]
    assert change.split(",")[0].split(";")[0] == ("restart" if restarts(devbox, **{field: ANOTHER[field]}) else "live")


@pytest.mark.parametrize(
    "field", [field for field, value in ANOTHER.items() if field not in {"egressPolicyRef", "suspend", "lifecycle"}]
)
def test_what_has_to_be_restarted_for_is_named(devbox: Any, field: str) -> None:
    before, after = (pod.spec_fields(one, SETTINGS, IPS) for one in (devbox(), devbox(spec={field: ANOTHER[field]})))
    assert f"spec.{field}" in {name for name in before.keys() | after.keys() if before.get(name) != after.get(name)}


@pytest.mark.parametrize("part", LIVE_PARTS)
def test_what_a_gateway_leads_to_is_live(devbox: Any, part: str) -> None:
    assert not restarts(devbox, gateways=[{**FIRST, **LIVE_PARTS[part]}])
    assert restarts(devbox, gateways=[{**FIRST, "aliases": {"token": ["KEY"]}}])


def test_defaults_are_those_of_the_model(rows: dict[str, list[str]]) -> None:
    for name, field in DevboxSpec.model_fields.items():
        if isinstance(field.default, int | str):
            assert rows[str(field.alias)][1].strip("`") == str(field.default), name
