"""EgressConfined: what is seen, what the pod says, and whether anything is served."""

from dataclasses import replace
from typing import Any

import pytest

from devbox_api import names
from devbox_operator.attach import confinement, network
from devbox_operator.seen.initview import InitView
from devbox_operator.seen.namespaced import PolicyView
from devbox_operator.seen.pods import PodView
from devbox_operator.seen.visibility import NOT_YET, Sight, Visibility
from devbox_operator.seen.visibility import SEEN as VISIBLE
from devbox_operator.settings import EgressSettings, Settings

OPEN = {"podSelector": {}, "policyTypes": ["Egress"], "egress": [{}]}
ENDED: dict[str, Any] = {"exitCode": 0, "message": "confined: the gateway answers, and …"}
OPENED = "not enforced: for 30 s …"
UNSEEN = "not seen: for 30 s …"
ANYWAY: dict[str, Any] = {"exitCode": 0, "message": OPENED}
REFUSED: dict[str, Any] = {"exitCode": 3, "message": OPENED}


def said(state: dict[str, Any], last: dict[str, Any] | None = None) -> InitView | None:
    status = {"name": names.INIT_CONTAINER, "state": state, "lastState": last or {}}
    return InitView.of({"initContainers": [{"name": names.INIT_CONTAINER}]}, {"initContainerStatuses": [status]})


@pytest.mark.parametrize(
    ("state", "last", "expected"),
    [
        ({"terminated": ENDED}, None, InitView(finished=True, enforced=True)),
        ({"terminated": ANYWAY}, None, InitView(finished=True, refused=True, words=OPENED)),
        ({"terminated": {"exitCode": 0}}, None, InitView(finished=True, refused=True)),
        ({"terminated": REFUSED}, None, InitView(refused=True, words=OPENED)),
        ({"terminated": {"exitCode": 3, "message": UNSEEN}}, None, InitView(refused=True, words=UNSEEN)),
        ({"terminated": {"exitCode": 0, "message": UNSEEN}}, None, InitView(finished=True, refused=True, words=UNSEEN)),
        (
            {"terminated": {"exitCode": 3, "message": "a\n b" + 5000 * "c"}},
            None,
            InitView(refused=True, words="a b" + 797 * "c"),
        ),
        ({"waiting": {"reason": "CrashLoopBackOff"}}, {"terminated": REFUSED}, InitView(refused=True, words=OPENED)),
        ({"running": {}}, {"terminated": REFUSED}, InitView(refused=True, words=OPENED)),
        ({"terminated": ENDED}, {"terminated": REFUSED}, InitView(finished=True, enforced=True)),
        ({"running": {}}, None, InitView()),
        ({"terminated": {"exitCode": 137, "message": "confined"}}, None, InitView()),
        ({}, None, InitView()),
    ],
    ids=[
        "confined",
        "not enforced, started anyway",
        "nothing said is no proof",
        "not enforced",
        "not seen over a family",
        "not seen, started anyway",
        "on one line, and bounded",
        "and waits for its next run",
        "and tries again",
        "and healed",
        "at work",
        "killed",
        "not begun",
    ],
)
def test_what_the_init_container_said(state: Any, last: Any, expected: InitView) -> None:
    assert said(state, last) == expected


def test_a_pod_of_an_older_version_has_none() -> None:
    assert InitView.of({}, {}) is None


def with_egress(settings: Settings, **values: Any) -> Settings:
    return settings.model_copy(update={"egress": EgressSettings(**values)})


def look(pod: PodView, settings: Settings, *foreign: str, in_force: bool = True) -> tuple[str, str, bool]:
    ours = PolicyView("team-a", pod.name, (pod.uid,), network.policy_spec("agent", "rel"))
    policies = [ours, *(PolicyView("team-a", name, (), OPEN) for name in foreign)]
    found = confinement.confinement(pod, policies, settings, in_force=in_force)
    return found.finding.status, found.finding.reason, found.blocks


@pytest.mark.parametrize(
    ("init", "in_force", "expected"),
    [
        (InitView(finished=True, enforced=True), True, ("True", "Confined", False)),
        (InitView(), True, ("False", "Waiting", True)),
        (InitView(refused=True), True, ("False", "NotEnforced", True)),
        (InitView(finished=True, refused=True), True, ("False", "NotEnforced", False)),
        (InitView(finished=True, enforced=True), False, ("False", "Waiting", True)),
        (None, True, ("Unknown", "Waiting", False)),
    ],
    ids=["seen to work", "not seen yet", "not enforced", "not enforced, and allowed", "no policy yet", "an older version's"],
)
def test_the_condition(devbox: Any, pod: Any, settings: Settings, *, init: Any, in_force: bool, expected: Any) -> None:
    assert look(pod(devbox(), init=init), settings, in_force=in_force) == expected


SEEN = InitView(finished=True, enforced=True)
ANOTHER = "evil.example/devbox-gateway:1"


@pytest.mark.parametrize(
    ("image", "admitted"),
    [
        ("registry.example/devbox-gateway:1", True),
        ("registry.example/devbox-gateway:0.9", True),
        ("registry.example/devbox-gateway", True),
        (f"registry.example/devbox-gateway@sha256:{64 * '0'}", True),
        (f"registry.example/devbox-gateway:1@sha256:{64 * '0'}", True),
        ("mirror.corp.example:5000/registry/devbox-gateway:1", True),
        (ANOTHER, False),
        ("mirror.corp.example:1", False),
        ("registry.example/devbox-gateway-x:1", False),
        ("registry.example/devbox-gateway:5000/x", False),
        ("devbox-gateway:1", False),
        ("", False),
    ],
)
def test_which_images_are_the_releases(settings: Settings, image: str, *, admitted: bool) -> None:
    mirrored = settings.image.model_copy(update={"mirrors": ("mirror.corp.example:5000/registry/devbox-gateway",)})
    assert mirrored.admits(image) is admitted


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"gates": (names.SCHEDULING_GATE,)}, ("False", "ForeignImage", True)),
        ({"init_hash": "ours"}, ("False", "ForeignImage", True)),
        ({"init_hash": "an older release's"}, ("Unknown", "ForeignImage", False)),
    ],
    ids=["gated", "of this release", "of an older release, which had another repository"],
)
def test_what_another_image_says_does_not_count(
    devbox: Any, pod: Any, settings: Settings, monkeypatch: pytest.MonkeyPatch, *, changes: Any, expected: Any
) -> None:
    monkeypatch.setattr("devbox_operator.attach.init.digest", lambda _: "ours")
    target = pod(devbox(), init=replace(SEEN, image=ANOTHER), **changes)
    assert look(target, settings) == expected
    assert not confinement.believed(target, settings)
    assert confinement.believed(pod(devbox(), init=SEEN), settings)
    message = confinement.confinement(target, [], settings, in_force=True).finding.message
    assert ANOTHER in message
    assert "image.mirrors" in message


CLOSED = Visibility(Sight.CLOSED, ("10.42.0.7", "10.42.1.7"))
AWAY = Visibility(Sight.AWAY)
GATED = InitView()


@pytest.mark.parametrize(
    ("visibility", "require", "gates", "init", "expected"),
    [
        (CLOSED, True, (names.SCHEDULING_GATE,), GATED, ("Unknown", "CannotBeSeen", True)),
        (AWAY, True, (names.SCHEDULING_GATE,), GATED, ("Unknown", "CannotBeSeen", True)),
        (NOT_YET, True, (names.SCHEDULING_GATE,), GATED, ("False", "Waiting", True)),
        (VISIBLE, True, (names.SCHEDULING_GATE,), GATED, ("False", "Waiting", True)),
        (CLOSED, True, (), SEEN, ("True", "Confined", False)),
        (AWAY, True, (), SEEN, ("True", "Confined", False)),
        (CLOSED, False, (names.SCHEDULING_GATE,), GATED, ("Unknown", "CannotBeSeen", False)),
        (CLOSED, False, (), SEEN, ("Unknown", "CannotBeSeen", False)),
        (AWAY, False, (), SEEN, ("True", "Confined", False)),
        (NOT_YET, False, (), SEEN, ("True", "Confined", False)),
    ],
    ids=[
        "closed for everybody",
        "no gateway for minutes",
        "not looked at yet",
        "open",
        "what runs was seen",
        "and stays so",
        "the chart's value lets it start",
        "and nothing that it says is believed meanwhile",
        "a gateway that is away says nothing of what was seen",
        "nor does a replica that has just begun",
    ],
)
def test_where_confinement_can_not_be_seen_no_new_agent_starts(
    devbox: Any, pod: Any, settings: Settings, *, visibility: Any, require: bool, gates: Any, init: Any, expected: Any
) -> None:
    settings = with_egress(settings, require_enforcement=require)
    target = pod(devbox(), init=init, gates=gates)
    found = confinement.confinement(target, [], settings, in_force=True, visibility=visibility)
    assert (found.finding.status, found.finding.reason, found.blocks) == expected
    if expected[1] == "CannotBeSeen":
        assert "8479" in found.finding.message
        assert ("egress.requireEnforcement=false" in found.finding.message) is require
        assert ("10.42.0.7, 10.42.1.7" in found.finding.message) is (visibility is CLOSED)
    assert confinement.relied_upon(visibility, settings) is (visibility is VISIBLE or not require)


def test_a_foreign_policy_stops_the_devbox_or_is_told(devbox: Any, pod: Any, settings: Settings) -> None:
    target = pod(devbox())
    policies = [PolicyView("team-a", "allow-dns", (), OPEN)]
    warn, trust = with_egress(settings, foreign_policies="Warn"), with_egress(settings, trusted_policies=("allow-dns",))
    assert look(target, settings, "allow-dns") == ("False", "ForeignPolicy", True)
    assert look(target, warn, "allow-dns") == ("False", "ForeignPolicy", False)
    assert look(target, trust, "allow-dns") == ("True", "Confined", False)
    assert [confinement.served(target, policies, one) for one in (settings, warn, trust)] == [False, True, True]


def test_messages_say_what_to_do(devbox: Any, pod: Any, settings: Settings) -> None:
    def message(target: PodView, *policies: PolicyView) -> str:
        return confinement.confinement(target, policies, settings, in_force=True).finding.message

    others = [PolicyView("team-a", name, (), OPEN) for name in ("two", "one")]
    told = message(pod(devbox()), *others)
    assert "team-a/one, team-a/two" in told
    assert "serves this devbox nothing" in told
    assert "kubectl -n team-a logs agent" in message(pod(devbox(), init=InitView(), started=None))


@pytest.mark.parametrize("words", [OPENED, UNSEEN])
def test_what_is_not_enforced_is_told_in_the_init_containers_own_words(
    devbox: Any, pod: Any, settings: Settings, words: str
) -> None:
    def message(**init: Any) -> str:
        target = pod(devbox(), init=InitView(refused=True, **init), started=None)
        return confinement.confinement(target, [], settings, in_force=True).finding.message

    assert message(words=words).endswith(f": {words}")
    assert message(words=words, finished=True).endswith(f": {words}")
    assert "did not see NetworkPolicies work" in message(), "where its termination log could not be written"


@pytest.mark.parametrize(
    ("init", "agent", "expected"),
    [
        ({"waiting": {"reason": "ErrImagePull", "message": "no such image"}}, "PodInitializing", "ErrImagePull: no such image"),
        ({"waiting": {"reason": "PodInitializing"}}, "PodInitializing", ""),
        ({"terminated": ENDED}, "ErrImagePull", "ErrImagePull"),
        ({"running": {}}, "ContainerCreating", ""),
    ],
    ids=["its image can't be had", "it is about to start", "the agent's can't", "it runs"],
)
def test_what_is_in_the_way_of_a_start(init: Any, agent: str, expected: str) -> None:
    """A registry's log-in that is missing in a devbox namespace shows at devbox-init first. What passes by itself is not told: each
    word of it would be a write of the status."""
    status = {
        "initContainerStatuses": [{"name": names.INIT_CONTAINER, "state": init}],
        "containerStatuses": [{"name": names.CONTAINER, "state": {"waiting": {"reason": agent}}}],
    }
    item = {"metadata": {"namespace": "team-a", "name": "agent-1", "uid": "u"}, "spec": {}, "status": status}
    assert PodView.of(item).trouble == expected
