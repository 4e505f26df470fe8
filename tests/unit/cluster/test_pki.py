"""The cluster's keys: whole, private, and made anew in time."""

import datetime as dt
from pathlib import Path

import pytest
import yaml
from cryptography import x509

from devbox_cluster import config, pki


def test_every_file_that_a_component_is_told_of_is_made(tmp_path: Path) -> None:
    folder = tmp_path / "pki"
    pki.ensure(folder)
    assert folder.stat().st_mode & 0o077 == 0
    commands = [
        config.api_server(folder, ipv6=True),
        config.controller_manager(folder, ipv6=True),
        config.scheduler(folder),
        config.kube_router(folder, ipv6=True),
    ]
    commands += [config.kubelet(tmp_path, tmp_path / "files", folder, ipv6=True)]
    told = {word.partition("=")[2] for command in commands for word in command if f"={folder}/" in word}
    assert len(told) > 8
    assert [path for path in told if not Path(path).exists()] == []
    assert all(path.stat().st_mode & 0o077 == 0 for path in [*folder.glob("*.key"), *folder.glob("*.conf")])
    admin = yaml.safe_load((folder / "admin.conf").read_text())
    assert admin["clusters"][0]["cluster"]["server"] == config.API_SERVER


def test_keys_are_kept_until_a_month_before_their_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "pki"
    pki.ensure(folder)
    first = (folder / "ca.crt").read_bytes()
    pki.ensure(folder)
    assert (folder / "ca.crt").read_bytes() == first
    expires = x509.load_pem_x509_certificate(first).not_valid_after_utc
    monkeypatch.setattr(pki, "MONTH", expires - dt.datetime.now(dt.UTC) + dt.timedelta(days=1))
    pki.ensure(folder)
    assert (folder / "ca.crt").read_bytes() != first


def test_a_half_made_set_is_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "pki"
    with monkeypatch.context() as patch:
        patch.setattr(yaml, "safe_dump", lambda *_: 1 / 0)  # (a kubeconfig; the certificates are there by then)
        with pytest.raises(ZeroDivisionError):
            pki.ensure(folder)
    assert not folder.exists()
    pki.ensure(folder)
    assert (folder / "admin.conf").exists()
