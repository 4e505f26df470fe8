"""What is wrong, and can't be seen in one object alone, is a condition that names it; the pod waits; all heals by itself.

The cases are files in bad/, one mistake each; its README says how to write one.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml
from tests.support.workspace import Workspace

from devbox_api import names
from devbox_stage.kubectl import Object

FOLDER = Path(__file__).parent / "bad"
_CONDITION = re.compile(r"^# condition: (\w+) (\S+) (\w+)=(\w+) (\w+)$", re.MULTILINE)
_MESSAGE = re.compile(r"^# message: (.+)$", re.MULTILINE)


@dataclass(frozen=True)
class Case:
    """One file."""

    kind: str
    name: str
    type: str
    status: str
    reason: str
    messages: tuple[str, ...]
    mistake: tuple[Object, ...]
    cure: tuple[Object, ...]

    @classmethod
    def read(cls, path: Path, values: dict[str, str]) -> "Case":
        """Read a file and fill in `$NAME`s."""
        text = path.read_text(encoding="utf-8")
        for name, value in values.items():
            text = text.replace(f"${name}", value)
        ((kind, name, type_, status, reason),) = _CONDITION.findall(text)
        mistake, _, cure = text.partition("\n# heal:\n")
        objects = [tuple(one for one in yaml.safe_load_all(part) if one) for part in (mistake, cure)]
        return cls(kind, name, type_, status, reason, tuple(_MESSAGE.findall(text)), objects[0], objects[1])


@pytest.mark.row("S9", "S12", "S29")
@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.yaml")), ids=lambda path: path.stem)
def test_a_mistake_is_a_condition_and_heals(workspaces: Callable[..., Workspace], path: Path) -> None:
    here, other = workspaces(), workspaces()
    values = {"NAMESPACE": here.name, "OTHER": other.name, "KEY": here.key().value.reveal()}
    case = Case.read(path, values)
    assert case.messages, f"{path.name}: no '# message:' line"
    for one in case.mistake:
        here.kubectl.apply([one], namespace=one["metadata"].get("namespace", here.name))

    plural = {"Devbox": "devboxes", "GatewayConfig": "gatewayconfigs"}[case.kind]
    namespace = other if any(_is(one, case, other.name) for one in case.mistake) else here
    message = namespace.condition(plural, case.name, case.type, case.reason, case.status)

    for text in case.messages:
        assert text in message
    assert values["KEY"] not in message
    here.not_ready("agent")
    if case.type != "PodReady":
        for pod in here.pods():
            assert pod["spec"].get("schedulingGates") == [{"name": names.SCHEDULING_GATE}]
            assert "nodeName" not in pod["spec"]

    if case.cure:
        for one in case.cure:
            here.kubectl.apply([one], namespace=one["metadata"].get("namespace", here.name))
        here.becomes(here.ready(), 200)


def _is(one: Object, case: Case, namespace: str) -> bool:
    same = (one["kind"], one["metadata"]["name"]) == (case.kind, case.name)
    return same and one["metadata"].get("namespace") == namespace


@pytest.mark.row("S9")
@pytest.mark.parametrize("ending", ["\n", "\r\n"], ids=["LF", "CRLF"])
def test_a_secret_that_ends_in_a_newline_works(workspace: Workspace, ending: str) -> None:
    workspace.secret("anthropic", workspace.key().value.reveal() + ending)
    workspace.gateway_config()
    workspace.devbox()
    workspace.becomes(workspace.ready(), 200)


@pytest.mark.row("S29")
def test_examples_heal_in_any_order(workspace: Workspace, project_root: Path) -> None:
    """The last file first, one file at a time; then one word takes all of it away, and says so with exit code 0."""
    folder = project_root / "examples"
    for path in sorted(folder.glob("*.yaml"), reverse=True):
        workspace.kubectl("-n", workspace.name, "apply", "-f", str(path))
    for name in ("agent", "customer-a", "customer-b"):
        workspace.ready(name)
    workspace.kubectl("-n", workspace.name, "delete", "--timeout=60s", "-f", str(folder), timeout=90)
