"""The local cluster's pure parts: tags, identities of processes, configuration."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from devbox_cluster import __main__ as command_line
from devbox_cluster import cluster, config
from devbox_cluster.images import tag
from devbox_cluster.paths import cache_dir
from devbox_cluster.processes import Identity, Processes, start_time
from devbox_cluster.progress import ClusterError


def test_the_tag_follows_content_and_names(tmp_path: Path) -> None:
    (tmp_path / "app").mkdir()
    (tmp_path / "app" / "a.py").write_text("1")
    first = tag(tmp_path, ["app"])
    (tmp_path / "app" / "__pycache__").mkdir()
    (tmp_path / "app" / "__pycache__" / "a.pyc").write_text("x")
    assert tag(tmp_path, ["app"]) == first, "what Python keeps beside a file is no input"
    (tmp_path / "app" / "a.py").write_text("2")
    changed = tag(tmp_path, ["app"])
    (tmp_path / "app" / "a.py").rename(tmp_path / "app" / "b.py")
    assert len({first, changed, tag(tmp_path, ["app"])}) == 3


def test_a_pid_that_went_to_somebody_else_is_not_ours() -> None:
    own = os.getpid()
    started = start_time(own)
    assert started is not None
    assert Identity(own, started).alive()
    assert not Identity(own, started - 1).alive()
    assert start_time(2**22 + 1) is None


def test_a_program_outlives_nobodys_pipes_and_is_stopped(tmp_path: Path) -> None:
    processes = Processes(tmp_path / "pid", tmp_path / "log")
    processes.start("sleeper", [sys.executable, "-c", "print('hello', flush=True); import time; time.sleep(60)"])
    assert processes.alive("sleeper")
    deadline = time.monotonic() + 10
    while "hello" not in processes.log("sleeper").read_text() and time.monotonic() < deadline:
        time.sleep(0.02)
    identity = processes.get("sleeper")
    assert identity is not None
    descriptors = [str(path.readlink()) for path in Path(f"/proc/{identity.pid}/fd").iterdir()]
    assert {"/dev/null", str(processes.log("sleeper"))} == set(descriptors)
    processes.stop("sleeper")
    os.waitpid(identity.pid, 0)
    assert not identity.alive()
    assert processes.get("sleeper") is None
    processes.stop("sleeper")


def test_what_does_not_run_is_not_alive(tmp_path: Path) -> None:
    processes = Processes(tmp_path / "pid", tmp_path / "log")
    assert not processes.alive("never-started")
    (tmp_path / "pid").mkdir()
    (tmp_path / "pid" / "broken").write_text("not a number")
    assert not processes.alive("broken")


def test_several_programs_end_together_also_one_that_ignores_the_request(tmp_path: Path) -> None:
    processes = Processes(tmp_path / "pid", tmp_path / "log")
    stubborn = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf', flush=True); time.sleep(60)"
    processes.start("stubborn", [sys.executable, "-c", stubborn])
    processes.start("sleeper", ["sleep", "60"])
    deadline = time.monotonic() + 10
    while "deaf" not in processes.log("stubborn").read_text() and time.monotonic() < deadline:
        time.sleep(0.02)
    identities = [identity for name in ("stubborn", "sleeper") if (identity := processes.get(name))]
    assert len(identities) == 2
    processes.stop("stubborn", "sleeper", "never-started", patience=0.3)
    assert [os.waitstatus_to_exitcode(os.waitpid(identity.pid, 0)[1]) for identity in identities] == [-9, -15]


def test_a_program_that_ends_too_early_is_an_error_or_started_again(tmp_path: Path) -> None:
    processes = Processes(tmp_path / "pid", tmp_path / "log")
    ready = tmp_path / "ready"
    # As kubelet does where containerd is not set up yet.
    program = [sys.executable, "-c", "import sys; sys.exit('no runtime')"]

    def start() -> None:
        processes.start("early", program)
        identity = processes.get("early")
        assert identity is not None
        os.waitpid(identity.pid, 0)

    start()
    with pytest.raises(ClusterError, match=r"(?s)early is not ready.*no runtime"):
        processes.wait("early", ready.exists, 10)

    def restart() -> None:
        start()
        ready.touch()

    processes.wait("early", ready.exists, 10, restart=restart, pause=0.01)
    with pytest.raises(ClusterError, match="early is not ready"):
        processes.wait("early", lambda: False, 0.2, restart=start, pause=0.01)


def test_the_output_of_the_run_before_is_kept(tmp_path: Path) -> None:
    processes = Processes(tmp_path / "pid", tmp_path / "log")
    for word in ("first", "second"):
        processes.start("echo", ["echo", word])
        identity = processes.get("echo")
        assert identity is not None
        os.waitpid(identity.pid, 0)
    assert processes.log("echo").read_text() == "second\n"
    assert (tmp_path / "log" / "echo.log.1").read_text() == "first\n"


def test_nothing_of_the_cluster_listens_to_other_machines() -> None:
    state, run, pki = Path("/state"), Path("/run/x"), Path("/state/pki")
    assert f"--bind-address={config.NODE_ADDRESS}" in config.api_server(pki, ipv6=True)
    assert "--bind-address=127.0.0.1" in config.controller_manager(pki, ipv6=True)
    assert "--bind-address=127.0.0.1" in config.scheduler(pki)
    assert "--health-port=0" in config.kube_router(pki, ipv6=True)
    files = config.files(state, run, pki, ipv6=True)
    assert yaml.safe_load(files["kubelet.yaml"])["address"] == config.NODE_ADDRESS
    assert yaml.safe_load(files["kube-proxy.yaml"])["healthzBindAddress"].startswith("127.0.0.1:")


def test_the_configuration_files_parse() -> None:
    state, run, pki = Path("/state"), Path("/run/x"), Path("/state/pki")
    files = config.files(state, run, pki, ipv6=True)
    assert json.loads(files["cni/10-pods.conflist"])["plugins"][0]["bridge"] == config.POD_DEVICE
    assert yaml.safe_load(files["kubelet.yaml"])["failCgroupV1"] is False
    assert yaml.safe_load(files["kube-proxy.yaml"])["mode"] == "nftables"
    assert '"/run/x/containerd.sock"' in files["containerd.toml"]
    assert len(config.NODE_DEVICE) < 16
    assert len(config.POD_DEVICE) < 16


def test_an_unknown_kind_of_cluster_is_an_error_that_says_what_to_write(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLUSTER", "minikube")
    with pytest.raises(ClusterError, match=r"write CLUSTER=kind .* or CLUSTER=local"):
        cluster.chosen()


def test_the_cache_folder_is_the_users_choice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DEVBOX_GATEWAY_CACHE", "/somewhere")
    assert cache_dir() == Path("/somewhere")
    monkeypatch.delenv("DEVBOX_GATEWAY_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", "/cache")
    assert cache_dir() == Path("/cache/devbox-gateway")


def test_the_command_line_ends_with_a_message_not_a_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    result = subprocess.run(
        [sys.executable, "-m", "devbox_cluster", "up"],
        env={**os.environ, "CLUSTER": "minikube"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 1
    assert "error:" in result.stderr
    assert "Traceback" not in result.stderr


def test_the_lines_for_a_shell_are_quoted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """`eval "$(python -m devbox_cluster env)"`: a folder may be called what it likes."""
    odd = f"{tmp_path}/a b$(touch PWNED);'"
    monkeypatch.setenv("PATH", f"/bin:/usr/bin:{odd}")
    command_line.env()
    script = f'{capsys.readouterr().out}\nprintf %s "$PATH"'
    done = subprocess.run(["/bin/sh", "-c", script], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout.endswith(f":/bin:/usr/bin:{odd}")
    assert not list(tmp_path.iterdir())
