"""Launch commands: what a devbox's container runs before its command, each once for each pod; and what is said of them.

Goes in: a completed spec, or a pod that was observed. Comes out: parts of a plain container, a `Finding`. Pure. A shell of the agent's
image runs them and becomes the command, which so has its signals and its exit code for itself. What is done is noted in a directory of the
pod's own, so that a container that is started again goes on behind it; a startup probe looks there, so that the pod is not ready before.
"""

from typing import Final

from devbox_api import names
from devbox_api.conditions import Reason
from devbox_api.devbox import DevboxSpec
from devbox_api.judge.shown import command
from devbox_common.kube import Object
from devbox_operator.report.conditions import Finding, bad
from devbox_operator.seen.pods import PodView

TRIES: Final = 3
"""Failures in a row after which somebody has to do something, though it is tried again."""
VOLUME: Final = "devbox-gateway-launch"
DIRECTORY: Final = "/run/devbox-gateway/launch"
"""Where no volume of the user's can be."""
DONE: Final = f"{DIRECTORY}/done"
PROBE_SECONDS: Final = 2
PROBES: Final = 1800
"""How often the kubelet looks whether they are done before it ends the container: for an hour."""
SCRIPT: Final = f"""\
over() {{
  said="{names.LAUNCH}: spec.launchCommands[$number] ended with exit code $1"
  echo "$said" >&2
  echo "$said" 2>/dev/null >/dev/termination-log
  exit $1
}}
trap 'kill -TERM $work; wait $work; over 143' TERM
number=0
count=$1
shift
while [ $number -lt $count ]; do
  if [ ! -e {DIRECTORY}/$number ]; then
    sh -c "$1" &
    work=$!
    wait $work && echo >{DIRECTORY}/$number || over $?
  fi
  number=$((number + 1))
  shift
done
echo >{DONE} || over $?
exec "$@"
"""
"""For any POSIX shell. Arguments: how many there are, the launch commands, and the devbox's command with its arguments."""


def wrapped(spec: DevboxSpec) -> Object:
    """`command` of the container, and what else it then has; nothing without launch commands."""
    if not spec.launch_commands:
        return {}
    words = (SCRIPT, names.LAUNCH, str(len(spec.launch_commands)), *spec.launch_commands)
    return {
        # (What the kubelet makes of the command's own words, it makes of them here, too.)
        "command": ["sh", "-c", *map(literal, words), *(spec.command or ())],
        "startupProbe": {
            "exec": {"command": ["sh", "-c", f"test -e {DONE}"]},
            "periodSeconds": PROBE_SECONDS,
            "failureThreshold": PROBES,
            "timeoutSeconds": PROBE_SECONDS,
        },
    }


def volume(spec: DevboxSpec) -> list[Object]:
    """Where it is noted what is done; empty without launch commands."""
    return [{"name": VOLUME, "emptyDir": {}}] if spec.launch_commands else []


def mount(spec: DevboxSpec) -> list[Object]:
    """Of that volume."""
    return [{"name": VOLUME, "mountPath": DIRECTORY}] if spec.launch_commands else []


def literal(word: str) -> str:
    """A word of a container's command, as it stands: the kubelet puts variables for `$(NAME)`, and `$` for `$$`."""
    return word.replace("$", "$$")


def failure(pod: PodView) -> Finding | None:
    """What PodReady says where one failed, or none can be run."""
    found = pod.launch
    if found is None or pod.ready:
        return None
    if found.no_shell:
        return bad(
            Reason.LAUNCH_FAILED,
            f"the image of pod {pod.name} has no sh, which spec.launchCommands are run by; take an image that has one, or remove them",
        )
    if found.failed:
        again = "" if pod.ended else ", and is tried again"
        look = ("kubectl", "-n", pod.namespace, "logs", pod.name, "-c", names.CONTAINER)
        said = command(*look, *(["--previous"] if pod.restarts and not pod.ended else []))
        return bad(Reason.LAUNCH_FAILED, f"{found.failed} in pod {pod.name}{again}; what it said: {said}")
    return None


def progress(pod: PodView) -> Finding | None:
    """The same while they run."""
    if pod.launch is None or not pod.launch.at_work:
        return None
    return bad(Reason.LAUNCHING, f"spec.launchCommands run in pod {pod.name}, before its command")


def stalled(pod: PodView | None) -> bool:
    """It will not come right by itself, or failed again and again."""
    if pod is None or pod.launch is None or pod.ready or pod.deleting:
        return False
    return pod.launch.no_shell or bool(pod.launch.failed and pod.restarts >= TRIES)
