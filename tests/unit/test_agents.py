"""`make agents` can fail: what counts as wrong is noticed, and the table says it."""

import dataclasses
from collections.abc import Sequence

import pytest
from tests.agents.judge import Did, Seen, judge, requests
from tests.agents.rows import ROWS, Way, chosen
from tests.agents.table import table

from devbox_stage.credentials import make_key
from devbox_stage.upstream import Received

KEY = make_key("openai", "agents")
WAY = Way("OPENAI", "true", "POST /v1/responses")
GOOD = (("Authorization", f"Bearer {KEY.value.reveal()}"),)
DID = Did(0, "Done.", "box-1\n")


def received(headers: Sequence[tuple[str, str]] = GOOD, status: int = 200, path: str = "/v1/responses?x=1") -> Received:
    return Received(1, "api.openai.com", "POST", path, headers, "", status, "agents")


def test_an_agent_that_did_its_job_is_fine() -> None:
    assert judge(WAY, DID, "box-1", [received()] * 3, KEY) == []
    assert requests([received()] * 3) == "3 x POST /v1/responses"


@pytest.mark.parametrize(
    ("did", "arrived", "problem"),
    [
        (dataclasses.replace(DID, status=1), [received()] * 3, "status 1"),
        (dataclasses.replace(DID, wrote=""), [received()] * 3, "the file holds ''"),
        (DID, [received()], "the API got 1 of at least 2"),
        (DID, [], "the API got 0"),
        (DID, [received((("Authorization", "Bearer x"),))] * 3, "does not hold the real key"),
        (DID, [received((*GOOD, ("x-api-key", "x")))] * 3, "a credential arrived in x-api-key too"),
        (DID, [received((*GOOD, ("x-other", "gws_x")))] * 3, "a gws_ token arrived"),
        (DID, [*[received()] * 3, received(status=404, path="/v1/other")], "POST /v1/other was answered with 404"),
    ],
)
def test_what_went_wrong_is_told(did: Did, arrived: list[Received], problem: str) -> None:
    assert problem in "; ".join(judge(WAY, did, "box-1", arrived, KEY))


def test_the_table_says_who_failed() -> None:
    good = Seen("one", "OPENAI", "1.0", 2.5, "3 x POST /v1/responses", None, ("telemetry.example x2",))
    text = table([good, dataclasses.replace(good, way="GEMINI", problem="nothing arrived", side_hosts=())])
    assert "| one   | 1.0     | OPENAI | yes" in text
    assert text.endswith("1 work, 1 do not.\none, GEMINI: nothing arrived")


def test_agents_are_chosen_by_name() -> None:
    assert chosen([]) == list(ROWS)
    assert [row.name for row in chosen(["codex", "aider"])] == ["codex", "aider"]
    with pytest.raises(ValueError, match="there is no agent codecs; there are: claude-code, codex"):
        chosen(["codecs"])
