"""When memory counts as scarce (reliability §4, C13)."""

from pathlib import Path

import pytest

from devbox_proxy import memory
from devbox_proxy.memory import Memory, resident

MIB = 1 << 20


def group(folder: Path, **files: str) -> Path:
    for name, text in files.items():
        (folder / f"memory.{name}").write_text(text)
    return folder


@pytest.mark.parametrize(
    ("current", "inactive", "scarce"),
    [(84, 0, False), (86, 0, True), (95, 20, False), (110, 20, True)],
)
def test_what_the_kernel_would_give_up_first_does_not_count(tmp_path: Path, current: int, inactive: int, scarce: bool) -> None:
    stat = f"anon 1\nactive_file 99\ninactive_file {inactive * MIB}\n"
    subject = Memory(85, group(tmp_path, max=f"{100 * MIB}\n", current=f"{current * MIB}\n", stat=stat))
    subject.look()
    assert subject.scarce is scarce


def test_without_the_groups_figure_the_process_counts(tmp_path: Path) -> None:
    subject = Memory(50, group(tmp_path, max=str(resident() * 3)))
    subject.look()
    assert not subject.scarce
    subject = Memory(50, group(tmp_path, max=str(resident())))
    subject.look()
    assert subject.scarce


@pytest.mark.parametrize("files", [{"max": "max\n"}, {}])
def test_without_a_limit_nothing_is_scarce(tmp_path: Path, files: dict[str, str]) -> None:
    subject = Memory(1, group(tmp_path, current=str(1 << 50), **files))
    subject.look()
    assert not subject.scarce


def test_it_gives_freed_memory_back_before_it_calls_it_scarce(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = group(tmp_path, max="100", current="90", stat="")
    monkeypatch.setattr(memory, "_trim", lambda: group(folder, current="80"))
    subject = Memory(85, folder)
    subject.look()
    assert not subject.scarce
    group(folder, current="90")
    subject.look()
    assert subject.scarce, "not in each look: it takes time"
