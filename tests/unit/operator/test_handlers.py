"""Kopf watches and nothing else: no handler of it may touch users' objects."""

import ast
from pathlib import Path
from typing import Any

import kopf

import devbox_operator
from devbox_operator.seen.keys import Kind, WorkKey
from devbox_operator.watch import handlers

SOURCES = sorted(Path(devbox_operator.__file__).parent.rglob("*.py"))


def test_only_event_handlers_are_used_anywhere() -> None:
    used = {
        f"kopf.{node.attr}" if isinstance(node.value, ast.Name) else f"kopf.on.{node.attr}"
        for path in SOURCES
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Attribute)
        and (
            (isinstance(node.value, ast.Name) and node.value.id == "kopf")
            or (isinstance(node.value, ast.Attribute) and ast.unparse(node.value) == "kopf.on")
        )
    }
    assert {name for name in used if name.startswith("kopf.on.")} == {"kopf.on.event", "kopf.on.login"}
    assert not used & {"kopf.timer", "kopf.daemon", "kopf.index", "kopf.adopt", "kopf.event", "kopf.info"}


def test_the_registry_needs_no_finalizer_and_no_state() -> None:
    registry = handlers.registry(lambda _: None, lambda *_: None, lambda *_: False)
    assert len(registry._watching._handlers) == 4
    assert not registry._changing._handlers
    assert not registry._spawning._handlers
    assert not registry._indexing._handlers


async def test_an_event_becomes_a_key() -> None:
    added: list[WorkKey] = []
    namespaces: list[tuple[str, bool]] = []
    registry = handlers.registry(added.append, lambda *about: namespaces.append(about), lambda _, version: version == "8")
    arguments: dict[str, Any] = {"namespace": "team-a", "name": "x", "event": {"type": "MODIFIED"}}
    arguments |= {"meta": {"deletionTimestamp": "2026-01-01T00:00:00Z", "resourceVersion": "7"}}
    for handler in registry._watching._handlers:
        await handler.fn(**arguments)  # type: ignore[misc]
    assert added == [
        WorkKey(Kind.DEVBOX, "team-a", "x"),
        WorkKey(Kind.GATEWAY, "team-a", "x"),
        WorkKey(Kind.EGRESS, "team-a", "x"),
    ]
    assert namespaces == [("x", True)], "it is being deleted"
    added.clear()
    for handler in registry._watching._handlers:
        await handler.fn(**{**arguments, "meta": {"resourceVersion": "8"}})  # type: ignore[misc]
    assert WorkKey(Kind.DEVBOX, "team-a", "x") not in added, "our own write is no news"


def test_kopf_posts_nothing_and_looks_for_no_peers(settings: Any) -> None:
    found: kopf.OperatorSettings = handlers.operator_settings(settings)
    assert found.posting.enabled is False
    assert found.peering.standalone is True
    assert found.scanning.disabled is True
