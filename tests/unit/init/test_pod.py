"""`devbox-init` as a process in a network of its own, with real addresses of both families and a hosts file."""

import json
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

import pytest
from tests.support import netns
from tests.unit.init.pod import CANARY, DEVICES, NO_IPV4, NO_IPV6, V4, V6, Scene

pytestmark = pytest.mark.skipif(not netns.possible(), reason="no network of its own can be made here")
ROOT = Path(__file__).resolve().parents[3]
FIRST = "ip addr add 10.204.0.2/24 dev eth0"
ALIAS = "ip addr add 10.204.0.3/24 dev eth0 label eth0:1"
SECOND = "ip addr add 10.205.0.2/24 dev net1"
SECOND6 = "ip addr add fd00:205::2/64 dev net1 nodad"


def played(scene: Scene) -> tuple[int, str, str]:
    command = netns.command([sys.executable, "-m", "tests.unit.init.pod", json.dumps(asdict(scene))])
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    code, first, last = json.loads(done.stdout)
    return code, first, last


@pytest.mark.parametrize(
    ("scene", "over"),
    [
        (Scene(), "IPv4 and IPv6"),
        (Scene(before=NO_IPV6, named=(V4,), data=(V4,)), "IPv4"),
        (Scene(before=NO_IPV6, data=(V4,)), "IPv4"),
        (Scene(before=NO_IPV4, named=(V6,), data=(V6,)), "IPv6"),
        (Scene(named=(V4,), later=NO_IPV6, arguments=("--seconds=10",)), "IPv4"),
        (Scene(before=DEVICES), "IPv4 and IPv6"),
        (Scene(before=f"{DEVICES} && {FIRST} && {ALIAS}"), "IPv4 and IPv6"),
        (
            Scene(before=f"{DEVICES} && {FIRST} && {SECOND}", later="ip link del net1", arguments=("--seconds=10",)),
            "IPv4 and IPv6",
        ),
    ],
    ids=[
        "both",
        "IPv4 alone",
        "a gateway with both, a pod with IPv4 alone",
        "IPv6 alone",
        "a family that is not seen goes away by itself",
        "devices without an address",
        "a device with two",
        "a second device that goes away by itself",
    ],
)
def test_it_starts_the_agent_where_every_family_of_the_pod_is_confined(scene: Scene, over: str) -> None:
    code, _, words = played(scene)
    assert (code, words) == (
        0,
        f"confined: over {over} the gateway answers, and its port that no NetworkPolicy allows does not",
    )


@pytest.mark.parametrize(
    ("scene", "words"),
    [
        (Scene(canary=(V6,)), f"answered over IPv6 on port {CANARY}"),
        (Scene(canary=(V4,)), f"answered over IPv4 on port {CANARY}"),
        (Scene(canary=(V4, V6)), f"answered over IPv4 and IPv6 on port {CANARY}"),
        (Scene(canary=(V6,), data=(V4,)), f"answered over IPv6 on port {CANARY}"),
        (Scene(named=(V4,)), "for 1 s the pod had an address of IPv6 and gateway.test none"),
        (Scene(named=(V6,)), "for 1 s the pod had an address of IPv4 and gateway.test none"),
        (
            Scene(named=(V4,), data=(V4,), before=NO_IPV6, later=f"ip -6 addr add {V6}/64 dev lo nodad"),
            "for 1 s the pod had an address of IPv6 and gateway.test none",
        ),
        (Scene(before=f"{DEVICES} && {FIRST} && {SECOND}"), "addresses on more than one network device, eth0 and net1, and"),
        (Scene(before=f"{DEVICES} && {FIRST} && {SECOND6}"), "addresses on more than one network device, eth0 and net1, and"),
    ],
    ids=[
        "a CNI that enforces for IPv4 alone",
        "and for IPv6 alone",
        "and none",
        "a gateway that does not answer hides nothing",
        "a Service of IPv4 alone",
        "and of IPv6 alone",
        "an address that comes late",
        "a second device",
        "and of the other family",
    ],
)
def test_it_does_not_where_one_is_open_or_not_seen(scene: Scene, words: str) -> None:
    code, _, said = played(scene)
    assert code == 3, said
    assert words in said
    assert "The agent is not started" in said


def test_an_answer_over_one_family_is_none_over_the_other() -> None:
    """Without a network over IPv6 the canary is silent there, which proves nothing."""
    code, first, _ = played(Scene(data=(V4,), later=NO_IPV6))
    assert first == "the gateway does not answer yet over IPv6"
    assert code == 0, "and it waits for as long as the pod has that address"


@pytest.mark.parametrize(("address", "family"), [(V4, "IPv4"), (V6, "IPv6")])
def test_a_pod_that_can_not_call_the_canary_knows_nothing_of_it(address: str, family: str) -> None:
    """Its ports are used up for that one destination, and no policy is there at all."""
    other = NO_IPV6 if family == "IPv4" else NO_IPV4
    code, first, words = played(Scene(named=(address,), data=(address,), canary=(address,), before=other, full=True))
    assert first == f"connections over {family} fail in the pod itself (EADDRNOTAVAIL): that says nothing of the network"
    assert (code, words.split(":")[0]) == (3, "not enforced"), "once it can be called it answers"
