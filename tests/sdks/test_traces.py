"""That what must be nowhere would be found."""

import base64

import pytest
from tests.support.kube_api import jwt

from devbox_common.redacted import Redacted

from .api import Received
from .git_api import USERNAME
from .openai_api import OpenAI
from .traces import in_text, wrong_with

CREDENTIAL = "sk-proj-abcdefghijklmnopqrstuvwxyz"
TOKEN = f"gws_{jwt()}"
GOOD = ("authorization", f"Bearer {CREDENTIAL}")


def wrong(*headers: tuple[str, str], target: str = "/", body: bytes = b"", frames: tuple[str, ...] = ()) -> list[str]:
    received = Received("api.openai.com", "GET", "/", target, headers, body, list(frames))
    return wrong_with(received, OpenAI(Redacted(CREDENTIAL)), [TOKEN])


def test_nothing_wrong() -> None:
    assert wrong(GOOD, ("host", "api.openai.com"), body=b"{}") == []


@pytest.mark.parametrize(
    "headers",
    [(), (GOOD, GOOD), (GOOD, ("x-api-key", "sk-other")), (("authorization", CREDENTIAL),)],
    ids=["none", "twice", "another", "elsewhere"],
)
def test_the_credential_is_not_where_it_belongs(headers: tuple[tuple[str, str], ...]) -> None:
    assert wrong(*headers)[0].startswith("the credential is not authorization alone, once")


def test_the_credential_is_in_other_places() -> None:
    assert wrong(GOOD, ("x-copy", CREDENTIAL)) == ["the credential is in another place, too"]
    assert wrong(GOOD, target=f"/?key={CREDENTIAL}") == ["the credential is in another place, too"]
    assert wrong(GOOD, body=CREDENTIAL.encode()) == ["the credential is in the body"]
    assert wrong(GOOD, frames=(CREDENTIAL,)) == ["the credential is in the body"]


@pytest.mark.parametrize("start", [0, 7, 40])
def test_a_part_of_the_token(start: int) -> None:
    part = TOKEN[start : start + 15]
    basic = base64.b64encode(f"{USERNAME}:{part}".encode()).decode()
    for found in (
        wrong(GOOD, ("x-other", part)),
        wrong(GOOD, target=f"/?a={part}"),
        wrong(GOOD, body=part.encode()),
        wrong(GOOD, frames=(part,)),
        wrong(("authorization", f"Basic {basic}"))[1:],
    ):
        assert "there is a part of a token" in found


def test_the_credential_in_what_was_printed() -> None:
    secret = Redacted(CREDENTIAL)
    assert in_text(f"Bearer {CREDENTIAL}!", [secret])
    for before in ("", "x", "xx", "x-access-token:"):
        assert in_text(base64.b64encode(f"{before}{CREDENTIAL} and more".encode()).decode(), [secret])
    assert not in_text(CREDENTIAL[:-1], [secret])
