"""Audit lines as the gateway's own code writes them, read by the client."""

import asyncio
import io
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from devbox_gateway.audit import following
from devbox_gateway.audit.lines import ENDS, Entry, parse, text
from devbox_proxy.accounting.audit import AuditLog, End
from devbox_proxy.decide.caller import Caller, about

AGENT = Caller("agents", "agent", "agent-x", "uid", "GITHUB", "agents/github", "JTI=1")


def written() -> list[Entry]:
    output = io.BytesIO()
    audit = AuditLog(1000, drop=False, stream=output)
    what = about(AGENT, "GET", b"/user")
    audit.start("req_1", "uid", what)
    audit.end("req_1", "uid", what, End(0, "client_gone", 1, 2, 1.5))
    audit.tunnel_start("req_2", AGENT, "github.com:443", "10.0.0.1:443")
    audit.tunnel_end("req_2", AGENT, "github.com:443", "10.0.0.1:443", End(0, "complete", 10, 20, 0.1))
    for _ in range(500):
        audit.refused("req_3", AGENT, "10.0.0.7", "rule_forbids", method="DELETE", path="/user")
    audit.refused("req_4", None, "10.0.0.7", "token_missing", method="GET", path="/")
    audit.close()
    found = [parse(line) for line in output.getvalue().splitlines()]
    assert all(found)
    return [entry for entry in found if entry]


def test_every_kind_of_line_is_read() -> None:
    entries = written()
    assert {entry.kind for entry in entries} == {"start", *ENDS}
    rows = [text(entry).partition(" ")[2] for entry in entries if entry.is_of("agents", None)]
    assert "agents/agent GITHUB GET /user begins" in rows
    assert "agents/agent GITHUB GET /user client_gone, 1500 ms, 1 bytes up, 2 down" in rows
    assert "agents/agent GITHUB CONNECT github.com:443 100 ms, 10 bytes up, 20 down" in rows
    assert "agents/agent GITHUB DELETE /user refused: rule_forbids" in rows
    assert any(row.startswith("agents/agent GITHUB - refused ") and row.endswith(" times more: rule_forbids") for row in rows)


def test_what_is_nobody_s_is_left_out() -> None:
    nobodys = [entry for entry in written() if entry.fields.get("code") == "token_missing"]
    assert nobodys
    assert not any(entry.is_of(None, None) for entry in nobodys)


@pytest.mark.parametrize(
    ("namespace", "devbox", "one"), [("agents", "agent", True), ("agents", "x", False), ("x", None, False)]
)
def test_one_s_own_are_told_from_others(namespace: str, devbox: str | None, one: bool) -> None:
    assert written()[0].is_of(namespace, devbox) is one


@pytest.mark.parametrize(
    "line", [b"", b"{}", b'{"event":"x"}', b'{"audit":', b'{"audit":"end"', b"plain text", b'["audit"]', b"\xff\xfe"]
)
def test_other_lines_are_none(line: bytes) -> None:
    assert parse(line) is None


def test_a_line_of_a_newer_gateway_is_shown_as_far_as_it_is_known() -> None:
    entry = parse(json.dumps({"audit": "end", "namespace": "a", "devbox": "b", "more": 1}).encode())
    assert entry is not None
    assert "a/b" in text(entry)


class Logs:
    """In place of a session: a log that falls silent once without an end, as the connection of a machine that slept does."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    async def list(self, path: str, query: dict[str, str]) -> list[dict[str, Any]]:
        return [{"metadata": {"name": "gateway-1"}}]

    async def lines(self, path: str, query: dict[str, str]) -> AsyncIterator[bytes]:
        self.asked.append(query["sinceTime"])
        yield b'{"audit":"end","time":"2126-05-01T12:00:00.500Z","namespace":"a","devbox":"b","n":1}'
        if len(self.asked) == 1:
            await asyncio.Event().wait()
        yield b'{"audit":"end","time":"2126-05-01T12:00:07.500Z","namespace":"a","devbox":"b","n":2}'
        await asyncio.Event().wait()


async def test_a_connection_that_is_dead_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(following, "QUIET_SECONDS", 0.05)
    monkeypatch.setattr(following, "PAUSE", 0.0)
    logs, seen = Logs(), list[int]()
    async with asyncio.timeout(10):
        async for entry in following.follow(logs, "system", 60):  # type: ignore[arg-type]
            seen.append(entry.fields["n"])
            if len(seen) == 2:
                break
    assert seen == [1, 2]
    assert logs.asked[1] == "2126-05-01T12:00:00Z", "from the second of the last line on"
