"""examples/ are what their README says: valid, Devboxes first, no namespace of their own, no key, and the hosts granted."""

from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml

from devbox_api import names
from devbox_api.devbox import DevboxSpec
from devbox_api.egresspolicy import EgressPolicySpec
from devbox_api.gatewayconfig import GatewayConfigSpec
from devbox_cluster.images import EXAMPLES_IMAGE
from devbox_stage.stage import DEVBOXES, SECRETS
from devbox_stage.upstream import HOSTS

FOLDER = Path(__file__).parents[3] / "examples"


def objects(folder: Path) -> list[dict[str, Any]]:
    """In the order in which kubectl takes them."""
    return [one for path in sorted(folder.glob("*.yaml")) for one in yaml.safe_load_all(path.read_text(encoding="utf-8"))]


@pytest.mark.parametrize("folder", [FOLDER, FOLDER / "teams"], ids=["examples", "examples/teams"])
def test_every_object_is_valid_and_every_secret_is_granted(folder: Path) -> None:
    for one in objects(folder):
        match one["kind"]:
            case "Devbox":
                assert DevboxSpec.model_validate(one["spec"]).image == EXAMPLES_IMAGE
            case "GatewayConfig":
                GatewayConfigSpec.model_validate(one["spec"])
            case "EgressPolicy":
                EgressPolicySpec.model_validate(one["spec"])
            case "Secret":
                assert one["metadata"]["annotations"][names.ALLOWED_HOSTS_ANNOTATION] in HOSTS.values()
                assert all(value.startswith("put-") for value in one["stringData"].values())
            case kind:
                pytest.fail(f"an example of kind {kind}")


def test_devboxes_stand_first_so_that_deleting_goes_through_at_once() -> None:
    kinds = [one["kind"] for one in objects(FOLDER)]
    assert kinds == sorted(kinds, key=["Devbox", "Secret", "GatewayConfig", "EgressPolicy"].index)
    assert not any("namespace" in one["metadata"] for one in objects(FOLDER))


def test_the_demo_knows_the_examples() -> None:
    found = {kind: [one for one in objects(FOLDER) if one["kind"] == kind] for kind in ("Devbox", "GatewayConfig", "Secret")}
    assert tuple(one["metadata"]["name"] for one in found["Devbox"]) == DEVBOXES
    assert {one["metadata"]["name"]: list(one["stringData"]) for one in found["Secret"]} == {
        name: [key] for name, (key, _, _) in SECRETS.items()
    }
    # (Gemini's is for `make agents` alone.)
    named = {host for api, host in HOSTS.items() if api != "google"}
    assert {urlsplit(one["spec"]["endpoint"]).hostname for one in found["GatewayConfig"]} == named
