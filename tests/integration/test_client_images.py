"""Commands and files in the images that people bring: one with nothing but a shell, and the one that devboxes without an image have."""

import asyncio
import io
import os
import sys
import zipfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from tests.support.workspace import Workspace

from devbox_cluster.paths import kubeconfig
from devbox_gateway import APITimeoutError, AsyncDevboxGateway, NotFoundError
from devbox_gateway.objects.devbox import AsyncDevbox

SIZE = int(os.environ.get("CLIENT_BYTES", str(256 << 20)))
"""Bytes that go both ways; `make long` sends a GiB."""
MOST_MEMORY = 128 << 20
"""Bytes that a program with the client may have had, whatever passes through it; without a command it has some 60 MiB."""
BOTH_WAYS = """
import asyncio, resource, sys
from devbox_gateway import AsyncDevboxGateway

async def main(kubeconfig, namespace, devbox, folder, size):
    async with AsyncDevboxGateway(kubeconfig=kubeconfig, namespace=namespace) as client:
        devbox = client.devboxes.from_id(devbox)
        await devbox.file.upload(path="large", file=f"{folder}/up")
        counted = await devbox.cmd.exec("wc -c <large")
        assert int(await counted.stdout()) == size, await counted.stdout()
        await devbox.file.download_to(path="large", file=f"{folder}/down")
        printed = await devbox.cmd.exec("cat large")
        assert printed.success
        assert (await printed.stdout(num_lines=1)).endswith("end")
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)

asyncio.run(main(*sys.argv[1:5], int(sys.argv[5])))
"""


@pytest_asyncio.fixture
async def client(workspace: Workspace) -> AsyncIterator[AsyncDevboxGateway]:
    async with AsyncDevboxGateway(kubeconfig=kubeconfig(), namespace=workspace.name) as made:
        yield made


async def devbox_of(client: AsyncDevboxGateway, image: str | None, **more: Any) -> AsyncDevbox:
    return await client.devboxes.create(image=image, spec={"terminationGracePeriodSeconds": 1, **more}, timeout=120)


async def printed(devbox: AsyncDevbox, command: str) -> str:
    """Of a command that succeeds."""
    result = await devbox.cmd.exec(command, timeout=90)
    assert result.success, f"{command}: {result.exit_code}\n{await result.stdout()}\n{await result.stderr()}"
    return await result.stdout()


async def test_an_image_with_nothing_but_a_shell(client: AsyncDevboxGateway, busybox_image: str) -> None:
    async with await devbox_of(client, busybox_image) as devbox:
        run = devbox.cmd.exec
        assert await printed(devbox, "pwd; id -u") == "/home/devbox\n1000\n"
        assert (await printed(devbox, "echo $PATH")).startswith("/opt/of/the/image:/bin")
        assert [(await run(line)).exit_code for line in ("exit 3", "kill -9 $$", "nope-nope")] == [3, 137, 127]
        assert await printed(devbox, "printf 'Grüße 世界 \\0|'") == "Grüße 世界 \0|"
        assert await printed(devbox, f"x={'a' * 100_000}; echo ${{#x}}") == "100000\n"
        assert await (await run("cat; echo over", stdin=b"given\n")).stdout() == "given\nover\n"
        many = await asyncio.gather(*(run(f"echo {number}; exit {number}") for number in range(50)))
        assert [result.exit_code for result in many] == list(range(50))
        with pytest.raises(APITimeoutError):
            await run("sleep 1234 & sleep 1234", timeout=1)
        assert "sleep 123" not in (await printed(devbox, "cat /proc/[0-9]*/cmdline | tr '\\0' ' '")).replace("cat /proc", "")
        execution = await devbox.cmd.exec_async("cat; echo over; exit 4", attach_stdin=True)
        await execution.send_std_in("hello\n")
        await execution.close_std_in()
        result = await execution.result()
        assert (result.exit_code, await result.stdout()) == (4, "hello\nover\n")
        endless = await devbox.cmd.exec_async("sleep 1000")
        await endless.kill()
        assert (await endless.result()).exit_code == 137
        await devbox.file.write(file_path="~/a/ü.txt", contents=bytes(range(256)) * 4096)
        assert await devbox.file.download(path="/home/devbox/a/ü.txt") == bytes(range(256)) * 4096
        assert [entry.name for entry in await devbox.file.list(path="a")] == ["ü.txt"]
        with pytest.raises(NotFoundError):
            await devbox.file.read(file_path="nothing")


async def test_large_files_and_output_in_little_memory(
    client: AsyncDevboxGateway, workspace: Workspace, busybox_image: str, tmp_path: Path
) -> None:
    with (tmp_path / "up").open("wb") as file:
        file.truncate(SIZE - 4)  # (holes; on their way they are bytes like others)
        file.seek(0, 2)
        file.write(b"\nend")
    async with await devbox_of(client, busybox_image) as devbox:
        arguments = [str(kubeconfig()), workspace.name, devbox.id, str(tmp_path), str(SIZE)]
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", BOTH_WAYS, *arguments, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
        )
        output, errors = await process.communicate()
    assert process.returncode == 0, errors.decode()
    assert (tmp_path / "down").stat().st_size == SIZE
    with (tmp_path / "down").open("rb") as file:
        file.seek(-4, 2)
        assert file.read() == b"\nend"
    sys.stdout.write(f"{SIZE >> 20} MiB up, down, and printed: at most {int(output) >> 20} MiB of memory\n")
    assert int(output) < MOST_MEMORY, f"{int(output) >> 20} MiB"


async def test_what_agents_find_in_the_image_of_devboxes_that_name_none(client: AsyncDevboxGateway) -> None:
    async with await devbox_of(client, None) as devbox:
        assert await printed(devbox, "ls -A; id -un; pwd") == "devbox\n/home/devbox\n"
        for program in (
            "python3",
            "pip",
            "uv",
            "node",
            "npm",
            "npx",
            "git",
            "git lfs",
            "curl",
            "jq",
            "rg",
            "gcc",
            "g++",
            "make",
        ):
            assert await printed(devbox, f"{program} --version")
        for shell in ("sh -c", "env -i HOME=$HOME bash -lc"):
            assert await printed(devbox, f"{shell} 'command -v pip'") == "/opt/agent/bin/pip\n"
        await devbox.file.write(file_path="x.c", contents="#include <Python.h>\nint x(void) { return 3; }\n")
        include = "$(python3 -c 'import sysconfig; print(sysconfig.get_path(\"include\"))')"
        await printed(devbox, f"gcc -c -I{include} x.c")
        await devbox.file.write(file_path="hello-1.0-py3-none-any.whl", contents=wheel())
        assert await printed(devbox, "pip install --quiet ./hello-1.0-py3-none-any.whl && hello") == "hello from Python\n"
        await devbox.file.write(
            file_path="p/package.json", contents='{"name": "hi", "version": "1.0.0", "bin": {"hi": "hi.js"}}'
        )
        await devbox.file.write(file_path="p/hi.js", contents='#!/usr/bin/env node\nconsole.log("hello from Node")\n')
        line = "npm install --global --silent --offline ./$(npm pack --silent ./p) >/dev/null && hi"
        assert await printed(devbox, line) == "hello from Node\n"
        repository = (
            "git init -q r && cd r && git lfs track --filename x.bin && git config user.name a && git config user.email a@b"
        )
        await printed(devbox, f"{repository} && head -c 1000 /dev/zero >x.bin && git add . && git commit -qm x")
        assert "version https://git-lfs" in await printed(devbox, "cd r && git show HEAD:x.bin")


def wheel() -> bytes:
    """A package with a command of its own."""
    files = {
        "hello.py": 'def main():\n    print("hello from Python")\n',
        "hello-1.0.dist-info/METADATA": "Metadata-Version: 2.1\nName: hello\nVersion: 1.0\n",
        "hello-1.0.dist-info/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        "hello-1.0.dist-info/entry_points.txt": "[console_scripts]\nhello = hello:main\n",
    }
    files["hello-1.0.dist-info/RECORD"] = "".join(f"{name},,\n" for name in [*files, "hello-1.0.dist-info/RECORD"])
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for name, text in files.items():
            archive.writestr(name, text)
    return content.getvalue()
