"""What the operator says is judged once more: nothing that the API server should have refused is cloned."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from devbox_api.judge import mounts
from devbox_clone.document import Gateway, Mount, Work, parse

from .world import World

pytestmark = pytest.mark.row("S23")
APP: dict[str, Any] = {"name": "app", "repository": "https://github.com/org/app", "path": "app"}
THROUGH = {"binding": "GITHUB", "behind": "https://github.com/"}


def document(*every: dict[str, Any], **more: Any) -> str:
    return json.dumps(
        {"version": 1, "workspace": "/workspace", "gateway": "https://gateway.system.svc", "mounts": every, **more}
    )


def test_a_document() -> None:
    whole = {**APP, **THROUGH, "ref": "v1", "depth": 1, "submodules": True, "lfs": True}
    gateway = Gateway("https://gateway.system.svc", "https://github.com/", "GITHUB")
    assert parse(document(whole, {**APP, "path": "b"}, more="of a newer operator")) == Work(
        "/workspace",
        (
            Mount("app", "https://github.com/org/app", "app", "v1", 1, submodules=True, lfs=True, gateway=gateway),
            Mount("app", "https://github.com/org/app", "b"),
        ),
    )
    assert gateway.address("https://github.com/org/app") == "https://gateway.system.svc/org/app"
    assert gateway.address("https://gitlab.com/org/app") == "https://gitlab.com/org/app"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "Expecting value"),
        ("[]", "a document without"),
        ("{}", "a document without"),
        (document(APP, version=2), "a document of version 2, and this program knows version 1"),
        (document(APP, workspace="workspace"), "the workspace is no absolute path"),
        (document(APP, mounts=None), "a document without"),
        (document(APP, mounts=["x"]), "a document without"),
        (document({**APP, "path": None}), "a document without"),
        (document(APP, APP), "two code mounts have the path app"),
        (document({**APP, "path": "../app"}), f"code mount app: {mounts.NOT_PATH}"),
        (document({**APP, "path": "/etc"}), mounts.NOT_PATH),
        (document({**APP, "repository": "file:///etc"}), f"code mount app: {mounts.NOT_HTTPS}"),
        (document({**APP, "repository": "ext::sh -c id"}), mounts.NOT_HTTPS),
        (document({**APP, "repository": "https://u:p@github.com/o/r"}), mounts.USER_INFO),
        (document({**APP, "ref": "--upload-pack=id"}), f"code mount app: {mounts.NOT_REF}"),
        (document({**APP, "ref": ""}), mounts.NOT_REF),
        *((document({**APP, "depth": depth}), "its depth is no number above 0") for depth in (0, -1, "1", True, 1.5)),
        (document({**APP, **THROUGH, "binding": "HOME; id"}), "its gateway can't be read"),
        (document({**APP, **THROUGH, "behind": "https://github.com"}), "its gateway can't be read"),
        (document({**APP, **THROUGH, "behind": "https:///"}), "not a repository's address"),
        (document({**APP, **THROUGH, "behind": "https://gitlab.com/"}), "its gateway stands for https://gitlab.com/"),
        (document({**APP, **THROUGH}, gateway="http://gateway"), "its gateway can't be read"),
        (document({**APP, **THROUGH}, gateway=None), "its gateway can't be read"),
        (document({**APP, "binding": "GITHUB"}), "a document without"),
    ],
)
def test_what_is_none(text: str, words: str) -> None:
    with pytest.raises(ValueError, match=re.escape(words)):
        parse(text)


async def test_it_is_told_where_the_operator_looks(world: World, tmp_path: Path) -> None:
    ended = await world.clone(document="{")
    assert ended.status == 1
    assert ended.message.startswith("the operator's document: ")
    assert ended.message in ended.log
