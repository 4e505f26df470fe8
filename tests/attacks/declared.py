"""May a GatewayConfig with this endpoint be declared at all? The CRD's own rules for `spec.endpoint`, and the operator's refusal.

Goes in: an endpoint. Comes out: why not, or None. The CRD's rules are CEL in the model's schema; the few words they use are read here
as Python (the real API server judges the same rules in tests/integration/test_api_rules.py).
"""

import re
import warnings
from typing import Any

from devbox_api.gatewayconfig import GatewayConfigSpec
from devbox_operator.documents.endpoints import refusal
from devbox_operator.settings import Image, Settings


class _Text(str):
    """CEL's methods of a string, on Python's."""

    __slots__ = ()

    def matches(self, pattern: str) -> bool:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # `[[]` is RE2's way to write a bracket, and Python's
            return re.search(pattern, self) is not None

    def contains(self, other: str) -> bool:
        return other in self

    def startsWith(self, other: str) -> bool:  # noqa: N802 (CEL's word)
        return self.startswith(other)

    def find(self, pattern: str) -> "_Text":  # type: ignore[override]
        found = re.search(pattern, self)
        return _Text(found[0] if found else "0")


_SETTINGS = Settings(
    release_namespace="system", credentials_namespace="credentials", image=Image(reference="registry.example/devbox-gateway:1")
)


def why_not(endpoint: str, floor: frozenset[str], gateway_host: str, *, allow_insecure: bool = False) -> str | None:
    """The rule's message, or the operator's."""
    schema = GatewayConfigSpec.model_json_schema(by_alias=True)
    rules = schema["properties"]["endpoint"].get("x-kubernetes-validations", [])
    for rule in rules:
        if not _holds(rule["rule"], {"self": _Text(endpoint)}):
            return f"the CRD: {rule['message']}"
    if endpoint.startswith("http://") and not allow_insecure:
        messages = [rule["message"] for rule in schema.get("x-kubernetes-validations", []) if "http://" in rule["rule"]]
        if messages:
            return f"the CRD: {messages[0]}"
    said = refusal(endpoint, _SETTINGS, floor, (), gateway_host)
    return f"the operator: {said}" if said else None


def _holds(rule: str, names: dict[str, Any]) -> bool:
    # String literals stay as they are; CEL's operators become Python's outside of them.
    parts = re.split(r"('(?:[^'\\]|\\.)*')", rule)
    for index in range(0, len(parts), 2):
        parts[index] = re.sub(r"!(?!=)", " not ", parts[index].replace("&&", " and ").replace("||", " or "))
    return bool(eval("".join(parts), {"__builtins__": {}, "int": int}, names))  # noqa: S307 (our own rules)
