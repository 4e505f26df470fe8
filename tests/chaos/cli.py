"""`kubectl devbox` as a process, for one kubeconfig and namespace."""

import asyncio
import signal
import subprocess
import sys
from pathlib import Path


class Cli:
    """For one kubeconfig and namespace."""

    def __init__(self, kubeconfig: Path, namespace: str) -> None:
        self.namespace, self.kubeconfig = namespace, kubeconfig

    async def __call__(self, *words: str, stdin: str = "", code: int = 0) -> str:
        """stdout, or, of what fails, stderr."""
        out, err = await self.both(*words, stdin=stdin, code=code)
        return err if code else out

    async def interrupted(self, number: signal.Signals, *words: str) -> int | None:
        """Its exit code, where the signal comes once it says something."""
        process = await asyncio.create_subprocess_exec(*self.line(words), stderr=subprocess.PIPE)
        assert process.stderr is not None
        assert await asyncio.wait_for(process.stderr.readline(), 60) != b""
        process.send_signal(number)
        assert b"Traceback" not in await asyncio.wait_for(process.stderr.read(), 60)
        return await process.wait()

    def line(self, words: tuple[str, ...]) -> list[str]:
        where = ["--kubeconfig", str(self.kubeconfig), "-n", self.namespace]
        return [sys.executable, "-m", "devbox_gateway.cli", *where, *words]

    async def both(self, *words: str, stdin: str = "", code: int | None = 0) -> tuple[str, str]:
        process = await asyncio.create_subprocess_exec(
            *self.line(words),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        try:
            out, err = (part.decode() for part in await asyncio.wait_for(process.communicate(stdin.encode()), 60))
        except TimeoutError:
            process.kill()
            raise AssertionError(f"{words} did not end") from None
        assert "Traceback" not in err
        assert "internal error" not in err
        assert code in (None, process.returncode), f"{words}: {process.returncode}, {out}{err}"
        for text in (out, err):
            assert all(line.isprintable() for line in text.replace("\t", " ").split("\n")), text
        return out, err
