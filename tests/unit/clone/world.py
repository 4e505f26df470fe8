"""What tests of `devbox-clone` stand on: repositories, the program as a process of its own, and what it left.

Nothing of pytest is in it.
"""

import asyncio
import json
import os
import shutil
import signal
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aiohttp import web
from tests.support.git_server import GitServer
from tests.support.repositories import Repositories

TOKEN = "gws_eyJhbGciOi.payload-of_a.token"
SECONDS = 60


@dataclass
class Ended:
    """How it ended."""

    status: int
    log: str
    message: str
    """In the termination log."""


@dataclass
class World(Repositories):
    """A server, a workspace, and the program."""

    server: GitServer
    folder: Path
    ca: Path
    more: dict[str, str] = field(default_factory=dict)
    """Variables of the container."""

    @property
    def workspace(self) -> Path:
        """Where clones are made."""
        return self.folder / "workspace"

    @property
    def ran(self) -> Path:
        """A file that whatever must not run would make."""
        return self.folder / "ran"

    @property
    def evil(self) -> str:
        """A command that makes it."""
        return f"touch {self.ran}"

    @property
    def half_made(self) -> list[Path]:
        """Clones that are not finished."""
        return list((self.workspace / ".devbox-gateway/cloning").glob("*"))

    def url(self, name: str) -> str:
        """Of a repository."""
        return f"{self.server.url}/{name}.git"

    def document(self, *mounts: dict[str, Any]) -> str:
        """As the operator writes it."""
        named = [{"name": "app", "path": "app", **mount} for mount in mounts]
        return json.dumps({"version": 1, "workspace": str(self.workspace), "gateway": self.server.url, "mounts": named})

    def environment(self, document: str) -> dict[str, str]:
        """All of the container's."""
        return {"PATH": os.environ["PATH"], "GIT_SSL_CAINFO": str(self.ca), "CODE_MOUNTS": document, **self.more}

    async def start(
        self, *mounts: dict[str, Any], document: str | None = None, prefix: tuple[str, ...] = ()
    ) -> asyncio.subprocess.Process:
        """The process."""
        self.workspace.mkdir(exist_ok=True)
        self.log.write_text("")
        return await asyncio.create_subprocess_exec(
            *prefix,
            sys.executable,
            "-m",
            "devbox_clone",
            f"--termination-log={self.log}",
            cwd=self.workspace,
            env=self.environment(document or self.document(*mounts)),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )

    @property
    def log(self) -> Path:
        """The termination log."""
        return self.folder / "termination-log"

    async def clone(self, *mounts: dict[str, Any], document: str | None = None, prefix: tuple[str, ...] = ()) -> Ended:
        """To its end."""
        process = await self.start(*mounts, document=document, prefix=prefix)
        async with asyncio.timeout(SECONDS):
            out, _ = await process.communicate()
        assert process.returncode is not None
        return Ended(process.returncode, out.decode(), self.log.read_text())

    async def works(self, *mounts: dict[str, Any]) -> Ended:
        """To its good end, after which nothing is half made."""
        ended = await self.clone(*mounts)
        assert ended.status == 0, ended.log
        assert ended.message == ""
        self.clean()
        return ended

    async def fails(self, *mounts: dict[str, Any], prefix: tuple[str, ...] = ()) -> str:
        """To its bad end; returns the termination message. Nothing of a clone is left."""
        ended = await self.clone(*mounts, prefix=prefix)
        assert ended.status == 1, ended.log
        assert ended.message
        assert ended.message.splitlines()[0] in ended.log
        assert "Traceback" not in ended.log
        self.clean()
        return ended.message

    async def interrupted(self, *mounts: dict[str, Any], number: signal.Signals) -> int:
        """Half of the last one is there when the signal comes; nothing of it runs any more. Returns the status. (Killed as a container is:
        its process 1 takes all others along.)"""
        gone = asyncio.Event()

        async def answer(_: web.Request) -> web.StreamResponse:
            process.send_signal(number)
            try:
                await asyncio.Event().wait()  # until git is gone
                return web.Response()
            finally:
                gone.set()

        self.server.planned[f"/{mounts[-1]['repository'].rpartition('/')[2]}/git-upload-pack"] = answer
        container = ("unshare", "--map-root-user", "--pid", "--fork", "--kill-child=KILL")
        process = await self.start(*mounts, prefix=container if number == signal.SIGKILL else ())
        async with asyncio.timeout(SECONDS):
            await process.communicate()
            await gone.wait()
        self.server.planned.clear()
        assert process.returncode is not None
        return process.returncode

    def clean(self) -> None:
        """Nothing ran, and nothing is half made."""
        assert not self.ran.exists()
        assert not self.half_made

    def reset(self) -> None:
        """The workspace of another devbox."""
        shutil.rmtree(self.workspace, ignore_errors=True)
