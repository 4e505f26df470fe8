"""The changelog's entries: well formed, and none is lost between its file and the release."""

import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[3]
FOLDER = PROJECT / "changelog.d"
SETTINGS = tomllib.loads((PROJECT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["towncrier"]
SORTS = [sort["directory"] for sort in SETTINGS["type"]]
NAME = re.compile(rf"\+[a-z0-9]+(-[a-z0-9]+)*\.({'|'.join(SORTS)})\.md")
LONGEST = 200


def entries(folder: Path = FOLDER) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.name != "README.md")


def problem(path: Path) -> str:
    """What is wrong with an entry; empty where nothing is."""
    if not NAME.fullmatch(path.name):
        return f"{path.name}: its name is no +what-it-is-about.SORT.md, with one of {', '.join(SORTS)}"
    text = path.read_text(encoding="utf-8")
    if not re.fullmatch(r"\S.*\S\n", text) or not text.endswith((".\n", ".)\n")) or text[0] in "-*#":
        return f"{path.name}: write one line that ends in a full stop, without a bullet"
    if len(text) > LONGEST + 1:
        return f"{path.name}: {len(text) - 1} characters; at most {LONGEST} (a reason belongs into the commit, the rest into docs/)"
    return ""


def test_every_entry_is_well_formed() -> None:
    assert not [found for path in entries() if (found := problem(path))]


def test_what_is_not_well_formed_is_told(tmp_path: Path) -> None:
    wrong = {
        "fix.fixed.md": "Something.\n",
        "+Fix.fixed.md": "Something.\n",
        "+fix.fix.md": "Something.\n",
        "+fix.fixed.rst": "Something.\n",
        "+bullet.fixed.md": "- Something.\n",
        "+two.fixed.md": "Something.\nAnd more.\n",
        "+none.fixed.md": "",
        "+end.fixed.md": "Something\n",
        "+long.fixed.md": "x" * LONGEST + ".\n",
    }
    for name, text in wrong.items():
        (tmp_path / name).write_text(text)
        assert name in problem(tmp_path / name), name
    (tmp_path / "+right.fixed.md").write_text("Something (but not all.)\n")
    assert not problem(tmp_path / "+right.fixed.md")


def test_the_changelog_itself_tells_of_releases_alone() -> None:
    sections = re.findall(r"^## (.*)$", (PROJECT / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE)
    unreleased = [name for name in sections if not re.fullmatch(r"\[\d+\.\d+\.\d+\] - \d{4}-\d\d-\d\d", name)]
    assert not unreleased, "an entry is a file of its own: changelog.d/README.md"


def test_a_release_has_all_of_them_and_leaves_none(tmp_path: Path) -> None:
    shutil.copytree(FOLDER, tmp_path / FOLDER.name)
    for name in ("pyproject.toml", "CHANGELOG.md"):
        shutil.copy(PROJECT / name, tmp_path)
    (tmp_path / FOLDER.name / "+one.added.md").write_text("There is one more.\n")
    before = (tmp_path / "CHANGELOG.md").read_text(encoding="utf-8")
    texts = [path.read_text(encoding="utf-8").strip() for path in entries(tmp_path / FOLDER.name)]
    command = [sys.executable, "-m", "towncrier", "build", "--yes", "--version", "9.8.7", "--date", "2030-01-02"]
    subprocess.run(["git", "init", "-q", str(tmp_path)], check=True)
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)
    after = (tmp_path / "CHANGELOG.md").read_text(encoding="utf-8")
    head, old = before.split(SETTINGS["start_string"])
    assert after.startswith(f"{head}{SETTINGS['start_string']}\n## [9.8.7] - 2030-01-02\n\n### Added\n")
    assert after.endswith(old)
    lines = after.splitlines()
    assert [text for text in texts if f"- {text}" not in lines] == []
    assert entries(tmp_path / FOLDER.name) == []
