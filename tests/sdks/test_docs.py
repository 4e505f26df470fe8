"""docs/clients.md names the versions that are tried here."""

import json
from pathlib import Path

import pytest

from .client import Client
from .sdks import SDKS, Sdk

LOCKS = ("requirements/sdks.txt", "requirements/demo-anthropic1.txt")


def locked(project: Path) -> set[str]:
    """`| title version |` of everything in the lock files."""
    lines = [line for lock in LOCKS for line in (project / lock).read_text().splitlines() if "==" in line]
    pinned = [line.split(" ")[0].partition("==") for line in lines]
    packages = json.loads((project / "tests/sdks/package-lock.json").read_text())["packages"]
    return {f"| {name} (Python) {version} |" for name, _, version in pinned} | {
        f"| {path.removeprefix('node_modules/')} (TypeScript) {package['version']} |"
        for path, package in packages.items()
        if path
    }


def test_the_lock_files_have_them(project_root: Path) -> None:
    text = (project_root / "docs" / "clients.md").read_text()
    rows = [row for row in locked(project_root) if row in text]
    assert len(rows) == len(SDKS), "docs/clients.md has a row `| package (language) version |` for each SDK"


@pytest.mark.asyncio(loop_scope="session")
@pytest.mark.parametrize("sdk", SDKS, ids=lambda sdk: sdk.name)
async def test_the_clients_are_these(project_root: Path, sdk: Sdk, client: Client) -> None:
    text = (project_root / "docs" / "clients.md").read_text()
    assert f"| {sdk.title} {await client.version()} |" in text


def test_no_registry_is_named(project_root: Path) -> None:
    for lock in ("requirements/sdks.txt", "tests/sdks/package-lock.json"):
        assert "://" not in (project_root / lock).read_text()
