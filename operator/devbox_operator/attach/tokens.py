"""A pod's tokens: when a new one is due, what is asked for, and what the token Secret holds.

Goes in: the Route's tokens and the clock. Comes out: names that need a token, request bodies, the Secret's data. Pure; attaching.py
sends the requests. The Route (which the devbox can't see) is where the tokens are kept; the token Secret is made from it.
"""

import base64
import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

import orjson

from devbox_api import names
from devbox_api.route import Binding, EgressBinding
from devbox_common.kube import Object
from devbox_common.redacted import Redacted
from devbox_operator.attach.bearer import Bearer, mark
from devbox_operator.attach.network import owner_reference
from devbox_operator.kit.encoding import content_hash

MOST_DIGESTS: Final = 4096
ENV_FILE: Final = "env.sh"
JITTER: Final = 0.05
"""Renewals are spread over this part of a token's life, so that pods that started together don't renew together."""


@dataclass(frozen=True)
class Claims:
    """What the operator reads of a token that it was given by the API server itself."""

    pod: str
    service_account: str
    """UIDs."""
    issued: datetime
    expires: datetime


def claims(jwt: str) -> Claims | None:
    """The claims; None if the token is not one of a pod. (`exp` is what TokenRequest's status.expirationTimestamp said: the
    one case where they differ, an extended token, needs the API server's own audience.)"""
    try:
        body = jwt.split(".")[1]
        content = orjson.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))
        bound = content["kubernetes.io"]
        return Claims(
            pod=bound["pod"]["uid"],
            service_account=bound["serviceaccount"]["uid"],
            issued=datetime.fromtimestamp(content["iat"], UTC),
            expires=datetime.fromtimestamp(content["exp"], UTC),
        )
    except (IndexError, KeyError, TypeError, ValueError):
        return None


def renewal(jwt: str, pod: str, service_account: str, fraction: float) -> datetime | None:
    """When the token has to be renewed; None: now, since it is not one of this pod and this service account.

    (A service account that was deleted and made again has another UID, and tokens of the old one are dead.)
    """
    found = claims(jwt)
    if found is None or found.pod != pod or found.service_account != service_account:
        return None
    # The jitter comes from the token itself, so that every look at it gives the same time.
    share = int.from_bytes(hashlib.sha256(jwt.encode()).digest()[:4], "big") / 2**32
    return found.issued + (found.expires - found.issued) * (fraction - JITTER * share)


def due(
    wanted: Iterable[str],
    current: Mapping[str, Binding | EgressBinding],
    *,
    pod: str,
    service_account: str,
    fraction: float,
    now: datetime,
) -> list[str]:
    """The names that need a token now."""
    result = []
    for name in wanted:
        binding = current.get(name)
        at = renewal(binding.token, pod, service_account, fraction) if binding else None
        if at is None or at <= now:
            result.append(name)
    return result


def request(pod: Bearer, audience: str, seconds: int) -> Object:
    """The TokenRequest: bound to the pod's UID, good for that one audience."""
    return {
        "apiVersion": "authentication.k8s.io/v1",
        "kind": "TokenRequest",
        "spec": {
            "audiences": [audience],
            "expirationSeconds": seconds,
            "boundObjectRef": {"apiVersion": "v1", "kind": "Pod", "name": pod.name, "uid": pod.uid},
        },
    }


def grown(digests: Iterable[str], jwt: str) -> tuple[str, ...]:
    """The list with the new token's digest: none is ever dropped before 4,096 (a process keeps its first token for life)."""
    return tuple(dict.fromkeys((*digests, names.token_digest(jwt))))[-MOST_DIGESTS:]


def proxy_url(token: str, host: str) -> Redacted:
    """What a client finds the forward proxy by, and shows its token to it with."""
    return Redacted(f"http://{names.PROXY_USER}:{names.TOKEN_PREFIX}{token}@{host}:{names.EGRESS_PORT}")


def secret_data(bindings: Iterable[Binding], egress: EgressBinding, host: str) -> dict[str, Redacted]:
    """Key to value: each NAME, the way out, and a file that a new shell can read. `host`: the gateway's."""
    values = {binding.name: Redacted(f"{names.TOKEN_PREFIX}{binding.token}") for binding in bindings}
    proxy = proxy_url(egress.token, host)
    exported = values | dict.fromkeys(names.PROXY_VARIABLES, proxy)
    lines = "".join(f"export {name}='{value.reveal()}'\n" for name, value in exported.items())
    return {**values, names.PROXY_KEY: proxy, ENV_FILE: Redacted(lines)}


def secret(pod: Bearer, bindings: Iterable[Binding], egress: EgressBinding, host: str) -> Object:
    """The token Secret, named as the pod."""
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {
            "name": pod.name,
            "namespace": pod.namespace,
            "labels": {names.MANAGED_BY_LABEL: names.MANAGED_BY, **mark(pod.owner_name)},
            "ownerReferences": [owner_reference(pod)],
        },
        "type": names.TOKENS_TYPE,
        "data": encode(secret_data(bindings, egress, host)),
    }


def encode(data: Mapping[str, Redacted]) -> dict[str, str]:
    """Base64, as the API wants a Secret's data."""
    return {key: base64.b64encode(value.reveal().encode()).decode() for key, value in data.items()}


def content(body: Mapping[str, Any]) -> str:
    """The hash of a Secret's data, as SecretView has it."""
    return content_hash(body["data"])
