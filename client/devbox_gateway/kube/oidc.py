"""`auth-provider: {name: oidc}` of a kubeconfig's user: an ID token, and the refresh token that gets the next one.

Goes in: the entry and its file. Comes out: `Credentials`. What is renewed is written back to the file, as kubectl does: many identity
providers take a refresh token once.
Source: https://kubernetes.io/docs/reference/access-authn-authz/authentication/#using-kubectl
"""

import asyncio
import base64
import json
import logging
import os
import ssl
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import aiohttp
import yaml

from devbox_gateway.errors import AuthenticationError

from .credentials import Credentials, pem
from .trust import client_context

log: Final = logging.getLogger(__name__)
EARLY_SECONDS: Final = 10.0
SECONDS: Final = aiohttp.ClientTimeout(total=30)


class Oidc:
    """One user at one provider."""

    def __init__(self, name: str, user: Mapping[str, Any], file: Path | None) -> None:
        self._name, self._file, self._lock = name, file, asyncio.Lock()
        self._config = {str(key): str(value) for key, value in (user["auth-provider"].get("config") or {}).items()}

    async def get(self, renew: bool = False) -> Credentials:
        refused = self._config.get("id-token") if renew else None
        async with self._lock:
            token = self._config.get("id-token", "")
            if not token or _expires(token) < time.time() + EARLY_SECONDS or token == refused:
                token = await self._refresh()
            return Credentials.bearer(token)

    async def _refresh(self) -> str:
        config = self._config
        if missing := [key for key in ("refresh-token", "idp-issuer-url", "client-id") if not config.get(key)]:
            raise AuthenticationError(f"the OIDC token of the kubeconfig's user {self._name!r} ended, and {missing[0]} is not there to "
                                      "get another one; log in again")  # fmt: skip
        async with aiohttp.ClientSession(timeout=SECONDS, trust_env=True) as http:
            issuer = config["idp-issuer-url"].rstrip("/")
            found = await self._ask(http, "GET", f"{issuer}/.well-known/openid-configuration")
            form = {"grant_type": "refresh_token", "refresh_token": config["refresh-token"], "client_id": config["client-id"]}
            if secret := config.get("client-secret"):
                form["client_secret"] = secret
            answer = await self._ask(http, "POST", str(found.get("token_endpoint") or ""), data=form)
        token = answer.get("id_token")
        if not token:
            raise AuthenticationError(f"the OIDC provider {issuer} answered without an id_token; log in again")
        self._config = {**config, "id-token": token, "refresh-token": answer.get("refresh_token") or config["refresh-token"]}
        await asyncio.to_thread(self._write_back)
        return str(token)

    async def _ask(self, http: aiohttp.ClientSession, method: str, url: str, **how: Any) -> Mapping[str, Any]:
        if not url.startswith("https://"):
            raise AuthenticationError(f"the OIDC provider's address {url!r} is not https")
        try:
            async with http.request(method, url, ssl=self._tls(), allow_redirects=method == "GET", **how) as response:
                if response.status != 200:
                    raise AuthenticationError(f"the OIDC provider answered {response.status} to {method} {url}; log in again")
                answer = await response.json(content_type=None)
        except (aiohttp.ClientError, TimeoutError, ValueError) as error:
            raise AuthenticationError(f"the OIDC provider can't be asked ({method} {url}): {type(error).__name__}") from None
        if not isinstance(answer, dict):
            raise AuthenticationError(f"the OIDC provider's answer to {method} {url} is no object")
        return answer

    def _tls(self) -> ssl.SSLContext:
        return client_context(pem(self._config, "idp-certificate-authority"))

    def _write_back(self) -> None:
        if self._file is None:
            return
        path = self._file.resolve()
        try:
            content = yaml.safe_load(path.read_text(encoding="utf-8"))
            for item in content["users"]:
                if item["name"] == self._name:
                    item["user"]["auth-provider"]["config"].update(self._config)
            with tempfile.NamedTemporaryFile(
                "w", encoding="utf-8", dir=path.parent, prefix=f".{path.name}.", delete=False
            ) as new:
                yaml.safe_dump(content, new, sort_keys=False)
            os.chmod(new.name, path.stat().st_mode & 0o777)  # noqa: PTH101 (a name)
            os.replace(new.name, path)  # noqa: PTH105 (a name)
        except (OSError, KeyError, TypeError, yaml.YAMLError) as error:
            log.warning("the renewed OIDC token could not be written to %s (%s); log in again soon", path, type(error).__name__)


def _expires(token: str) -> float:
    """Seconds since 1970; of what can't be read: long ago."""
    try:
        payload = token.split(".")[1]
        return float(json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))["exp"])
    except (IndexError, ValueError, KeyError, TypeError):
        return 0.0
