"""The demo's coding agents: what counts as a failure."""

from collections.abc import Sequence
from typing import Any, cast

import pytest

from devbox_cluster import images
from devbox_cluster.progress import ClusterError
from devbox_demo import coding
from devbox_demo.coding import AGENTS
from devbox_stage.credentials import make_key
from devbox_stage.kubectl import Kubectl
from devbox_stage.stage import Stage
from devbox_stage.upstream import Received, Upstream

CLAUDE_CODE, CODEX = AGENTS
KEY = make_key("anthropic", "platform")
PRINTED = "Done. The command printed: coder-1\ncoder-1\n"
GOOD = (("x-api-key", KEY.value.reveal()), ("user-agent", "claude-cli/2.1.332"))


def judged(printed: str = PRINTED, headers: Sequence[tuple[str, str]] = GOOD, status: int = 200) -> str | None:
    stage = Stage(cast(Kubectl, None), cast(Upstream, None), {"anthropic": KEY}, pods={coding.NAME: "coder-1"})
    one = Received(1, "api.anthropic.com", "POST", "/v1/messages?beta=true", headers, "", status, "platform")
    return coding.judge(stage, CLAUDE_CODE, "2.1.332", printed, [one] * 3).problem


def test_an_agent_that_did_its_job_is_fine() -> None:
    assert judged() is None


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"printed": "Done.\nsomething else\n"}, "the file holds 'something else'"),
        ({"printed": ""}, "the file holds '-'"),
        ({"headers": (("x-api-key", "other"),)}, "does not hold the real key"),
        ({"headers": (*GOOD, ("authorization", "Bearer x"))}, "credentials arrived in authorization too"),
        ({"headers": (*GOOD, ("x-other", "gws_x"))}, "a gws_ token arrived"),
        ({"status": 404}, "was answered with 404"),
    ],
)
def test_what_went_wrong_is_told(changes: dict[str, Any], problem: str) -> None:
    assert problem in (judged(**changes) or "")


def test_where_no_registry_is_reached_the_demo_says_so_and_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(**_: object) -> dict[str, str]:
        raise ClusterError("node ci failed:\nnpm error network no answer")

    monkeypatch.setattr(images, "ensure", fails)
    said: list[str] = []
    assert coding.image(said.append) is None
    assert said[-1].startswith("they are not to be had")
    assert said[-1].endswith("npm error network no answer")
