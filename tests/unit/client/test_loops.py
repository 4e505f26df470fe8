"""The synchronous client's thread: it lives as long as anything of the client does, and says so afterwards."""

import ast
import asyncio
import gc
import os
import re
import signal
import subprocess
import sys
import threading
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from devbox_gateway import AsyncDevboxGateway, DevboxGateway, DevboxGatewayError
from devbox_gateway.blocking import ExecutionResult
from devbox_gateway.exec.output import AsyncExecutionResult, Stream
from devbox_gateway.loops import Loop

from .kubeconfigs import KUBECONFIG


def told(tree: ast.AST) -> Iterator[str]:
    """Texts of a module that are no docstrings."""
    comments = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in comments:
            yield node.value


def test_no_message_is_of_the_asynchronous_face_alone(project_root: Path) -> None:
    """Both faces say the same words: a program that has no loop can't await what they name."""
    for path in (project_root / "client" / "devbox_gateway").rglob("*.py"):
        texts = list(told(ast.parse(path.read_text(encoding="utf-8"))))
        assert [text for text in texts if re.search(r"\bawait |async with", text)] == [], path


def test_what_was_not_read_says_so_to_both(kubeconfig: Path) -> None:
    with (
        DevboxGateway(kubeconfig=kubeconfig) as client,
        pytest.raises(AttributeError, match=r"not read yet: get_info\(\) reads it"),
    ):
        _ = client.gateway_configs.from_id("a").endpoint


@pytest.fixture
def kubeconfig(tmp_path: Path) -> Path:
    (tmp_path / "kubeconfig").write_text(KUBECONFIG)
    return tmp_path / "kubeconfig"


async def nothing() -> None:
    pass


def threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "devbox-gateway"]


@pytest.mark.parametrize(
    "part",
    [
        lambda client: client.devboxes,
        lambda client: client.api.secrets,
        lambda client: client.secrets.from_id("a"),
        lambda client: client.devboxes.from_id("a"),
        lambda client: client.devboxes.from_id("a").cmd,
        lambda client: client.devboxes.from_id("a").file,
    ],
)
def test_any_part_of_a_client_keeps_its_thread(kubeconfig: Path, part: Callable[[Any], Any]) -> None:
    kept = part(DevboxGateway(kubeconfig=kubeconfig))
    gc.collect()
    (thread,) = threads()
    assert kept._loop.run(asyncio.sleep(0, "an answer")) == "an answer"
    del kept
    gc.collect()
    thread.join(10)
    assert not threads(), "a client that nobody has goes on"


def test_what_a_closed_client_says(kubeconfig: Path) -> None:
    with DevboxGateway(kubeconfig=kubeconfig) as client:
        devbox = client.devboxes.from_id("a")
    client.close()
    for use in (client.devboxes.list, devbox.get_info, lambda: devbox.cmd.exec("true"), lambda: devbox.file.read(file_path="a"),
                lambda: client.devboxes.create(name="a")):  # fmt: skip
        with pytest.raises(DevboxGatewayError, match="this client is closed"):
            use()
    assert "dbx_a" in repr(devbox)


async def test_what_a_closed_asynchronous_one_says(kubeconfig: Path) -> None:
    async with AsyncDevboxGateway(kubeconfig=kubeconfig) as client:
        devbox = client.devboxes.from_id("a")
    for use in (client.devboxes.list, devbox.get_info, devbox.logs, lambda: devbox.cmd.exec("true")):
        with pytest.raises(DevboxGatewayError, match="this client is closed"):
            await use()


def test_a_result_outlives_its_client() -> None:
    loop = Loop(nothing)
    out, err = Stream(), Stream()
    out.feed(b"one\ntwo\n")
    result = ExecutionResult(loop, AsyncExecutionResult(0, out, err, "dbx_a"))
    loop.end()
    assert (result.stdout(), result.stdout(num_lines=1), result.stderr(), result.exit_code) == ("one\ntwo\n", "two\n", "", 0)


def test_a_client_that_is_closed_by_another_thread_ends_what_is_under_way() -> None:
    loop, begun, said = Loop(nothing), threading.Event(), list[str]()

    async def work() -> None:
        begun.set()
        await asyncio.sleep(3600)

    def use() -> None:
        try:
            loop.run(work())
        except DevboxGatewayError as error:
            said.append(str(error))

    thread = threading.Thread(target=use)
    thread.start()
    assert begun.wait(10)
    loop.end()
    thread.join(10)
    assert said == ["this client is closed: make another one"]


def test_the_last_user_may_be_a_callback() -> None:
    """Then nobody else can wait for the thread's end."""
    closed = threading.Event()

    async def at_end() -> None:
        closed.set()

    loop = Loop(at_end)
    held, let_go = [loop], threading.Event()
    seen = weakref.ref(loop)

    async def work() -> None:
        def forget() -> None:
            let_go.wait(10)
            held.clear()

        asyncio.get_running_loop().call_later(0.01, forget)

    loop.run(work())
    del loop
    let_go.set()
    assert closed.wait(10)
    assert seen() is None


def test_after_a_fork_it_is_said_and_not_waited_for(kubeconfig: Path) -> None:
    script = """
import os, sys
from devbox_gateway import DevboxGateway, DevboxGatewayError
client = DevboxGateway(kubeconfig=sys.argv[1])
if os.fork() == 0:
    try:
        client.devboxes.list()
    except DevboxGatewayError as error:
        print(error)
    sys.exit()
os.wait()
"""
    done = subprocess.run(
        [sys.executable, "-c", script, str(kubeconfig)], capture_output=True, text=True, timeout=20, check=True
    )
    assert "another process" in done.stdout


def test_an_interrupted_call_has_cleaned_up_before_it_is_left() -> None:
    loop, told = Loop(nothing), list[str]()

    async def work() -> None:
        try:
            os.kill(os.getpid(), signal.SIGINT)
            await asyncio.sleep(3600)
        finally:
            await asyncio.sleep(0.3)
            told.append("cleaned up")

    with pytest.raises(KeyboardInterrupt) as caught:
        loop.run(work())
    assert told == ["cleaned up"]
    assert caught.value.__context__ is None
    assert loop.run(asyncio.sleep(0, "usable still")) == "usable still"
    loop.end()
