"""A link between our pages leads to a page that is there, and to a heading of it."""

import re
import subprocess
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parents[3]
PAGES = sorted(
    PROJECT / name
    for name in subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard", "*.md"], cwd=PROJECT, capture_output=True, text=True, check=True
    ).stdout.splitlines()
    if (PROJECT / name).is_file()
)
LINK = re.compile(r"\]\((?!https?:|mailto:)([^)#\s]*)(?:#([^)\s]*))?\)")


def anchors(page: Path) -> set[str]:
    """Of its headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def broken(page: Path) -> list[str]:
    """Links that lead nowhere."""
    found = []
    for name, anchor in LINK.findall(page.read_text(encoding="utf-8")):
        to = (page.parent / name).resolve() if name else page
        if not to.exists() or (anchor and to.suffix == ".md" and anchor not in anchors(to)):
            found.append(f"{name}#{anchor}" if anchor else name)
    return found


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(PROJECT)))
def test_links_lead_somewhere(page: Path) -> None:
    assert not broken(page)


def test_one_that_leads_nowhere_is_found(tmp_path: Path) -> None:
    (tmp_path / "one.md").write_text(
        "# One thing's *name*\n\n[a](#one-things-name) [b](#two) [c](three.md) [d](one.md#four) [e](https://x.example)\n"
    )
    assert broken(tmp_path / "one.md") == ["#two", "three.md", "one.md#four"]


def test_the_index_has_every_page() -> None:
    docs = PROJECT / "docs"
    linked = {(docs / name).resolve() for name, _ in LINK.findall((docs / "README.md").read_text(encoding="utf-8")) if name}
    assert {page for page in docs.glob("*.md") if page.name != "README.md"} <= linked
    assert {docs / "decisions", docs / "results" / "README.md", docs / "results" / "lab" / "README.md"} <= linked
    lab = docs / "results" / "lab"
    assert {page.name for page in lab.glob("*.md")} == {
        "README.md",
        *(name for name, _ in LINK.findall((lab / "README.md").read_text()) if "/" not in name),
    }


FILES = {
    Path(name).name
    for name in subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard", "*.py"], cwd=PROJECT, capture_output=True, text=True, check=True
    ).stdout.splitlines()
    if (PROJECT / name).is_file()
}
SOMEBODYS = {"agent.py", "main.py"}
"""Programs of readers'."""
HOUSES = ("proxy", "operator", "common", "crds", "init", "clone", "client", "cluster", "demo", "bench")


def named(text: str) -> set[str]:
    """Files of Python that a text names, without their folders."""
    return set(re.findall(r"(?<![\w*<-])([a-z_]\w*\.py)\b", text))


def test_files_that_pages_and_code_name_are_there() -> None:
    texts = [*PAGES, *(path for house in HOUSES for path in sorted((PROJECT / house).rglob("*.py")))]
    history = {PROJECT / "CHANGELOG.md"}  # (says what was)
    gone = {
        f"{path.relative_to(PROJECT)}: {name}"
        for path in texts
        if path not in history and "results" not in path.parts and ".cluster" not in path.parts
        for name in named(path.read_text(encoding="utf-8")) - FILES - SOMEBODYS
    }
    assert not gone
    assert named("see wire/reader.py, not *.py") == {"reader.py"}


def test_commands_and_faults_that_pages_name_are_there() -> None:
    targets = set(re.findall(r"^([a-z0-9-]+):", (PROJECT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    faults = "".join(
        (PROJECT / "tests" / "chaos" / name).read_text(encoding="utf-8") for name in ("cases.py", "operator/cases.py")
    )
    named_targets, named_faults = set(), set()
    for page in PAGES:
        if page.name == "CHANGELOG.md":  # (says what was)
            continue
        text = page.read_text(encoding="utf-8")
        named_targets |= {word for line in re.findall(r"`make ([a-z0-9 -]+)", text) for word in line.split()}
        named_faults |= {
            name
            for line in re.findall(r"chaos (`[a-z-]+`(?:(?:,| and| to) `[a-z-]+`)*)", text)
            for name in re.findall(r"`(.+?)`", line)
        }
    assert named_targets - targets == set()
    assert len(named_faults) > 10
    assert {name for name in named_faults if f'"{name}":' not in faults} == set()
