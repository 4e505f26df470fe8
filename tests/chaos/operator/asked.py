"""An operator that asks a gateway on its activity port: both are processes, with the chart's rights and a real token.

Goes in: a release. Comes out: a stage, its traffic, and the file with the operator's token, which the next operator is given, too.
"""

import base64
import contextlib
import ssl
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Final

from tests.support.release import ACCOUNT, NAMESPACE, Release, token_of

from devbox_api import names
from devbox_operator.kit import paths

from .stage import Stage, stage
from .traffic import Traffic, traffic

SHUTDOWN_SECONDS: Final = 60.0


@contextlib.asynccontextmanager
async def asked(release: Release, **change: Any) -> AsyncIterator[tuple[Stage, Traffic, Path]]:
    """`change`: of the traffic."""
    async with contextlib.AsyncExitStack() as stack:
        made = await stack.enter_async_context(stage(release))
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="asked-")))
        (folder / "token").write_text(await token_of(made.api, ACCOUNT, audiences=[names.audience(names.ACTIVITY)]))
        await made.alone(patient=True, activity={"tokenFile": str(folder / "token")})
        secret = await made.get(paths.secrets(NAMESPACE, names.LEAF_SECRET))
        assert secret is not None
        for file in ("tls.crt", "tls.key"):
            (folder / file).write_bytes(base64.b64decode(secret["data"][file]))
        trust = ssl.create_default_context(cadata=base64.b64decode(secret["data"]["ca.crt"]).decode())
        listen = {
            "host": "0.0.0.0",  # noqa: S104 (of a network of the test's own)
            "activity": 0,
            "tls": {"certFile": str(folder / "tls.crt"), "keyFile": str(folder / "tls.key")},
        }
        user = f"system:serviceaccount:{NAMESPACE}:{ACCOUNT}"
        cars = await stack.enter_async_context(
            traffic(made, trust=trust, listen=listen, operatorUser=user, shutdownSeconds=SHUTDOWN_SECONDS, **change)
        )
        cars.host = names.gateway_host(NAMESPACE)
        release.gateway.asked_at(cars.activity)
        stack.callback(release.gateway.asked_at, 0)
        yield made, cars, folder / "token"
