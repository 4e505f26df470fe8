"""Which devboxes use a Secret. (A real API server is asked in tests/chaos/test_cli.py.)"""

from typing import Any

import pytest

from devbox_gateway.errors import DevboxGatewayError, NotFoundError, PermissionDeniedError
from devbox_gateway.kube.session import Object
from devbox_gateway.objects.secret_users import users_of


def devbox(name: str, space: str = "a", ending: bool = False, **spec: Any) -> Object:
    ended = {"deletionTimestamp": "2026-01-01T00:00:00Z"} if ending else {}
    return {"metadata": {"name": name, "namespace": space, **ended}, "spec": spec}


def gateway(config: str, secret: str | None = None, space: str | None = None) -> Object:
    reference = {"name": config, **({} if space is None else {"namespace": space})}
    return {"name": "X", "gatewayRef": reference, **({} if secret is None else {"secretRef": {"name": secret}})}


def config(name: str, secret: str | None, *used_by: str) -> Object:
    spec = {} if secret is None else {"credential": {"secretRef": {"name": secret}}}
    return {"metadata": {"name": name, "namespace": "a"}, "spec": spec, "status": {"usedBy": list(used_by)}}


class Session:
    """What namespace `a` has, and answers about single devboxes."""

    def __init__(self, *objects: Object, elsewhere: dict[str, Object | DevboxGatewayError] | None = None) -> None:
        self._objects, self._elsewhere = objects, elsewhere or {}
        self.refusal: DevboxGatewayError | None = None

    async def list(self, path: str) -> list[Object]:
        if self.refusal is not None:
            raise self.refusal
        return [each for each in self._objects if ("status" in each) == path.endswith("gatewayconfigs")]

    async def request(self, _: str, path: str) -> Object:
        found = self._elsewhere[path.rpartition("/")[2]]
        if isinstance(found, DevboxGatewayError):
            raise found
        return found


@pytest.mark.parametrize(
    ("objects", "users"),
    [
        ([devbox("one", gateways=[gateway("c", "key")])], ["a/one"]),
        ([devbox("one", secretEnv=[{"name": "X", "secretRef": {"name": "key"}}])], ["a/one"]),
        ([devbox("one", gateways=[gateway("c", "other")]), devbox("two")], []),
        ([devbox("one", gateways=[gateway("c", "key")], ending=True)], []),
        ([config("c", "key"), devbox("one", gateways=[gateway("c")])], ["a/one"]),
        ([config("c", "key"), devbox("one", gateways=[gateway("c", space="a")])], ["a/one"]),
        ([config("c", "key"), devbox("one", gateways=[gateway("c", space="b")])], []),
        ([config("c", "key"), devbox("one", gateways=[gateway("c", "other")])], []),
        ([config("c", "key", "a/gone", "a/one")], []),
        ([config("c", None, "b/there"), devbox("one", gateways=[gateway("c")])], []),
    ],
)
async def test_in_its_namespace(objects: list[Object], users: list[str]) -> None:
    assert await users_of(Session(*objects), "a", "key") == users  # type: ignore[arg-type]


async def test_from_other_namespaces_by_a_gateway_config() -> None:
    answers: dict[str, Object | DevboxGatewayError] = {
        "there": devbox("there", "b"),
        "ending": devbox("ending", "b", ending=True),
        "gone": NotFoundError("gone"),
        "hidden": PermissionDeniedError("no"),
    }
    session = Session(config("c", "key", *(f"b/{name}" for name in answers)), elsewhere=answers)
    assert await users_of(session, "a", "key") == ["b/hidden", "b/there"]  # type: ignore[arg-type]


async def test_what_may_not_be_looked_at_holds_nobody_up() -> None:
    session = Session(devbox("one", gateways=[gateway("c", "key")]))
    session.refusal = PermissionDeniedError("no")
    assert await users_of(session, "a", "key") == []  # type: ignore[arg-type]
