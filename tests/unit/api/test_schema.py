"""The CRDs are what the models say, and structural."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import pytest

from devbox_api import devbox, egresspolicy, gatewayconfig
from devbox_api.conditions import ConditionType
from devbox_api.schema import ApiModel, crd, structural

KINDS = [gatewayconfig.KIND, egresspolicy.KIND, devbox.KIND]


def nodes(schema: dict[str, Any], path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    yield path, schema
    for name, child in schema.get("properties", {}).items():
        yield from nodes(child, f"{path}.{name}")
    for word in ("items", "additionalProperties"):
        if word in schema:
            yield from nodes(schema[word], f"{path}[]")


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.kind)
def test_every_node_is_structural(kind: Any) -> None:
    (version,) = crd(kind)["spec"]["versions"]
    for path, node in nodes(version["schema"]["openAPIV3Schema"]):
        assert "type" in node or node.get("x-kubernetes-int-or-string"), path
        assert not {"$ref", "anyOf", "title", "const", "$defs"} & set(node), path


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.kind)
def test_every_list_and_text_has_a_bound(kind: Any) -> None:
    """Unbounded input makes CEL rules cost too much, and objects too large for etcd."""
    for path, node in nodes(structural(kind.spec)):
        if node.get("type") == "array":
            assert "maxItems" in node, path
        if node.get("type") == "string":
            assert "maxLength" in node or "enum" in node, path


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.kind)
def test_every_field_has_a_description(kind: Any) -> None:
    """`kubectl explain` shows it."""
    for model in (kind.spec, kind.status):
        for path, node in nodes(structural(model)):
            assert node.get("description", "").endswith((".", ".)", "…")) or path.endswith("[]"), path


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.kind)
def test_every_field_and_column_is_on_its_page(kind: Any) -> None:
    text = (Path(__file__).parents[3] / "docs" / f"{kind.kind.lower()}.md").read_text(encoding="utf-8")
    code = " ".join(re.findall(r"```.*?```|`[^`]+`", text, re.DOTALL))
    schemas = (structural(kind.spec), structural(kind.status))
    fields = {path.split(".")[-1].removesuffix("[]") for schema in schemas for path, _ in nodes(schema) if path}
    assert [name for name in fields if not re.search(rf"(?<![A-Za-z]){name}(?![A-Za-z])", code)] == []
    assert [column.name for column in kind.columns if f"`{column.name.upper()}`" not in text] == []


def test_every_phase_and_condition_is_on_the_devboxs_page() -> None:
    text = (Path(__file__).parents[3] / "docs" / "devbox.md").read_text(encoding="utf-8")
    phases = structural(devbox.KIND.status)["properties"]["phase"]["enum"]
    conditions = set(ConditionType) - {ConditionType.CREDENTIAL_RESOLVED, ConditionType.REACHABLE}
    assert [word for word in (*phases, *conditions) if f"`{word}`" not in text] == []


def test_an_optional_field_is_absent_not_null() -> None:
    class Inner(ApiModel):
        """Inner words."""

        word: Literal["only"] = "only"

    class Model(ApiModel):
        """Words."""

        maybe: Inner | None = None
        """The field's own words."""

    assert structural(Model)["properties"]["maybe"] == {
        "type": "object",
        "description": "The field's own words.",
        "properties": {"word": {"type": "string", "enum": ["only"], "default": "only"}},
    }


def test_alternatives_are_refused() -> None:
    class Model(ApiModel):
        """Words."""

        either: str | dict[str, str]

    with pytest.raises(ValueError, match="no alternatives"):
        structural(Model)
