"""What the sweep puts into the queue."""

from collections.abc import AsyncGenerator, Callable, Sequence
from types import SimpleNamespace
from typing import Any

import pytest

from devbox_api import names
from devbox_common.kube import ApiError, Page
from devbox_operator.documents import objects as documents
from devbox_operator.release.sweep import Sweeper
from devbox_operator.seen.index import Index
from devbox_operator.seen.keys import Kind, WorkKey
from devbox_operator.seen.namespaced import PolicyView
from devbox_operator.seen.secrets import StoredView
from devbox_operator.watch.tools import Tools

Make = Callable[..., Any]


class NoObjects:
    """An API server with no Devbox, GatewayConfig or pod."""

    async def pages(self, path: str, *_: Any) -> AsyncGenerator[Page]:
        yield Page([], "1")


async def test_a_route_whose_devbox_went_while_nobody_worked_is_looked_at_at_once(settings: Any) -> None:
    added: dict[WorkKey, float] = {}
    deleted: list[str] = []
    await sweeper({"route-1": route("route-1")}, NoObjects(), added, deleted, settings).sweep()
    assert added[WorkKey(Kind.DEVBOX, "team-a", "agent")] == 0.0
    assert deleted == ["route-1"]


async def test_a_route_that_comes_while_pods_are_listed_is_left(settings: Any) -> None:
    """Whatever the clocks of operator and API server say."""
    stored = {"route-1": route("route-1")}

    class Busy(NoObjects):
        async def pages(self, path: str, *_: Any) -> AsyncGenerator[Page]:
            if path.endswith("/pods"):
                stored["route-2"] = route("route-2")
            yield Page([], "1")

    deleted: list[str] = []
    await sweeper(stored, Busy(), {}, deleted, settings).sweep()
    assert deleted == ["route-1"]


class Recorded:
    """What the sweep has done about the policies of namespaces."""

    def __init__(self, fails: str = "") -> None:
        self.done: list[str] = []
        self.fails = fails

    def __getattr__(self, verb: str) -> Any:
        async def do(namespace: str, *_: Any) -> None:
            self.done.append(f"{verb} {namespace}")
            if namespace == self.fails:
                raise ApiError(403, "Forbidden", "it is being terminated")

        return do


class Inhabited(NoObjects):
    """One namespace with a Devbox that can't be read, one with a pod that no Devbox owns."""

    async def pages(self, path: str, *_: Any) -> AsyncGenerator[Page]:
        items: dict[str, list[Any]] = {
            "devboxes": [{"metadata": {"namespace": "boxes", "name": "bad"}}],
            "pods": [{"metadata": {"namespace": "pods", "uid": "u", "labels": {names.DEVBOX_LABEL: "agent"}}}],
        }
        yield Page(items.get(path.rpartition("/")[2], []), "1")


@pytest.mark.parametrize("fails", ["", "boxes", "pods", "empty"])
async def test_the_policy_of_a_namespace_is_kept_where_there_are_devboxes_and_retired_where_not(
    settings: Any, fails: str
) -> None:
    denials = [PolicyView(where, names.DENY_POLICY, (), {}, marked=where == "boxes") for where in ("boxes", "empty")]
    added: dict[WorkKey, float] = {}
    recorded = Recorded(fails)
    await sweeper({}, Inhabited(), added, [], settings, denials=denials, denial=recorded).sweep()
    assert recorded.done == ["confirm boxes", "retire empty", "ensure pods"], "whichever of them fails"
    assert WorkKey(Kind.DEVBOX, "pods", "agent") in added, "a pod without a Devbox is looked at"


async def test_nothing_is_made_in_namespaces_of_the_system_and_of_the_release(settings: Any) -> None:
    class Reserved(NoObjects):
        async def pages(self, path: str, *_: Any) -> AsyncGenerator[Page]:
            devboxes = [{"metadata": {"namespace": where, "name": "old"}} for where in ("kube-system", "rel", "team-a")]
            yield Page(devboxes if path.endswith("/devboxes") else [], "1")

    recorded = Recorded()
    await sweeper({}, Reserved(), {}, [], settings, denial=recorded).sweep()
    assert recorded.done == ["ensure team-a"]


def route(name: str) -> StoredView:
    labels = {documents.NAMESPACE_LABEL: "team-a", names.DEVBOX_LABEL: "agent"}
    return StoredView(name, "uid", "7", names.ROUTE_TYPE, labels, {}, {})


def sweeper(
    stored: dict[str, StoredView],
    api: NoObjects,
    added: dict[WorkKey, float],
    deleted: list[str],
    settings: Any,
    *,
    denials: Sequence[PolicyView] = (),
    denial: Any = None,
) -> Sweeper:
    async def delete(path: str, **_: Any) -> None:
        deleted.append(path.rpartition("/")[2])

    parts: Any = {
        "observer": None,
        "activity": None,
        "dials": None,
        "watches": SimpleNamespace(
            stored=SimpleNamespace(objects=stored), sources=SimpleNamespace(prune=lambda: None), denials=lambda: denials
        ),
        "writer": SimpleNamespace(delete=delete),
        "queue": SimpleNamespace(add=added.__setitem__),
    }
    return Sweeper(Tools(index=Index(), settings=settings, **parts), api, denial or Recorded())  # type: ignore[arg-type]
