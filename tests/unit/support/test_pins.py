"""What builds and tests take from elsewhere is named by what it is, and not by a tag, which is whatever its owner makes of it later."""

import json
import re
from pathlib import Path

import pytest
import yaml

from devbox_cluster import context

PROJECT = Path(__file__).resolve().parents[3]
DOCKERFILES = sorted(PROJECT.glob("images/*/Dockerfile"))
WORKFLOWS = [*sorted(PROJECT.glob(".github/workflows/*.y*ml")), *sorted(PROJECT.glob(".github/actions/*/action.yml"))]
BASE = re.compile(r"ARG BASE=docker\.io/library/python:[a-z0-9.-]+@sha256:[0-9a-f]{64}")
STAGES = ("${BASE}", "scratch", "dependencies", "toolchain")
USES = re.compile(r"[\w-]+/[\w-]+(/[\w/-]+)?@[0-9a-f]{40}")


def lines(path: Path, word: str) -> list[str]:
    return [line for line in path.read_text(encoding="utf-8").splitlines() if line.startswith(word)]


@pytest.mark.parametrize("path", DOCKERFILES, ids=lambda path: path.parent.name)
def test_an_image_is_built_on_a_base_of_one_digest(path: Path) -> None:
    (base,) = lines(path, "ARG BASE=")
    assert BASE.fullmatch(base), f"{base}: write the digest behind the tag (CONTRIBUTING.md)"
    assert all(line.split()[1] in STAGES for line in lines(path, "FROM "))


def test_all_images_have_the_same_base() -> None:
    assert len(DOCKERFILES) == 7
    assert len({line for path in DOCKERFILES for line in lines(path, "ARG BASE=")}) == 1


def test_all_that_is_laid_out_for_an_image_is_for_its_python() -> None:
    makefile = (PROJECT / "Makefile").read_text(encoding="utf-8")
    assert f"\nIMAGE_PYTHON := {context.PYTHON}\n" in makefile
    for path in DOCKERFILES:
        text = path.read_text(encoding="utf-8")
        assert set(re.findall(r"python:?(3\.\d+)", text)) == {context.PYTHON}, path


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_an_action_is_named_by_its_commit(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    document = yaml.safe_load(text)
    jobs = document.get("jobs", {"": document.get("runs")}).values()
    used = [one["uses"] for job in jobs for one in (job, *job.get("steps", ())) if "uses" in one]
    assert len(used) == len(re.findall(r"^\s*(?:- )?uses:", text, re.MULTILINE)) > 0
    for action in used:
        if action.startswith("./"):
            continue
        assert USES.fullmatch(action), f"{action}: write the commit of the version (CONTRIBUTING.md)"
        assert re.search(rf"{re.escape(action)} # v\d+\.\d+\.\d+$", text, re.MULTILINE), f"{action}: its version is its comment"


def test_something_renews_both() -> None:
    renovate = json.loads((PROJECT / ".github" / "renovate.json").read_text(encoding="utf-8"))
    assert set(renovate["enabledManagers"]) == {"dockerfile", "github-actions"}
