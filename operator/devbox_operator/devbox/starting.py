"""What is said of a devbox's container that does not begin, or does not stay: an image that does not come, a command that the image does
not have, one that ends.

Goes in: a pod that was observed. Comes out: a `Finding`, and whether it is beyond mending by itself. Pure. What the runtime said stands as
it is, behind what it means.
"""

import re
from datetime import datetime, timedelta
from typing import Final

from devbox_api import names
from devbox_api.conditions import Reason
from devbox_api.judge.shown import command, visible
from devbox_operator.report.conditions import Finding, bad
from devbox_operator.seen.pods import PodView
from devbox_operator.seen.startview import NO_NAME, StartView

BOUND: Final = timedelta(minutes=2)
"""What may mend by itself, such as a registry that is away, is given so long (the kubelet has tried it four times by then)."""
QUICK: Final = timedelta(seconds=10)
"""A container that ends within this time never did its job."""
_START: Final = re.compile(r".*unable to start container process: (?:error during container init: )?", re.DOTALL)
"""What runc and those that call it say before they come to the point."""
_MISSING: Final = re.compile(
    r'exec: "(?P<found>[^"]{1,256})": (?:executable file not found|stat [^:]{1,256}: no such file|no such file)'
    r"|exec (?P<bare>[^ :]{1,256}): no such file"
)
_NO_RIGHT: Final = re.compile(r'exec: "(?P<found>[^"]{1,256})": (?:permission denied|is a directory)')
_FORMAT: Final = "exec format error"
_MEMORY: Final = re.compile(r"unable to set memory limit|init was OOM-killed|minimum memory limit", re.IGNORECASE)
_CODES: Final = {
    126: "something that it calls can't be executed",
    127: "something that it calls does not exist in the image",
    139: "a segmentation fault",
}
"""What a shell's or a signal's exit code means."""


def failure(pod: PodView) -> Finding | None:
    """What PodReady says where a container can't begin; None: nothing is known of that kind."""
    found = pod.start
    if found is None or pod.ready:
        return None
    if found.pulling:
        return bad(Reason.IMAGE_PULL_FAILED, f"{found.reason}: {found.words}; {_image(found)}")
    meaning = _meaning(found)
    said = _START.sub("", found.words).removesuffix(": unknown")
    return bad(Reason.START_FAILED, f"{meaning}; the runtime said: {said}" if meaning else f"{found.reason}: {found.words}")


def stalled(pod: PodView | None, now: datetime) -> bool:
    """It will not come right by itself, or has had its time for that."""
    found = pod.start if pod is not None and not pod.deleting and not pod.ready else None
    if found is None:
        return False
    if found.reason == NO_NAME or (not found.pulling and _meaning(found)):
        return True
    return found.since is not None and now >= found.since + BOUND


def again(pod: PodView | None, now: datetime) -> datetime | None:
    """When what may mend by itself has had its time."""
    found = pod.start if pod is not None and not pod.deleting and not pod.ready else None
    if found is None or found.since is None or stalled(pod, now):
        return None
    return found.since + BOUND


def ended(pod: PodView) -> str:
    """How its container ended last, and where one finds what it said."""
    code = pod.exit_code
    meaning = "it had more memory than spec.resources.limits gives it" if pod.starved else _CODES.get(code or 0, "")
    look = ("kubectl", "-n", pod.namespace, "logs", pod.name, "-c", names.CONTAINER)
    said = command(*look, *(["--previous"] if pod.restarts and not pod.ended else []))
    return f"exit code {code}{f': {meaning}' if meaning else ''}; what it said: {said}"


def ends_at_once(pod: PodView) -> Finding:
    """Of one that is started again and again."""
    times = f"the container ends within {QUICK.seconds} s of its start, {pod.restarts} times by now"
    if pod.exit_code == 0:
        return bad(
            Reason.COMMAND_ENDED, f"{times} (exit code 0); set spec.command to something that stays, e.g. [sleep, infinity]"
        )
    return bad(Reason.COMMAND_ENDED, f"{times}: {ended(pod)}")


def _image(found: StartView) -> str:
    if found.reason == NO_NAME:
        return "write spec.image as registry/name:tag, in lower case"
    if not found.agents:
        return f"it is the image of {found.container}, the release's own: an administrator sees to the chart's values image and devboxes"
    return (
        "see whether spec.image is spelt right, whether nodes reach the registry, and, where that asks for a login, "
        "spec.imagePullSecrets; the kubelet goes on trying"
    )


def _meaning(found: StartView) -> str:
    """What the runtime's words say to somebody who wrote a Devbox; empty: they have to do."""
    if (missing := _MISSING.search(found.words)) is not None:
        program = missing["found"] or missing["bare"]
        words = program.split()
        if len(words) > 1:
            return f"spec.command is to be a list with each word by itself: [{', '.join(visible(word) for word in words)}]"
        return f"the image has no program {visible(program)}; set spec.command to one that it has"
    if (refused := _NO_RIGHT.search(found.words)) is not None:
        return f"{visible(refused['found'])} is not a program that the devbox's user may execute; correct spec.command"
    if _FORMAT in found.words:
        return (
            "the program is made for another kind of processor, or is a script without #!; take an image that the node can run"
        )
    if _MEMORY.search(found.words):
        return "spec.resources.limits.memory is too little to start anything with; is its unit missing? Write e.g. 512Mi"
    return ""
