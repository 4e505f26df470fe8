"""The calls that users know from elsewhere: both clients have them, in both spellings, and refuse by name what is not there."""

import importlib
import inspect
import pkgutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import devbox_gateway
from devbox_gateway import AsyncDevboxGateway, DevboxGateway, InvalidError
from devbox_gateway.polling import seconds_of

from .kubeconfigs import KUBECONFIG

COLLECTIONS = {
    ("gateway_config", "gateway_configs"): {"create", "list", "from_id"},
    ("secret", "secrets"): {"create", "list", "from_id", "from_name", "update", "delete"},
    ("network_policy", "network_policies"): {"create", "list", "from_id"},
    ("devbox", "devboxes"): {"create", "create_async", "list", "from_id", "from_name"},
}
OBJECTS = {
    "gateway_configs": {"id", "name", "get_info", "update", "delete"},
    "secrets": {"id", "name", "get_info", "update", "delete"},
    "network_policies": {"id", "name", "get_info", "update", "delete"},
    "devboxes": {"id", "cmd", "file", "files", "get_info", "await_running", "await_suspended", "suspend", "resume", "resume_async",
                 "keep_alive", "restart", "shutdown", "logs"},
}  # fmt: skip


@pytest.fixture(params=[AsyncDevboxGateway, DevboxGateway])
def client(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Any]:
    (tmp_path / "kubeconfig").write_text(KUBECONFIG)
    made = request.param(kubeconfig=tmp_path / "kubeconfig")
    yield made
    if isinstance(made, DevboxGateway):
        made.close()


def test_both_spellings(client: Any) -> None:
    for (singular, plural), calls in COLLECTIONS.items():
        assert getattr(client, singular) is getattr(client, plural)
        assert calls <= set(dir(getattr(client, plural)))
        assert {"create", "retrieve", "list", "update", "delete"} <= set(dir(getattr(client.api, plural)))
        with pytest.raises(InvalidError):
            getattr(client, plural).from_id("")


def test_objects_have_their_calls(client: Any) -> None:
    for plural, calls in OBJECTS.items():
        assert calls <= set(dir(getattr(client, plural).from_id("a")))


def test_the_synchronous_client_has_the_same_arguments(tmp_path: Path) -> None:
    (tmp_path / "kubeconfig").write_text(KUBECONFIG)
    there = AsyncDevboxGateway(kubeconfig=tmp_path / "kubeconfig")
    with DevboxGateway(kubeconfig=tmp_path / "kubeconfig") as here:
        for plural in OBJECTS:
            for one, other in ((getattr(there, plural), getattr(here, plural)),
                               (getattr(there, plural).from_id("a"), getattr(here, plural).from_id("a"))):  # fmt: skip
                for name, method in inspect.getmembers(one, inspect.ismethod):
                    # (What goes on and on is for `async for` alone.)
                    if not name.startswith("_") and not inspect.isasyncgenfunction(method):
                        assert inspect.signature(method).parameters == inspect.signature(getattr(other, name)).parameters, name


MODULES = [
    module.name for module in pkgutil.walk_packages(devbox_gateway.__path__, "devbox_gateway.") if "__main__" not in module.name
]


@pytest.mark.parametrize("name", MODULES)
def test_signatures_can_be_asked_for(name: str) -> None:
    """By editors, documentation, and the synchronous client. Python 3.14 evaluates annotations then, in the class that they stand in."""
    module = importlib.import_module(name)
    classes = [one for _, one in inspect.getmembers(module, inspect.isclass) if one.__module__ == name]
    for owner in (module, *classes):
        for _, function in inspect.getmembers(owner, inspect.isfunction):
            inspect.signature(function)


@pytest.mark.parametrize(
    ("given", "seconds"),
    [
        (None, 7.0),
        ({}, 7.0),
        ({"timeout_seconds": 3}, 3.0),
        ({"max_attempts": 4, "interval_seconds": 0.5}, 2.0),
        ({"max_attempts": 4}, 4.0),
    ],
)
def test_a_polling_configuration_is_a_time_out(given: Any, seconds: float) -> None:
    assert seconds_of(7.0, given) == seconds


@pytest.mark.parametrize("given", [3, {"timeout_seconds": "long"}, {"max_attempts": []}])
def test_one_of_another_form_is_refused(given: Any) -> None:
    with pytest.raises(InvalidError, match="polling_config"):
        seconds_of(7.0, given)
