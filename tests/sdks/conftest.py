"""One gateway and one process for each SDK, for all tests of this folder; and the matrix at the end, as a table.

Needs a network of its own (tests/support/netns.py) and the SDKs (environments.py): `make sdks` sees to both.
"""

import contextlib
import shutil
from collections import defaultdict
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio
from tests.chaos.world import inside
from tests.support.repositories import Repositories

from .client import Client
from .environments import NotThere, made
from .sdks import SDKS, Sdk
from .world import World, world

HERE = "tests/sdks/"
NO_NETWORK = "needs a network of its own: make sdks, or python -m tests.support.netns .venv/bin/pytest tests/sdks"


@pytest_asyncio.fixture(scope="session", loop_scope="session", name="world")
async def a_world() -> AsyncIterator[World]:
    """The gateway, the APIs and the devbox's environment."""
    if not inside():
        pytest.skip(NO_NETWORK)
    try:
        environments = made()
    except NotThere as error:
        pytest.skip(str(error))
    async with world(environments) as running:
        yield running


@pytest_asyncio.fixture(scope="session", loop_scope="session", name="clients")
async def all_clients(world: World) -> AsyncIterator[dict[str, Client]]:
    """All of them, importing their SDKs at the same time."""
    async with contextlib.AsyncExitStack() as stack:
        started = {}
        for sdk in SDKS:
            started[sdk.name] = await Client.start(sdk.command(world.environments), world.home, world.environment(sdk.ca))
            stack.push_async_callback(started[sdk.name].close)
        yield started


@pytest.fixture
def client(clients: dict[str, Client], sdk: Sdk) -> Client:
    """The process of the test's SDK."""
    return clients[sdk.name]


@pytest.fixture
def hosts(world: World, tmp_path: Path) -> Iterator[tuple[Repositories, Repositories]]:
    """github.com's repositories, and the public host's; gone with the test."""
    github, public = Repositories(world.repositories, tmp_path / "github"), Repositories(world.public.root, tmp_path / "public")
    yield github, public
    for path in (*github.root.iterdir(), *public.root.iterdir()):
        shutil.rmtree(path)


@pytest.fixture(autouse=True)
def quiet(request: pytest.FixtureRequest) -> None:
    """The APIs know nothing of the test before."""
    if "world" in request.fixturenames:
        request.getfixturevalue("world").apis.reset()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Passed and failed, by SDK."""
    counts: dict[str, dict[str, int]] = defaultdict(lambda: defaultdict(int))
    for outcome in ("passed", "failed", "error", "xfailed", "xpassed", "skipped"):
        for report in terminalreporter.getreports(outcome):
            if report.nodeid.startswith(HERE) and (report.when == "call" or outcome in {"error", "skipped"}):
                where = report.nodeid.rstrip("]")
                name = next(
                    (sdk.name for sdk in SDKS if where.endswith(sdk.name)), where.partition("/test_")[2].partition(".py")[0]
                )
                counts[name][outcome] += 1
    for name, row in counts.items():
        terminalreporter.write_line(f"{name:24} " + ", ".join(f"{count} {outcome}" for outcome, count in row.items()))
