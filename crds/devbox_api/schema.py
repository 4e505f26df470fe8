"""From the pydantic models to CustomResourceDefinitions: structural schemas, CEL rules, columns.

Goes in: a `Kind`. Comes out: a plain dict, the CRD. pydantic's JSON schema is close to what Kubernetes wants; this module
removes what a structural schema may not hold (`$ref`, `title`, null alternatives, `const`).
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from pydantic import BaseModel, ConfigDict, ValidationError, ValidatorFunctionWrapHandler
from pydantic.alias_generators import to_camel

from . import names

Schema = dict[str, Any]


class ApiModel(BaseModel):
    """Base of everything in a spec or status: camelCase on the wire, frozen, unknown fields ignored.

    (The API server prunes unknown fields, so that they are errors for the user; an operator older than the CRD must read on.)
    """

    model_config = ConfigDict(
        alias_generator=to_camel, populate_by_name=True, frozen=True, extra="ignore", use_attribute_docstrings=True
    )


def as_far_as_known(value: object, read: ValidatorFunctionWrapHandler) -> Any:
    """A status, less those of its fields that can't be read, such as a phase of a newer version's: after a rollback the operator writes
    it anew, and the object is no invalid one."""
    try:
        return read(value)
    except ValidationError as error:
        if not isinstance(value, Mapping):
            raise
        unread = {part["loc"][0] for part in error.errors() if part["loc"]}
        return read({field: content for field, content in value.items() if field not in unread})


class Column(NamedTuple):
    """A column of `kubectl get`."""

    name: str
    path: str
    type: str = "string"
    description: str = ""
    priority: int = 0


class Kind(NamedTuple):
    """One custom resource."""

    kind: str
    plural: str
    short: str
    spec: type[BaseModel]
    status: type[BaseModel]
    columns: Sequence[Column]
    description: str
    rules: Sequence[Mapping[str, str]] = ()
    """CEL rules on the whole object."""


def cel(rule: str, message: str, *, field: str | None = None, message_expression: str | None = None) -> dict[str, str]:
    """One `x-kubernetes-validations` entry; the message says what to write instead."""
    entry = {"rule": rule, "message": message}
    if field:
        entry["fieldPath"] = field
    if message_expression:
        entry["messageExpression"] = message_expression
    return entry


def rules(*entries: Mapping[str, str], **more: object) -> Any:
    """`json_schema_extra` for a field or model: its CEL rules and other `x-kubernetes-…` words (`list_type="map"`)."""
    extra: dict[str, Any] = {f"x-kubernetes-{word.replace('_', '-')}": value for word, value in more.items()}
    if entries:
        extra["x-kubernetes-validations"] = [dict(entry) for entry in entries]
    return extra


def crd(kind: Kind) -> Schema:
    """The CustomResourceDefinition of one kind."""
    validations = {"x-kubernetes-validations": [dict(rule) for rule in kind.rules]} if kind.rules else {}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {
            "name": f"{kind.plural}.{names.GROUP}",
            "labels": {"app.kubernetes.io/name": "devbox-gateway", "app.kubernetes.io/part-of": "devbox-gateway"},
        },
        "spec": {
            "group": names.GROUP,
            "scope": "Namespaced",
            "names": {
                "kind": kind.kind,
                "listKind": f"{kind.kind}List",
                "plural": kind.plural,
                "singular": kind.kind.lower(),
                "shortNames": [kind.short],
                "categories": ["devbox-gateway"],
            },
            "versions": [
                {
                    "name": names.VERSION,
                    "served": True,
                    "storage": True,
                    "subresources": {"status": {}},
                    "additionalPrinterColumns": [_column(column) for column in kind.columns],
                    "schema": {
                        "openAPIV3Schema": {
                            "type": "object",
                            "description": kind.description,
                            "required": ["spec"],
                            "properties": {
                                "apiVersion": {"type": "string"},
                                "kind": {"type": "string"},
                                "metadata": {"type": "object"},
                                "spec": structural(kind.spec),
                                # Until the operator has looked at it: tools (kstatus) take an object without a status for one that is done.
                                "status": {**structural(kind.status), "default": {"observedGeneration": -1}},
                            },
                            **validations,
                        }
                    },
                }
            ],
        },
    }


def structural(model: type[BaseModel]) -> Schema:
    """A model's structural schema. Raises ValueError for what a structural schema can't say."""
    schema = model.model_json_schema(by_alias=True, mode="validation")
    return _convert(schema, schema.get("$defs", {}), model.__name__)


def _column(column: Column) -> Schema:
    entry: Schema = {"name": column.name, "type": column.type, "jsonPath": column.path}
    if column.description:
        entry["description"] = column.description
    if column.priority:
        entry["priority"] = column.priority
    return entry


_KEPT = (
    "type description enum default pattern format minLength maxLength minimum maximum minItems maxItems "
    "minProperties maxProperties required"
).split()


def _convert(node: Schema, definitions: Mapping[str, Schema], where: str) -> Schema:
    node = _resolve(node, definitions, where)
    result: Schema = {key: node[key] for key in _KEPT if key in node}
    result |= {key: value for key, value in node.items() if key.startswith("x-kubernetes-")}
    if result.get("x-kubernetes-int-or-string"):
        result.pop("type", None)
    if "description" in result:
        result["description"] = " ".join(result["description"].split())
    if isinstance(result.get("default"), Mapping | list) and not result["default"]:
        del result["default"]
    if "properties" in node:
        result["properties"] = {
            name: _convert(value, definitions, f"{where}.{name}") for name, value in node["properties"].items()
        }
    elif isinstance(node.get("additionalProperties"), Mapping):
        result["additionalProperties"] = _convert(node["additionalProperties"], definitions, f"{where}[]")
    if "items" in node:
        result["items"] = _convert(node["items"], definitions, f"{where}[]")
    return result


def _resolve(node: Schema, definitions: Mapping[str, Schema], where: str) -> Schema:
    """Without `$ref`, `const` and `X | None` (an optional field is an absent one; null is not a value of ours)."""
    if "$ref" in node:
        target = definitions[node["$ref"].rsplit("/", 1)[1]]
        # What stands beside a reference (a field's own description) is more to the point than what the type says.
        return _resolve({**target, **{key: value for key, value in node.items() if key != "$ref"}}, definitions, where)
    if node.get("x-kubernetes-int-or-string"):
        return {key: value for key, value in node.items() if key != "anyOf"}
    if "anyOf" in node:
        choices = [choice for choice in node["anyOf"] if choice.get("type") != "null"]
        rest = {key: value for key, value in node.items() if key != "anyOf" and not (key == "default" and value is None)}
        if len(choices) != 1:
            raise ValueError(f"{where}: a structural schema has no alternatives")
        return _resolve({**choices[0], **rest}, definitions, where)
    if "const" in node:
        return {**node, "type": "string", "enum": [node["const"]]}
    if "prefixItems" in node:
        raise ValueError(f"{where}: a tuple of fixed length is not structural")
    return node
