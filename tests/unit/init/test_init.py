"""`devbox-init` against real sockets: listeners that stand for the gateway's two ports, and ports that nobody listens on."""

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from devbox_init import __main__, probe
from devbox_init.judge import Judge, Verdict


def listener(port: int = 0) -> socket.socket:
    """Answers connections, as a listening socket does by itself."""
    made = socket.create_server(("127.0.0.1", port), backlog=128)
    made.settimeout(5)
    return made


@pytest.fixture
def gateway() -> Iterator[int]:
    """The data port."""
    with closing(listener()) as made:
        yield made.getsockname()[1]


@pytest.fixture
def canary() -> Iterator[int]:
    """The canary's port."""
    with closing(listener()) as made:
        yield made.getsockname()[1]


@pytest.fixture
def nobody() -> int:
    """A port that resets."""
    with closing(listener()) as made:
        return int(made.getsockname()[1])


def run(tmp_path: Path, data: int, canary_port: int, *more: str) -> tuple[int, str]:
    """Exit code and last words."""
    log = tmp_path / "log"
    code = __main__.main(
        ["--gateway=127.0.0.1", f"--data-port={data}", f"--canary-port={canary_port}", f"--termination-log={log}", *more]
    )
    return code, log.read_text(encoding="utf-8")


def test_a_confined_pod_starts_within_a_second(tmp_path: Path, gateway: int, nobody: int) -> None:
    began = time.monotonic()
    code, words = run(tmp_path, gateway, nobody)
    assert (code, words.split(":")[0]) == (0, "confined")
    assert 2 * probe.EVERY <= time.monotonic() - began < 2


def test_a_canary_that_is_silent_costs_a_second_and_not_three(
    tmp_path: Path, gateway: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As where policies drop: a listener whose queue is full answers nothing."""
    monkeypatch.setattr(probe, "PATIENCE", 0.6)
    with ExitStack() as stack:
        full = stack.enter_context(closing(socket.create_server(("127.0.0.1", 0), backlog=0)))
        for _ in range(8):
            one = stack.enter_context(closing(socket.socket()))
            one.setblocking(False)
            one.connect_ex(full.getsockname())
        time.sleep(0.2)
        began = time.monotonic()
        code, _ = run(tmp_path, gateway, full.getsockname()[1])
        took = time.monotonic() - began
    assert code == 0
    assert took < 3 * 0.6, f"rounds overlap: {took}"


def test_a_cluster_that_enforces_nothing_holds_the_agent_back(tmp_path: Path, gateway: int, canary: int) -> None:
    code, words = run(tmp_path, gateway, canary, "--seconds=0.6")
    assert code == 3
    assert words.startswith("not enforced: ")
    assert "egress.requireEnforcement=false" in words


def test_or_starts_it_after_saying_so(tmp_path: Path, gateway: int, canary: int) -> None:
    code, words = run(tmp_path, gateway, canary, "--seconds=0.6", "--start-anyway")
    assert code == 0
    assert words.startswith("not enforced: ")
    assert "starts all the same" in words


def test_a_policy_that_comes_late(tmp_path: Path, gateway: int) -> None:
    open_at_first = listener()
    port = open_at_first.getsockname()[1]
    closing_later = threading.Timer(0.8, open_at_first.close)
    closing_later.start()
    began = time.monotonic()
    code, words = run(tmp_path, gateway, port)
    closing_later.join()
    assert (code, words.split(":")[0]) == (0, "confined")
    assert time.monotonic() - began > 0.8


def test_a_gateway_that_comes_late(nobody: int) -> None:
    """No answer is no proof: it waits, whatever the canary does."""
    with closing(listener()) as later:
        port = later.getsockname()[1]
    heard: list[Verdict] = []
    found: list[Verdict] = []
    thread = threading.Thread(
        target=lambda: found.append(probe.watch("127.0.0.1", port, nobody, Judge(30), heard.append)), daemon=True
    )
    thread.start()
    time.sleep(1)
    assert not found
    with closing(listener(port)):
        thread.join(5)
    assert found == [Verdict.CONFINED]
    assert heard[0] is Verdict.WAITING


def test_a_name_that_is_not_in_the_hosts_file_is_no_gateway() -> None:
    assert probe.addresses("gateway.invalid", 443) == []


def test_every_address_is_tried() -> None:
    """One family that is not confined is enough to be not confined."""
    families = {family for family, _ in probe.addresses("localhost", 80)}
    assert families <= {socket.AF_INET, socket.AF_INET6}
    assert probe.addresses("::1", 80) == [(socket.AF_INET6, ("::1", 80, 0, 0))]


def test_it_ends_when_it_is_told_to(nobody: int) -> None:
    """As process 1 it would not, without a handler of its own."""
    command = [sys.executable, "-m", "devbox_init", "--gateway=127.0.0.1", f"--data-port={nobody}", f"--canary-port={nobody}"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline().strip() == Verdict.WAITING.value
        os.kill(process.pid, signal.SIGTERM)
        assert process.wait(5) == 143


def test_it_and_the_operator_agree() -> None:
    """It imports nothing of ours, so the words stand in two places."""
    from devbox_api import names
    from devbox_operator.initview import InitView

    assert names.INIT_NOT_ENFORCED == __main__.NOT_ENFORCED
    assert Verdict.CONFINED.value == names.INIT_CONFINED
    status = {"initContainerStatuses": [{"name": "devbox-init", "state": {"terminated": {"exitCode": 3}}}]}
    view = InitView.of({"initContainers": [{"name": "devbox-init"}]}, status)
    assert view == InitView(refused=True)
