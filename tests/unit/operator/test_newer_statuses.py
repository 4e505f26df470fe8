"""A status that a newer version wrote, read by this one after a rollback: what it does not know is as if it were not there."""

from typing import Any

import pytest

from devbox_api.devbox import Devbox
from devbox_operator.devbox import lifecycle
from devbox_operator.devbox.compile import compile_devbox
from devbox_operator.devbox.lifecycle import Create
from devbox_operator.devbox.outcome import HasPod
from devbox_operator.devbox.status import devbox_status
from devbox_operator.settings import Settings

_READY = {"type": "Ready", "status": "True", "reason": "Ready", "message": "", "lastTransitionTime": "2026-11-23T11:00:00Z"}
FROM_LATER: list[dict[str, Any]] = [
    {"phase": "Hibernating"},
    {"gateways": [{"name": "A"}]},
    {"gateways": {"A": "https://gateway"}},
    {"conditions": [{**_READY, "status": "Maybe"}]},
    {"podIPs": [str(number) for number in range(9)]},
    {"incarnation": "five", "phase": "Hibernating"},
]
"""What this version can't read of a status; a newer one may have written it before a rollback."""


@pytest.mark.parametrize("status", FROM_LATER, ids=" and ".join)
def test_what_a_newer_version_wrote_into_the_status_is_as_if_it_were_not_there(devbox: Any, status: dict[str, Any]) -> None:
    box: Devbox = devbox(status={"podName": "p", "failures": 2, **status}).box
    assert (box.status.pod_name, box.status.failures) == ("p", 2), "and all else is"
    left = box.status.model_dump(mode="json", by_alias=True, exclude_none=True)
    assert not any(left.get(field) for field in status)


def test_conditions_and_reasons_of_a_newer_version_are_in_nobodys_way(
    snapshot: Any, devbox: Any, pod: Any, settings: Settings
) -> None:
    later = [{**_READY, "type": "Hibernated"}, {**_READY, "type": "PodReady", "status": "False", "reason": "Thawing"}]
    view = devbox(status={"incarnation": 4, "phase": "Hibernating", "conditions": later})
    assert lifecycle.plan(view, [], "hash", snapshot().now) == Create(5, 0)
    shot = snapshot(view)
    status = devbox_status(shot, compile_devbox(shot, settings), HasPod(4, 0, pod(view, 4)), settings)
    said = {condition.type: condition.reason for condition in status.conditions}
    assert "Hibernated" not in said
    assert said["PodReady"] != "Thawing"


def test_so_it_is_with_what_devboxes_use(gateway: Any, egress: Any) -> None:
    unread = {"observedGeneration": 3, "devboxes": "many", "conditions": [{**_READY, "status": "Maybe"}]}
    for status in (gateway(status=unread).config.status, egress(status=unread).policy.status):
        assert (status.observed_generation, status.devboxes, status.conditions) == (3, 0, ())
