"""The cases of api_rules/: what the API server takes, and what it refuses."""

from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent / "api_rules"
FILES = {
    "GatewayConfig": FOLDER / "gatewayconfig.yaml",
    "EgressPolicy": FOLDER / "egresspolicy.yaml",
    "Devbox": FOLDER / "devbox.yaml",
}


def merged(base: Any, change: Any) -> Any:
    """RFC 7396, JSON merge patch."""
    if not isinstance(change, dict):
        return change
    result = dict(base) if isinstance(base, dict) else {}
    for key, value in change.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = merged(result.get(key), value)
    return result
