"""Each launch parameter that users of other products know is mapped, or refused with what to do in its place; and the page says which."""

from pathlib import Path
from typing import Any

import pytest

from devbox_gateway.errors import InvalidError
from devbox_gateway.objects import devbox_spec

PAGE = Path(__file__).resolve().parents[3] / "docs" / "client.md"
RESOURCES = {"requests": {"cpu": "2"}, "limits": {"cpu": "2"}}
MAPPED: dict[str, tuple[Any, dict[str, Any]]] = {
    "launch_commands": (["npm ci"], {"launchCommands": ["npm ci"]}),
    "resource_size_request": ("SMALL", {"resourceSize": "SMALL"}),
    "custom_cpu_cores": (2, {"resources": RESOURCES}),
    "custom_gb_memory": (4, {"resources": {"requests": {"memory": "4Gi"}, "limits": {"memory": "4Gi"}}}),
    "custom_disk_size": (
        8,
        {"resources": {"requests": {"ephemeral-storage": "8Gi"}, "limits": {"ephemeral-storage": "8Gi"}}},
    ),
    "architecture": ("arm64", {"nodeSelector": {"kubernetes.io/arch": "arm64"}}),
    "user_parameters": ({"uid": 1001}, {"runAsUser": 1001}),
    "keep_alive_time_seconds": (3600, {"lifecycle": {"ttl": "1h"}}),
}
REFUSED = {
    "available_ports": ([8080], "kubectl port-forward"),
    "required_services": (["postgres"], "launch_commands"),
    "provisioning_tier": ("flex", "nodeSelector"),
}
ELSEWHERE = {"network_policy_id", "after_idle", "lifecycle"}
"""A policy is found first (chaos/test_client.py); idle times are a matter of their own (test_devbox_spec.py)."""
HOSTED = {*MAPPED, *REFUSED, *ELSEWHERE}
"""All that there are, so that none is met that nobody has thought of."""


def made(launch: dict[str, Any]) -> dict[str, Any]:
    nothing: dict[str, Any] = {"image": None, "command": ["a"], "entrypoint": None, "policy": None, "more": {}}
    empty: dict[str, Any] = {"bindings": [], "environment": {}, "secret_env": {}, "code_mounts": []}
    return {key: value for key, value in devbox_spec.spec_of(**nothing, **empty, launch=launch).items() if key != "command"}


@pytest.mark.row("S23")
@pytest.mark.parametrize("name", sorted(HOSTED))
def test_none_is_dropped_in_silence(name: str) -> None:
    if name in MAPPED:
        value, spec = MAPPED[name]
        assert made({name: value}) == spec
        assert made({name: None}) == {}, "as if it were not given"
    elif name in REFUSED:
        value, instead = REFUSED[name]
        with pytest.raises(InvalidError) as caught:
            made({name: value})
        assert caught.value.field == f"launch_parameters.{name}"
        assert instead in caught.value.message
    page = PAGE.read_text("utf-8").partition("## Launch parameters")[2].partition("\n## ")[0]
    (row,) = [line for line in page.splitlines() if line.startswith("|") and f"`{name}`" in line.split("|")[1]]
    assert ("refused:" in row.split("|")[2][:12]) == (name in REFUSED)


def test_the_page_has_no_other() -> None:
    page = PAGE.read_text("utf-8").partition("## Launch parameters")[2].partition("\n## ")[0]
    firsts = [line.split("|")[1] for line in page.splitlines() if line.startswith("| `")]
    assert {word.strip(" `") for first in firsts for word in first.split(",")} == HOSTED


@pytest.mark.parametrize(
    ("value", "field"),
    [
        ({"uid": 1000, "username": "me"}, "user_parameters.username"),
        ({"username": "me"}, "user_parameters.username"),
        ({"uid": True}, "user_parameters.uid"),
        ({"uid": "1000"}, "user_parameters.uid"),
        ({}, "user_parameters.uid"),
        (1000, "user_parameters"),
    ],
)
def test_a_user_is_a_number(value: object, field: str) -> None:
    with pytest.raises(InvalidError) as caught:
        made({"user_parameters": value})
    assert caught.value.field == f"launch_parameters.{field}"


@pytest.mark.parametrize(
    ("lifecycle", "field", "words"),
    [
        ({"resume_triggers": {"http": True}}, "lifecycle.resume_triggers", "resume()"),
        ({"lifecycle_hooks": {"suspend_commands": ["sync"]}}, "lifecycle.lifecycle_hooks", "terminationGracePeriodSeconds"),
        ({"other": 1}, "lifecycle.other", "after_idle"),
        ("suspend", "lifecycle", "a dict"),
    ],
)
def test_of_a_lifecycle_nothing_is_dropped(lifecycle: object, field: str, words: str) -> None:
    with pytest.raises(InvalidError) as caught:
        made({"lifecycle": lifecycle})
    assert caught.value.field == f"launch_parameters.{field}"
    assert words in caught.value.message
    assert made({"lifecycle": {"after_idle": None, "resume_triggers": None}}) == {}
