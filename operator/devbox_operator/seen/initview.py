"""What the container `devbox-init` said, which holds the agent back until NetworkPolicies are seen to work.

Goes in: a pod's spec and status. Comes out: `InitView`. Pure. Its exit code and its last words are in the pod's status by the
kubelet's own doing, so that nothing but reading pods is needed to know them.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from devbox_api import names

WORDS: Final = 800
"""Characters of its last words that are shown: more than it ever says."""
_NOTHING: Final[Mapping[str, Any]] = {}


@dataclass(frozen=True)
class InitView:
    """The container, as far as it got."""

    finished: bool = False
    """It ended well, so the agent may run."""
    enforced: bool = False
    """It saw that the NetworkPolicies work."""
    refused: bool = False
    """It saw that they don't, or could not see it over some address family or device; now or in its last run."""
    not_writable: bool = False
    """It could not write to the workspace, now or in its last run."""
    full: bool = False
    """There was no room in the workspace when it let the agent run."""
    words: str = ""
    """What it said where it refused, or could not write: the reason, and what to do."""
    image: str = ""
    """As the pod has it now."""
    index: int = 0
    """Its place among the init containers."""

    @classmethod
    def of(cls, spec: Mapping[str, Any], status: Mapping[str, Any]) -> "InitView | None":
        """None for a pod without one (an older version made it)."""
        places = enumerate(spec.get("initContainers") or ())
        index, container = next(((i, c) for i, c in places if c["name"] == names.INIT_CONTAINER), (0, None))
        if container is None:
            return None
        found = next((c for c in status.get("initContainerStatuses") or () if c["name"] == names.INIT_CONTAINER), _NOTHING)
        state = found.get("state") or _NOTHING
        now = state.get("terminated")
        last = now or (found.get("lastState") or _NOTHING).get("terminated") or _NOTHING
        finished = now is not None and now.get("exitCode") == 0
        said = " ".join(str(last.get("message") or "").split())
        enforced = finished and said.startswith(names.INIT_CONFINED)
        refused = (finished and not enforced) or last.get("exitCode") == names.INIT_NOT_ENFORCED
        not_writable = last.get("exitCode") == names.INIT_NOT_WRITABLE
        return cls(
            finished=finished,
            enforced=enforced,
            refused=refused,
            not_writable=not_writable,
            full=finished and names.INIT_FULL in said,
            words=said[:WORDS] if refused or not_writable else "",
            image=container.get("image") or "",
            index=index,
        )
