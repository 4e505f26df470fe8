"""What the sweep puts into the queue."""

from collections.abc import Callable
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

from devbox_api import names
from devbox_operator import documents
from devbox_operator.index import Index
from devbox_operator.keys import Kind, WorkKey
from devbox_operator.model import StoredView
from devbox_operator.sweep import Sweeper

Make = Callable[..., Any]


class NoObjects:
    """An API server with no Devbox, GatewayConfig or pod."""

    async def list(self, *_: Any) -> tuple[list[Any], str]:
        return [], "1"


async def test_a_route_whose_devbox_went_while_nobody_worked_is_looked_at_at_once(settings: Any) -> None:
    labels = {documents.NAMESPACE_LABEL: "team-a", names.DEVBOX_LABEL: "agent"}
    route = StoredView("route-1", "uid", "7", names.ROUTE_TYPE, labels, {}, {}, datetime.now(UTC))
    watches = SimpleNamespace(stored=SimpleNamespace(objects={("rel-credentials", "route-1"): route}), prune=lambda: None)
    added: dict[WorkKey, float] = {}
    sweeper = Sweeper(
        api=NoObjects(),  # type: ignore[arg-type]
        watches=watches,  # type: ignore[arg-type]
        index=Index(),
        writer=None,  # type: ignore[arg-type]
        settings=settings,
        queue=SimpleNamespace(add=added.__setitem__),  # type: ignore[arg-type]
    )
    await sweeper.sweep()
    assert added[WorkKey(Kind.DEVBOX, "team-a", "agent")] == 0.0
