"""What runs in a devbox, run here by the shells that images have: as /bin/sh, with no other programs than they bring."""

import contextlib
import os
import pty
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from devbox_cluster import packages
from devbox_cluster.locks import locked
from devbox_gateway.errors import InvalidError
from devbox_gateway.exec import files, scripts

WORD = "0123456789abcdef"
SHELLS = {"dash": ["dash"], "bash": ["bash", "--posix"], "busybox": ["busybox", "sh"]}
"""As `sh` is one."""
DATA = bytes(range(256)) * 1200


class Box:
    """A home, and a shell."""

    def __init__(self, shell: list[str], home: Path) -> None:
        self.shell, self.home = shell, home
        self.environ = {"HOME": str(home), "PATH": "/opt/mine:/usr/bin:/bin", "LANG": "C.UTF-8"}

    def run(self, script: str, *arguments: str, given: bytes = b"") -> subprocess.CompletedProcess[bytes]:
        return subprocess.run(
            [*self.shell, "-c", script, "sh", *arguments],
            input=given,
            capture_output=True,
            env=self.environ,
            timeout=60,
            check=False,
        )

    def command(self, text: str, given: bytes | None = None) -> tuple[int, bytes, bytes]:
        """With its last word taken off, as ending.py does; where stdin ends, nobody says that it was heard, and the script would linger."""
        if given is None:
            script, content = scripts.RUN, scripts.framed(text) + WORD.encode() + b"\n"
        else:
            script, content = scripts.RUN_ATTACHED.replace(scripts.LINGER, 'exit "$code"'), scripts.framed(text) + given
        done = self.run(f"m={WORD}\n{script}", given=content)
        group, _, out = done.stdout.partition(b"\n")
        assert group.isdigit()
        last = f"\036{WORD} {done.returncode}\n".encode()
        assert (out[-len(last) :], done.stderr[-len(last) :]) == (last, last)
        return done.returncode, out[: -len(last)], done.stderr[: -len(last)]

    def file(self, script: str, path: str, *arguments: str, given: bytes = b"") -> subprocess.CompletedProcess[bytes]:
        return self.run(script, *arguments, given=scripts.framed_text(path) + given)


@pytest.fixture(params=SHELLS)
def box(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Box]:
    shell = SHELLS[request.param]
    with locked("packages"):  # (apt has no patience with another one)
        packages.need({"busybox": "busybox-static"})
    (home := tmp_path / "home").mkdir()
    yield Box(shell, home)
    # What stays for an hour to keep the output, and goes with the pod there.
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if f"HOME={home}\0".encode() in (process / "environ").read_bytes():
                os.kill(int(process.name), signal.SIGKILL)


def test_a_command_runs_in_home_with_the_images_path_first(box: Box) -> None:
    code, out, _ = box.command("pwd; echo $PATH; echo ${DEVBOX_GATEWAY_PATH-none}")
    home, path, ours = out.decode().splitlines()
    assert (code, home, ours) == (0, str(box.home), "none")
    assert path.startswith("/opt/mine:/usr/bin:/bin")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("exit 3", (3, b"")),
        ("echo 'a\"b' \"c'd\" \\\\n $((1+1))", (0, b"a\"b c'd \\n 2\n")),
        ("cat <<E\na\\tb 'q'\n\n  indented\t\nE\necho done", (0, b"a\\tb 'q'\n\n  indented\t\ndone\n")),
        ("printf 'a\\0b'", (0, b"a\0b")),
        ("echo Grüße, 世界", (0, "Grüße, 世界\n".encode())),
        ("printf %s ' \t'", (0, b" \t")),
        ("# a comment first\necho second", (0, b"second\n")),
        ("cat", (0, b"")),  # its stdin is empty
        ("echo $0 $#", (0, None)),
    ],
)
def test_text_arrives_as_it_was_written(text: str, expected: tuple[int, bytes | None], box: Box) -> None:
    code, out, err = box.command(text)
    assert (code, err) == (expected[0], b"")
    assert expected[1] in (None, out)


def test_stdin_is_the_commands_to_the_last_byte(box: Box) -> None:
    assert box.command("cat", DATA) == (0, DATA, b"")


def test_a_syntax_error_is_the_shells(box: Box) -> None:
    code, _, err = box.command("if")
    assert code != 0
    assert b"yntax error" in err


def test_a_signal(box: Box) -> None:
    code, _, _ = box.command("kill -9 $$")
    assert code in (-9, 137)


def test_a_hundred_kibibytes_in_one_line_and_in_many(box: Box) -> None:
    assert box.command(f"x={'a' * 100_000}; echo ${{#x}}")[:2] == (0, b"100000\n")
    many = "\n".join(f"x{number}=1" for number in range(10_000))
    started = time.monotonic()
    assert box.command(f"{many}\necho $x9999")[:2] == (0, b"1\n")
    assert time.monotonic() - started < 30  # (each line appended to all before it: minutes)


@pytest.mark.parametrize("text", ["", "  \n", "a\0b", "x" * (scripts.MOST_COMMAND + 1), None, ["ls"]])
def test_what_can_be_no_command(text: str) -> None:
    with pytest.raises(InvalidError):
        scripts.framed(text)


def test_a_group_is_ended(box: Box) -> None:
    with subprocess.Popen(
        [*box.shell, "-c", scripts.RUN, "sh"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=box.environ,
        start_new_session=True,
    ) as running:
        assert running.stdin is not None
        assert running.stdout is not None
        running.stdin.write(scripts.framed("sleep 1000 & sleep 1000"))
        running.stdin.flush()
        group = running.stdout.readline().decode().strip()
        # (A TERM is lost on a process that a shell is just forking: AsyncCommands sends KILL behind it.)
        assert box.run(scripts.END, "KILL", group).returncode == 0
        assert running.wait(10) != 0
        assert running.stdout.read() == b""  # (nobody holds it open any more)


PATHS = ["plain", "a/b c/it's", "-rf", "x\ny", "wild*[a]?", "$HOME", "ünï/世界", "~/under-home", " blanks "]


@pytest.mark.parametrize("path", PATHS)
def test_a_file_goes_in_and_comes_out(path: str, box: Box) -> None:
    assert box.file(files.EXISTS, path).returncode != 0
    assert box.file(files.WRITE, path, str(len(DATA)), given=DATA).returncode == 0
    assert (box.home / path.removeprefix("~/")).read_bytes() == DATA
    assert box.file(files.READ, path).stdout == DATA
    assert box.file(files.EXISTS, path).returncode == 0
    assert box.file(files.DELETE, path, "").returncode == 0
    assert box.file(files.EXISTS, path).returncode != 0


def test_a_file_that_is_cut_off_on_its_way_changes_nothing(box: Box) -> None:
    (target := box.home / "file").write_bytes(b"before")
    assert box.file(files.WRITE, "file", "1000", given=DATA[:999]).returncode == files.CUT
    assert target.read_bytes() == b"before"
    assert [path.name for path in box.home.iterdir()] == ["file"]


def test_a_file_keeps_its_mode(box: Box) -> None:
    (target := box.home / "run").write_text("before")
    target.chmod(0o755)
    assert box.file(files.WRITE, "run", "5", given=b"after").returncode == 0
    assert (target.read_text(), target.stat().st_mode & 0o777) == ("after", 0o755)


def test_where_nobody_may_write_the_kernels_words_are_all(box: Box) -> None:
    done = box.file(files.WRITE, "/proc/nope", "5", given=b"after")
    assert done.returncode == 1
    (line,) = done.stderr.decode().splitlines()
    assert "nonexistent" in line or line == "No such file or directory"
    assert "devbox-gateway" not in line


def test_an_empty_file(box: Box) -> None:
    assert box.file(files.WRITE, "empty", "0").returncode == 0
    assert (box.home / "empty").read_bytes() == b""


def test_folders_are_no_files(box: Box) -> None:
    (box.home / "folder" / "in").mkdir(parents=True)
    assert box.file(files.READ, "folder").returncode == files.IS_FOLDER
    assert box.file(files.WRITE, "folder", "1", given=b"x").returncode == files.IS_FOLDER
    assert box.file(files.DELETE, "folder", "").returncode == files.IS_FOLDER
    assert box.file(files.DELETE, "folder", "yes").returncode == 0
    assert box.file(files.READ, "nope").returncode == box.file(files.DELETE, "nope", "").returncode == files.NOT_THERE


def test_what_is_in_a_folder(box: Box) -> None:
    (box.home / "b c").write_bytes(b"123")
    (box.home / ".hidden").mkdir()
    (box.home / "x\ny").symlink_to("nowhere")
    words = box.file(files.LIST, "~").stdout.decode().split("\0")
    assert sorted(zip(words[2::3], words[0::3], strict=False)) == [(".hidden", "directory"), ("b c", "file"), ("x\ny", "link")]
    assert words[words.index("b c") - 1] == "3"
    (box.home / "none").mkdir()
    assert box.file(files.LIST, "none").stdout == b""


class Background:
    """Commands that go on."""

    def __init__(self, box: Box) -> None:
        self.box = box

    def start(self, name: str, text: str, attached: str = "") -> None:
        done = self.box.run(scripts.START, name, attached, given=scripts.framed(text))
        assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")

    def follow(self, name: str, out: int = 0, err: int = 0) -> tuple[int, bytes, bytes]:
        done = self.box.run(scripts.FOLLOW, name, str(out), str(err))
        return done.returncode, done.stdout, done.stderr

    def state(self, name: str) -> int:
        return self.box.run(scripts.STATE, name).returncode


@pytest.fixture
def background(box: Box) -> Background:
    return Background(box)


def test_in_the_background(background: Background) -> None:
    started = time.monotonic()
    background.start("id", "for i in 1 2 3; do echo $i; echo e$i >&2; sleep 0.5; done; exit 7")
    assert time.monotonic() - started < 1.4, "it waits for its end"
    assert background.state("id") == 11
    assert background.follow("id") == (7, b"1\n2\n3\n", b"e1\ne2\ne3\n")
    assert background.state("id") == 10
    assert background.follow("id", 2, 3) == (7, b"2\n3\n", b"e2\ne3\n"), "from the place where somebody was cut off"
    assert background.state("other") == 66


def test_bytes_and_much_of_it_in_the_background(background: Background) -> None:
    (background.box.home / "data").write_bytes(DATA * 20)
    background.start("id", "cat data")
    assert background.follow("id") == (0, DATA * 20, b"")


def test_what_is_left_running_does_not_hold_up_the_end(background: Background) -> None:
    background.start("id", "sleep 30 & echo over")
    started = time.monotonic()
    assert background.follow("id")[:2] == (0, b"over\n")
    assert time.monotonic() - started < 15
    background.box.run(scripts.KILL, "id")


def test_stdin_in_the_background(background: Background) -> None:
    background.start("id", "cat; echo bye", "attached")
    give = background.box.run(scripts.GIVE, "id", "6", given=b"hello\n")
    assert give.returncode == 0
    assert background.box.run(scripts.GIVE, "id", "3", given=b"yo\n").returncode == 0
    assert background.box.run(scripts.GIVE_END, "id").returncode == 0
    assert background.follow("id") == (0, b"hello\nyo\nbye\n", b"")
    assert background.box.run(scripts.GIVE, "id", "3", given=b"yo\n").returncode == 10
    background.start("other", "sleep 1")
    assert background.box.run(scripts.GIVE, "other", "3", given=b"yo\n").returncode == 12


@pytest.mark.parametrize("setsid", [True, False], ids=["setsid", "no setsid"])
def test_all_of_it_is_ended(setsid: bool, background: Background, tmp_path: Path) -> None:
    if not setsid:
        (tools := tmp_path / "bin").mkdir()
        for name in "sh dash bash mkdir mkfifo dd stat wc sleep cat mv ln rm kill head tail busybox".split():
            if found := shutil.which(name):
                (tools / name).symlink_to(found)
        background.box.shell = [shutil.which(background.box.shell[0]) or "", *background.box.shell[1:]]
        background.box.environ["PATH"] = str(tools)
    background.start("id", "sh -c 'sleep 1000 & echo $! >one; wait' & sleep 1000 & echo $! >two; wait")
    for name in ("one", "two"):
        deadline = time.monotonic() + 10
        while not (file := background.box.home / name).exists() or not file.read_text().strip():
            assert time.monotonic() < deadline
            time.sleep(0.05)
    assert background.box.run(scripts.KILL, "id").returncode == 0
    assert background.follow("id")[0] == 137
    for name in ("one", "two"):
        pid = int((background.box.home / name).read_text())
        deadline = time.monotonic() + 10
        while Path(f"/proc/{pid}/stat").exists() and Path(f"/proc/{pid}/stat").read_text().split()[2] != "Z":
            assert time.monotonic() < deadline, f"{name} still runs"
            time.sleep(0.05)


def in_terminal(box: Box, command: str, kind: str = "xterm") -> tuple[bytes, bytes, int]:
    """First line, output, exit code, with a terminal on all three."""
    folder = box.home / ".devbox-gateway" / "exec"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "id").write_bytes(scripts.framed(command))
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [*box.shell, "-c", scripts.RUN_IN_TERMINAL, "sh", "id", "33", "101", kind],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env=box.environ,
        start_new_session=True,
    )
    os.close(theirs)
    said = b""
    with contextlib.suppress(OSError):  # (the other side is gone)
        while piece := os.read(ours, 4096):
            said += piece
    os.close(ours)
    group, _, rest = said.partition(b"\r\n")
    assert not (folder / "id").exists()
    return group, rest, process.wait(60)


def test_in_a_terminal(box: Box) -> None:
    group, said, code = in_terminal(box, "stty size; echo $TERM; test -t 0 && test -t 1 && exit 7", "tmux")
    assert group.isdigit()
    assert (said, code) == (b"33 101\r\ntmux\r\n", 7)
    assert in_terminal(box, "printf '%s' 'two\nlines $x'")[1] == b"two\r\nlines $x"


def test_in_a_terminal_without_its_command(box: Box) -> None:
    assert box.run(scripts.RUN_IN_TERMINAL, "nothing", "1", "1", "xterm").returncode == 125


def test_what_does_not_heed_a_signal_is_ended(box: Box) -> None:
    with subprocess.Popen(
        [*box.shell, "-c", scripts.RUN, "sh"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        start_new_session=True,
        env=box.environ,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(scripts.framed("trap 'echo heard' TERM; echo begun; while :; do sleep 0.1; done"))
        process.stdin.flush()
        group = process.stdout.readline().strip().decode()
        assert process.stdout.readline() == b"begun\n"
        assert box.run(scripts.SIGNAL, "TERM", group).returncode == 0
        assert process.stdout.readline() == b"heard\n"
        ending = threading.Thread(target=box.run, args=(scripts.END, "TERM", group))
        ending.start()
        assert process.wait(60) == -signal.SIGKILL
        ending.join(60)


@pytest.mark.parametrize("name", ["KILL", "TERM", "HUP", "INT", "SEGV"])
@pytest.mark.parametrize("given", [None, b"x"], ids=["without stdin", "with stdin"])
def test_a_command_that_a_signal_ended_says_nothing_by_that(box: Box, name: str, given: bytes | None) -> None:
    number = signal.Signals[f"SIG{name}"]
    assert box.command(f"echo out; echo err >&2; kill -{name} $$", given) == (128 + number, b"out\n", b"err\n")


def test_what_is_no_file_is_not_waited_for(box: Box) -> None:
    """An agent makes a pipe, or a link to what never ends, in the place of the file that somebody asks for."""
    os.mkfifo(box.home / "pipe")
    (box.home / "endless").symlink_to("/dev/zero")
    for name in ("pipe", "endless"):
        assert box.file(files.READ, name).returncode == files.NO_FILE
        assert box.file(files.WRITE, name, "5", given=b"after").returncode == 0
        assert ((box.home / name).read_text(), (box.home / name).is_symlink()) == ("after", False)
    (box.home / "link").symlink_to("pipe")
    assert box.file(files.READ, "link").stdout == b"after"
