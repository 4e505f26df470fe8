"""A git server and an empty workspace for each test."""

import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.support.git_server import git_server

from devbox_cluster.locks import locked
from devbox_cluster.packages import need
from devbox_stage.credentials import Certificates, make_certificates

from .world import World


@pytest.fixture(scope="session", autouse=True)
def programs() -> None:
    """Git itself is everywhere; its large files' program often is not."""
    with locked("programs"):
        need({"git": "git", "git-lfs": "git-lfs", "unshare": "util-linux"})


@pytest.fixture(scope="session")
def certificates() -> Certificates:
    """Of localhost."""
    return make_certificates(["localhost", "127.0.0.1"])


@pytest.fixture
async def world(tmp_path: Path, certificates: Certificates) -> AsyncIterator[World]:
    """Before anything is there."""
    for name, text in (("ca", certificates.ca), ("crt", certificates.certificate), ("key", certificates.key.reveal())):
        (tmp_path / name).write_text(text)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(tmp_path / "crt", tmp_path / "key")
    (tmp_path / "repositories").mkdir()
    async with git_server(tmp_path / "repositories", tls) as server:
        yield World(server.root, tmp_path / "work", server, tmp_path, tmp_path / "ca")
