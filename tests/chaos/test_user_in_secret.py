"""User and password of one Secret (`userInSecret`): what the operator says of a value that is no pair, on a real API server."""

import base64
from typing import Any

import orjson
import pytest
from tests.support.release import CREDENTIALS, Release

from devbox_api import names
from devbox_gateway import NotReadyError
from devbox_operator.kit import paths

from .clients import ANTHROPIC, IMAGE, at_work, said, wait_for

ALONE = "hunter2-alone"


async def test_a_value_that_is_no_pair_is_told_and_a_pair_is_used(release: Release) -> None:
    async with at_work(release) as (made, client):
        gateway = await client.gateway_configs.create(**{**ANTHROPIC, "auth_mechanism": {"type": "basic"}})
        secret = await client.secrets.create(name="key", value=ALONE)
        uses: dict[str, Any] = {"image": IMAGE, "gateways": {"GIT": {"gateway": gateway, "secret": "key"}}}
        with pytest.raises(NotReadyError) as caught:
            await client.devboxes.create(**uses, timeout=60)
        assert caught.value.reason == "SecretInvalid"
        assert "user:password" in str(caught.value)
        assert ALONE not in str(caught.value)
        devbox = await client.devboxes.create_async(name="agent", **uses)
        await secret.update(f"me:{ALONE}")

        async def resolved() -> bool | None:
            box = await made.api.request("GET", paths.devboxes(client.namespace, "agent"))
            return True if said(box, "CredentialsResolved")[0] == "True" else None

        await wait_for(resolved)
        documents = (await made.api.list(paths.secrets(CREDENTIALS)))[0]
        (document,) = [
            orjson.loads(base64.b64decode(each["data"][names.GATEWAY_KEY]))
            for each in documents
            if each["type"] == names.GATEWAY_TYPE
            and each["metadata"]["annotations"][names.SOURCE_NAMESPACE_ANNOTATION] == client.namespace
        ]
        assert (document["auth"]["type"], document["auth"]["user_in_secret"]) == ("Basic", True)
        assert document["requires"] == ["userInSecret"]
        await devbox.shutdown()
