"""The environment of a devbox's container: tokens in place of keys, the ways, whom to trust, and what its owner writes.

Goes in: a completed spec, the pod's name, the release's namespace. Comes out: `env` of a plain container. Pure.

Of several variables of one name the first counts. So ours stand in front, where spec.env can name them (`$(ANTHROPIC_URL)/v1`: the kubelet
puts in what stands before); behind spec.env is what its owner may have otherwise.
"""

import re
from typing import Any, Final

from devbox_api import names
from devbox_api.devbox import DevboxSpec
from devbox_operator.attach import secretenv
from devbox_operator.devbox import workspace

Variable = dict[str, Any]
_LOCAL: Final = (
    *("localhost", ".localhost", "127.0.0.1", "127.0.0.0/8", "0.0.0.0", "::1", "::"),  # noqa: S104 (nothing listens here)
    # For clients that know of no ranges: what local servers are called besides.
    *("127.0.0.2", "127.0.1.1"),
)
"""What is in the devbox itself."""
_BRACKETS: Final = "http://localhost/ [::1] [::]"
"""The same in brackets, for Node's fetch. As entries of their own httpx would fail at every request, whatever it asks for (Invalid port:
':1]'). Who splits at spaces, as Node does, reads three entries here; httpx and its like read one, a URL, whose path is nothing to them. It
is the last one: newer versions of curl read nothing behind a space."""


def gateway_url(release_namespace: str) -> str:
    """What is in every `$NAME_URL`."""
    return f"https://{names.gateway_host(release_namespace)}"


def environment(spec: DevboxSpec, name: str, release_namespace: str) -> list[Variable]:
    """`env`: what is ours, what the owner writes, and ours that he may write otherwise. `name`: of the pod, and so of its token Secret.

    Every devbox has the way out, with an EgressPolicy or without: a running pod can't get a new environment, and the policy is live.
    """
    direct = ",".join((names.gateway_host(release_namespace), *_LOCAL, name, f"$({names.ADDRESSES_VARIABLE})"))
    variables = [
        {"name": names.ADDRESSES_VARIABLE, "valueFrom": {"fieldRef": {"fieldPath": "status.podIPs"}}},
        *_gateways(spec, name, release_namespace),
        *_secrets(spec, name),
        *_proxy(name),
        *_certificates(),
        {"name": "HOME", "value": workspace.home(spec)},
        *_owners(spec, direct),
        *_literals(names.NO_PROXY_VARIABLES, f"{direct},{_BRACKETS}"),
        *(_literals(names.MORE_CA_VARIABLES, _BUNDLE)),
        {"name": names.WGET_VARIABLE, "value": f"{names.CA_DIRECTORY}/{names.WGET_KEY}"},
        # (The empty path in front is PHP's own.)
        {"name": names.PHP_VARIABLE, "value": f":{names.CA_DIRECTORY}"},
        # The kubelet adds them, with or without service links, where the pod has none. An empty one says that this is no cluster.
        *(_literals(names.CLUSTER_VARIABLES, "")),
    ]
    first: dict[str, Variable] = {}
    for variable in variables:
        first.setdefault(variable["name"], variable)
    return list(first.values())


def hashed(spec: DevboxSpec, release_namespace: str) -> list[Variable]:
    """The environment as it counts for a pod's spec hash: in the form of 0.1.0, whatever else devboxes get today. In any other form, every
    upgrade that gives them more would ask all that run for a restart."""
    written = [{"name": item.name, "value": item.value} for item in spec.env]
    host = names.gateway_host(release_namespace)
    return [
        *written,
        *_secrets(spec, ""),
        *_gateways(spec, "", release_namespace),
        *_proxy("")[:-1],
        *_literals(names.NO_PROXY_VARIABLES, f"{host},127.0.0.1,localhost"),
        *_proxy("")[-1:],
        *_certificates(),
        {"name": "HOME", "value": workspace.home(spec)},
    ]


_BUNDLE: Final = f"{names.CA_DIRECTORY}/{names.CA_BUNDLE_KEY}"


def _literals(keys: tuple[str, ...], value: str) -> list[Variable]:
    return [{"name": key, "value": value} for key in keys]


def _gateways(spec: DevboxSpec, secret: str, release_namespace: str) -> list[Variable]:
    """Each gateway's token and address, and their aliases."""
    url, variables = gateway_url(release_namespace), []
    for gateway in spec.gateways:
        token = {"valueFrom": {"secretKeyRef": {"name": secret, "key": gateway.name}}}
        aliases = gateway.aliases
        variables += [{"name": name, **token} for name in (gateway.name, *(aliases.token if aliases else ()))]
        variables += _literals((f"{gateway.name}_URL", *(aliases.url if aliases else ())), url)
    return variables


def _secrets(spec: DevboxSpec, secret: str) -> list[Variable]:
    """What he may read of Secrets."""
    return [
        {"name": read.name, "valueFrom": {"secretKeyRef": {"name": secret, "key": secretenv.key(read.name)}}}
        for read in spec.secret_env
    ]


def _proxy(secret: str) -> list[Variable]:
    proxy = {"valueFrom": {"secretKeyRef": {"name": secret, "key": names.PROXY_KEY}}}
    return [*({"name": name, **proxy} for name in names.PROXY_VARIABLES), {"name": names.NODE_PROXY_VARIABLE, "value": "1"}]


def _certificates() -> list[Variable]:
    return _literals(names.CA_VARIABLES, _BUNDLE)


def _owners(spec: DevboxSpec, direct: str) -> list[Variable]:
    """spec.env in its order. What it has of NO_PROXY or no_proxy is added to ours, in both, since some clients read this one first and some
    that one; where the later of the two stands, so that what both name stands before them."""
    ways = [item for item in spec.env if item.name in names.NO_PROXY_VARIABLES]
    more = dict.fromkeys(entry for item in ways for entry in re.split(r"[\s,]+", item.value) if entry)
    variables: list[Variable] = []
    for item in spec.env:
        if item.name not in names.NO_PROXY_VARIABLES:
            variables.append({"name": item.name, "value": item.value})
        elif item is ways[-1]:
            variables += _literals(names.NO_PROXY_VARIABLES, ",".join((direct, *more, _BRACKETS)))
    return variables
