"""Kubeconfigs are read as kubectl reads them: the same files are given to both."""

import json
import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from devbox_cluster.paths import bin_dir
from devbox_gateway.errors import AuthenticationError, InvalidError, NotFoundError
from devbox_gateway.kube import access, kubeconfig

KUBECTL = shutil.which("kubectl", path=f"{bin_dir()}{os.pathsep}{os.environ['PATH']}")


def config(*contexts: str, current: str = "", **more: Any) -> dict[str, Any]:
    """Contexts such as `a:cluster:user:namespace`, with clusters and users to match."""
    parts = [(*context.split(":"), "", "", "")[:4] for context in contexts]
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "contexts": [
            {"name": name, "context": {"cluster": cluster, "user": user, **({"namespace": namespace} if namespace else {})}}
            for name, cluster, user, namespace in parts
        ],
        "clusters": [{"name": cluster, "cluster": {"server": f"https://{cluster}.example:6443"}} for _, cluster, _, _ in parts],
        "users": [{"name": user, "user": {"token": f"token-of-{user}"}} for _, _, user, _ in parts if user],
        **({"current-context": current} if current else {}),
        **more,
    }


def write(folder: Path, *contents: Mapping[str, Any]) -> list[Path]:
    paths = []
    for number, content in enumerate(contents):
        path = folder / f"config-{number}"
        path.write_text(yaml.safe_dump(content))
        paths.append(path)
    return paths


def kubectl(environ: Mapping[str, str], *arguments: str) -> dict[str, Any] | None:
    """What kubectl makes of it; None: it refuses."""
    assert KUBECTL is not None, "make tools"
    done = subprocess.run(
        [KUBECTL, "config", "view", "--minify", "--raw", "-o", "json", *arguments],
        env={"PATH": os.environ["PATH"], "HOME": "/nonexistent", **environ},
        capture_output=True,
        check=False,
    )
    return json.loads(done.stdout) if done.returncode == 0 else None


@pytest.mark.parametrize(
    ("contents", "context"),
    [
        pytest.param([config("a:one:u", current="a")], None, id="one file"),
        pytest.param([config("a:one:u:team-a", current="a")], None, id="a namespace"),
        pytest.param(
            [config("a:one:u:team-a", "b:two:v:team-b", current="a")], "b", id="another context, and its own namespace"
        ),
        pytest.param(
            [config("a:one:u", current="a"), config("b:two:v", current="b")], None, id="two files: the first one's context"
        ),
        pytest.param(
            [config("a:one:u"), config("b:two:v", current="b")], None, id="two files: the second one's, if the first names none"
        ),
        pytest.param(
            [config("a:one:u:first", current="a"), config("a:two:v:second")], None, id="one name in two files: the first counts"
        ),
        pytest.param([config("a:one:u", current="a"), {}], None, id="an empty file"),
        pytest.param([config("a:one", current="a")], None, id="no user"),
        pytest.param([config("a:one:u", current="nope")], None, id="a current context that is not there"),
        pytest.param([config("a:one:u")], "nope", id="a named context that is not there"),
        pytest.param(
            [config("a:one:u", current="a"), config("b:two:v")],
            "b",
            id="a context of the second file, with a user of the second file",
        ),
        pytest.param(
            [{**config("a:one:u", current="a"), "users": []}, {"users": [{"name": "u", "user": {"token": "from-the-second"}}]}],
            None,
            id="a user of another file than the context",
        ),
    ],
)
def test_the_same_context_as_kubectl(contents: list[dict[str, Any]], context: str | None, tmp_path: Path) -> None:
    environ = {"KUBECONFIG": os.pathsep.join(map(str, write(tmp_path, *contents)))}
    theirs = kubectl(environ, *(["--context", context] if context else []))
    try:
        ours = kubeconfig.load(kubeconfig.find(None, environ, tmp_path), context)
    except NotFoundError:
        ours = None
    if theirs is None or not theirs.get("contexts"):
        assert ours is None
        return
    assert ours is not None
    chosen = theirs["contexts"][0]
    assert (ours.name, ours.namespace) == (chosen["name"], chosen["context"].get("namespace", ""))
    assert ours.cluster["server"] == theirs["clusters"][0]["cluster"]["server"]
    assert dict(ours.user) == (theirs["users"] or [{"user": {}}])[0]["user"]


def test_paths_are_relative_to_the_file_that_they_stand_in(tmp_path: Path) -> None:
    content = config("a:one:u", current="a")
    content["clusters"][0]["cluster"]["certificate-authority"] = "ca.crt"
    content["users"][0]["user"] = {
        "client-certificate": "sub/me.crt",
        "client-key": "/etc/me.key",
        "exec": {"command": "./login"},
    }
    (path,) = write(tmp_path, content)
    (other := tmp_path / "elsewhere").mkdir()
    before = Path.cwd()
    os.chdir(other)
    try:
        found = kubeconfig.load([path])
    finally:
        os.chdir(before)
    assert found is not None
    assert found.cluster["certificate-authority"] == str(tmp_path / "ca.crt")
    assert (found.user["client-certificate"], found.user["client-key"]) == (str(tmp_path / "sub/me.crt"), "/etc/me.key")
    assert Path(found.user["exec"]["command"]) == tmp_path / "login"


def test_a_command_without_a_folder_is_looked_for_in_path(tmp_path: Path) -> None:
    content = config("a:one:u", current="a")
    content["users"][0]["user"] = {"exec": {"command": "login"}}
    found = kubeconfig.load(write(tmp_path, content))
    assert found is not None
    assert found.user["exec"]["command"] == "login"


def test_without_a_variable_the_file_in_home_counts(tmp_path: Path) -> None:
    (tmp_path / ".kube").mkdir()
    (tmp_path / ".kube" / "config").write_text(yaml.safe_dump(config("a:one:u", current="a")))
    assert kubeconfig.find(None, {}, tmp_path) == [tmp_path / ".kube" / "config"]
    assert kubeconfig.find(None, {"KUBECONFIG": "/nope:"}, tmp_path) == []


def test_a_file_that_was_named_and_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="there is no kubeconfig"):
        kubeconfig.find(tmp_path / "nope", {}, tmp_path)


@pytest.mark.parametrize(
    "text", ["a: [", "- 1", "contexts: 3", "contexts: [{name: 1}]", "users: [{name: a, user: 3}]", "\tx", "\x00"]
)
def test_what_is_no_kubeconfig_is_said_so_without_its_text(text: str, tmp_path: Path) -> None:
    (path := tmp_path / "config").write_text(f"{text} # a-token-that-is-secret")
    with pytest.raises(InvalidError) as caught:
        kubeconfig.load([path])
    assert "a-token-that-is-secret" not in str(caught.value)
    assert str(path) in str(caught.value)


def test_a_context_does_not_print_its_user(tmp_path: Path) -> None:
    found = kubeconfig.load(write(tmp_path, config("a:one:u", current="a")))
    assert "token-of-u" not in repr(found)


def test_nothing_is_guessed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    with pytest.raises(AuthenticationError, match="no cluster is named"):
        access.find(environ={}, service_account=tmp_path)


def test_what_kubeconfig_names_and_is_not_there_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    environ = {"KUBECONFIG": os.pathsep.join(("/nope", "/neither"))}
    with pytest.raises(NotFoundError, match="KUBECONFIG names '/nope', '/neither', and there is no such file"):
        access.find(environ=environ, service_account=tmp_path / "none")
    (path,) = write(tmp_path, config("a:one:u", current="a"))
    assert access.find(environ={"KUBECONFIG": os.pathsep.join(("/nope", str(path)))}).context == "a"
    (tmp_path / "token").write_text("the-pods-token\n")
    assert access.find(environ={**environ, "KUBERNETES_SERVICE_HOST": "10.0.0.1"}, service_account=tmp_path).context == ""


def test_in_a_pod_its_own_account_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "token").write_text("the-pods-token\n")
    (tmp_path / "namespace").write_text("team-a\n")
    (tmp_path / "ca.crt").write_text("-----BEGIN CERTIFICATE-----")
    environ = {"KUBERNETES_SERVICE_HOST": "fd00::1", "KUBERNETES_SERVICE_PORT": "443"}
    found = access.find(environ=environ, service_account=tmp_path)
    assert (found.url, found.namespace, found.context) == ("https://[fd00::1]:443", "team-a", "")
    # A kubeconfig is somebody's choice, and counts before it.
    (path,) = write(tmp_path, config("a:one:u", current="a"))
    assert access.find(environ={**environ, "KUBECONFIG": str(path)}, service_account=tmp_path).context == "a"


@pytest.mark.parametrize("server", ["", "api.example.com", "ftp://api.example.com", "https://"])
def test_a_cluster_without_an_address(server: str, tmp_path: Path) -> None:
    content = config("a:one:u", current="a")
    content["clusters"][0]["cluster"]["server"] = server
    (path,) = write(tmp_path, content)
    with pytest.raises(InvalidError, match="has no address"):
        access.find(path=path)
