"""Credentials that a program gives: `exec` of a kubeconfig's user (clouds' command lines, OIDC helpers).

Goes in: the entry and the cluster's. Comes out: `Credentials`, kept until they expire or are refused.
Source: https://kubernetes.io/docs/reference/config-api/client-authentication.v1/
"""

import asyncio
import base64
import json
import os
import subprocess
import sys
from collections.abc import Mapping
from datetime import datetime, timezone
from typing import Any, Final

from devbox_gateway.errors import APITimeoutError, AuthenticationError

from .credentials import Credentials, pem
from .secrecy import Hidden

VERSIONS: Final = ("client.authentication.k8s.io/v1", "client.authentication.k8s.io/v1beta1")
SECONDS: Final = 600.0
"""Somebody may have to log in, in a browser."""
CONFIG_EXTENSION: Final = "client.authentication.k8s.io/exec"


class ExecPlugin:
    """One user's program."""

    def __init__(self, user: Mapping[str, Any], cluster: Mapping[str, Any]) -> None:
        """Raises AuthenticationError for an entry that no program can be run from."""
        self._entry, self._cluster = user["exec"], cluster
        self._name = str(self._entry.get("command") or "")
        self._version = self._entry.get("apiVersion")
        self._mode = self._entry.get("interactiveMode") or "IfAvailable"
        self._lock = asyncio.Lock()
        self._kept: Credentials | None = None
        self._expires: datetime | None = None
        if not self._name:
            raise AuthenticationError("exec of the kubeconfig's user names no command")
        if self._version not in VERSIONS:
            raise AuthenticationError(
                f"exec plugin {self._name!r} speaks {self._version!r}; write one of {', '.join(VERSIONS)} as its apiVersion"
            )

    async def get(self, renew: bool = False) -> Credentials:
        refused = self._kept if renew else None
        async with self._lock:
            expired = self._expires is not None and self._expires <= datetime.now(timezone.utc)
            if self._kept is None or expired or self._kept is refused:
                self._kept, self._expires = self._parse(await asyncio.to_thread(self._run))
            return self._kept

    def _run(self) -> bytes:
        interactive = self._mode != "Never" and sys.stdin is not None and sys.stdin.isatty()
        if self._mode == "Always" and not interactive:
            raise AuthenticationError(f"exec plugin {self._name!r} wants to ask at a terminal, and there is none")
        given = {str(pair["name"]): str(pair["value"]) for pair in self._entry.get("env") or []}
        environ = {**os.environ, **given, "KUBERNETES_EXEC_INFO": json.dumps(self._info(interactive))}
        command = [self._name, *map(str, self._entry.get("args") or [])]
        try:
            # (What it says on stderr is for the person, as with kubectl.)
            done = subprocess.run(
                command,
                env=environ,
                stdin=None if interactive else subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                timeout=SECONDS,
                check=False,
            )
        except FileNotFoundError:
            hint = str(self._entry.get("installHint") or "").strip()
            raise AuthenticationError(f"exec plugin {self._name!r} is not installed{f': {hint}' if hint else ''}") from None
        except OSError as error:
            raise AuthenticationError(f"exec plugin {self._name!r} can't be run: {error.strerror}") from None
        except subprocess.TimeoutExpired:
            raise APITimeoutError(f"exec plugin {self._name!r} did not end within {SECONDS:.0f} s") from None
        if done.returncode:
            raise AuthenticationError(f"exec plugin {self._name!r} ended with {done.returncode}; what it said is on stderr")
        return done.stdout

    def _info(self, interactive: bool) -> dict[str, Any]:
        spec: dict[str, Any] = {"interactive": interactive}
        if self._entry.get("provideClusterInfo"):
            keys = ("server", "tls-server-name", "insecure-skip-tls-verify", "proxy-url", "disable-compression")
            spec["cluster"] = {key: self._cluster[key] for key in keys if self._cluster.get(key)}
            if (authority := pem(self._cluster, "certificate-authority")) is not None:
                spec["cluster"]["certificate-authority-data"] = base64.b64encode(authority).decode()
            for extension in self._cluster.get("extensions") or []:
                if extension.get("name") == CONFIG_EXTENSION:
                    spec["cluster"]["config"] = extension.get("extension")
        return {"apiVersion": self._version, "kind": "ExecCredential", "spec": spec}

    def _parse(self, output: bytes) -> tuple[Credentials, datetime | None]:
        """(Messages never quote what it printed: that is a credential.)"""
        try:
            answer = json.loads(output)
            status = answer["status"]
            if answer["kind"] != "ExecCredential" or answer["apiVersion"] != self._version or not isinstance(status, dict):
                raise KeyError
        except (ValueError, KeyError, TypeError):
            raise AuthenticationError(
                f"exec plugin {self._name!r} printed no ExecCredential of {self._version} with a status"
            ) from None
        token, certificate, key = (status.get(name) for name in ("token", "clientCertificateData", "clientKeyData"))
        if not token and not (certificate and key):
            raise AuthenticationError(f"exec plugin {self._name!r} gave neither a token nor a client certificate with its key")
        found = Credentials()
        if certificate and key:
            found = Credentials(None, str(certificate).encode(), Hidden(str(key).encode()))
        if token:
            found = Credentials.bearer(str(token), certificate=found.certificate, key=found.key)
        return found, self._time(status.get("expirationTimestamp"))

    def _time(self, text: object) -> datetime | None:
        if not text:
            return None
        try:
            return datetime.fromisoformat(str(text).replace("Z", "+00:00"))
        except ValueError:
            raise AuthenticationError(f"exec plugin {self._name!r} gave an expirationTimestamp that is not RFC 3339") from None
