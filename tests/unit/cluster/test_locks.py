"""Locks between processes."""

from pathlib import Path

import pytest

from devbox_cluster.locks import locked


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DEVBOX_GATEWAY_CACHE", str(tmp_path))


def test_a_thread_does_not_wait_for_itself() -> None:
    with locked("images"):
        with pytest.raises(RuntimeError, match="held by this thread already"), locked("images"):
            pass
        with locked("cluster"):
            pass
    with locked("images"):
        pass
