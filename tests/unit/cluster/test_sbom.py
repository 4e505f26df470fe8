"""What an image's list must hold."""

from devbox_cluster.paths import PROJECT
from devbox_cluster.sbom import PINNED, SYSTEM, absent, packages

PINS = """\
kopf==1.45.2 \\
    --hash=sha256:00
typing-extensions==4.16.0 \\
    --hash=sha256:11
cffi==2.1.1 ; platform_system == 'X' \\
"""


def _listed(*more: tuple[str, str]) -> set[tuple[str, str]]:
    document = {"packages": [{"name": name, "versionInfo": version} for name, version in [*((n, "1") for n in SYSTEM), *more]]}
    return packages(document)


def test_a_whole_list_lacks_nothing() -> None:
    assert absent(_listed(("kopf", "1.45.2"), ("typing_extensions", "4.16.0")), PINS) == []


def test_another_version_and_a_package_of_the_system_that_is_not_there_are_said() -> None:
    listed = _listed(("kopf", "1.45.1"), ("typing_extensions", "4.16.0")) - {("libc6", "1")}
    assert absent(listed, PINS) == ["kopf==1.45.2", "libc6"]


def test_a_name_that_the_system_and_the_index_share_counts_by_version() -> None:
    assert absent(_listed(("tzdata", "2026b-1"), ("tzdata", "2026.6")), "tzdata==2026.6 \\\n") == []


def test_the_pins_are_read() -> None:
    assert len(absent(_listed(), (PROJECT / PINNED).read_text())) > 30
