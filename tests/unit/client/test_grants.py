"""When a secret is granted to a host, and when its owner has to do it."""

import shlex
from typing import Any

import pytest

from devbox_gateway.errors import PermissionDeniedError
from devbox_gateway.objects.grants import grant_for, label_for

KEY = "devbox-gateway.io/allowed-hosts"


def secret(granted: str | None = None, own: bool = True, namespace: str = "team-a", **annotations: str) -> dict[str, Any]:
    noted = {**annotations, **({} if granted is None else {KEY: granted})}
    return {
        "metadata": {
            "name": "key",
            "namespace": namespace,
            "resourceVersion": "7",
            "labels": {"devbox-gateway.io/made-by": "client"} if own else {},
            **({"annotations": noted} if noted else {}),
        }
    }


def config(endpoint: str = "https://api.example.com/v1", namespace: str = "team-a") -> dict[str, Any]:
    return {"metadata": {"name": "api", "namespace": namespace}, "spec": {"endpoint": endpoint}}


def test_once_for_a_secret_of_the_clients_own() -> None:
    assert grant_for(secret(), config(), named=True) == [
        {"op": "test", "path": "/metadata/resourceVersion", "value": "7"},
        {"op": "add", "path": "/metadata/annotations", "value": {}},
        {"op": "add", "path": "/metadata/annotations/devbox-gateway.io~1allowed-hosts", "value": "api.example.com"},
    ]
    assert grant_for(secret(other="x"), config(), named=True) == [
        {"op": "test", "path": "/metadata/resourceVersion", "value": "7"},
        {"op": "add", "path": "/metadata/annotations/devbox-gateway.io~1allowed-hosts", "value": "api.example.com"},
    ]


@pytest.mark.parametrize("named", [True, False])
@pytest.mark.parametrize("granted", ["api.example.com", "*.example.com", "other.com, API.example.com"])
def test_not_where_it_is_granted(granted: str, named: bool) -> None:
    assert grant_for(secret(granted), config(), named=named) is None
    assert grant_for(secret(granted, own=False), config(namespace="other"), named=named) is None


@pytest.mark.parametrize(
    ("which", "where", "named"),
    [
        (secret("other.com"), config(), True),
        (secret(""), config(), True),
        (secret(own=False), config(), True),
        (secret(), config(namespace="other"), True),
        (secret(), config(), False),
    ],
    ids=["granted to another host", "granted to none", "somebody else's", "a gateway config of another namespace", "not named"],
)
def test_otherwise_its_owner_does_it(which: dict[str, Any], where: dict[str, Any], named: bool) -> None:
    with pytest.raises(PermissionDeniedError) as caught:
        grant_for(which, where, named=named)
    line = shlex.split(str(caught.value).partition("its owner runs: ")[2])
    assert line == ["kubectl", "devbox", "-n", "team-a", "secret", "grant", "key", "api.example.com"]


MOUNTABLE = "devbox-gateway.io/mountable"


def test_a_secret_of_the_clients_own_is_for_agents_to_read_by_being_named() -> None:
    assert label_for(secret()) == [
        {"op": "test", "path": "/metadata/resourceVersion", "value": "7"},
        {"op": "add", "path": "/metadata/labels/devbox-gateway.io~1mountable", "value": "true"},
    ]
    theirs = secret(own=False)
    theirs["metadata"]["labels"][MOUNTABLE] = "true"
    assert label_for(theirs) is None


@pytest.mark.parametrize("granted", ["", "api.example.com"])
@pytest.mark.parametrize("label", [None, "true", "false"])
def test_what_has_a_grant_is_never_for_agents_to_read(granted: str, label: str | None) -> None:
    which = secret(granted)
    which["metadata"]["labels"] |= {} if label is None else {MOUNTABLE: label}
    with pytest.raises(PermissionDeniedError, match="carries a grant"):
        label_for(which)


def test_of_somebody_elses_its_owner_says_so() -> None:
    no = secret()
    no["metadata"]["labels"][MOUNTABLE] = "false"
    for which in (secret(own=False), no):
        with pytest.raises(PermissionDeniedError) as caught:
            label_for(which)
        line = shlex.split(str(caught.value).partition("its owner runs: ")[2])
        assert line == ["kubectl", "-n", "team-a", "label", "secret", "key", f"{MOUNTABLE}=true", "--overwrite"]


def test_what_agents_may_read_is_granted_to_nobody() -> None:
    which = secret()
    which["metadata"]["labels"][MOUNTABLE] = "true"
    with pytest.raises(PermissionDeniedError, match="a secret of its own"):
        grant_for(which, config(), named=True)
    granted = secret("api.example.com")
    granted["metadata"]["labels"][MOUNTABLE] = "true"
    assert grant_for(granted, config(), named=True) is None, "what counts is the grant: no devbox is given it"
