"""Whether an image will ever come: an invalid name never does; a registry that says no has half a minute and a second try.

Goes in: the condition PodReady, which has the kubelet's words, as often as it changes. Comes out: nothing, or NotReadyError. A pull that
takes long is no trouble: the kubelet says nothing about it.
"""

from collections.abc import Callable, Mapping
from time import monotonic
from typing import Any, Final

from devbox_gateway.errors import NotReadyError

NO_NAME: Final = "InvalidImageName"
FAILED: Final = "ErrImagePull"
_NEVER: Final = "ErrImageNeverPull"
_TROUBLE: Final = frozenset(
    {FAILED, "ImagePullBackOff", _NEVER, "ErrImageInspect", "RegistryUnavailable", "SignatureValidationFailed"}
)
_PASSING: Final = ("QPS exceeded",)
"""(Of many pods that start at once the kubelet lets some wait.)"""
SECONDS: Final = 30.0
"""The kubelet tries again after 10 s, then after 20."""
MOST_SECONDS: Final = 180.0
"""Without a second try that was seen: it may pull again, and take long."""


class Pulling:
    """Of one wait."""

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self._clock = clock
        self._since: float | None = None
        self._reason = ""
        self._failures = 0

    @property
    def left(self) -> float:
        """Seconds until it is to be looked at again, though nothing changed."""
        if self._since is None:
            return MOST_SECONDS
        lasted = self._clock() - self._since
        return max(0.05, (SECONDS if lasted < SECONDS else MOST_SECONDS) - lasted)

    def look(self, name: str, pod_ready: Mapping[str, Any]) -> None:
        """Raises NotReadyError with the kubelet's reason and words, and what to do."""
        words = str(pod_ready.get("message") or "") if pod_ready.get("status") != "True" else ""
        reason = words.partition(":")[0]
        if reason == NO_NAME:
            raise NotReadyError(
                f"devbox {name!r} can't start: {words}; write its image as registry/name:tag, in lower case", NO_NAME
            )
        if reason not in _TROUBLE or any(passing in words for passing in _PASSING):
            self._since, self._reason, self._failures = None, "", 0
            return
        if self._since is None:
            self._since = self._clock()
        self._failures += reason != self._reason and (reason == FAILED or not self._reason)
        self._reason = reason
        lasted = self._clock() - self._since
        if lasted >= MOST_SECONDS or (lasted >= SECONDS and (self._failures > 1 or reason == _NEVER)):
            raise NotReadyError(
                f"devbox {name!r} can't start, its image does not come: {words}; check its name, whether the nodes reach the "
                "registry, and, where that asks for a login, spec.imagePullSecrets",
                reason,
            )
