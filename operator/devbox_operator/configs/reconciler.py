"""One look at a GatewayConfig or an EgressPolicy: what Devboxes use, and what the gateway reads a document of.

Goes in: a key. Comes out: status, which also says who uses the object; its document in the credentials namespace, written or deleted; and a
look at the Devboxes that use it, where what they go by is another one. What is particular to a kind is in gateways.py and egress.py.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Generic, TypeVar

from pydantic import ValidationError

from devbox_api.conditions import ConditionType
from devbox_api.egresspolicy import EgressPolicy
from devbox_api.gatewayconfig import GatewayConfig
from devbox_common.kube import Object
from devbox_operator.configs.store import Store
from devbox_operator.kit.encoding import parse_time
from devbox_operator.report import settling
from devbox_operator.report.conditions import Finding, Findings, Regarding, merge, summarise
from devbox_operator.report.invalid import report_invalid
from devbox_operator.report.statuses import MOST_NAMES, StatusWriter
from devbox_operator.seen.keys import Key, Kind, WorkKey
from devbox_operator.watch.news import News
from devbox_operator.watch.tools import Tools

V = TypeVar("V")


@dataclass(frozen=True)
class Verdict:
    """What is to be said and done of one object."""

    subject: GatewayConfig | EgressPolicy
    users: list[Key]
    """Devboxes, as the status counts and names them."""
    accepted: Finding
    document: Object | None
    """None: there is to be none."""
    news: Hashable
    """What its users go by."""


class ConfigReconciler(ABC, Generic[V]):
    """Reconciles the objects of one kind, which are seen as `V`."""

    def __init__(
        self,
        tools: Tools,
        kind: Kind,
        document_type: str,
        *,
        at: Callable[[str, str], str],
        view: Callable[[Object], V],
        users: Callable[[Key], list[Key]],
    ) -> None:
        """`at(namespace, name)`: the object's path; `users()`: the Devboxes to look at where there are news."""
        self._observer, self._watches, self._index = tools.observer, tools.watches, tools.index
        self._writer, self._settings, self._queue = tools.writer, tools.settings, tools.queue
        self._kind, self._at, self._view, self._users_of = kind, at, view, users
        self._statuses = StatusWriter(tools.writer)
        self._store = Store(tools, document_type)
        self._news = News(tools.queue)

    async def reconcile(self, key: Key) -> float | None:
        """Bring one object's status and document up to date."""
        item = await self._item(key)
        if item is None:
            self._forget(key)
            await self._without(key)
            self._statuses.forget_users(self._at(*key))
            self._queue.forget(WorkKey(self._kind, *key))
            return None
        try:
            view = self._view(item)
        except ValidationError as error:
            await self._without(key)
            await report_invalid(self._writer, self._kind.value, self._at(*key), item, error)
            return None
        created = parse_time(item["metadata"].get("creationTimestamp"))
        del item  # it may be large, and there are many workers
        now, verdict = datetime.now(UTC), self._judge(view)
        if verdict.document is None:
            await self._store.drop(key)
        else:
            await self._store.put(key, verdict.document)
        findings = {ConditionType.ACCEPTED: verdict.accepted, **await self._more(view)}
        summarise(findings, list(findings), stalled=True)
        told = {**findings, **self._beside(view, verdict, now)}
        later = await self._status(key, verdict, told, now, self._also(view, verdict), created=created)
        self._news.tell(key, verdict.news, self._users_of(key))
        return later

    async def _item(self, key: Key) -> Object | None:
        """The object; None if there is none."""
        return await self._observer.get(self._at(*key))

    def _forget(self, key: Key) -> None:
        """The object is gone."""

    @abstractmethod
    def _judge(self, view: V) -> Verdict:
        """What follows from the object alone, and from who uses it."""

    async def _more(self, view: V) -> Findings:
        """What else has to be True for Ready."""
        return {}

    def _beside(self, view: V, verdict: Verdict, now: datetime) -> Findings:
        """Conditions that Ready does not wait for."""
        return {}

    def _also(self, view: V, verdict: Verdict) -> Mapping[str, Any]:
        """Fields of the status that this kind alone has."""
        return {}

    async def _without(self, key: Key) -> None:
        """There is no such object, or none that can be understood."""
        await self._store.drop(key)
        self._news.tell(key, None, self._users_of(key))

    async def _status(
        self,
        key: Key,
        verdict: Verdict,
        findings: Findings,
        now: datetime,
        also: Mapping[str, Any],
        *,
        created: datetime | None,
    ) -> float | None:
        subject, users = verdict.subject, verdict.users
        status = type(subject.status)(
            observed_generation=subject.generation,
            conditions=merge(subject.status.conditions, findings, subject.generation, now),
            used_by=tuple("/".join(user) for user in users[:MOST_NAMES]),
            devboxes=len(users),
            **also,
        )
        settles = settling.settles(created, status.conditions, self._observer.server_time())
        if settles is not None:
            # (Who uses it is told all the same: that keeps it from being deleted.)
            before = subject.status
            untold = {"observed_generation": before.observed_generation, "conditions": before.conditions}
            status = status.model_copy(update=untold)
        regarding = Regarding(self._kind.value, *key, subject.uid)
        later = await self._statuses.counted(regarding, self._at(*key), subject.status, status, now)
        return min((seconds for seconds in (later, settles) if seconds is not None), default=None)
