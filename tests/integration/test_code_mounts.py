"""Code mounts on a real cluster: cloned before the agent starts, through a gateway and by the forward proxy; left alone afterwards; and
what is said where it fails."""

import pytest
from tests.support.standins import hosts
from tests.support.workspace import Workspace

from devbox_api import names
from devbox_stage.kubectl import Object
from devbox_stage.waiting import NotYet, wait_for

pytestmark = [pytest.mark.row("S23"), pytest.mark.row("S2")]
KEY = f"{hosts.KEY}of-code-mounts-0123456789"
PRIVATE = {"name": "private", "repository": f"https://{hosts.GITHUB}/{hosts.OWNER}/{hosts.PACKAGE}.git", "gateway": "GITHUB"}
PUBLIC = {"name": "public", "repository": f"https://{hosts.GIT}/{hosts.PACKAGE}.git", "path": "src/public"}
GITHUB = [{"name": "GITHUB", "gatewayRef": {"name": "github"}}]
WEB: Object = {"egressPolicyRef": {"name": "web"}}


@pytest.fixture
def home(workspace: Workspace, tools_image: str, registries: str) -> Workspace:
    """With a gateway for github.com's stand-in, and a policy for the public host."""
    workspace.secret("github", KEY, hosts=hosts.GITHUB)
    workspace.gateway_config(
        "github",
        endpoint=f"https://{hosts.GITHUB}",
        authMechanism={"type": "Basic", "username": "x-access-token"},
        credential={"secretRef": {"name": "github"}},
    )
    spec = {"allowedHostnames": [hosts.GIT]}
    workspace.apply({"apiVersion": names.API_VERSION, "kind": "EgressPolicy", "metadata": {"name": "web"}, "spec": spec})
    return workspace


def phases(home: Workspace, wanted: str) -> Object:
    """Wait until the Devbox has this phase; returns it."""

    def attempt() -> Object:
        found = home.get("devboxes.devbox-gateway.io", "agent")
        if found is None or found.get("status", {}).get("phase") != wanted:
            raise NotYet(f"it is {found and found.get('status', {}).get('phase')}")
        return found

    return wait_for(f"phase {wanted}", attempt, seconds=90)


def test_both_kinds_are_there_and_stay_as_the_agent_leaves_them(home: Workspace) -> None:
    # (The kubelet makes variables of $(NAME) in a container's command, and of $$ one $.)
    own = 'HOME() { echo own; }; test "$(HOME)" = own && test $$ -gt 1'
    install = f'{own} && cat README > installed && echo $HOME > $HOME/home && test -n "$GITHUB"'
    home.devbox(gateways=GITHUB, codeMounts=[{**PRIVATE, "lfs": True}, {**PUBLIC, "installCommand": install}], **WEB)
    pod = home.ready()
    assert home.condition("devboxes", "agent", "CodeMounted", "Mounted", "True") == ""
    assert home.sh(pod, "cd /workspace; cat private/README src/public/README src/public/installed") == hosts.GREETING * 3
    assert home.sh(pod, "cat $HOME/home") == names.HOME
    # Large files there are none, but git-lfs of the image that clones was called, and left its settings.
    assert home.sh(pod, "git -C /workspace/private config --local filter.lfs.process") == "git-lfs filter-process"
    # git as it comes, in the devbox's own environment.
    assert home.sh(pod, "cd /workspace/private; git pull 2>&1; git config remote.origin.url").splitlines() == [
        "Already up to date.",
        PRIVATE["repository"],
    ]
    found = home.sh(
        pod, f"grep -rl {KEY} /workspace $HOME /proc/1/environ /proc/1/cmdline 2>/dev/null; env | grep -c {KEY}", check=False
    )
    assert found == "0"
    assert home.sh(pod, "grep -rl gws_ /workspace; true") == ""
    statuses = home.pods()[0]["status"]["initContainerStatuses"]
    assert [one["name"] for one in statuses] == ["devbox-init", "devbox-clone", "devbox-setup"]


@pytest.mark.parametrize(
    ("mount", "reason", "words"),
    [
        ({**PRIVATE, "repository": f"https://{hosts.GITHUB}/{hosts.OWNER}/nothing.git"}, "CloneFailed", "not found"),
        ({**PUBLIC, "repository": "https://elsewhere.example/a/b"}, "CloneFailed", "does not allow the repository's host"),
        ({**PUBLIC, "installCommand": "echo before; exit 3"}, "InstallFailed", "installCommand ended with exit code 3"),
        ({**PUBLIC, "installCommand": "sleep 600", "installTimeoutSeconds": 1}, "InstallFailed", "has not ended after 1 s"),
        (
            {**PRIVATE, "repository": f"https://{hosts.GITHUB_API}/{hosts.OWNER}/x"},
            "RepositoryMismatch",
            "the gateway leads to https://github.com",
        ),
    ],
)
def test_what_fails_is_said_and_put_right(home: Workspace, mount: Object, reason: str, words: str) -> None:
    """Whatever restartPolicy says, and with no more than a correction of the spec."""
    home.devbox(gateways=GITHUB, codeMounts=[mount], restartPolicy="Never", **WEB)
    message = home.condition("devboxes", "agent", "CodeMounted", reason)
    assert words in message
    home.devbox(gateways=GITHUB, codeMounts=[PUBLIC], restartPolicy="Never", **WEB)
    pod = home.ready()
    assert home.sh(pod, "cat /workspace/src/public/README") == hosts.GREETING


def test_mounting_is_a_phase_of_its_own(home: Workspace) -> None:
    home.devbox(gateways=[], codeMounts=[{**PUBLIC, "installCommand": "while [ ! -e go ]; do sleep 0.2; done"}], **WEB)
    phases(home, "Mounting")

    def installing() -> None:
        if "install commands run" not in (said := home.condition("devboxes", "agent", "CodeMounted", "Cloning")):
            raise NotYet(said)

    wait_for("install commands to run", installing, seconds=90)
    pod = home.pods()[0]["metadata"]["name"]
    home.kubectl("-n", home.name, "exec", pod, "-c", "devbox-setup", "--", "touch", "/workspace/src/public/go")
    phases(home, "Running")
