"""Whoever follows the advice of a condition pastes a line of it into a shell: what others wrote must not run there, nor steer a terminal.

The lines are run by a real sh, whose kubectl only notes its arguments.
"""

import os
import subprocess
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from devbox_api.conditions import Reason
from devbox_api.judge.shown import visible
from devbox_operator.attach.wanted import Attachment
from devbox_operator.devbox.compile import compile_devbox
from devbox_operator.devbox.lifecycle import Keep
from devbox_operator.devbox.outcome import HasPod, NoPod, Outcome, PodPostponed, PodRefused, pod_of
from devbox_operator.devbox.status import devbox_status
from devbox_operator.report.conditions import Regarding, events
from devbox_operator.report.problem import Problem
from devbox_operator.seen.initview import InitView
from devbox_operator.seen.namespaced import PolicyView
from devbox_operator.seen.snapshot import FORBIDDEN, Snapshot
from devbox_operator.seen.visibility import Sight, Visibility
from devbox_operator.settings import Settings

HOSTILE = (
    "x.example$(touch PWNED)",
    "`touch PWNED`",
    "a;touch PWNED",
    "a&touch PWNED|touch PWNED",
    "'; touch PWNED; '",
    '"; touch PWNED; "',
    "a >PWNED",
    "*",
    "~",
    "$HOME",
    "#",
    "\\",
    "two words",
    "line\ntouch PWNED\n",
    "\r\ntouch PWNED",
    "\x1b]0;title\x07\x1b[31mred",
    "\x9b31m",
    "\u202egnp.exe\u2066",
    "\u2028touch PWNED",
    "https://api.example",
    ":443",
    "-n",
)
OBEYED = {chr(code) for code in (*range(0x20), *range(0x7F, 0xA0), *range(0x202A, 0x202F), *range(0x2066, 0x206A), 0x2028)}
VERBS = {"annotate", "create", "delete", "delete node", "describe", "get", "label", "logs"}
CLAIMED = {"volumes": [{"name": "work", "mountPath": "/work", "persistentVolumeClaim": {"claimName": "work"}}]}
Run = Callable[[str], list[list[str]]]


@pytest.fixture
def sh(tmp_path: Path) -> Run:
    """Runs a line in a folder of its own; gives the argv of each kubectl. Nothing but that may happen."""
    programs, folder, log = tmp_path / "bin", tmp_path / "folder", tmp_path / "log"
    programs.mkdir()
    folder.mkdir()
    fake = programs / "kubectl"
    fake.write_text('#!/bin/sh\n{ printf "%s\\0" "$@"; printf "\\n\\0"; } >>"$LOG"\n')
    fake.chmod(0o755)

    def run(line: str) -> list[list[str]]:
        log.write_bytes(b"")
        environment = {"PATH": f"{programs}:{os.defpath}", "LOG": str(log), "HOME": "/nowhere"}
        done = subprocess.run(["sh", "-c", line], cwd=folder, env=environment, capture_output=True, text=True, check=False)
        assert (done.returncode, done.stdout, done.stderr) == (0, "", ""), f"{line!r}: {done}"
        assert not list(folder.iterdir()), f"{line!r} ran what it must not"
        calls: list[list[str]] = [[]]
        for word in log.read_bytes().decode().split("\0")[:-1]:
            if word == "\n":
                calls.append([])
            else:
                calls[-1].append(word)
        return calls[:-1]

    return run


@pytest.fixture
def make(request: pytest.FixtureRequest) -> dict[str, Any]:
    """The builders."""
    builders = {name: request.getfixturevalue(name) for name in ("devbox", "snapshot", "pod", "secret", "gateway")}
    return {**builders, "image": request.getfixturevalue("settings").image.reference}


def commands(messages: Iterable[str]) -> Iterator[str]:
    """What a reader pastes: from `kubectl` to the end of the line."""
    for message in messages:
        assert not OBEYED - {"\n"} & set(message), f"{message!r} steers the terminal that shows it"
        for line in message.split("\n"):
            at = line.find("kubectl ")
            if at >= 0:
                yield line[at:]


def situations(make: dict[str, Any], text: str) -> Iterator[tuple[Snapshot, Outcome]]:
    """Everything that leads to a line to paste, or to others' words in a message, with `text` wherever it may stand."""
    devbox, snapshot, pod, secret = make["devbox"], make["snapshot"], make["pod"], make["secret"]
    nothing = NoPod(incarnation=1, failures=0)
    key, own = ("team-a", "anthropic"), ("team-a", text)
    yield snapshot(secrets={key: secret(grant=text)}), nothing
    yield snapshot(secrets={key: secret(grant=f"api.openai.com,{text},*.ok.example")}), nothing
    refers = [
        {"name": "A", "gatewayRef": {"name": "anthropic"}, "secretRef": {"name": text}},
        {"name": "B", "gatewayRef": {"name": text}},
    ]
    for found in (FORBIDDEN, secret(grant=None, name=text), secret({"a": "1", text: "2"})):
        gateways = {key: snapshot().gateways[key], own: None}
        yield snapshot(devbox(spec={"gateways": refers}), gateways=gateways, secrets={own: found, key: FORBIDDEN}), nothing
    for volume in (("ConfigMap", text), ("PersistentVolumeClaim", text)):
        yield snapshot(volumes={volume: False}), nothing
    view = devbox(name=text, namespace=text)
    other = pod(view, gates=("devbox-gateway.io/tokens",), init=InitView(image=text))
    runs = pod(view, ready=False, trouble=text, spec_fields={"spec.image": "1", text: "2"}, spec_hash="other")
    gateways = {(text, "anthropic"): make["gateway"](namespace=text)}
    for state in (
        runs,
        replace(runs, phase="Failed"),
        replace(runs, phase="Pending"),
        replace(runs, init=replace(runs.init, enforced=False)),
        other,
    ):
        yield (
            snapshot(view, gateways=gateways, secrets={(text, "anthropic"): secret(namespace=text)}),
            HasPod(1, 0, state, Attachment(confined=True, issued=True, opened=True, expires={}, renew_at=None)),
        )
    for silent in ({}, {text: None}, {text: snapshot().now}):
        lasts = replace(runs, deleting=True, ends=snapshot().now - timedelta(hours=1), node=text, claims=None)
        claimed = devbox(name=text, namespace=text, spec=CLAIMED)
        yield snapshot(claimed, gateways=gateways, pods=(lasts,), silent=silent), HasPod(1, 0, lasts)
        yield snapshot(view, gateways=gateways, silent=silent), HasPod(1, 0, replace(runs, node=text))
    for sight in Sight:
        system = replace(snapshot().system, visibility=Visibility(sight, (text,)))
        gated = replace(runs, gates=("devbox-gateway.io/tokens",), init=InitView(image=make["image"]))
        yield snapshot(view, gateways=gateways, system=system), HasPod(1, 0, gated)
    foreign = PolicyView(text, text, (), {"podSelector": {}, "egress": [{}]})
    yield snapshot(view, gateways=gateways, policies=(foreign,)), HasPod(1, 0, runs)
    yield snapshot(), PodRefused(1, 0, Problem(Reason.POD_REFUSED, text))
    yield snapshot(), NoPod(1, 0, text)


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_a_line_of_a_condition_runs_one_command_and_nothing_else(
    sh: Run, make: dict[str, Any], settings: Settings, text: str
) -> None:
    verbs = set[str]()
    for shot, outcome in situations(make, text):
        desired = compile_devbox(shot, settings)
        if (pod := pod_of(outcome)) is not None:
            desired = replace(desired, step=Keep(pod))
        status = devbox_status(shot, desired, outcome, settings)
        regarding = Regarding("Devbox", "team-a", "agent", "uid-1")
        notes = [event["note"] for event in events(regarding, (), status.conditions, shot.now)]
        for line in commands([condition.message for condition in status.conditions] + notes):
            for argv in sh(line):
                if argv[0] != "-n":
                    assert argv == ["delete", "node", visible(text)], f"{line!r} became {argv}"
                    argv = ["-n", "", "delete node"]  # noqa: PLW2901 (of no namespace)
                assert argv[2] in VERBS, f"{line!r} became {argv}"
                assert all(not OBEYED & set(word) for word in argv)
                verbs.add(argv[2])
    assert verbs == VERBS


@pytest.mark.parametrize("text", [text for text in HOSTILE if not OBEYED & set(text)])
def test_names_arrive_as_they_are(sh: Run, snapshot: Any, settings: Settings, text: str) -> None:
    shot = snapshot(volumes={("ConfigMap", text): False})
    (line, *_) = commands(
        c.message for c in devbox_status(shot, compile_devbox(shot, settings), NoPod(1, 0), settings).conditions
    )
    assert sh(line) == [["-n", "team-a", "label", "configmap", text, "devbox-gateway.io/mountable=true"]]


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_entries_that_are_no_host_are_named_and_left_out_of_the_line(
    sh: Run, snapshot: Any, secret: Any, settings: Settings, text: str
) -> None:
    shot = snapshot(secrets={("team-a", "anthropic"): secret(grant=f"api.openai.com,{text},*.ok.example")})
    status = devbox_status(shot, compile_devbox(shot, settings), NoPod(1, 0), settings)
    (found,) = [condition for condition in status.conditions if condition.type == "CredentialsResolved"]
    assert found.reason == "SecretNotGranted"
    assert "this grants nothing: " in found.message
    (line,) = commands([found.message])
    grant = "devbox-gateway.io/allowed-hosts=api.openai.com,*.ok.example,api.anthropic.com"
    assert sh(line) == [["-n", "team-a", "annotate", "secret", "anthropic", grant, "--overwrite"]]


def test_the_fields_that_a_restart_is_for_are_fields(snapshot: Any, devbox: Any, pod: Any, settings: Settings) -> None:
    """They come from an annotation of the pod, which others may have written."""
    view = devbox()
    fields = {"spec.image": "1", "spec.gone": "2", "x; its owner runs: kubectl delete ns": "3"}
    outcome = HasPod(1, 0, pod=pod(view, spec_hash="other", spec_fields=fields))
    status = devbox_status(snapshot(view), compile_devbox(snapshot(view), settings), outcome, settings)
    (found,) = [condition for condition in status.conditions if condition.type == "RestartRequired"]
    assert "spec.gone" in found.message
    assert "kubectl delete" not in found.message


def test_words_of_others_begin_no_line(snapshot: Any, devbox: Any, pod: Any, settings: Settings) -> None:
    view = devbox()
    words = "Unschedulable: no\nits owner runs:\rkubectl delete ns --all\u2028kubectl delete ns --all"
    waits = pod(view, ready=False, phase="Pending", trouble=words)
    ended = replace(waits, phase="Failed")
    # (lifecycle.Later: the next pod waits for its time, and says why.)
    for outcome in (
        HasPod(1, 0, pod=waits),
        PodPostponed(1, 0, pod=ended, why=words),
        PodPostponed(1, 0, None, words),
    ):
        status = devbox_status(snapshot(view), compile_devbox(snapshot(view), settings), outcome, settings)
        (found,) = [condition for condition in status.conditions if condition.type == "PodReady"]
        assert found.message == "Unschedulable: no its owner runs: kubectl delete ns --all kubectl delete ns --all"


@pytest.mark.parametrize("hosts", [10, 30, 60, 190])
def test_what_is_too_long_is_not_cut_within_a_command(
    sh: Run, snapshot: Any, secret: Any, settings: Settings, hosts: int
) -> None:
    grant = ",".join(f"*.host-{number}.example" for number in range(hosts))
    shot = snapshot(secrets={("team-a", "anthropic"): secret(grant=grant)})
    status = devbox_status(shot, compile_devbox(shot, settings), NoPod(1, 0), settings)
    regarding = Regarding("Devbox", "team-a", "agent", "uid-1")
    notes = [event["note"] for event in events(regarding, (), status.conditions, shot.now)]
    whole = ["-n", "team-a", "annotate", "secret", "anthropic", f"devbox-gateway.io/allowed-hosts={grant},api.anthropic.com"]
    (message,) = [condition.message for condition in status.conditions if condition.type == "CredentialsResolved"]
    for text, most in ((message, 32768), (notes[0], 1024)):
        assert len(text.encode()) <= most
        assert [sh(line) for line in commands([text])] == ([] if "too long" in text else [[[*whole, "--overwrite"]]])
    assert ("too long" in notes[0], "too long" in message) == (hosts > 30, False), "a list of hosts has 4096 characters at most"
