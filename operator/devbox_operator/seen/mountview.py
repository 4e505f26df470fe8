"""What the containers said that clone a devbox's repositories and run its install commands.

Goes in: a pod's spec and status. Comes out: `MountView`, bounded. Pure. What they said last is in the pod's status by the kubelet's own
doing: of `devbox-clone` its own words, of `devbox-setup`, which runs in the agent's image, the end of its log. Either may hold whatever a
stranger has written.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from devbox_api import names
from devbox_api.judge import shown
from devbox_operator.kit.encoding import parse_time

_NOTHING: Final[Mapping[str, Any]] = {}


@dataclass(frozen=True)
class MountView:
    """Both containers, as far as they got."""

    image: str
    """Of devbox-clone, as the pod has it now."""
    cloned: bool = False
    done: bool = False
    """Nothing is left to do before the agent starts."""
    at_work: str = ""
    """The container that runs now."""
    since: datetime | None = None
    """When that one began."""
    failed: str = ""
    """The container that failed: now, or in its last run, and has not ended well since."""
    words: str = ""
    """What it said then."""
    failures: int = 0
    """How often it failed in this pod."""
    starved: bool = False
    """It had more memory than its limit then."""

    @classmethod
    def of(cls, spec: Mapping[str, Any], status: Mapping[str, Any]) -> "MountView | None":
        """None for a pod that mounts no code."""
        containers = {container["name"]: container for container in spec.get("initContainers") or ()}
        clone = containers.get(names.CLONE_CONTAINER)
        if clone is None:
            return None
        statuses = {one["name"]: one for one in status.get("initContainerStatuses") or ()}
        wanted = [name for name in (names.CLONE_CONTAINER, names.SETUP_CONTAINER) if name in containers]
        states = {name: (statuses.get(name) or _NOTHING).get("state") or _NOTHING for name in wanted}
        ended = {name: ((states[name].get("terminated") or _NOTHING).get("exitCode") == 0) for name in wanted}
        current = next((name for name in wanted if not ended[name]), "")
        running = states[current].get("running") if current else None
        last = _last(statuses.get(current) or _NOTHING) if current else _NOTHING
        return cls(
            image=str(clone.get("image") or ""),
            cloned=ended[names.CLONE_CONTAINER],
            done=not current,
            at_work=current if running is not None else "",
            since=parse_time((running or _NOTHING).get("startedAt")),
            failed=current if last else "",
            words=_words(last) if last else "",
            failures=_failures(statuses.get(current) or _NOTHING) if last else 0,
            starved=starved(last),
        )


def starved(ended: Mapping[str, Any]) -> bool:
    """The kernel ended a process of the container for want of memory, as the runtime has it."""
    return bool(ended.get("reason") == "OOMKilled")


def _last(status: Mapping[str, Any]) -> Mapping[str, Any]:
    """How its last run ended, if it did not end well."""
    state, before = status.get("state") or _NOTHING, status.get("lastState") or _NOTHING
    return state.get("terminated") or before.get("terminated") or _NOTHING


def _failures(status: Mapping[str, Any]) -> int:
    """(The kubelet counts how often it started it again; that it ended now is one more.)"""
    restarts = status.get("restartCount")
    ended = (status.get("state") or _NOTHING).get("terminated") is not None
    return (restarts if isinstance(restarts, int) else 0) + ended


def _words(ended: Mapping[str, Any]) -> str:
    """The end of them, a line each: without tokens, and with nothing that a terminal obeys."""
    # (Of a log the kubelet takes the last 2,048 bytes, wherever these begin.)
    kept = shown.last(shown.spoken(str(ended.get("message") or "")[-4 * shown.MOST_BYTES :], cut=True))
    if not kept and starved(ended):
        return f"it was ended for want of memory (exit code {ended.get('exitCode')}), and said nothing"
    return "\n".join(kept) or f"it ended with exit code {ended.get('exitCode')} and said nothing"
