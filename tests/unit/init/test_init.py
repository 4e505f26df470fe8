"""`devbox-init` against real sockets: listeners that stand for the gateway's two ports, and ports that nobody listens on."""

import errno
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from tests.support.gateway_process import FILES
from tests.support.silent import silent as silent_port

from devbox_init import __main__, connecting, probe, visit
from devbox_init.families import Family
from devbox_init.judge import Judge, Silence, State, Verdict
from devbox_init.visit import Ports
from devbox_proxy.tunnels.whereabouts import CROWDED

from .asked import asked

V4, V6 = Family.IPV4, Family.IPV6


def listener(port: int = 0) -> socket.socket:
    """Answers connections, as a listening socket does by itself."""
    made = socket.create_server(("127.0.0.1", port), backlog=128)
    made.settimeout(5)
    return made


@pytest.fixture(autouse=True)
def in_use(monkeypatch: pytest.MonkeyPatch) -> dict[Family, set[str]]:
    """What the pod has addresses of: here, of the family that the gateway has. (test_pod.py has real ones.)"""
    used = {V4: {"eth0"}}
    monkeypatch.setattr(__main__, "families_in_use", lambda: dict(used))
    return used


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


@pytest.fixture
def silent() -> Iterator[int]:
    """A port as policies leave it that drop."""
    with silent_port("127.0.0.1") as (_, port):
        yield port


def run(tmp_path: Path, data: int, canary_port: int, *more: str) -> tuple[int, str]:
    """Exit code and last words."""
    log = tmp_path / "log"
    with asked("127.0.0.1", data, canary_port) as ask:
        ports = (f"--ask-port={ask}", f"--data-port={data}", f"--canary-port={canary_port}")
        code = __main__.main(["--gateway=127.0.0.1", *ports, f"--termination-log={log}", *more])
    return code, log.read_text(encoding="utf-8")


def test_a_confined_pod_starts_within_a_second(tmp_path: Path, gateway: int, nobody: int) -> None:
    began = time.monotonic()
    code, words = run(tmp_path, gateway, nobody)
    assert (code, words.split(":")[0]) == (0, "confined")
    assert 2 * probe.EVERY <= time.monotonic() - began < 2


def test_a_canary_that_is_silent_costs_a_second_and_not_three(
    tmp_path: Path, gateway: int, silent: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(visit, "PATIENCE", 0.6)
    began = time.monotonic()
    code, _ = run(tmp_path, gateway, silent)
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
    waits = threading.Event()

    def say(verdict: Verdict) -> None:
        heard.append(verdict)
        waits.set()

    with asked("127.0.0.1", port, nobody) as ask:

        def watched() -> None:
            ports = Ports(ask, port, nobody)
            found.append(probe.watch("127.0.0.1", ports, Judge(30), in_use=lambda: {V4: {"eth0"}}, say=say))

        thread = threading.Thread(target=watched, daemon=True)
        thread.start()
        assert waits.wait(10)
        assert not found
        with closing(listener(port)):
            thread.join(5)
    assert found == [Verdict(State.CONFINED, (V4,))]
    assert heard[0] == Verdict(State.WAITING, (V4,), silence=Silence.LOST)


OLD = b"HTTP/1.1 405 connect_only: no\r\nAllow: CONNECT\r\nConnection: close\r\nContent-Length: 2\r\n\r\n{}"


@pytest.mark.parametrize("says", [OLD, b"devbox", b"HTTP/1.1 204 x\r\nDevbox-Gateway-Pod: ::1 1 2\r\n\r\n", 9000 * b"x"])
def test_a_gateway_that_does_not_say_which_pod_it_is_shows_nothing(gateway: int, nobody: int, says: bytes) -> None:
    """One of an older release: the agent waits, and the log says for what."""
    heard: list[Verdict] = []
    with asked("127.0.0.1", gateway, nobody, says=says) as ask:
        watching = threading.Event()

        class Over(Exception):
            pass

        def say(verdict: Verdict) -> None:
            heard.append(verdict)
            watching.set()

        def in_use() -> dict[Family, set[str]]:
            if watching.is_set() and time.monotonic() - began > 1.5:
                raise Over
            return {V4: {"eth0"}}

        began = time.monotonic()
        with pytest.raises(Over):
            probe.watch("127.0.0.1", Ports(ask, gateway, nobody), Judge(0.5), in_use=in_use, say=say)
    assert heard == [Verdict(State.WAITING, (V4,), silence=Silence.MUTE)]


def test_a_gateway_that_does_not_answer_for_its_canary_shows_nothing(gateway: int, nobody: int) -> None:
    """So many connections come to it that it might be silent for that."""
    with (
        asked("127.0.0.1", gateway, nobody, says=CROWDED) as ask,
        closing(probe.Round(probe.addresses("127.0.0.1", 443), Ports(ask, gateway, nobody), 0.0)) as one,
    ):
        while not one.decided(time.monotonic()):
            probe._collect([one], 0.01)
        (look,) = one.visits
        assert (look.shut, look.silence) == (frozenset(), Silence.CROWDED)
    assert judged(gateway, nobody, says=CROWDED) is State.WAITING


def test_a_gateway_that_takes_the_question_and_says_nothing_is_none(gateway: int, nobody: int) -> None:
    assert judged(gateway, nobody, says=b"") is State.WAITING


def test_one_that_dies_while_its_canary_has_its_time_is_no_policy(silent: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its data port answered, its canary did not, and then the data port did not either."""
    monkeypatch.setattr(visit, "PATIENCE", 0.3)
    dying = listener()
    port = dying.getsockname()[1]
    threading.Timer(0.2, dying.close).start()
    with closing(listener()) as front, asked("127.0.0.1", port, silent) as ask:
        ports = Ports(ask, front.getsockname()[1], silent)
        with closing(probe.Round(probe.addresses("127.0.0.1", 443), ports, 0.0)) as one:
            while not one.decided(time.monotonic()):
                probe._collect([one], 0.01)
            (look,) = one.visits
            assert (look.shut, look.silence) == (frozenset(), Silence.LOST)


def test_a_name_that_is_not_in_the_hosts_file_is_no_gateway() -> None:
    assert probe.addresses("gateway.invalid", 443) == []


def calling(monkeypatch: pytest.MonkeyPatch, port: int, code: int) -> None:
    """Connections to that port end at once with this error."""

    class Socket(socket.socket):
        def connect(self, address: Any) -> None:
            if address[1] == port:
                raise OSError(code, os.strerror(code))
            super().connect(address)

    monkeypatch.setattr("devbox_init.connecting.socket.socket", Socket)


def judged(data: int, canary_port: int, seconds: float = 0.9, says: bytes | None = None) -> State:
    """What is known when so much time is over."""
    heard: list[Verdict] = []

    class Over(Exception):
        pass

    began = time.monotonic()

    def in_use() -> dict[Family, set[str]]:
        if time.monotonic() - began > seconds:
            raise Over
        return {V4: {"eth0"}}

    with asked("127.0.0.1", data, canary_port, says=says) as ask:
        try:
            return probe.watch("127.0.0.1", Ports(ask, data, canary_port), Judge(30), in_use=in_use, say=heard.append).state
        except Over:
            return heard[-1].state


PODS_OWN = "EMFILE ENFILE ENOBUFS ENOMEM EADDRNOTAVAIL EADDRINUSE EAGAIN EINVAL EAFNOSUPPORT EINTR EPROTO".split()
NETWORKS = "ECONNREFUSED ECONNRESET EHOSTUNREACH ENETUNREACH ENOPROTOOPT EHOSTDOWN ENONET EACCES EPERM ETIMEDOUT".split()


@pytest.mark.parametrize(
    ("name", "state"), [*((one, State.FAILING) for one in PODS_OWN), *((one, State.CONFINED) for one in NETWORKS)]
)
def test_only_the_networks_word_is_a_canary_that_is_silent(
    gateway: int, canary: int, monkeypatch: pytest.MonkeyPatch, name: str, state: State
) -> None:
    calling(monkeypatch, canary, getattr(errno, name))
    assert judged(gateway, canary) is state


def test_a_socket_that_can_not_be_made_is_no_answer_whatever_the_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """(A seccomp profile may say EPERM.)"""

    def refused(*_: object) -> socket.socket:
        raise PermissionError(errno.EPERM, "no")

    monkeypatch.setattr("devbox_init.connecting.socket.socket", refused)
    attempt = connecting.Attempt(socket.AF_INET, ("127.0.0.1", 1))
    assert (attempt.answered, attempt.error, attempt.socket) == (False, "EPERM", None)


def test_both_ports_are_those_of_one_look_up(gateway: int, canary: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """A hosts file that can't be read for a moment would be a canary that does not answer."""
    real = probe.addresses
    monkeypatch.setattr(probe, "addresses", lambda host, port: [] if port == canary else real(host, port))
    assert judged(gateway, canary) is State.OPEN


def test_a_slow_pod_gives_the_canary_its_time_all_the_same(gateway: int, silent: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """As it is where the processor is short: a round that is begun late, and an answer that came while nobody looked."""
    monkeypatch.setattr(visit, "PATIENCE", 0.3)
    with asked("127.0.0.1", gateway, silent) as ask:
        began = time.monotonic() - 1
        with closing(probe.Round(probe.addresses("127.0.0.1", gateway), Ports(ask, gateway, silent), began)) as one:
            made = time.monotonic()
            assert not one.decided(made)
            (look,) = one.visits
            while look._trial is None:
                time.sleep(0.01)
                probe._collect([one], 0.01)
                assert not one.decided(made), "its time begins with it"
            tried = time.monotonic()
            assert not one.decided(tried + 0.2)
            assert look.shut == frozenset()
            while not one.decided(time.monotonic()):
                probe._collect([one], 0.01)
            assert time.monotonic() >= tried + 0.25
            assert look.shut == {"127.0.0.1"}


def test_every_address_is_tried() -> None:
    """One family that is not confined is enough to be not confined."""
    families = {family for family, _ in probe.addresses("localhost", 80)}
    assert families <= {*probe.FAMILIES.values()}
    assert probe.addresses("::1", 80) == [(socket.AF_INET6, ("::1", 80, 0, 0))]


def test_a_family_without_an_address_of_the_gateway(
    tmp_path: Path, gateway: int, nobody: int, in_use: dict[Family, set[str]]
) -> None:
    in_use[V6] = {"eth0"}
    code, words = run(tmp_path, gateway, nobody, "--seconds=0.6")
    assert code == 3
    assert words.startswith("not seen: for 0.6 s the pod had an address of IPv6 and 127.0.0.1 none")
    assert "service.ipFamilyPolicy" in words
    assert "egress.requireEnforcement=false" in words
    code, words = run(tmp_path, gateway, nobody, "--seconds=0.6", "--start-anyway")
    assert code == 0
    assert words.startswith("not seen: ")
    assert "starts all the same" in words


def test_a_second_device(tmp_path: Path, gateway: int, nobody: int, in_use: dict[Family, set[str]]) -> None:
    in_use[V4] = {"eth0", "net1"}
    code, words = run(tmp_path, gateway, nobody, "--seconds=0.6")
    assert code == 3
    assert words.startswith("not seen: for 0.6 s the pod had addresses on more than one network device, eth0 and net1, and")
    assert "take the second network away" in words
    code, words = run(tmp_path, gateway, nobody, "--seconds=0.6", "--start-anyway")
    assert code == 0
    assert words.startswith("not seen: ")
    assert "starts all the same" in words


def test_a_family_that_goes_away(tmp_path: Path, gateway: int, nobody: int, in_use: dict[Family, set[str]]) -> None:
    in_use[V6] = {"eth0"}
    going = threading.Timer(0.8, in_use.pop, [V6])
    going.start()
    code, words = run(tmp_path, gateway, nobody, "--seconds=5")
    assert (code, words.split(":")[0]) == (0, "confined")


def test_a_family_that_comes_while_the_last_round_is_on_its_way(
    tmp_path: Path, gateway: int, silent: int, in_use: dict[Family, set[str]]
) -> None:
    """All that was tried was tried before it came."""
    coming = threading.Timer(visit.PATIENCE - probe.EVERY, in_use.update, [{V6: {"eth0"}}])
    coming.start()
    code, words = run(tmp_path, gateway, silent, "--seconds=0.6")
    assert (code, words.split(":")[0]) == (3, "not seen")


def test_it_ends_when_it_is_told_to(nobody: int) -> None:
    """As process 1 it would not, without a handler of its own."""
    ports = (f"--data-port={nobody}", f"--canary-port={nobody}")
    command = [*FILES, sys.executable, "-m", "devbox_init", "--gateway=127.0.0.1", *ports]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline().strip(), "what it waits for; which families this machine has is no matter"
        os.kill(process.pid, signal.SIGTERM)
        assert process.wait(5) == 143


def test_it_and_the_operator_agree() -> None:
    """It imports nothing of ours, so the words stand in two places."""
    from devbox_api import names
    from devbox_operator.seen.initview import InitView

    assert names.INIT_NOT_ENFORCED == __main__.NOT_ENFORCED
    assert str(Verdict(State.CONFINED)) == names.INIT_CONFINED
    status = {"initContainerStatuses": [{"name": "devbox-init", "state": {"terminated": {"exitCode": 3}}}]}
    view = InitView.of({"initContainers": [{"name": "devbox-init"}]}, status)
    assert view == InitView(refused=True)


@pytest.mark.parametrize(
    "verdict",
    [
        Verdict(State.OPEN, (V4, V6), late=True),
        Verdict(State.UNSEEN, (V4, V6), late=True),
        Verdict(State.UNSEEN, late=True, devices=tuple(f"device-{number:08}" for number in range(99))),
    ],
)
def test_its_last_words_are_short_enough_to_be_shown_whole(verdict: Verdict) -> None:
    """With the longest namespace that there may be, and the longest names of devices."""
    from devbox_operator.report.conditions import NOTE
    from devbox_operator.seen.initview import WORDS

    words = __main__.trouble(verdict, f"gateway.{'n' * 51}.svc", 8479, 599.5, start_anyway=False)
    assert len(words) <= WORDS
    assert WORDS + len(f"pod {'d' * 63}: ") <= NOTE
