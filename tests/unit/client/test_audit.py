"""Audit lines as the gateway's own code writes them, read by the client."""

import io
import json

import pytest

from devbox_gateway.audit.lines import ENDS, Entry, parse, text
from devbox_proxy.admission import Caller
from devbox_proxy.audit import AuditLog, End, about

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
