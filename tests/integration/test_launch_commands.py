"""Launch commands under a real kubelet: their order, one that fails, once for each pod, and whose signals are whose."""

import pytest
from tests.support.workspace import Workspace

from devbox_stage.waiting import NotYet, wait_for

pytestmark = pytest.mark.row("S23")
DONE = "/run/devbox-gateway/launch/done"
OWN = 'HOME() { echo own; }; test "$(HOME)" = own && test $$ -gt 1'
"""(The kubelet makes variables of $(NAME) in a container's command, and of $$ one $.)"""
AGENT = "trap 'echo told; exit 3' TERM; echo begun $$$$ \"$@\"; while :; do sleep 0.1; done"

"""(It is the command's: of $$ the kubelet makes one $, with launch commands as without them.)"""


def container(home: Workspace) -> tuple[str, dict[str, object]]:
    """The pod's name, and the status of the agent's container."""
    (pod,) = home.pods()
    return pod["metadata"]["name"], pod["status"]["containerStatuses"][0]


def test_once_for_each_pod_before_the_command_which_has_its_signals(workspace: Workspace) -> None:
    wait = f"echo two >>$HOME/ran; while [ ! -e {DONE}.go ]; do sleep 0.1; done"
    launch = [f"{OWN} && echo one >$HOME/ran", wait]
    workspace.devbox(gateways=[], launchCommands=launch, command=["sh", "-c", AGENT, "agent"], args=["a  b"])
    assert "spec.launchCommands run" in workspace.condition("devboxes", "agent", "PodReady", "Launching")
    name, seen = container(workspace)
    assert not seen["ready"]
    workspace.sh(name, f"touch {DONE}.go")
    name = workspace.ready()
    assert workspace.sh(name, "cat $HOME/ran") == "one\ntwo"
    # The command is the container's first process: it is told to end, and its exit code is the container's.
    workspace.sh(name, "kill -TERM 1", check=False)

    def again() -> None:
        _, seen = container(workspace)
        if not seen["restartCount"] or not seen["ready"]:
            raise NotYet(str(seen["state"]))

    wait_for("the container to be started again", again, seconds=60)
    _, seen = container(workspace)
    assert seen["lastState"]["terminated"]["exitCode"] == 3  # type: ignore[index]
    said = workspace.kubectl("-n", workspace.name, "logs", name, "-c", "devbox", "--previous").out
    assert "begun 1 a  b\ntold" in said
    assert workspace.sh(name, "cat $HOME/ran") == "one\ntwo", "once for each pod"


def test_one_that_fails_is_named_and_put_right(workspace: Workspace) -> None:
    command = ["sh", "-c", AGENT]
    workspace.devbox(gateways=[], launchCommands=["true", "exit 7"], command=command, restartPolicy="Never")
    message = workspace.condition("devboxes", "agent", "PodReady", "LaunchFailed")
    assert "spec.launchCommands[1] ended with exit code 7" in message
    name, seen = container(workspace)
    assert seen["state"]["terminated"]["exitCode"] == 7  # type: ignore[index]
    assert "begun" not in workspace.kubectl("-n", workspace.name, "logs", name, "-c", "devbox").out
