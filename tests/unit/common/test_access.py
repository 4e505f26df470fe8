"""How the API server is reached, from a pod and by a kubeconfig."""

import subprocess
import sys
from pathlib import Path

import pytest

from devbox_common import access, clock
from devbox_common.access import NoAccess, find, in_cluster
from devbox_stage.credentials import make_certificates


@pytest.fixture
def account(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.96.0.1")
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", "443")
    (tmp_path / "ca.crt").write_text(make_certificates(("10.96.0.1",)).ca)
    (tmp_path / "token").write_text("first\n")
    return tmp_path


async def test_a_pods_service_account(account: Path) -> None:
    found = in_cluster(account)
    assert found.base == "https://10.96.0.1:443"
    assert found.tls is not None
    assert found.tls.check_hostname
    assert len(found.tls.get_ca_certs()) == 1, "the cluster's alone"
    value = await found.authorization()
    assert value is not None
    assert value.reveal() == "Bearer first"
    assert "first" not in repr(found) + repr(value)


async def test_a_renewed_token_is_taken_up(account: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = in_cluster(account)
    (account / "token").write_text("second")
    assert (await found.authorization()).reveal() == "Bearer first"  # type: ignore[union-attr]
    monkeypatch.setattr(access, "now", lambda: clock.now() + access.TOKEN_SECONDS + 1)
    assert (await found.authorization()).reveal() == "Bearer second"  # type: ignore[union-attr]


def test_an_address_of_version_6(account: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "fd00::1")
    assert in_cluster(account).base == "https://[fd00::1]:443"


@pytest.mark.parametrize("missing", ["token", "ca.crt"])
def test_a_pod_without_a_service_account_is_told_so(account: Path, missing: str) -> None:
    (account / missing).unlink()
    with pytest.raises(NoAccess, match="automountServiceAccountToken"):
        in_cluster(account)


async def test_a_kubeconfig(tmp_path: Path) -> None:
    file = tmp_path / "config"
    file.write_text(
        "apiVersion: v1\nkind: Config\ncurrent-context: c\ncontexts: [{name: c, context: {cluster: c, user: u}}]\n"
        "clusters: [{name: c, cluster: {server: 'https://192.0.2.1:6443/'}}]\nusers: [{name: u, user: {token: from-a-file}}]\n"
    )
    found = await find(file)
    assert found.base == "https://192.0.2.1:6443"
    value = await found.authorization()
    assert value is not None
    assert value.reveal() == "Bearer from-a-file"


async def test_neither_is_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    with pytest.raises(NoAccess, match="kubeconfig"):
        await find(tmp_path / "nothing")


def test_a_pod_does_not_wait_for_what_it_does_not_use() -> None:
    code = "import sys, devbox_proxy.run; print('kubernetes' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout == "False\n"
