"""What the sweep puts into the queue."""

from collections.abc import AsyncGenerator, Callable
from types import SimpleNamespace
from typing import Any

from devbox_api import names
from devbox_common.kube import Page
from devbox_operator import documents
from devbox_operator.index import Index
from devbox_operator.keys import Kind, WorkKey
from devbox_operator.model import StoredView
from devbox_operator.sweep import Sweeper

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


def route(name: str) -> StoredView:
    labels = {documents.NAMESPACE_LABEL: "team-a", names.DEVBOX_LABEL: "agent"}
    return StoredView(name, "uid", "7", names.ROUTE_TYPE, labels, {}, {})


def sweeper(
    stored: dict[str, StoredView], api: NoObjects, added: dict[WorkKey, float], deleted: list[str], settings: Any
) -> Sweeper:
    async def delete(path: str, **_: Any) -> None:
        deleted.append(path.rpartition("/")[2])

    return Sweeper(
        api=api,  # type: ignore[arg-type]
        watches=SimpleNamespace(stored=SimpleNamespace(objects=stored), prune=lambda: None),  # type: ignore[arg-type]
        index=Index(),
        writer=SimpleNamespace(delete=delete),  # type: ignore[arg-type]
        settings=settings,
        queue=SimpleNamespace(add=added.__setitem__),  # type: ignore[arg-type]
    )
