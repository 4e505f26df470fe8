"""Gateway and operator as real processes: nobody of their own user reads their memory, and they may have all files that there may be."""

import json
import resource
import subprocess
import sys
from typing import Final

import pytest
from tests.support.gateway_process import FILES
from tests.support.programs import FIRST, as_user, limit_of, said, started

from devbox_common.process import raise_open_files

OTHER: Final = (
    "import ctypes, json, sys\n"
    "pid, said = int(sys.argv[1]), {}\n"
    "for name in ('mem', 'environ', 'maps'):\n"
    "    try:\n"
    "        with open(f'/proc/{pid}/{name}', 'rb') as file:\n"
    "            said[name] = 'open'\n"
    "    except OSError as error:\n"
    "        said[name] = type(error).__name__\n"
    "PTRACE_SEIZE = 0x4206\n"
    "said['ptrace'] = 'open' if ctypes.CDLL(None).ptrace(PTRACE_SEIZE, pid, 0, 0) == 0 else 'PermissionError'\n"
    "print(json.dumps(said))\n"
)
"""What another process of the same user can have of the process whose number it is told."""


def reach(pid: int) -> dict[str, str]:
    result = subprocess.run(as_user(sys.executable, "-c", OTHER, str(pid)), capture_output=True, text=True, check=True)
    found: dict[str, str] = json.loads(result.stdout)
    return found


@pytest.mark.parametrize("program", FIRST)
def test_another_process_of_the_same_user_reads_nothing_of_it(program: str) -> None:
    with subprocess.Popen(as_user("sleep", "60")) as plain:
        try:
            control = reach(plain.pid)
        finally:
            plain.kill()
    assert {control["mem"], control["environ"]} == {"open"}, "else the test would say nothing"
    with started(program) as process:
        said(process, FIRST[program])
        found = reach(process.pid)
        assert found == dict.fromkeys(("mem", "environ", "maps", "ptrace"), "PermissionError"), found


@pytest.mark.parametrize("program", FIRST)
def test_it_leaves_no_core(program: str) -> None:
    with started(program) as process:
        said(process, FIRST[program])
        assert limit_of(process.pid, "Max core file size") == ("0", "0")


@pytest.mark.parametrize("program", FIRST)
def test_it_may_open_as_many_files_as_the_limit_that_it_may_not_raise(program: str) -> None:
    with started(program, files=(1024, 4096)) as process:
        said(process, FIRST[program])
        assert limit_of(process.pid, "Max open files") == ("4096", "4096")


@pytest.mark.parametrize("program", FIRST)
def test_tests_start_it_with_the_limit_of_a_container_whose_runtime_sets_none(program: str) -> None:
    """And as everywhere else it raises that."""
    shown = subprocess.run([*FILES, "sh", "-c", "ulimit -Sn; ulimit -Hn"], capture_output=True, text=True, check=True)
    soft, hard = shown.stdout.split()
    assert soft == "1024"
    with started(program) as process:
        assert str(said(process, "open_files")["limit"]) == hard
        assert limit_of(process.pid, "Max open files") == (hard, hard)


def test_a_limit_of_files_that_is_raised_already_is_let_be() -> None:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        assert raise_open_files() == before[1] == raise_open_files()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


def test_the_figures_of_memory_can_be_read_all_the_same() -> None:
    """By the image's user, to whom the files of such a process no longer belong."""
    program = (
        "from devbox_common.process import keep_memory_private\n"
        "from devbox_proxy.kit.memory import Memory, resident\n"
        "keep_memory_private()\n"
        "Memory(85).look(1, 1)\n"
        "print(resident())\n"
    )
    result = subprocess.run(as_user(sys.executable, "-c", program), capture_output=True, text=True, check=True)
    assert int(result.stdout) > 1 << 20
