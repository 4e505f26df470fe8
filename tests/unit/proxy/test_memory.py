"""When there is room for one more request (reliability §4, C13)."""

import time
from pathlib import Path

import pytest

from devbox_proxy.kit import memory
from devbox_proxy.kit.memory import Memory, resident

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
    subject.look(0, 0)
    assert subject.room(0) is not scarce


def test_without_the_groups_figure_the_process_counts(tmp_path: Path) -> None:
    subject = Memory(50, group(tmp_path, max=str(resident() * 3)))
    subject.look(0, 0)
    assert subject.room(0)
    subject = Memory(50, group(tmp_path, max=str(resident())))
    subject.look(0, 0)
    assert not subject.room(0)


@pytest.mark.parametrize("files", [{"max": "max\n"}, {}])
def test_without_a_limit_nothing_is_scarce(tmp_path: Path, files: dict[str, str]) -> None:
    subject = Memory(1, group(tmp_path, current=str(1 << 50), **files))
    subject.look(0, 0)
    assert subject.room(0)


def test_it_gives_freed_memory_back_before_it_calls_it_scarce(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = group(tmp_path, max="100", current="90", stat="")
    monkeypatch.setattr(memory, "give_back", lambda: group(folder, current="80"))
    subject = Memory(85, folder)
    subject.look(0, 0)
    assert subject.room(0)
    group(folder, current="90")
    subject.look(0, 0)
    assert not subject.room(0), "not in each look: it takes time"


@pytest.mark.parametrize("files", [{"max": str(100 * MIB), "current": str(MIB), "stat": ""}, {}])
def test_it_gives_freed_memory_back_now_and_then(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, files: dict[str, str]
) -> None:
    present, times = 1000.0, []
    monkeypatch.setattr(time, "monotonic", lambda: present)
    monkeypatch.setattr(memory, "give_back", lambda: times.append(present))
    subject = Memory(85, group(tmp_path, **files))
    for _ in range(50):
        present += 0.5
        subject.look(0, 0)
    assert times == [1010.0, 1020.0]


def test_what_has_just_begun_may_still_grow(tmp_path: Path) -> None:
    subject = Memory(85, group(tmp_path, max=str(100 * MIB), current=str(65 * MIB), stat=""))
    assert subject.room(1000), "not looked at yet"
    subject.look(10, 0)
    subject.look(10, 0)
    assert subject.room(10 + 19)
    assert not subject.room(10 + 20), "20 MiB are left, and each may take one"
    subject.look(29, 0)
    assert not subject.room(30), "what came since the look before this one has not grown yet"
    subject.look(29, 0)
    assert subject.room(30), "now it has, or will not"
    assert subject.room(0), "others have ended"


def test_some_memory_is_left_to_say_no_with(tmp_path: Path) -> None:
    folder = group(tmp_path, max=str(100 * MIB), current=str(90 * MIB), stat="")
    subject = Memory(80, folder)
    subject.look(0, 50)
    subject.look(0, 50)
    assert not subject.room(1)
    assert not subject.room_to_refuse(50)
    group(folder, current=str(89 * MIB))
    subject.look(0, 50)
    assert subject.room_to_refuse(50)
    assert subject.room_to_refuse(50 + 12)
    assert not subject.room_to_refuse(50 + 13), "1 MiB is left for connections"
