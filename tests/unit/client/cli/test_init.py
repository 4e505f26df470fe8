"""init: what it asks, what it would make, and that the key is nowhere but where it belongs."""

import sys
from pathlib import Path

import pytest
import yaml
from tests.support.person import at_terminal

from devbox_gateway.cli import registries

from .processes import cli, kubeconfig

AWAY = "http://127.0.0.1:1"
KEY = "sk-ant-very-secret"


def test_registries_of_this_machine(tmp_path: Path) -> None:
    home, root = tmp_path / "home", tmp_path / "root"
    (home / ".config" / "pip").mkdir(parents=True)
    (root / "etc").mkdir(parents=True)
    (home / ".config" / "pip" / "pip.conf").write_text("[global]\nindex-url = https://me:pw@Python.example.com/simple\n")
    (root / "etc" / "pip.conf").write_text("no section\n")
    (home / ".npmrc").write_text(
        "//x/:_authToken=secret\nregistry=https://npm.example.com/\n@a:registry = 'https://own.example.com'\n"
    )
    environ = {
        "PIP_EXTRA_INDEX_URL": "https://one.example.com/simple https://two.example.com:8443/",
        "UV_INDEX_URL": "http://localhost:1",
    }
    assert registries.hosts(environ, home, root) == [
        *("npm.example.com", "one.example.com", "own.example.com", "python.example.com", "two.example.com")
    ]
    assert registries.hosts({}, tmp_path, tmp_path) == []


@pytest.mark.parametrize("words", [("--dry-run",), ("-o", "yaml"), ("--dry-run", "-o", "json")])
def test_what_would_be_made(tmp_path: Path, words: tuple[str, ...]) -> None:
    path = kubeconfig(tmp_path, AWAY)
    done = cli("init", "--api", "anthropic", "--policy", "--image", "x", *words, stdin=KEY, KUBECONFIG=path)
    assert done.returncode == 0
    assert KEY not in done.stdout + done.stderr
    found = {item["kind"]: item for item in yaml.safe_load(done.stdout)["items"]}
    assert found["GatewayConfig"]["spec"] == {"endpoint": "https://api.anthropic.com", "authMechanism": {"type": "Bearer"}}
    assert found["EgressPolicy"]["metadata"]["name"] == "default"
    assert {"github.com", "codeload.github.com"} <= set(found["EgressPolicy"]["spec"]["allowedHostnames"])
    assert "data" not in found["Secret"]
    assert "stringData" not in found["Secret"]
    assert found["Devbox"]["spec"]["gateways"] == [
        {"name": "ANTHROPIC", "gatewayRef": {"name": "anthropic"}, "secretRef": {"name": "anthropic-key"}}
    ]


@pytest.mark.parametrize(
    ("words", "said", "code"),
    [
        ((), "name an API: anthropic", 2),
        (("--api", "mine"), "'mine' is none that is known", 2),
        (("--api", "mine", "--endpoint", "https://a.example"), "--auth", 2),
        (("--api", "openai", "--auth", "beer"), "write bearer", 2),
        (("--api", "openai", KEY), "does not belong in the line", 2),
        (("--api", "openai", f"--key={KEY}"), "No such option", 2),
        (("--api", "openai"), "can't be reached", 6),
        (("--api", "openai", "--from-file", "/nope"), "No such file", 2),
    ],
)
def test_bad_input(tmp_path: Path, words: tuple[str, ...], said: str, code: int) -> None:
    done = cli("init", *words, stdin=KEY, KUBECONFIG=kubeconfig(tmp_path, AWAY))
    assert said in done.stderr
    assert (done.returncode, len(done.stderr.splitlines())) == (code, 1)
    assert KEY not in done.stdout + done.stderr


def test_questions(tmp_path: Path) -> None:
    """The line's own answers are not asked for; the key is not shown."""
    path = kubeconfig(tmp_path, AWAY)
    words = ["-m", "devbox_gateway.cli", "init", "--kubeconfig", path, "-o", "yaml", "--devbox", "mine"]
    with at_terminal([sys.executable, *words]) as person:
        person.until("Which API.*: ")
        person.type("other\n")
        person.until("address.*: ")
        person.type("https://api.thing.example\n")
        person.until("credential go in.*: ")
        person.type("header:X-Key\n")
        person.until("image.*: ")
        person.type("\n")
        person.until("github.com.*: ")
        person.type("n\n")
        shown = person.until("(?s)kind: Devbox.*")
        assert person.end() == 0
    made = yaml.safe_load((shown + person.said).replace("\r", "").partition("\n")[2])
    assert [item["kind"] for item in made["items"]] == ["GatewayConfig", "Secret", "Devbox"]
    assert made["items"][0]["spec"]["authMechanism"] == {"key": "X-Key", "type": "Header"}
    assert made["items"][2]["spec"]["gateways"][0]["name"] == "THING"


def test_the_key_is_typed_unseen(tmp_path: Path) -> None:
    words = [
        "-m",
        "devbox_gateway.cli",
        "init",
        "--kubeconfig",
        kubeconfig(tmp_path, AWAY),
        "--api",
        "github",
        "--no-devbox",
        "--no-policy",
    ]
    with at_terminal([sys.executable, *words]) as person:
        person.until("Key of 'github'.*: ")
        person.type(f"{KEY}\n")
        shown = person.until("can't be reached")
        assert person.end() == 6
    assert KEY not in shown
