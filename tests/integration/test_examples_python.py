"""examples/python, unchanged: each as a program of its own, as its reader starts it, on the real cluster against stand-ins for the APIs."""

import asyncio
import os
import re
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from tests.support.client_environment import python_with_the_client
from tests.support.pages import blocks
from tests.support.standins import hosts
from tests.support.workspace import Workspace

from devbox_cluster.paths import PROJECT, kubeconfig

EXAMPLES = PROJECT / "examples" / "python"
SECONDS = 240
Keys = dict[str, str]


def keys_of(workspace: Workspace) -> Keys:
    """Everything that any of them reads from its environment."""
    other = {name: hosts.KEY + os.urandom(16).hex() for name in ("GEMINI_API_KEY", "AZURE_OPENAI_API_KEY", "GITHUB_TOKEN")}
    demo = {
        "ANTHROPIC_API_KEY": workspace.key(),
        "NEW_ANTHROPIC_API_KEY": workspace.key(),
        "OPENAI_API_KEY": workspace.key("openai"),
        "INTERNAL_API_TOKEN": workspace.key("internal"),
        "KEY_OF_A": workspace.key(owner="customer A"),
        "KEY_OF_B": workspace.key(owner="customer B"),
    }
    return other | {name: key.value.reveal() for name, key in demo.items()}


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of their reader, who has installed the client's wheel."""
    return python_with_the_client(tmp_path_factory.mktemp("client"))


async def run(python: Path, program: Path, workspace: Workspace, folder: Path, keys: Keys) -> str:
    """What it printed."""
    content = yaml.safe_load(kubeconfig().read_text())
    for context in content["contexts"]:
        context["context"]["namespace"] = workspace.name
    (path := folder / "kubeconfig").write_text(yaml.safe_dump(content))
    environment = {"PATH": os.environ["PATH"], "HOME": str(folder), "KUBECONFIG": str(path), **keys}
    environment["GITHUB_REPOSITORY"] = f"{hosts.OWNER}/{hosts.PACKAGE}"
    process = await asyncio.create_subprocess_exec(
        *(python, "-W", "error", program),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=environment,
    )
    output, errors = (part.decode() for part in await asyncio.wait_for(process.communicate(), SECONDS))
    assert process.returncode == 0, errors
    for value in keys.values():
        assert value not in output + errors
    return output


def fan_out(printed: str) -> bool:
    return printed == f"{[str(number**2) for number in range(20)]}\n"


def network_policy(printed: str) -> bool:
    allowed, refused = printed.strip().split("\nexample.com ")
    return allowed.split()[:2] == ["pypi.org", "200"] and "403" in refused


SAYS: dict[str, Callable[[str], bool]] = {
    "call_anthropic.py": lambda printed: "ANTHROPIC=gws_" in printed and "you said: Hello!" in printed,
    "call_openai.py": lambda printed: "you said: Hello!" in printed,
    "call_gemini.py": lambda printed: "you said: Hello!" in printed,
    "call_azure_openai.py": lambda printed: "you said: Hello!" in printed,
    "use_github.py": lambda printed: (
        "the first issue" in printed and "clone: yes" in printed and "403" in printed.partition("push:")[2]
    ),
    "call_an_internal_api.py": lambda printed: '"page": 2' in printed,
    "several_gateways.py": lambda printed: "claude" in printed and "gpt-" in printed,
    "secret_per_customer.py": lambda printed: (
        "Hello customer A" in printed.splitlines()[0] and "Hello customer B" in printed.splitlines()[1]
    ),
    "rotation.py": lambda printed: printed == "with the old key: 200\nwith the new one: 200\n",
    "network_policy.py": network_policy,
    "fan_out.py": fan_out,
    "notebook.py": lambda printed: "hello from a file" in printed and "claude" in printed,
}


def test_every_example_is_run() -> None:
    assert set(SAYS) == {path.name for path in EXAMPLES.glob("*.py")}


@pytest.mark.row("S9", "S10", "S11", "S19")
@pytest.mark.parametrize("name", SAYS)
async def test_an_example(python: Path, name: str, workspace: Workspace, registries: str, tmp_path: Path) -> None:
    printed = await run(python, EXAMPLES / name, workspace, tmp_path, keys_of(workspace))
    assert SAYS[name](printed), printed
    left = workspace.kubectl.all("devboxes", workspace.name)
    assert [one["metadata"]["name"] for one in left if "deletionTimestamp" not in one["metadata"]] == []


async def test_the_program_of_the_readme(python: Path, workspace: Workspace, registries: str, tmp_path: Path) -> None:
    (text,) = blocks("README.md", "python")[1:]
    (program := tmp_path / "program.py").write_text(text)
    printed = await run(python, program, workspace, tmp_path, keys_of(workspace))
    assert re.fullmatch(r"https://\S+ gws_\S+\n+", printed)
