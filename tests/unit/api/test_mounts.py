"""What a code mount may name, and what is refused with which words."""

import re

import pytest

from devbox_api.judge import mounts
from devbox_api.judge.endpoints import parse_endpoint

pytestmark = pytest.mark.row("S23")
AT_MOST = "https://h.example/" + "a" * (mounts.MOST_REPOSITORY - len("https://h.example/"))


@pytest.mark.parametrize(
    ("url", "host", "port", "path"),
    [
        ("https://github.com/org/repo", "github.com", 443, "/org/repo"),
        ("https://GitHub.com/org/repo.git", "github.com", 443, "/org/repo.git"),
        ("https://git.corp.example:8443/a/b/c", "git.corp.example", 8443, "/a/b/c"),
        ("https://192.0.2.7/r", "192.0.2.7", 443, "/r"),
        ("https://dev.azure.com/org/My%20Project/_git/repo", "dev.azure.com", 443, "/org/My%20Project/_git/repo"),
        ("https://git.sr.ht/~user/c++", "git.sr.ht", 443, "/~user/c++"),
        (AT_MOST, "h.example", 443, AT_MOST.removeprefix("https://h.example")),
    ],
)
def test_a_repository(url: str, host: str, port: int, path: str) -> None:
    found = mounts.check_repository(url)
    assert (found.scheme, found.host, found.port, found.path) == ("https", host, port, path)


@pytest.mark.parametrize(
    ("url", "words"),
    [
        (AT_MOST + "a", "more than 512 characters"),
        *(
            (url, mounts.NOT_HTTPS)
            for url in (
                "",
                "org/repo",
                "http://github.com/org/repo",
                "HTTPS://github.com/org/repo",
                "file:///etc",
                "/etc/passwd",
                "ssh://git@github.com/org/repo",
                "git@github.com:org/repo.git",
                "git://github.com/org/repo",
                "ext::sh -c id",
                "fd::17",
                "https::https://github.com/org/repo",
                "-uid",
                "--upload-pack=id",
                " https://github.com/org/repo",
            )
        ),
        *(
            (url, mounts.USER_INFO)
            for url in ("https://user:pass@github.com/org/repo", "https://token@github.com/o/r", "https://@github.com/o/r")
        ),
        *(
            (url, mounts.NOT_REPOSITORY)
            for url in (
                "https://",
                "https:///org/repo",
                "https://github.com",
                "https://github.com/",
                "https://github.com/org/repo/",
                "https://github.com//org/repo",
                "https://github.com/org/../repo",
                "https://github.com/./repo",
                "https://github.com/..",
                "https://github.com/%2e%2e/repo",
                "https://github.com/org%2frepo",
                "https://github.com/org/repo?x=1",
                "https://github.com/org/repo#main",
                "https://github.com/org/re po",
                "https://github.com/org/repo\n",
                "https://github.com/org/repo\x1b[2J",
                "https://github.com/org\\repo",
                "https://github.com:/org/repo",
                "https://github.com:0/org/repo",
                "https://github.com:65536/org/repo",
                "https://[::1]/org/repo",
                "https://-github.com/org/repo",
                "https://github..com/org/repo",
                "https://gíthub.com/org/repo",
                "https://github.com/org/rěpo",
                'https://github.com/org/"repo"',
                "https://github.com/$(id)/repo",
            )
        ),
    ],
)
def test_what_is_no_repository(url: str, words: str) -> None:
    with pytest.raises(ValueError, match=re.escape(words)):
        mounts.check_repository(url)


@pytest.mark.parametrize("ref", ["main", "v1.2.0", "feature/a-b_c", "0" * 40, "a" * 255, "1.x", "HEADS"])
def test_a_ref(ref: str) -> None:
    mounts.check_ref(ref)


@pytest.mark.parametrize(
    "ref",
    [
        "",
        "HEAD",
        "-b",
        "--upload-pack=id",
        ".hidden",
        "/main",
        "a..b",
        "a//b",
        "a/",
        "a.",
        "a/.b",
        "a./b",
        "x.lock",
        "x.lock/y",
        "a" * 256,
        "a b",
        "a:b",
        "a~1",
        "a^",
        "a@{1}",
        "a\\b",
        "a*",
        "main\n",
        "\x1b[2J",
        "+main",
        "mä",
    ],
)
def test_what_is_no_ref(ref: str) -> None:
    with pytest.raises(ValueError, match="not a branch, tag or commit"):
        mounts.check_ref(ref)


@pytest.mark.parametrize("path", ["app", "services/app", "a.b+c-d_e", "_x", "A/1/b..c", "a" * 255])
def test_a_path(path: str) -> None:
    mounts.check_path(path)


@pytest.mark.parametrize(
    "path",
    [
        "",
        ".",
        "..",
        "./a",
        "a/.",
        "../a",
        "a/../b",
        "a/..",
        "/etc",
        "/workspace/a",
        "a/",
        "a//b",
        ".git",
        "a/.git",
        ".devbox-gateway",
        "-a",
        "a/-b",
        "~",
        "a b",
        "a\n",
        "a\\b",
        "a:b",
        "ä",
        "a" * 256,
    ],
)
def test_what_is_no_path(path: str) -> None:
    with pytest.raises(ValueError, match="not a place in the workspace"):
        mounts.check_path(path)


@pytest.mark.parametrize(
    ("paths", "words"),
    [
        ((), None),
        (("a", "b", "c/d", "c/e", "c-d"), None),
        (("a", "ab", "a.b", "a-b"), None),
        (("b", "a", "b"), "two code mounts have the path b;"),
        (("a/b", "a-b", "a"), "a/b is in a;"),
        (("x", "a/b/c/d", "a/b"), "a/b/c/d is in a/b;"),
    ],
)
def test_each_has_a_place_of_its_own(paths: tuple[str, ...], words: str | None) -> None:
    if words is None:
        mounts.check_places(paths)
    else:
        with pytest.raises(ValueError, match=re.escape(words)):
            mounts.check_places(paths)


@pytest.mark.parametrize(
    ("repository", "endpoint", "words"),
    [
        ("https://github.com/org/repo", "https://github.com", None),
        ("https://github.com:443/org/repo", "https://github.com", None),
        ("https://git.corp/team/repo", "http://git.corp", None),
        ("https://git.corp:3000/team/repo", "http://git.corp:3000", None),
        ("https://git.corp/git/team/repo", "https://git.corp/git", None),
        (
            "https://github.com/org/repo",
            "https://api.github.com",
            "at https://github.com, and the gateway leads to https://api.github.com",
        ),
        ("https://gitlab.com/org/repo", "https://github.com", "the gateway leads to https://github.com"),
        ("https://github.com:8443/org/repo", "https://github.com", "at https://github.com:8443"),
        ("https://git.corp/github/team/repo", "https://git.corp/git", "not below https://git.corp/git,"),
        ("https://git.corp/git", "https://git.corp/git/x", "not below"),
    ],
)
def test_a_gateway_leads_to_its_own_hosts_repositories(repository: str, endpoint: str, words: str | None) -> None:
    found = mounts.mismatch(mounts.check_repository(repository), parse_endpoint(endpoint))
    assert found is None if words is None else (found is not None and words in found)


@pytest.mark.parametrize(
    ("repository", "expected"),
    [
        ("https://github.com/org/repo", "https://github.com/"),
        ("https://GitHub.com:443/org/repo", "https://GitHub.com:443/"),
        ("https://git.corp:8443/git/team/repo", "https://git.corp:8443/"),
    ],
)
def test_what_the_gateway_stands_for(repository: str, expected: str) -> None:
    assert mounts.behind(repository) == expected
