"""What a newcomer pastes: nothing overwrites a key that another page had him make, and everything is deleted in the order of its file."""

import os
import re
import subprocess
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.support.pages import PROJECT, blocks, first_devbox, guards_removal, here_documents, objects, readme_objects

from devbox_api.devbox import DevboxSpec
from devbox_api.egresspolicy import EgressPolicySpec
from devbox_api.gatewayconfig import GatewayConfigSpec
from devbox_gateway.version import __version__ as client_version

ORDER = ["Devbox", "Secret", "GatewayConfig", "EgressPolicy"]
SPECS: dict[str, Any] = {"Devbox": DevboxSpec, "GatewayConfig": GatewayConfigSpec, "EgressPolicy": EgressPolicySpec}
OWN = "devbox-examples"
"""The namespace that the pages give to examples/."""
CURRENT = "the reader's own"


def secrets() -> list[tuple[str, str, str]]:
    """(namespace, name, where) of every Secret that a page or an example makes."""
    found = [(CURRENT, one["metadata"]["name"], "README.md") for one in objects(readme_objects()) if one["kind"] == "Secret"]
    for page in ("README.md", *sorted(f"docs/{path.name}" for path in (PROJECT / "docs").glob("*.md"))):
        for script in blocks(page, "sh"):
            made = re.findall(r"kubectl(?: -n (\S+))? create secret generic (\S+)", script)
            found += [(namespace or CURRENT, name, page) for namespace, name in made]
    for path in sorted((PROJECT / "examples").rglob("*.yaml")):
        for one in yaml.safe_load_all(path.read_text(encoding="utf-8")):
            if one["kind"] == "Secret":
                namespace = one["metadata"].get("namespace", OWN)
                found.append((namespace, one["metadata"]["name"], f"examples/{path.relative_to(PROJECT / 'examples')}"))
    return found


def test_no_two_pages_make_the_same_secret() -> None:
    places = Counter((namespace, name) for namespace, name, _ in secrets())
    twice = [one for one in secrets() if places[one[:2]] > 1]
    assert not twice
    assert {where for _, _, where in secrets()} >= {"README.md", "docs/install.md", "examples/20-secrets.yaml"}


def test_examples_are_applied_in_a_namespace_of_their_own() -> None:
    pages = [PROJECT / "README.md", *(PROJECT / "docs").glob("*.md"), *(PROJECT / "examples").rglob("*"),
             PROJECT / "charts" / "devbox-gateway" / "templates" / "NOTES.txt"]  # fmt: skip
    told = 0
    for path in filter(Path.is_file, pages):
        for line in path.read_text(encoding="utf-8").splitlines():
            if re.match(r"\s*(#\s*)?kubectl .*(apply|delete) -f examples/(\s|$)", line):
                assert f"-n {OWN} " in line, f"{path.name}: {line.strip()}"
                told += 1
    assert told >= 3


@pytest.mark.parametrize("text", [readme_objects(), *here_documents(first_devbox())], ids=["README.md", "docs/install.md"])
def test_what_is_to_be_applied_is_valid_and_has_what_is_used_behind_what_uses_it(text: str) -> None:
    kinds = [one["kind"] for one in objects(text)]
    assert kinds == sorted(kinds, key=ORDER.index)
    assert kinds[0] == "Devbox"
    for one in objects(text):
        if one["kind"] in SPECS:
            SPECS[one["kind"]].model_validate(one["spec"])


def test_no_page_has_what_is_used_before_what_uses_it() -> None:
    """Or its file could be applied, and not deleted."""
    for path in (PROJECT / "docs").glob("*.md"):
        for block in blocks(f"docs/{path.name}", "yaml"):
            kinds = [one["kind"] for one in objects(block) if one["kind"] in ORDER]
            assert kinds == sorted(kinds, key=ORDER.index), path.name


def test_what_the_readme_shows_runs_without_an_image_of_the_readers() -> None:
    """The demo's cluster has a default one, and so has whoever installs it as the page says."""
    shown = [*blocks("README.md", "sh"), *blocks("README.md", "python")]
    assert not [block for block in shown if re.search(r"--image\b|image=", block.replace("--set image", ""))]
    assert "image" not in objects(readme_objects())[0]["spec"]
    (install,) = [block for block in shown if "helm install devbox-gateway charts" in block]
    assert "--set devboxes.defaultImage=" in install
    demo = (PROJECT / "demo" / "devbox_demo" / "__main__.py").read_text(encoding="utf-8")
    assert '"defaultImage": images.EXAMPLES_IMAGE' in demo


def test_the_readme_says_which_versions_there_are() -> None:
    chart = yaml.safe_load((PROJECT / "charts" / "devbox-gateway" / "Chart.yaml").read_text(encoding="utf-8"))["version"]
    said = f"The chart has version {chart.rpartition('.')[0]}, the Python client {client_version.rpartition('.')[0]}, the API is `v1alpha1`"
    assert said in (PROJECT / "README.md").read_text(encoding="utf-8")


def test_whoever_installs_or_upgrades_names_the_image_that_he_pushed() -> None:
    """Its tag is made of its content; an upgrade that names none keeps the old one, which does not know the new settings."""
    told = 0
    for page in ("README.md", "docs/install.md"):
        for script in blocks(page, "sh"):
            for line in script.replace("\\\n", " ").splitlines():
                if re.match(r"helm (install|upgrade) devbox-gateway charts/", line):
                    assert "--set image.tag=TAG" in line, f"{page}: {line}"
                    told += 1
    assert told == 3


@pytest.mark.parametrize(
    ("listing", "deleted"),
    [("exit 1", 0), ("echo pod/agent-0123456789", 0), ("true", 2)],
    ids=["pods can't be listed", "a pod", "no pod"],
)
def test_guards_are_taken_away_where_it_is_certain_that_they_hold_nobody(tmp_path: Path, listing: str, deleted: int) -> None:
    log = tmp_path / "log"
    fake = tmp_path / "kubectl"
    fake.write_text(f'#!/bin/sh\nif [ "$1" = get ]; then {listing}; else echo "$*" >>"{log}"; fi\n')
    fake.chmod(0o755)
    environment = {"PATH": f"{tmp_path}:{os.defpath}"}
    subprocess.run(["sh", "-c", guards_removal()], env=environment, check=False)
    assert len(log.read_text().splitlines() if log.exists() else []) == deleted
