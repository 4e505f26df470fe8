"""The Python client on a real cluster: what people know from the hosted product's page, and what it promises of commands and files."""

import asyncio
import os
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
import yaml
from tests.support.workspace import IMAGE, Workspace

from devbox_cluster.paths import kubeconfig
from devbox_gateway import (
    APITimeoutError,
    AsyncDevboxGateway,
    ConflictError,
    DevboxGateway,
    DevboxGatewayError,
    ExecLostError,
    InUseError,
    InvalidError,
    NotFoundError,
)
from devbox_gateway.exec import channels
from devbox_gateway.objects.devbox import AsyncDevbox
from devbox_stage.upstream import HOSTS

DATA = os.urandom(1 << 20)


@pytest_asyncio.fixture
async def client(workspace: Workspace) -> AsyncIterator[AsyncDevboxGateway]:
    async with AsyncDevboxGateway(kubeconfig=kubeconfig(), namespace=workspace.name) as made:
        yield made


async def devbox_of(client: AsyncDevboxGateway, **more: Any) -> AsyncDevbox:
    return await client.devboxes.create(image=IMAGE, spec={"terminationGracePeriodSeconds": 1}, timeout=90, **more)


@pytest.mark.row("S9", "S24", "S25")
async def test_the_quick_start(client: AsyncDevboxGateway, workspace: Workspace) -> None:
    key = workspace.key()
    gateway = await client.gateway_configs.create(
        name="anthropic-gateway",
        endpoint=f"https://{HOSTS['anthropic']}",
        auth_mechanism={"type": "bearer"},
        description="Gateway for Anthropic Claude API",
    )
    await client.api.secrets.create(name="MY_ANTHROPIC_KEY", value=key.value.reveal())
    again = await client.gateway_configs.create(
        name="anthropic-gateway", endpoint=f"https://{HOSTS['anthropic']}", auth_mechanism={"type": "bearer"}
    )
    assert again == gateway
    said: list[Any] = []
    devbox = await devbox_of(
        client,
        name="agent-with-gateway",
        gateways={"ANTHROPIC": {"gateway": gateway.id, "secret": "MY_ANTHROPIC_KEY"}},
        progress=said.append,
    )
    assert said
    assert (await devbox.get_info()).status == "running"
    url = await devbox.cmd.exec("echo $ANTHROPIC_URL")
    assert (await url.stdout()).startswith("https://")
    token = await (await devbox.cmd.exec("echo $ANTHROPIC")).stdout()
    assert token.startswith("gws_")
    result = await devbox.cmd.exec("""
curl -sS -X POST "$ANTHROPIC_URL/v1/messages" \\
  -H "Authorization: Bearer $ANTHROPIC" \\
  -H "Content-Type: application/json" \\
  -H "anthropic-version: 2023-06-01" \\
  -d '{"model": "claude-sonnet-5-5", "max_tokens": 100, "messages": [{"role": "user", "content": "Hello!"}]}'
""")
    assert result.success, await result.stderr()
    assert '"assistant"' in await result.stdout(), await result.stdout()
    assert key.value.reveal() not in await (await devbox.cmd.exec("env; cat /proc/1/environ")).stdout()
    with pytest.raises(InUseError) as used:
        await gateway.delete()
    assert used.value.devboxes == (f"{workspace.name}/agent-with-gateway",)
    await devbox.shutdown()
    await gateway.delete()
    assert (await devbox.get_info()).status == "shutdown"


async def test_commands(client: AsyncDevboxGateway) -> None:
    """One devbox for all of it: what ends how, and what is printed arrives as it was."""
    async with await devbox_of(client) as devbox:
        run = devbox.cmd.exec
        assert (await run("exit 3")).exit_code == 3
        assert (await run("kill -9 $$")).exit_code == 137
        assert (await run("nope-nope")).exit_code == 127
        assert await (await run("pwd; id -u; echo $HOME")).stdout() == "/home/devbox\n1000\n/home/devbox\n"
        both = await run("echo out; echo err >&2")
        assert (await both.stdout(), await both.stderr()) == ("out\n", "err\n")
        assert await (await run("printf 'Grüße 世界 \\0|'")).stdout() == "Grüße 世界 \0|"
        assert await (await run("echo one; echo two; echo three")).stdout(num_lines=2) == "two\nthree\n"
        assert await (await run(f"x={'a' * 100_000}; echo ${{#x}}")).stdout() == "100000\n"
        assert await (await run("cat", stdin=b"given")).stdout() == "given"
        assert await (await run("cat")).stdout() == ""
        assert await (await run("read line; echo $line", stdin="given\n", attach_stdin=True)).stdout() == "given\n"
        with pytest.raises(APITimeoutError):
            await run("cat", attach_stdin=True, polling_config={"max_attempts": 2, "interval_seconds": 0.5})
        heard: list[str] = []
        await run("for i in 1 2 3; do echo $i; sleep 0.2; done", stdout=heard.append)
        assert len(heard) >= 2
        assert "".join(heard) == "1\n2\n3\n"
        many = await asyncio.gather(*(run(f"echo {number}; exit {number}") for number in range(50)))
        assert [(result.exit_code, await result.stdout()) for result in many] == [
            (number, f"{number}\n") for number in range(50)
        ]


async def test_a_command_that_is_given_up_is_ended(client: AsyncDevboxGateway) -> None:
    async with await devbox_of(client) as devbox:
        for seconds in (0.05, 0.2, 3):
            with pytest.raises(APITimeoutError):
                await devbox.cmd.exec("sleep 1234 & sleep 1234", timeout=seconds)
        begun = asyncio.Event()
        task = asyncio.create_task(devbox.cmd.exec("echo begun; sleep 1235 & sleep 1235", stdout=lambda _: begun.set()))
        await asyncio.wait_for(begun.wait(), 60)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        left = await devbox.cmd.exec("cat /proc/[0-9]*/cmdline | tr '\\0' ' '")
        assert "sleep 123" not in (await left.stdout()).replace("cat /proc", "")


@pytest.mark.parametrize("protocols", [(channels.V5,), (channels.V4,)], ids=["v5", "v4"])
async def test_both_protocols(client: AsyncDevboxGateway, protocols: tuple[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(channels, "PROTOCOLS", protocols)
    async with await devbox_of(client) as devbox:
        result = await devbox.cmd.exec("head -c 3000000 /dev/zero; exit 5")
        assert (result.exit_code, len(await result.stdout())) == (5, 3_000_000)
        await devbox.file.write(file_path="a", contents=DATA)
        assert await devbox.file.download(path="a") == DATA


async def test_files(client: AsyncDevboxGateway, tmp_path: Path) -> None:
    async with await devbox_of(client) as devbox:
        file = devbox.file
        await file.write(file_path="~/a/b.txt", contents="Grüße\n")
        assert await file.read(file_path="/home/devbox/a/b.txt") == "Grüße\n"
        assert [entry.name for entry in await file.list(path="a")] == ["b.txt"]
        (local := tmp_path / "local").write_bytes(DATA)
        await file.upload(path="up", file=local)
        await file.download_to(path="up", file=tmp_path / "down")
        assert (tmp_path / "down").read_bytes() == DATA
        assert await file.exists(path="up")
        await file.delete(path="up")
        assert not await file.exists(path="up")
        with pytest.raises(NotFoundError):
            await file.read(file_path="up")


async def test_what_is_not_read_to_its_end(client: AsyncDevboxGateway, tmp_path: Path) -> None:
    """Far more than a shell could read by bytes in that time."""
    os.truncate(os.open(large := tmp_path / "large", os.O_CREAT | os.O_WRONLY), 256 << 20)
    async with await devbox_of(client) as devbox:
        async with asyncio.timeout(90):
            with pytest.raises(InvalidError, match="/tmp is a folder"):
                await devbox.file.upload(path="/tmp", file=large)
            with pytest.raises(DevboxGatewayError, match="No space left"):
                await devbox.file.upload(path="/dev/shm/large", file=large)
            assert await devbox.file.list(path="/dev/shm") == []
            result = await devbox.cmd.exec("head -c 3", stdin=bytes(64 << 20))
            assert (await result.stdout(), result.exit_code) == ("\0\0\0", 0)


async def test_in_the_background(client: AsyncDevboxGateway) -> None:
    async with await devbox_of(client) as devbox:
        execution = await devbox.cmd.exec_async("cat; echo over; exit 4", attach_stdin=True)
        assert await execution.get_state() == "running"
        await execution.send_std_in("hello\n")
        await execution.close_std_in()
        result = await execution.result()
        assert (result.exit_code, await result.stdout()) == (4, "hello\nover\n")
        assert await execution.get_state() == "completed"
        endless = await devbox.cmd.exec_async("sleep 1000")
        await endless.kill()
        assert (await endless.result()).exit_code == 137
        async with AsyncDevboxGateway(kubeconfig=kubeconfig(), namespace=client.namespace) as other:
            there = other.devboxes.from_id(devbox.id).cmd
            again = await (await there.execution(execution.execution_id)).result()
            assert (again.exit_code, await again.stdout(), again.execution_id) == (4, "hello\nover\n", execution.execution_id)
            with pytest.raises(NotFoundError, match="is not there any more"):
                await there.execution("0123456789abcdef")


async def test_a_devbox_that_dies_under_a_command(client: AsyncDevboxGateway) -> None:
    devbox = await devbox_of(client)
    begun = asyncio.Event()
    running = asyncio.create_task(devbox.cmd.exec("echo begun; sleep 1000", stdout=lambda _: begun.set()))
    waiting = await devbox.cmd.exec_async("sleep 1000")
    result = asyncio.create_task(waiting.result())
    await asyncio.wait_for(begun.wait(), 60)
    await devbox.shutdown()
    started = time.monotonic()
    for task in (running, result):
        try:
            ended = await asyncio.wait_for(task, 60)
            assert ended.exit_code in (137, 143)  # (it was ended with the pod, and that was heard)
        except ExecLostError:
            pass
    assert time.monotonic() - started < 60


async def test_names_are_labels(client: AsyncDevboxGateway) -> None:
    first, second = await asyncio.gather(devbox_of(client, name="Agent 1"), devbox_of(client, name="Agent 1"))
    assert first.id != second.id
    assert first.name == second.name == "Agent 1"
    assert (await client.devboxes.from_name("Agent 1")) in (first, second)
    await client.secrets.create(name="x", value="1")
    with pytest.raises(ConflictError):
        await client.secrets.create(name="x", value="2")


class Way:
    """A proxy between the client and the API server, which can be cut."""

    def __init__(self) -> None:
        self._writers: list[asyncio.StreamWriter] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        host, _, port = head.split()[1].rpartition(":")
        there, onward = await asyncio.open_connection(host.strip("[]"), int(port))
        self._writers += [writer, onward]
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        await asyncio.gather(_pump(reader, onward), _pump(there, writer), return_exceptions=True)

    def cut(self) -> None:
        for writer in self._writers:
            writer.transport.abort()
        self._writers.clear()


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(1 << 16):
        writer.write(data)
        await writer.drain()
    writer.close()


@pytest.fixture
async def behind_a_way(workspace: Workspace, tmp_path: Path) -> AsyncIterator[tuple[AsyncDevboxGateway, Way]]:
    way = Way()
    server = await asyncio.start_server(way.serve, "127.0.0.1", 0)
    content = yaml.safe_load(kubeconfig().read_text())
    for cluster in content["clusters"]:
        cluster["cluster"]["proxy-url"] = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    (path := tmp_path / "kubeconfig").write_text(yaml.safe_dump(content))
    async with AsyncDevboxGateway(kubeconfig=path, namespace=workspace.name) as made:
        yield made, way
    way.cut()
    server.close()


async def test_a_stream_that_is_cut(behind_a_way: tuple[AsyncDevboxGateway, Way], tmp_path: Path) -> None:
    """A plain command's end is not known then; one in the background is followed on from where it was cut."""
    client, way = behind_a_way
    devbox = await devbox_of(client)
    begun = asyncio.Event()
    lost = asyncio.create_task(devbox.cmd.exec("echo begun; sleep 1000", stdout=lambda _: begun.set()))
    await asyncio.wait_for(begun.wait(), 60)
    way.cut()
    with pytest.raises(ExecLostError):
        await asyncio.wait_for(lost, 60)
    heard: list[str] = []
    line = "for i in 1 2 3 4 5 6 7 8 9; do echo $i; sleep 0.5; done; exit 9"
    execution = await devbox.cmd.exec_async(line, stdout=heard.append)
    result = asyncio.create_task(execution.result())
    for count in (2, 5):
        while len("".join(heard).split()) < count:
            assert not result.done(), result
            await asyncio.sleep(0.05)
        way.cut()
    ended = await asyncio.wait_for(result, 120)
    assert (ended.exit_code, await ended.stdout()) == (9, "1\n2\n3\n4\n5\n6\n7\n8\n9\n")
    assert "".join(heard) == await ended.stdout()
    (target := tmp_path / "file").write_text("before")
    assert (await devbox.cmd.exec("truncate -s 1T large")).success
    endless = asyncio.create_task(devbox.file.download_to(path="large", file=target))
    while not any(part.stat().st_size for part in tmp_path.glob(".file.*")):  # noqa: ASYNC240 (the devbox sends)
        assert not endless.done(), endless.exception()
        await asyncio.sleep(0.05)
    way.cut()
    with pytest.raises(ExecLostError):
        await asyncio.wait_for(endless, 60)
    assert [(file.name, file.read_text()) for file in tmp_path.glob("*file*") if "kube" not in file.name] == [  # noqa: ASYNC240 (a folder of the test)
        ("file", "before")
    ]
    await devbox.shutdown()


@pytest.mark.row("S2", "S9", "S25")
def test_a_secret_that_the_agent_reads_beside_a_key_that_it_never_sees(workspace: Workspace) -> None:
    """As the hosted product's own example has it, with the synchronous client; but for the image, and an API that is there."""
    key = workspace.key()
    with DevboxGateway(kubeconfig=kubeconfig(), namespace=workspace.name) as sdk:
        magic_number_secret = sdk.secret.create(name="magic-number-secret", value="42")
        assert magic_number_secret.get_info().id.startswith("sec_")
        upstream_credential_secret = sdk.secret.create(name="agent-gateway-secret", value=key.value.reveal())
        gateway_config = sdk.gateway_config.create(
            name="agent-gateway-config",
            endpoint=f"https://{HOSTS['anthropic']}",
            auth_mechanism={"type": "bearer"},
            description="Example gateway that keeps upstream credentials off the devbox",
        )
        devbox = sdk.devbox.create(
            name="agent-gateway-devbox",
            image=IMAGE,
            secrets={"MAGIC_NUMBER": magic_number_secret.name},
            gateways={"MY_API": {"gateway": gateway_config.id, "secret": upstream_credential_secret.name}},
            launch_parameters={"resource_size_request": "X_SMALL", "keep_alive_time_seconds": 60 * 5},
        )
        assert devbox.get_info().gateway_specs["MY_API"].gateway_config_id == gateway_config.id
        assert devbox.cmd.exec("echo $MAGIC_NUMBER").stdout().strip() == "42"
        assert devbox.cmd.exec("echo $MY_API_URL").stdout().startswith("http")
        assert devbox.cmd.exec("echo $MY_API").stdout().startswith("gws_")
        everywhere = "env; cat /proc/*/environ; cat /run/devbox-gateway/tokens/*"
        assert key.value.reveal() not in devbox.cmd.exec(everywhere).stdout()
        asked = devbox.cmd.exec(
            'curl -sS -o /dev/null -w "%{http_code}" -H "Authorization: Bearer $MY_API" "$MY_API_URL/v1/models"'
        )
        assert asked.stdout() == "200", asked.stderr()
        devbox.shutdown()
        gateway_config.delete()
        upstream_credential_secret.delete()
        magic_number_secret.delete()
