"""What the workflows name is there: targets, commands, other workflows and jobs; and they run all that `make test` runs."""

import re
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.stages import LANES

PROJECT = Path(__file__).resolve().parents[3]
GITHUB = PROJECT / ".github"
WORKFLOWS = {path.name: yaml.safe_load(path.read_text(encoding="utf-8")) for path in sorted(GITHUB.glob("workflows/*.y*ml"))}
TARGETS = set(re.findall(r"^([a-z0-9-]+):", (PROJECT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
EXPRESSION = re.compile(r"\$\{\{.*?\}\}")


def scripts(workflow: dict[str, Any]) -> Iterator[str]:
    for job in workflow["jobs"].values():
        yield from (step["run"] for step in job.get("steps", ()) if "run" in step)


def targets(script: str) -> list[str]:
    """What it has `make` do."""
    called = re.findall(r"(?:^|[ \t])make((?:[ \t]+[^\s&|;<>]+)+)", script, re.MULTILINE)
    return [word for words in called for word in words.split() if "=" not in word and not word.startswith("-")]


def test_both_are_there() -> None:
    assert set(WORKFLOWS) == {"ci.yml", "release.yml"}


@pytest.mark.parametrize("name", WORKFLOWS)
def test_every_target_is_one_of_the_makefile(name: str) -> None:
    named = [target for script in scripts(WORKFLOWS[name]) for target in targets(script)]
    assert len(named) >= 4
    assert set(named) <= TARGETS


def test_a_target_that_is_not_there_would_be_seen() -> None:
    assert targets('sudo -E env "PATH=$PATH" make lint nothing CLUSTER=kind && make -s tools') == ["lint", "nothing", "tools"]


def test_side_by_side_they_run_what_make_test_runs() -> None:
    named = {target for script in scripts(WORKFLOWS["ci.yml"]) for target in targets(script)}
    assert {stage for lane in LANES for stage in lane} <= named


def test_the_pythons_that_the_packages_name_are_those_that_are_tested() -> None:
    tested = WORKFLOWS["ci.yml"]["jobs"]["unit"]["strategy"]["matrix"]["python"]
    makefile = (PROJECT / "Makefile").read_text(encoding="utf-8")
    assert re.findall(r"^PYTHONS \?= (.*)$", makefile, re.MULTILINE) == [" ".join(f"python{one}" for one in tested[1:])]
    for file, pythons in (("pyproject.toml", tested), ("client/pyproject.toml", ["3.10", *tested])):
        project = tomllib.loads((PROJECT / file).read_text(encoding="utf-8"))["project"]
        named = re.findall(r"Python :: (3\.\d+)", "\n".join(project["classifiers"]))
        assert named == pythons, file
        assert project["requires-python"] == f">={pythons[0]}"


@pytest.mark.parametrize("name", WORKFLOWS)
def test_what_a_job_waits_for_and_takes_over_is_there(name: str) -> None:
    jobs = WORKFLOWS[name]["jobs"]
    for job in jobs.values():
        needed = job.get("needs", [])
        assert set([needed] if isinstance(needed, str) else needed) <= set(jobs)
        for used in [job.get("uses"), *(step.get("uses") for step in job.get("steps", ()))]:
            if used and used.startswith("./"):
                path = PROJECT / used
                assert path.is_file() or (path / "action.yml").is_file(), used


@pytest.mark.parametrize("name", WORKFLOWS)
def test_scripts_can_be_read_by_the_shell(name: str) -> None:
    for script in scripts(WORKFLOWS[name]):
        done = subprocess.run(["bash", "-n"], input=EXPRESSION.sub("x", script), text=True, capture_output=True, check=False)
        assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("name", WORKFLOWS)
def test_nobody_has_more_rights_than_his_job_needs(name: str) -> None:
    """Who may write is said by the job; all others read."""
    assert WORKFLOWS[name]["permissions"] == {"contents": "read"}


def test_no_pull_request_gets_a_secret_or_a_signature() -> None:
    release = WORKFLOWS["release.yml"]
    assert set(release[True]) == {"push"}  # (YAML's `on` is a truth value)
    assert set(release[True]["push"]) == {"tags"}
    assert "secrets." not in (GITHUB / "workflows" / "ci.yml").read_text(encoding="utf-8")
