"""A page in a devbox's browser, with the OpenAI SDK: Chromium asks beforehand what the page may send, and the gateway answers that itself.

Where there is no Chromium these are skipped; attacks CO-01 to CO-07 send what it sends.
"""

import asyncio
import contextlib
import json
import os
import shutil
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Final

import pytest
import pytest_asyncio
from aiohttp import web

from .checks import arrived
from .script import PIECES
from .world import World

CHROMIUM: Final = shutil.which("chromium")
SECONDS: Final = 120.0
OPTIONS: Final = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--no-first-run",
    "--ignore-certificate-errors",  # it goes by a database of its own, and not by the devbox's variables
)
pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.skipif(not CHROMIUM, reason="chromium is not installed")]


@contextlib.asynccontextmanager
async def served(world: World, facts: asyncio.Future[dict[str, Any]]) -> AsyncIterator[str]:
    """The page's own server in the devbox: the page, the SDK, and who takes what was seen."""

    async def page(_: web.Request) -> web.FileResponse:
        return web.FileResponse(world.home / "page.html")

    async def environment(_: web.Request) -> web.Response:
        return web.json_response({name: world.environment("")[name] for name in ("OPENAI", "OPENAI_URL")})

    async def take(request: web.Request) -> web.Response:
        facts.set_result(await request.json())
        return web.Response()

    app = web.Application()
    app.add_routes([web.get("/", page), web.get("/environment", environment), web.post("/facts", take)])
    app.router.add_static("/openai", (world.home / "node_modules" / "openai").resolve())
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}/"
    finally:
        await runner.cleanup()


@pytest_asyncio.fixture(loop_scope="session", name="seen")
async def what_a_page_saw(world: World, tmp_path: Path) -> dict[str, Any]:
    """Of one visit."""
    facts: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
    async with served(world, facts) as url:
        browser = await asyncio.create_subprocess_exec(
            str(CHROMIUM),
            *OPTIONS,
            f"--user-data-dir={tmp_path / 'profile'}",
            url,
            env={"PATH": "/usr/bin:/bin", "HOME": str(tmp_path)},
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
            start_new_session=True,
        )
        try:
            async with asyncio.timeout(SECONDS):
                return await facts
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(browser.pid, signal.SIGKILL)
            await browser.wait()


@pytest.mark.row("S16")
async def test_a_page_is_answered_and_told_why_not(world: World, seen: dict[str, Any]) -> None:
    assert (seen["answer"], seen["stream"]) == ("".join(PIECES), "".join(PIECES))
    assert seen["request id"], "headers of the answer can be read, too"
    refused = seen["stranger"]
    assert (refused["raised"], refused["status"], refused["code"]) == ("AuthenticationError", 401, "token_missing")
    assert "devbox-gateway: no gws_ token in the request" in refused["said"]
    assert seen["kept by the browser"]["raised"] == "TypeError", "what a browser sends by itself (cookies) opens nothing"
    received = arrived(world, json.dumps(seen), requests=3)
    assert {one.method for one in received} == {"POST"}, "no preflight goes to the API"
