"""Images that do not come: when that is hopeless."""

from typing import Any

import pytest

from devbox_gateway.errors import NotReadyError
from devbox_gateway.objects.pulling import Pulling

FAILED = "ErrImagePull: failed to pull and unpack image: not found"
BACK_OFF = 'ImagePullBackOff: Back-off pulling image "localhost/nope:1"'
BUSY = "ErrImagePull: pull QPS exceeded"


class Wait:
    """A wait, and its clock."""

    def __init__(self) -> None:
        self.now = 0.0
        self.pulling = Pulling(lambda: self.now)

    def at(self, seconds: float, message: str, **condition: Any) -> None:
        self.now = seconds
        self.pulling.look("agent", {"status": "False", "reason": "PodPending", "message": message, **condition})


def test_a_second_try_that_fails_half_a_minute_later() -> None:
    wait = Wait()
    wait.at(0, FAILED)
    wait.at(1, BACK_OFF)
    wait.at(12, FAILED)
    wait.at(13, BACK_OFF)
    assert wait.pulling.left == 17
    with pytest.raises(NotReadyError, match=r"ImagePullBackOff: devbox 'agent' can't start.*imagePullSecrets") as caught:
        wait.at(30, BACK_OFF)
    assert caught.value.reason == "ImagePullBackOff"


def test_a_name_that_is_none_never_heals() -> None:
    with pytest.raises(NotReadyError, match="in lower case"):
        Wait().at(0, "InvalidImageName: invalid reference format: repository name must be lowercase")


def test_a_second_try_may_take_long() -> None:
    wait = Wait()
    wait.at(0, FAILED)
    wait.at(1, BACK_OFF)
    wait.at(170, BACK_OFF)
    with pytest.raises(NotReadyError):
        wait.at(181, BACK_OFF)


@pytest.mark.parametrize("between", ["pod agent-1 starts", BUSY])
def test_what_passed_is_forgotten(between: str) -> None:
    wait = Wait()
    wait.at(0, FAILED)
    wait.at(1, BACK_OFF)
    wait.at(12, FAILED)
    wait.at(25, between)
    wait.at(40, FAILED)
    wait.at(41, BACK_OFF)
    wait.at(60, BACK_OFF)


@pytest.mark.parametrize("message", ["pod agent-1 starts", BUSY, "CrashLoopBackOff: back-off 10s", "Unschedulable: 0/3 nodes"])
def test_what_may_come_is_waited_for(message: str) -> None:
    wait = Wait()
    for seconds in range(0, 600, 10):
        wait.at(seconds, message)
    wait.at(600, FAILED, status="True")
