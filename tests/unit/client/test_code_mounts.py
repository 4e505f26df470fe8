"""From `code_mounts` of devboxes.create to the field, or to an error before anything is made."""

import re
from typing import Any

import pytest

from devbox_api.judge import mounts
from devbox_gateway.errors import InvalidError
from devbox_gateway.objects.code_mounts import Reach, found_in, spec_of

pytestmark = pytest.mark.row("S23", "S25")
GITHUB, CORP = {"GITHUB": "https://github.com"}, {"CORP": "https://git.corp/git"}
OPEN = Reach({}, "default", None)


def field(reach: Reach, *given: dict[str, Any]) -> list[dict[str, Any]]:
    return spec_of(given, reach)


def test_the_words_of_the_hosted_product() -> None:
    given = {
        "type": "code_mount",
        "repo_owner": "Org",
        "repo_name": "My.Repo",
        "git_ref": "main",
        "install_command": "npm install",
    }
    assert field(OPEN, {**given, "token": None}) == [
        {"name": "my-repo", "repository": "https://github.com/Org/My.Repo", "ref": "main", "installCommand": "npm install"}
    ]
    assert field(OPEN, {"repo_name": "org/repo"}) == [{"name": "repo", "repository": "https://github.com/org/repo"}]


def test_all_that_there_is() -> None:
    more = {"path": "src/x", "depth": 1, "submodules": True, "lfs": True, "install_timeout_seconds": 60}
    assert field(Reach(CORP, None, ()), {"repository": "https://git.corp/git/team/x.git", **more}) == [
        {
            "name": "x",
            "repository": "https://git.corp/git/team/x.git",
            "path": "src/x",
            "depth": 1,
            "submodules": True,
            "lfs": True,
            "installTimeoutSeconds": 60,
            "gateway": "CORP",
        }
    ]


def test_two_of_one_name() -> None:
    made = field(OPEN, {"repo_name": "a/x"}, {"repo_name": "b/x"}, {"repo_name": "c/___"})
    assert [one["name"] for one in made] == ["x", "x-2", "code"]


@pytest.mark.parametrize(
    ("reach", "gateway"),
    [
        (Reach(GITHUB, None, ()), "GITHUB"),
        (Reach({**CORP, **GITHUB, "MORE": "https://github.com"}, "p", ("github.com",)), "GITHUB"),
        (Reach({"API": "https://api.github.com"}, "p", ("github.com", "*.x")), None),
        (Reach({}, "p", None), None),
    ],
)
def test_how_it_is_reached(reach: Reach, gateway: str | None) -> None:
    assert field(reach, {"repo_name": "org/repo"})[0].get("gateway") == gateway
    if "MORE" in reach.gateways:
        assert field(reach, {"repo_name": "org/repo", "gateway": "MORE"})[0]["gateway"] == "MORE"


@pytest.mark.parametrize(
    ("reach", "mount", "name", "words"),
    [
        (
            Reach({}, None, ()),
            {"repo_name": "o/r"},
            "repo_name",
            "nothing leads to github.com: give launch_parameters.network_policy_id",
        ),
        (Reach({}, "web", ("pypi.org",)), {"repo_name": "o/r"}, "repo_name", "network policy web does not allow github.com;"),
        (OPEN, {"repo_name": "o/r", "gateway": "X"}, "gateway", "gateways has no X; write one of: none"),
        (
            Reach({"API": "https://api.github.com"}, "p", None),
            {"repo_name": "o/r", "gateway": "API"},
            "gateway",
            "the repository is at https://github.com, and the gateway leads to https://api.github.com; name a gateway config",
        ),
        (OPEN, {"repo_name": "o/r", "token": "x"}, "token", "no token goes into a devbox"),
        (OPEN, {}, "repo_name", ""),
        (OPEN, {"repo_name": "r"}, "repo_name", "write org/repo, or give repo_owner"),
        (OPEN, {"repo_name": "a/b/c"}, "repo_name", "write org/repo"),
        (OPEN, {"repo_name": "o/../r"}, "repo_name", "write org/repo"),
        (OPEN, {"repo_name": "o/.."}, "repo_name", mounts.NOT_REPOSITORY),
        (OPEN, {"repo_name": "o/r?x"}, "repo_name", mounts.NOT_REPOSITORY),
        (OPEN, {"repository": "git@github.com:o/r.git"}, "repository", mounts.NOT_HTTPS),
        (OPEN, {"repository": "https://u:p@github.com/o/r"}, "repository", mounts.USER_INFO),
        (OPEN, {"repository": "https://github.com/o/r", "repo_name": "o/r"}, "repository", "not both"),
        (OPEN, {"repo_name": "o/r", "git_ref": "--x"}, "git_ref", mounts.NOT_REF),
        (OPEN, {"repo_name": "o/r", "path": "../x"}, "path", mounts.NOT_PATH),
        (OPEN, {"repo_name": "o/r", "depth": "1"}, "depth", "write a number, e.g. 1"),
        (OPEN, {"repo_name": "o/r", "depth": True}, "depth", "write a number, e.g. 1"),
        (OPEN, {"repo_name": "o/r", "lfs": 1}, "lfs", "write True or False"),
        (OPEN, {"repo_name": "o/r", "branch": "x"}, "", "no such field: branch; known are repo_name,"),
    ],
)
def test_what_can_not_be_cloned(reach: Reach, mount: dict[str, Any], name: str, words: str) -> None:
    with pytest.raises(InvalidError) as caught:
        field(reach, mount)
    assert caught.value.field == ("code_mounts" + (f".{name}" if name else ""))
    assert re.search(re.escape(words), str(caught.value))


def test_two_in_one_place() -> None:
    with pytest.raises(InvalidError, match="two code mounts have the path x"):
        field(OPEN, {"repo_name": "o/x"}, {"repo_name": "o/y", "path": "x"})


def test_both_spellings_and_none_of_another_kind() -> None:
    one, two = {"repo_name": "o/a"}, {"type": "code_mount", "repo_name": "o/b"}
    assert found_in([one], [two]) == [one, two]
    with pytest.raises(InvalidError, match="mounts of type 'object_mount' are not known"):
        found_in(None, [{"type": "object_mount"}])
    with pytest.raises(InvalidError, match="write a list"):
        found_in("org/repo", None)  # type: ignore[arg-type]
