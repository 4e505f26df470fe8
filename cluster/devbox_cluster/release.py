"""What a release has to be before anything of it is published: one version everywhere, and a changelog that tells of it.

Goes in: the work tree, a version. Comes out: the changelog's section of it, or a ClusterError with what to do first.
"""

import re
import tomllib
from pathlib import Path

import yaml

from .progress import ClusterError


def notes(project: Path, version: str) -> str:
    """What the changelog says of the version. Raises ClusterError, which names all that is missing."""
    said = _section((project / "CHANGELOG.md").read_text(encoding="utf-8"), version)
    wrong = [f"{where} says {found}" for where, found in _versions(project).items() if found != version]
    if left := sorted(path.name for path in (project / "changelog.d").glob("*.md") if path.name != "README.md"):
        wrong.append(
            f"changelog.d has {len(left)} entries of no release, such as {left[0]}; run: make changelog VERSION={version}"
        )
    if not said:
        wrong.append(f"CHANGELOG.md has nothing of {version}")
    if wrong:
        raise ClusterError(f"this is not {version} yet: {'; '.join(wrong)}")
    return said


def _versions(project: Path) -> dict[str, str]:
    """File and what is said there."""
    chart = yaml.safe_load((project / "charts" / "devbox-gateway" / "Chart.yaml").read_text(encoding="utf-8"))
    package = tomllib.loads((project / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    return {
        "Chart.yaml's version": str(chart["version"]),
        "Chart.yaml's appVersion": str(chart["appVersion"]),
        "pyproject.toml": package,
    }


def _section(changelog: str, version: str) -> str:
    found = re.search(rf"^## \[{re.escape(version)}\][^\n]*\n(.*?)(?=^## |\Z)", changelog, re.MULTILINE | re.DOTALL)
    return found[1].strip() if found else ""
