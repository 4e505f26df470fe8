"""What a request passes in the image is machine code: no interpreted function of ours runs while one comes and is answered."""

import sys
from pathlib import Path
from types import FrameType

import pytest

import devbox_api
import devbox_common
import devbox_proxy
from devbox_proxy.wire import grammar

from .playbook import TOKEN, Play

PACKAGES = tuple(f"{path}/" for package in (devbox_proxy, devbox_common, devbox_api) for path in package.__path__)
pytestmark = pytest.mark.skipif(grammar.__file__.endswith(".py"), reason="nothing is compiled here: make unit-compiled")
READ = {"redacted.py:reveal", "redacted.py:__len__"}
"""What is interpreted all the same: the class that hides a secret stays as it is written and proven."""
ASK = f"POST /v1/messages HTTP/1.1\r\nHost: h\r\nx-api-key: {TOKEN}\r\nContent-Length: 2\r\n\r\n{{}}".encode()


async def test_no_interpreted_function_runs_for_a_request() -> None:
    play = Play()
    entered: set[str] = set()

    def enter(frame: FrameType, event: str, argument: object) -> None:
        if event == "call" and frame.f_code.co_filename.startswith(PACKAGES):
            entered.add(f"{Path(frame.f_code.co_filename).name}:{frame.f_code.co_name}")

    sys.setprofile(enter)
    try:
        to_api = play.send(ASK)
        to_client = play.answer(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ndone")
    finally:
        sys.setprofile(None)
    assert to_api.startswith(b"POST /v1/messages HTTP/1.1\r\n")
    assert to_client.endswith(b"\r\n\r\ndone")
    assert entered == READ
