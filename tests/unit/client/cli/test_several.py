"""Verbs of several devboxes: where one is missing nothing is done, and where one can't be changed it is said what was."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from .processes import done
from .standin import Standin, standin

VERBS = ("keep-alive", "suspend", "rm", "wait")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Standin]:
    home: Path = tmp_path_factory.mktemp("home")
    with standin(home) as made:
        yield made


@pytest.mark.parametrize("verb", VERBS)
def test_all_that_are_missing_are_named_and_those_that_are_left_alone(server: Standin, verb: str) -> None:
    code, out, err = done(server, verb, "agent", "nope", "agent", "gone")
    assert (code, out) == (3, b"")
    for name in (b"nope", b"gone"):
        assert b"there is no devbox '" + name + b"' in namespace default" in err
    assert err.endswith(b"; left as they are: agent\n")
    assert server.deleted == 0


@pytest.mark.parametrize(("verb", "said"), [("suspend", b"is being suspended"), ("rm", b"is being deleted")])
def test_what_was_done_before_one_that_can_not_be_changed_is_said(server: Standin, verb: str, said: bytes) -> None:
    code, out, err = done(server, verb, "agent", "locked")
    assert code == 4, err
    assert b"agent" in out
    assert said in out
    assert b"locked" not in out
    server.deleted = 0
