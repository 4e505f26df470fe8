"""What has to be true before a version is published."""

from pathlib import Path

import pytest

from devbox_cluster.progress import ClusterError
from devbox_cluster.release import notes

CHANGELOG = "# Changelog\n\n## [0.2.0] - 2030-01-02\n\n### Added\n\n- A thing.\n\n## [0.1.0] - 2029-01-01\n\n- Another.\n"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A work tree that is 0.2.0."""
    (tmp_path / "CHANGELOG.md").write_text(CHANGELOG)
    (tmp_path / "changelog.d").mkdir()
    (tmp_path / "changelog.d" / "README.md").write_text("How.\n")
    (tmp_path / "charts" / "devbox-gateway").mkdir(parents=True)
    (tmp_path / "charts" / "devbox-gateway" / "Chart.yaml").write_text('version: 0.2.0\nappVersion: "0.2.0"\n')
    (tmp_path / "pyproject.toml").write_text('[project]\nversion = "0.2.0"\n')
    return tmp_path


def test_a_release_says_what_is_new_in_it_and_nothing_of_the_one_before(project: Path) -> None:
    assert notes(project, "0.2.0") == "### Added\n\n- A thing."


def test_all_that_is_missing_is_told_at_once(project: Path) -> None:
    (project / "changelog.d" / "+one.fixed.md").write_text("Something.\n")
    (project / "pyproject.toml").write_text('[project]\nversion = "0.1.0"\n')
    with pytest.raises(ClusterError) as refused:
        notes(project, "0.3.0")
    for part in ("pyproject.toml says 0.1.0", "appVersion says 0.2.0", "make changelog VERSION=0.3.0", "nothing of 0.3.0"):
        assert part in str(refused.value)


def test_a_version_is_no_pattern(project: Path) -> None:
    with pytest.raises(ClusterError):
        notes(project, "0.2.*")
