"""What is seen of a container of a devbox's pod that does not begin: its image does not come, or the runtime can't start it.

Goes in: a pod's status. Comes out: `StartView`, bounded. Pure. All of it is the kubelet's and the runtime's doing.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from devbox_api import names
from devbox_operator.kit.encoding import parse_time
from devbox_operator.seen import bounds

_NOTHING: Final[Mapping[str, Any]] = {}
NO_NAME: Final = "InvalidImageName"
_PULLING: Final = frozenset(
    {
        *("ErrImagePull", "ImagePullBackOff", NO_NAME, "ErrImageNeverPull", "RegistryUnavailable", "ImageInspectError"),
        "SignatureValidationFailed",
    }
)
_STARTING: Final = frozenset({"CreateContainerError", "CreateContainerConfigError", "RunContainerError"})
_NEVER_RAN: Final = frozenset({"StartError", "ContainerCannotRun"})
"""How a container ended that the runtime could not start."""


@dataclass(frozen=True)
class StartView:
    """The first container that does not begin."""

    container: str
    reason: str
    """The kubelet's."""
    words: str
    pulling: bool
    """It is the image that does not come."""
    since: datetime | None
    """When its turn came; or its last run ended, if that was later."""

    @classmethod
    def of(cls, status: Mapping[str, Any]) -> "StartView | None":
        """None: nothing is known that would keep them from it."""
        conditions = {one["type"]: one for one in status.get("conditions") or ()}
        inits, mains = status.get("initContainerStatuses") or (), status.get("containerStatuses") or ()
        for turn, every in (("PodScheduled", inits), ("Initialized", mains)):
            for container in every:
                if (
                    found := _of(container, parse_time((conditions.get(turn) or _NOTHING).get("lastTransitionTime")))
                ) is not None:
                    return found
        return None

    @property
    def agents(self) -> bool:
        """It is of the agent's own image; else of the release's."""
        return self.container in (names.CONTAINER, names.SETUP_CONTAINER)


def never_ran(ended: Mapping[str, Any]) -> bool:
    """A run that the runtime could not begin. (Its times are 1970's, or none.)"""
    return ended.get("reason") in _NEVER_RAN


def _of(container: Mapping[str, Any], turn: datetime | None) -> StartView | None:
    state, last = container.get("state") or _NOTHING, (container.get("lastState") or _NOTHING).get("terminated") or _NOTHING
    waiting, ended = state.get("waiting") or _NOTHING, state.get("terminated") or last
    reason = str(waiting.get("reason") or "")
    if reason in _PULLING or reason in _STARTING:
        said = waiting
    elif never_ran(ended) and state.get("running") is None:
        said = ended
    else:
        return None
    finished = None if never_ran(last) else parse_time(last.get("finishedAt"))
    since = max((at for at in (turn, finished) if at is not None), default=None)
    words = str(said.get("message") or "")[: bounds.MOST_TROUBLE]
    return StartView(str(container["name"]), str(said["reason"]), words, reason in _PULLING, since)
