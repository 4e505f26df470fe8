"""Who is told when devboxes were last active: a gateway with the chart's rights and settings asks a real API server whose token it is."""

import asyncio
import base64
import contextlib
import ssl
import tempfile
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import orjson
import pytest
import yaml
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from tests.support.gateway_process import HOST, Process, running, write_files
from tests.support.netns import GATEWAY
from tests.support.release import ACCOUNT, NAMESPACE, Release, token_of, write_kubeconfig

from devbox_api import names
from devbox_common.kube import ApiError, KubeApi
from devbox_operator.kit import paths
from devbox_stage.credentials import make_certificates

pytestmark = pytest.mark.row("S23")

GATEWAY_ACCOUNT = "devbox-gateway"
AUDIENCE = names.audience(names.ACTIVITY)
SECONDS = 60.0


class Asked:
    """A gateway's activity port, and tokens to ask with."""

    def __init__(self, release: Release, kube: KubeApi, gateway: Process, trust: ssl.SSLContext) -> None:
        self.release, self.kube, self.gateway, self._trust = release, kube, gateway, trust

    async def token(self, account: str = ACCOUNT, namespace: str = NAMESPACE, **spec: Any) -> str:
        """For the activity port, unless `spec` says otherwise, as a kubelet asks for it."""
        return await token_of(self.kube, account, namespace, **{"audiences": [AUDIENCE], "expirationSeconds": 600, **spec})

    def signed_anew(self, token: str, **claims: object) -> str:
        """The same token by the cluster's own key, with other claims."""
        key = serialization.load_pem_private_key((self.release.plane.pki / "service-accounts.key").read_bytes(), None)
        assert isinstance(key, ec.EllipticCurvePrivateKey)
        head, body, _ = token.split(".")
        said = orjson.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))
        text = f"{head}.{_base64(orjson.dumps({**said, **claims}))}"
        both = decode_dss_signature(key.sign(text.encode(), ec.ECDSA(hashes.SHA256())))
        return f"{text}.{_base64(b''.join(number.to_bytes(32, 'big') for number in both))}"  # RFC 7518 3.4

    async def ask(self, token: str | None) -> tuple[int, str]:
        """Its status and what it says; again where it says that too much was asked."""
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        url = f"https://{GATEWAY}:{self.gateway.activity}{names.ACTIVITY_PATH}"
        async with asyncio.timeout(SECONDS), aiohttp.ClientSession() as http:
            while True:
                async with http.get(url, headers=headers, ssl=self._trust, server_hostname=HOST) as response:
                    if response.status != 429:
                        return response.status, await response.text()
                await asyncio.sleep(0.5)


def _base64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


@contextlib.asynccontextmanager
async def asked(release: Release) -> AsyncIterator[Asked]:
    """A gateway with the release's own proxy.yaml, but for this machine's ports and files. (Nobody makes it ready: it answers all the
    same.)"""
    async with contextlib.AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="activity-")))
        kube = await stack.enter_async_context(release.plane.admin())
        pair = make_certificates((HOST,))
        write_files(folder, pair, release.plane.url)
        write_kubeconfig(folder / "kubeconfig", release.plane, release.plane.url, await token_of(kube, GATEWAY_ACCOUNT))
        item = await kube.request("GET", paths.core("configmaps", NAMESPACE, GATEWAY_ACCOUNT))
        content = yaml.safe_load(item["data"]["proxy.yaml"])
        tls = {"certFile": str(folder / "tls.crt"), "keyFile": str(folder / "tls.key")}
        listen: dict[str, Any] = {key: 0 for key, value in content["listen"].items() if isinstance(value, int)}
        listen |= {"host": GATEWAY, "tls": tls}
        config = folder / "proxy.yaml"
        config.write_text(yaml.safe_dump({**content, "listen": listen, "drainSeconds": 0}))
        gateway = await stack.enter_async_context(running(folder, config))
        yield Asked(release, kube, gateway, ssl.create_default_context(cadata=pair.ca))


@contextlib.asynccontextmanager
async def namesake(kube: KubeApi, space: str) -> AsyncIterator[None]:
    """Another namespace's account of the operator's name."""
    metadata: dict[str, Any] = {"name": space}
    await kube.request("POST", "/api/v1/namespaces", body={"apiVersion": "v1", "kind": "Namespace", "metadata": metadata})
    account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": ACCOUNT}}
    await kube.request("POST", paths.core("serviceaccounts", space), body=account)
    try:
        yield
    finally:
        await kube.request("DELETE", f"/api/v1/namespaces/{space}")


async def test_the_operators_token_for_it_is_answered_and_no_other(release: Release) -> None:
    async with asked(release) as on, namesake(on.kube, "activity-namesake"):
        good = await on.token()
        code, said = await on.ask(good)
        assert (code, orjson.loads(said).keys()) == (200, {"instance", "cursor", "closed", "pods"})
        assert (await on.ask(on.signed_anew(good)))[0] == 200, "or what follows would be refused for its signature"
        past = time.time() - 3600
        no = {
            "another account's": await on.token(GATEWAY_ACCOUNT),
            "another namespace's": await on.token(namespace="activity-namesake"),
            "for another audience": await on.token(audiences=["devbox-gateway.io/ANTHROPIC"]),
            "the operator's own for the API server": await token_of(on.kube, ACCOUNT),
            "expired": on.signed_anew(good, iat=int(past - 600), nbf=int(past - 600), exp=int(past)),
            "of another's signature": f"{good.rpartition('.')[0]}.{_base64(bytes(range(64)))}",
            "no token": "x",
        }
        for what, token in no.items():
            assert await on.ask(token) == (403, ""), what
        assert await on.ask(None) == (401, "")
        assert (await on.ask(good))[0] == 200
        output = "".join(on.gateway.output)
        for token in (good, *no.values()):
            assert len(token) < 10 or token not in output


async def test_that_token_is_good_for_nothing_else(release: Release) -> None:
    async with asked(release) as on, aiohttp.ClientSession() as http:
        headers = {"Authorization": f"Bearer {await on.token()}"}
        async with http.get(f"{release.plane.url}/api", headers=headers, ssl=release.plane.trust()) as response:
            assert response.status == 401


async def test_a_token_of_a_pod_that_is_gone_is_refused(release: Release) -> None:
    """As the kubelet makes them: bound to the operator's pod."""
    async with asked(release) as on:
        pods = paths.pods(NAMESPACE)
        container = {"name": "operator", "image": "registry.example/operator:1"}
        pod = await on.kube.request(
            "POST",
            pods,
            body={
                "apiVersion": "v1",
                "kind": "Pod",
                "metadata": {"generateName": "devbox-operator-"},
                "spec": {"serviceAccountName": ACCOUNT, "containers": [container]},
            },
        )
        name = pod["metadata"]["name"]
        bound = {"apiVersion": "v1", "kind": "Pod", "name": name, "uid": pod["metadata"]["uid"]}
        token = await on.token(boundObjectRef=bound)
        path = paths.pods(NAMESPACE, name)
        await on.kube.request("DELETE", path, params={"gracePeriodSeconds": "0"})
        with pytest.raises(ApiError):
            await on.kube.request("GET", path)
        assert await on.ask(token) == (403, "")
