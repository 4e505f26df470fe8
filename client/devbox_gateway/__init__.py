"""Devboxes on a cluster of your own: AI agents get the use of an API, never its key.

    async with AsyncDevboxGateway() as client:
        gateway = await client.gateway_configs.create(
            name="anthropic", endpoint="https://api.anthropic.com", auth_mechanism={"type": "bearer"}
        )
        await client.secrets.create(name="MY_KEY", value="sk-…")
        devbox = await client.devboxes.create(gateways={"ANTHROPIC": {"gateway": gateway.id, "secret": "MY_KEY"}})
        result = await devbox.cmd.exec("echo $ANTHROPIC_URL")
        print(await result.stdout())

Importing it is light: what talks to a cluster is loaded with the first client.
"""

from typing import TYPE_CHECKING, Any

from .errors import (
    APIConnectionError,
    APITimeoutError,
    AuthenticationError,
    ConflictError,
    DevboxGatewayError,
    ExecLostError,
    InUseError,
    InvalidError,
    NotFoundError,
    NotReadyError,
    PermissionDeniedError,
)
from .version import __version__

if TYPE_CHECKING:
    from .blocking import DevboxGateway
    from .client import AsyncDevboxGateway

__all__ = [
    "APIConnectionError",
    "APITimeoutError",
    "AsyncDevboxGateway",
    "AuthenticationError",
    "ConflictError",
    "DevboxGateway",
    "DevboxGatewayError",
    "ExecLostError",
    "InUseError",
    "InvalidError",
    "NotFoundError",
    "NotReadyError",
    "PermissionDeniedError",
    "__version__",
]
_LATER = {"AsyncDevboxGateway": "client", "DevboxGateway": "blocking"}


def __getattr__(name: str) -> Any:
    if name not in _LATER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib  # noqa: PLC0415

    return getattr(importlib.import_module(f".{_LATER[name]}", __name__), name)
