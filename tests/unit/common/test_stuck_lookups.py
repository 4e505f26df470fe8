"""What the C library waits for at a name server is ended, and nothing else is (chaos `answers` has getaddrinfo(3) itself)."""

import contextlib
import errno
import select
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.programs import as_user
from tests.support.silent import silent

from devbox_common import stuck_lookups
from devbox_common.stuck_lookups import StuckLookups


@contextlib.contextmanager
def connected(host: str, port: int = 0) -> Iterator[tuple[socket.socket, int]]:
    """A connection on which nobody says anything, and the port."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with (
        socket.create_server((host, port), family=family) as server,
        socket.create_connection(server.getsockname()[:2]) as client,
        server.accept()[0],
    ):
        client.settimeout(5)
        yield client, server.getsockname()[1]


@pytest.fixture
def looks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> StuckLookups:
    """With 127.0.0.1 and ::1 for name servers."""
    path = tmp_path / "resolv.conf"
    path.write_text("search a b\nnameserver\nnameserver none\nnameserver 127.0.0.1\nnameserver ::1%lo\n")
    monkeypatch.setattr(stuck_lookups, "RESOLV_CONF", path)
    return StuckLookups()


def on(monkeypatch: pytest.MonkeyPatch, port: int) -> None:
    """Where name servers are asked."""
    monkeypatch.setattr(stuck_lookups, "PORT", port)


def alive(client: socket.socket) -> bool:
    """Nobody has ended it."""
    return not select.select([client], [], [], 0)[0]


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_what_was_there_at_two_looks_is_ended(looks: StuckLookups, monkeypatch: pytest.MonkeyPatch, host: str) -> None:
    with connected(host) as (client, port):
        on(monkeypatch, port)
        assert looks.look() == 0
        assert alive(client), "a lookup that has just begun is given its time"
        assert looks.look() == 1
        assert client.recv(1) == b""


def test_one_that_is_being_made_ends_too(looks: StuckLookups, monkeypatch: pytest.MonkeyPatch) -> None:
    with silent("127.0.0.1") as (host, port), socket.socket() as client:
        on(monkeypatch, port)
        client.setblocking(False)
        assert client.connect_ex((host, port)) == errno.EINPROGRESS
        looks.look()
        looks.look()
        assert select.select([], [client], [], 5)[1], "who waits for it goes on"
        assert client.connect_ex((host, port)) != errno.EALREADY


@pytest.mark.parametrize(
    ("host", "other_port"), [("127.0.0.2", False), ("127.0.0.1", True)], ids=["no name server", "another port"]
)
def test_others_are_left_alone(looks: StuckLookups, monkeypatch: pytest.MonkeyPatch, host: str, other_port: bool) -> None:
    with connected(host) as (client, port):
        on(monkeypatch, 53 if other_port else port)
        for _ in range(3):
            assert looks.look() == 0
        assert alive(client)


def test_a_machine_without_these_tables(looks: StuckLookups, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(stuck_lookups, "TABLES", (str(tmp_path / "none"),))
    monkeypatch.setattr(stuck_lookups, "RESOLV_CONF", tmp_path / "none")
    assert looks.look() == 0


def test_by_the_images_user_in_a_process_whose_memory_is_private() -> None:
    """Whose files in /proc no longer belong to it."""
    program = (
        "import socket\n"
        "from devbox_common import stuck_lookups\n"
        "from devbox_common.process import keep_memory_private\n"
        "keep_memory_private()\n"
        "server = socket.create_server(('127.0.0.1', 0))\n"
        "client = socket.create_connection(server.getsockname())\n"
        "stuck_lookups.PORT = server.getsockname()[1]\n"
        "stuck_lookups._name_servers = lambda: {'127.0.0.1'}\n"
        "subject = stuck_lookups.StuckLookups()\n"
        "print(subject.look(), subject.look(), client.recv(1))\n"
    )
    result = subprocess.run(as_user(sys.executable, "-c", program), capture_output=True, text=True, check=True)
    assert result.stdout == "0 1 b''\n"
