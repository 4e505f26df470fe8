"""From the arguments of devboxes.create to a spec."""

from typing import Any

import pytest

from devbox_api import names
from devbox_gateway.errors import InvalidError
from devbox_gateway.objects.devbox_spec import spec_of


def spec(launch: dict[str, Any] | None = None, **given: Any) -> dict[str, Any]:
    nothing: dict[str, Any] = {"image": None, "command": None, "entrypoint": None, "policy": None, "more": {}}
    empty: dict[str, Any] = {"bindings": [], "environment": {}, "secret_env": {}, "code_mounts": []}
    return spec_of(**{**nothing, **empty, "launch": launch or {}, **given})


def test_by_itself_it_stays() -> None:
    assert spec() == {"command": list(names.STAY)}
    assert spec(secret_env={"A": "a"})["secretEnv"] == [{"name": "A", "secretRef": {"name": "a"}}]


@pytest.mark.row("S23")
def test_a_size_is_the_charts_or_ones_own() -> None:
    assert spec({"resource_size_request": "LARGE"})["resourceSize"] == "LARGE"
    for size in ({"resource_size_request": "CUSTOM_SIZE"}, {}):
        made = spec({**size, "custom_cpu_cores": 0.5, "custom_gb_memory": 5, "custom_disk_size": 8})
        assert made["resources"]["limits"] == {"cpu": "0.5", "memory": "5Gi", "ephemeral-storage": "8Gi"}
        assert made["resources"]["requests"] == made["resources"]["limits"]
        assert "resourceSize" not in made


@pytest.mark.parametrize(
    ("launch", "field", "words"),
    [
        ({"resource_size_request": 3}, "resource_size_request", "text belongs here"),
        ({"resource_size_request": "SMALL", "custom_cpu_cores": 1}, "resource_size_request", "write CUSTOM_SIZE"),
        ({"resource_size_request": "CUSTOM_SIZE"}, "custom_cpu_cores", "needs one or more"),
        *(
            ({"custom_gb_memory": value}, "custom_gb_memory", "above 0")
            for value in (0, -1, True, "5", float("nan"), float("inf"))
        ),
    ],
)
def test_a_size_that_is_none(launch: dict[str, Any], field: str, words: str) -> None:
    with pytest.raises(InvalidError, match=words) as caught:
        spec(launch)
    assert caught.value.field == f"launch_parameters.{field}"


@pytest.mark.parametrize(
    ("seconds", "ttl"), [(60, "1m"), (90, "90s"), (3600, "1h"), (5400, "90m"), (86_400, "24h"), (7_776_000, "2160h")]
)
def test_one_that_is_kept_alive_for_a_time_ends_after_it(seconds: int, ttl: str) -> None:
    """The cluster's doing, whatever runs in it."""
    for given in ({}, {"command": ["agent"]}, {"entrypoint": "agent"}):
        made = spec({"keep_alive_time_seconds": seconds}, **given)
        assert made["lifecycle"] == {"ttl": ttl}
        assert made == {**spec(**given), "lifecycle": {"ttl": ttl}}


@pytest.mark.parametrize("value", [0, -1, 59, 7_776_001, "300", True, 90.0, [300]])
def test_a_time_that_is_none(value: object) -> None:
    with pytest.raises(InvalidError, match="seconds from 60 to 7776000"):
        spec({"keep_alive_time_seconds": value})


def test_what_the_chart_would_have_to_do_is_asked_of_the_chart() -> None:
    """Which refuses what it has no fields for."""
    idle = {"idle_time_seconds": 60, "on_idle": "suspend"}
    for launch in ({"after_idle": idle}, {"lifecycle": {"after_idle": idle}}):
        made = spec({**launch, "keep_alive_time_seconds": 300})
        assert made["lifecycle"] == {"idle": {"after": "1m", "action": "Suspend"}}, "with an idle time there is no other end"
        assert made["command"] == list(names.STAY)


@pytest.mark.row("S23")
def test_launch_commands_come_before_what_it_runs() -> None:
    assert spec({"launch_commands": ["npm ci", "make"]}) == {"command": list(names.STAY), "launchCommands": ["npm ci", "make"]}
    assert spec({"launch_commands": ("make",)}, command=["agent"])["command"] == ["agent"]
    assert "launchCommands" not in spec({"launch_commands": None})


@pytest.mark.parametrize("value", ["npm ci", b"npm ci", {"a": "b"}, 3, [["npm", "ci"]], [1]])
def test_launch_commands_that_are_none(value: object) -> None:
    with pytest.raises(InvalidError) as caught:
        spec({"launch_commands": value})
    assert caught.value.field == "launch_parameters.launch_commands"


@pytest.mark.parametrize(
    ("idle", "words"),
    [
        ({"idle_time_seconds": 59}, "idle_time_seconds: write a whole number of seconds from 60"),
        ({"idle_time_seconds": "1h"}, "idle_time_seconds: write a whole number"),
        ({"on_idle": "suspend"}, "idle_time_seconds: write a whole number"),
        ({"idle_time_seconds": 60, "on_idle": "resume"}, "on_idle: write one of shutdown, suspend"),
        ({"idle_time_seconds": 60, "on_idle": None}, "on_idle: write one of"),
        ({"idle_time_seconds": 60, "colour": "red"}, "after_idle.colour: not known here"),
        (60, "after_idle: names with values"),
    ],
)
def test_an_idle_time_that_is_none(idle: object, words: str) -> None:
    with pytest.raises(InvalidError, match=words):
        spec({"after_idle": idle})
