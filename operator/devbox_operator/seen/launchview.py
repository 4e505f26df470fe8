"""What is seen of a devbox's launch commands, which its container runs before its command.

Goes in: a pod's spec and status. Comes out: `LaunchView`, bounded. Pure. What failed is in the pod's status by the kubelet's own doing.
(The command itself may say the same when it ends; it would say so of its own devbox alone.)
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from devbox_api import names

_NOTHING: Final[Mapping[str, Any]] = {}
_FAILED: Final = re.compile(rf"{names.LAUNCH}: (spec\.launchCommands\[[0-9]{{1,3}}\] ended with exit code [0-9]{{1,3}})\s*")
_NO_SHELL: Final = re.compile(r'exec: "sh":')
"""As runc has it; a runtime with other words is shown in its words."""


@dataclass(frozen=True)
class LaunchView:
    """The container, as far as it got."""

    at_work: bool = False
    """It runs, and has not come to its command as far as is known."""
    failed: str = ""
    """Which command failed, now or in the container's last run."""
    no_shell: bool = False
    """The image has none."""

    @classmethod
    def of(cls, spec: Mapping[str, Any], status: Mapping[str, Any]) -> "LaunchView | None":
        """None for a pod without launch commands."""
        containers = spec.get("containers") or ()
        if not any(one["name"] == names.CONTAINER and _launches(one) for one in containers):
            return None
        found = next((one for one in status.get("containerStatuses") or () if one["name"] == names.CONTAINER), _NOTHING)
        state = found.get("state") or _NOTHING
        last = state.get("terminated") or (found.get("lastState") or _NOTHING).get("terminated") or _NOTHING
        said = _FAILED.fullmatch(str(last.get("message") or "")[:200])
        words = (str(one.get("message") or "")[:4096] for one in (last, state.get("waiting") or _NOTHING))
        return cls(
            at_work=state.get("running") is not None and not found.get("started"),
            failed=said[1] if said else "",
            no_shell=any(_NO_SHELL.search(one) for one in words),
        )


def _launches(container: Mapping[str, Any]) -> bool:
    return names.LAUNCH in (container.get("command") or ())[:4]
