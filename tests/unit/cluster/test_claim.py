"""One cluster for a machine: whose it is, and what happens to what somebody else runs there."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from devbox_cluster import config, kind, local, packages, sandboxes
from devbox_cluster.claim import Claim, boot_id
from devbox_cluster.progress import ClusterError


@pytest.fixture
def caches(tmp_path: Path) -> tuple[Path, Path]:
    """Two cache folders."""
    one, other = tmp_path / "one", tmp_path / "other"
    one.mkdir()
    other.mkdir()
    return one, other


def test_the_cluster_of_another_cache_folder_is_not_ours(tmp_path: Path, caches: tuple[Path, Path]) -> None:
    run = tmp_path / "run"
    mine, theirs = Claim(run, caches[0]), Claim(run, caches[1])
    assert mine.owner() is None
    theirs.take()
    assert theirs.mine()
    assert not mine.mine()
    with pytest.raises(ClusterError, match=f"DEVBOX_GATEWAY_CACHE={caches[1]} make cluster-down"):
        mine.take()
    assert theirs.mine()
    theirs.release()
    mine.take()
    assert mine.mine()
    assert run.stat().st_mode & 0o077 == 0


def test_the_line_that_removes_it_runs_nothing_else(tmp_path: Path) -> None:
    owner = tmp_path / "a b; touch PWNED; $(touch PWNED)"
    owner.mkdir()
    Claim(tmp_path / "run", owner).take()
    with pytest.raises(ClusterError) as found:
        Claim(tmp_path / "run", tmp_path / "mine").check()
    line = (
        str(found.value)
        .partition("remove it first: ")[2]
        .replace("make cluster-down", "sh -c 'echo \"$DEVBOX_GATEWAY_CACHE\"'")
    )
    done = subprocess.run(["sh", "-c", line], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout == f"{owner}\n"
    assert not (tmp_path / "PWNED").exists()


def test_a_cluster_whose_cache_folder_is_gone_belongs_to_nobody(tmp_path: Path, caches: tuple[Path, Path]) -> None:
    Claim(tmp_path / "run", caches[1]).take()
    caches[1].rmdir()
    mine = Claim(tmp_path / "run", caches[0])
    mine.take()
    assert mine.mine()


def test_records_from_before_a_restart_of_the_machine_are_not_believed(tmp_path: Path, caches: tuple[Path, Path]) -> None:
    run = tmp_path / "run"
    claim = Claim(run, caches[0])
    claim.take()
    (run / "pid").mkdir()
    (run / "pid" / "etcd").write_text(f"{os.getpid()} 0")
    claim.take()
    assert (run / "pid" / "etcd").exists(), "ours is kept"
    (run / "owner").write_text(json.dumps({"cache": str(caches[0]), "boot": "another"}))
    assert not claim.mine()
    claim.take()
    assert not (run / "pid").exists()


@pytest.mark.parametrize("record", ["", "nonsense", "[]", "{}", '{"cache": 3, "boot": null}'])
def test_a_broken_record_is_no_claim(tmp_path: Path, record: str) -> None:
    run = tmp_path / "run"
    run.mkdir()
    (run / "owner").write_text(record)
    assert Claim(run, tmp_path).owner() is None
    assert boot_id()


def test_another_kubernetes_on_the_machine_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local, "traces", lambda: ["iptables chain KUBE-SERVICES"])
    with pytest.raises(ClusterError, match=r"another Kubernetes runs on this machine.*KUBE-SERVICES"):
        local.LocalCluster()._check_machine()


def test_a_taken_port_is_named_with_its_holder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(local, "traces", list)
    monkeypatch.setattr(sandboxes, "cgroups", list)
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        port = listener.getsockname()[1]
        monkeypatch.setattr(config, "PORTS", {port: "etcd"})
        with pytest.raises(ClusterError, match=f"port {port}, which etcd needs, is taken.*LISTEN"):
            local.LocalCluster()._check_machine()
    local.LocalCluster()._check_machine()


def test_without_root_it_says_so_before_anything_is_built(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    for action in (local.LocalCluster().check, local.LocalCluster().down):
        with pytest.raises(ClusterError, match="root"):
            action()


def _program(folder: Path, name: str, script: str) -> None:
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(f"#!/bin/sh\n{script}\n")
    (folder / name).chmod(0o755)


@pytest.fixture
def docker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A docker and a kind that note how they were called; the file `node` holds the id of kind's node, if there is one."""
    folder = tmp_path / "bin"
    node, calls = tmp_path / "node", tmp_path / "calls"
    _program(folder, "docker", f'[ "$1" != ps ] || cat {node} 2>/dev/null; exit 0')
    _program(
        folder,
        "kind",
        f"""echo "$@" >> {calls}
case "$1 $2" in
  version*) echo "kind v0.33.0 go1.26.8 linux/amd64" ;;
  "create cluster") echo new-node > {node}; while [ $# -gt 0 ]; do [ "$1" = --kubeconfig ] && echo config > "$2"; shift; done ;;
  "delete cluster") rm {node} ;;
esac""",
    )
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
    monkeypatch.setenv("DEVBOX_GATEWAY_CACHE", str(tmp_path / "cache"))
    return tmp_path


def test_a_kind_cluster_that_somebody_else_made_is_never_touched(docker: Path) -> None:
    (docker / "node").write_text("their-node\n")
    cluster = kind.KindCluster()
    assert not cluster.exists()
    with pytest.raises(ClusterError, match="did not make"):
        cluster.check()
    cluster.down()
    assert not (docker / "calls").exists()
    assert (docker / "node").exists()


def test_our_kind_cluster_is_made_recognised_and_deleted(docker: Path) -> None:
    cluster = kind.KindCluster()
    cluster.check()
    cluster.up()
    assert cluster.exists()
    assert cluster.admin_kubeconfig() == "config\n"
    assert (docker / "cache" / "cluster" / "kind.kubeconfig").stat().st_mode & 0o777 == 0o600
    cluster.check()
    (docker / "node").write_text("made-anew-by-hand\n")
    assert not cluster.exists()
    (docker / "node").write_text("new-node\n")
    cluster.down()
    assert not (docker / "node").exists()
    assert not cluster.exists()


@pytest.mark.parametrize(
    ("version", "setting", "message"),
    [
        ("go1.22.1", "local", "GOTOOLCHAIN=auto"),
        ("go1.20.3", "auto", "install it$"),
        ("nothing", "auto", "install it$"),
    ],
)
def test_a_go_that_is_too_old_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: str, setting: str, message: str
) -> None:
    _program(tmp_path / "bin", "go", f'[ "$1" = env ] && echo {setting} || echo go version {version} linux/amd64')
    monkeypatch.setenv("PATH", f"{tmp_path}/bin:/usr/bin:/bin")
    with pytest.raises(ClusterError, match=message):
        packages.need_go()


@pytest.mark.parametrize(("version", "toolchain"), [("go1.27.0", "local"), ("go1.26.1", "local"), ("go1.23.4", "auto")])
def test_a_go_that_is_new_enough_builds_by_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: str, toolchain: str
) -> None:
    _program(tmp_path / "bin", "go", f'[ "$1" = env ] && echo auto || echo go version {version} linux/amd64')
    monkeypatch.setenv("PATH", f"{tmp_path}/bin:/usr/bin:/bin")
    assert packages.need_go() == (str(tmp_path / "bin" / "go"), toolchain)


def test_packages_do_not_start_their_services_and_a_policy_that_is_there_stays(tmp_path: Path) -> None:
    policy = tmp_path / "policy-rc.d"
    with packages._services_stay_off(policy):
        assert subprocess.run([policy, "etcd", "start"], check=False).returncode == 101
    assert not policy.exists()
    policy.write_text("theirs")
    with packages._services_stay_off(policy):
        pass
    assert policy.read_text() == "theirs"


def test_a_second_process_waits_for_the_first(tmp_path: Path) -> None:
    program = (
        "import sys, time\nfrom devbox_cluster.locks import locked\n"
        "with locked('cluster'):\n print('in', flush=True)\n sys.stdin.read()\n"
        " print(time.monotonic(), flush=True)\nprint('out', flush=True)"
    )
    environment = {**os.environ, "DEVBOX_GATEWAY_CACHE": str(tmp_path)}

    def start() -> subprocess.Popen[str]:
        pipe = subprocess.PIPE
        return subprocess.Popen(
            [sys.executable, "-c", program], env=environment, stdin=pipe, stdout=pipe, stderr=pipe, text=True
        )

    first = start()
    assert first.stdout is not None
    assert first.stdout.readline() == "in\n"
    second = start()
    assert second.stderr is not None
    assert "wait for another process that works on the cluster" in second.stderr.readline()
    left, errors = first.communicate("", timeout=30)
    assert errors == ""
    ended = float(left.split()[0])
    output, _ = second.communicate("", timeout=30)
    assert output.split()[0] == "in"
    assert float(output.split()[1]) >= ended
