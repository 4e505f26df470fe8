"""The value of a Secret that is there already: it is not asked for where nobody needs it, so that no error carries it along."""

import base64
from typing import Any

import pytest

from devbox_gateway.errors import ConflictError, InvalidError, PermissionDeniedError
from devbox_gateway.kube.session import METADATA
from devbox_gateway.objects.base import Cluster
from devbox_gateway.objects.devboxes import AsyncDevboxes
from devbox_gateway.objects.secrets import AsyncSecrets

from .tracebacks import carried

VALUE = base64.b64encode(b"sk-ant-real").decode()
APPLIED = {"kubectl.kubernetes.io/last-applied-configuration": VALUE}
CONFIG = {"metadata": {"name": "api", "namespace": "team-a"}, "spec": {"endpoint": "https://api.example"}}


class Api:
    """A session whose API server has one GatewayConfig, and one Secret that somebody else made, and agents may read."""

    async def request(self, method: str, path: str, *_: Any, accept: str = "", **__: Any) -> dict[str, Any]:
        if "/secrets/" not in path:
            return CONFIG
        assert accept == METADATA
        labels = {"devbox-gateway.io/mountable": "true"} if path.endswith("readable") else {}
        metadata = {
            "name": "key",
            "namespace": "team-a",
            "resourceVersion": "1",
            "labels": labels,
            "annotations": dict(APPLIED),
        }
        return {"metadata": metadata}


async def make(**what: Any) -> None:
    await AsyncDevboxes(Cluster(Api(), "team-a")).create_async(image="x", **what)  # type: ignore[arg-type]


async def test_no_error_carries_a_value() -> None:
    secrets = AsyncSecrets(Cluster(Api(), "team-a"))  # type: ignore[arg-type]
    for kind, asking in (
        (PermissionDeniedError, make(gateways={"API": {"gateway": "api", "secret": "key"}})),
        (PermissionDeniedError, make(secrets={"KEY": "key"})),
        (InvalidError, secrets.from_id("sec_readable").grant(["api.example"])),
        (ConflictError, secrets.from_id("sec_key").delete()),
    ):
        with pytest.raises(kind) as caught:
            await asking
        said = carried(caught.value)
        assert "team-a" in said
        assert VALUE not in said
