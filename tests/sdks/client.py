"""An SDK's program as a process, which is told what to do and says what it saw; or another program that runs to its end.

Goes in: a command and the devbox's environment. Comes out: facts, one by one.
"""

import asyncio
import contextlib
import json
import os
import signal
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self

SECONDS: Final = 20.0
"""For one fact."""
START_SECONDS: Final = 120.0
"""For the first: all of them import their SDKs at the same time, which judges nothing."""
Fact = dict[str, Any]


class Client:
    """A running one."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self._output: list[str] = []
        self._version = ""
        self._errors = asyncio.create_task(self._read_errors())

    @classmethod
    async def start(cls, command: Sequence[str], home: Path, environment: Mapping[str, str]) -> Self:
        """Started, and perhaps still busy with its imports."""
        pipe = asyncio.subprocess.PIPE
        process = await asyncio.create_subprocess_exec(
            *command, stdin=pipe, stdout=pipe, stderr=pipe, cwd=home, env=dict(environment), limit=1 << 24
        )
        return cls(process)

    @property
    def pid(self) -> int:
        """Of its process."""
        return self._process.pid

    @property
    def printed(self) -> str:
        """Everything."""
        return "".join(self._output)

    async def version(self) -> str:
        """The SDK's, as the SDK says."""
        if not self._version:
            self._version = (await self._fact(START_SECONDS))["version"]
        return self._version

    async def does(self, scenario: str) -> AsyncIterator[Fact]:
        """Let it do something; what it says meanwhile, as it says it."""
        await self.version()
        assert self._process.stdin is not None
        self._process.stdin.write(f"{scenario}\n".encode())
        while "done" not in (fact := await self._fact()):
            yield fact

    async def did(self, scenario: str) -> Fact:
        """The same, all facts in one."""
        return {key: value async for fact in self.does(scenario) for key, value in fact.items()}

    async def _fact(self, seconds: float = SECONDS) -> Fact:
        assert self._process.stdout is not None
        try:
            async with asyncio.timeout(seconds):
                line = (await self._process.stdout.readline()).decode()
        except TimeoutError:
            raise AssertionError(f"the client said nothing for {seconds:.0f} s\n{self._end_of_output()}") from None
        self._output.append(line)
        assert line, f"the client ended\n{self._end_of_output()}"
        fact: Fact = json.loads(line)
        return fact

    def _end_of_output(self) -> str:
        return "".join(self._output)[-3000:]

    async def _read_errors(self) -> None:
        assert self._process.stderr is not None
        async for line in self._process.stderr:
            self._output.append(line.decode())

    async def close(self) -> None:
        """End it."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            async with asyncio.timeout(5):
                await self._process.wait()
        except TimeoutError:
            self._process.kill()
            await self._process.wait()
        await self._errors


@dataclass(frozen=True)
class Ended:
    """A program that ran to its end."""

    status: int
    out: str
    errors: str


class Program:
    """A program whose output is read as it comes."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process

    async def ended(self) -> Ended:
        """Wait for the end; what is left of its output."""
        try:
            async with asyncio.timeout(SECONDS):
                out, errors = await self.process.communicate()
        except TimeoutError:
            raise AssertionError(f"not ended after {SECONDS:.0f} s") from None
        assert self.process.returncode is not None
        return Ended(self.process.returncode, out.decode(), errors.decode())

    async def until(self, text: str, *, errors: bool = False) -> str:
        """Read standard output, or standard error, until `text` has come."""
        stream = self.process.stderr if errors else self.process.stdout
        assert stream is not None
        read = ""
        async with asyncio.timeout(SECONDS):
            while text not in read:
                data = await stream.read(1 << 16)
                assert data, f"it ended without {text!r}:\n{read}"
                read += data.decode()
        return read


@contextlib.asynccontextmanager
async def program(script: str, home: Path, environment: Mapping[str, str]) -> AsyncIterator[Program]:
    """`sh -c script`, running; ended with the block."""
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(
        *("sh", "-ec", script),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=pipe,
        stderr=pipe,
        cwd=home,
        env=dict(environment),
        start_new_session=True,
    )
    try:
        yield Program(process)
    finally:
        if process.returncode is None:
            os.killpg(process.pid, signal.SIGKILL)
            await process.communicate()
