"""One EgressPolicy: may the gateway lead to its ranges, who uses it; and its document.

Goes in: a key. Comes out: status, and `egress-<UID>` in the credentials namespace while the policy is there, used or not: so that a
devbox that is given another policy finds it in place. An edit is one write, whoever stands under it.
"""

from collections.abc import Iterable
from datetime import UTC, datetime

from pydantic import ValidationError

from devbox_api import names
from devbox_api.conditions import ConditionType, Reason
from devbox_api.egresspolicy import EgressPolicyStatus
from devbox_api.route import Egress
from devbox_common.ranges import Network
from devbox_operator.configs.store import Store
from devbox_operator.documents import endpoints
from devbox_operator.documents import objects as documents
from devbox_operator.kit import paths
from devbox_operator.kit.queue import WorkQueue
from devbox_operator.kit.writer import Writer
from devbox_operator.report.conditions import Finding, Regarding, bad, good, merge, summarise
from devbox_operator.report.invalid import report_invalid
from devbox_operator.report.statuses import MOST_NAMES, StatusWriter
from devbox_operator.seen.index import Index
from devbox_operator.seen.keys import Kind, WorkKey
from devbox_operator.seen.model import EgressView, Key
from devbox_operator.settings import Settings
from devbox_operator.watch.mirrors import Watches
from devbox_operator.watch.news import News
from devbox_operator.watch.observe import Observer


class EgressReconciler:
    """Reconciles EgressPolicies."""

    def __init__(
        self,
        *,
        observer: Observer,
        watches: Watches,
        index: Index,
        writer: Writer,
        settings: Settings,
        queue: WorkQueue[WorkKey],
    ) -> None:
        self._observer, self._index = observer, index
        self._writer, self._settings, self._queue = writer, settings, queue
        self._statuses = StatusWriter(writer)
        self._store = Store(watches, writer, settings, names.EGRESS_TYPE)
        self._news = News(queue)

    async def reconcile(self, key: Key) -> float | None:
        """Bring one EgressPolicy's status and document up to date."""
        item = await self._observer.get(paths.egresspolicies(*key))
        if item is None:
            await self._store.drop(key)
            self._statuses.forget_users(paths.egresspolicies(*key))
            self._news.tell(key, None, self._index.users_of_egress(key))
            self._queue.forget(WorkKey(Kind.EGRESS, *key))
            return None
        try:
            view = EgressView.of(item)
        except ValidationError as error:
            await self._store.drop(key)
            self._news.tell(key, None, self._index.users_of_egress(key))
            await report_invalid(self._writer, "EgressPolicy", paths.egresspolicies(*key), item, error)
            return None
        del item  # as in reconcile.py
        document = _document(view)
        if document is None or view.deleting:
            await self._store.drop(key)
        else:
            await self._store.put(key, documents.egress(document, self._settings.credentials_namespace))
        later = await self._status(view, accepted(document, self._settings, self._observer.ranges()))
        # What it says is no news for the Devboxes; another policy is.
        self._news.tell(key, view.policy.uid, self._index.users_of_egress(key))
        return later

    async def _status(self, view: EgressView, finding: Finding) -> float | None:
        policy, users, now = view.policy, self._index.users_of_egress(view.key), datetime.now(UTC)
        findings = {ConditionType.ACCEPTED: finding}
        summarise(findings, list(findings), stalled=True)
        status = EgressPolicyStatus(
            observed_generation=policy.generation,
            conditions=merge(policy.status.conditions, findings, policy.generation, now),
            used_by=tuple("/".join(user) for user in users[:MOST_NAMES]),
            devboxes=len(users),
        )
        regarding = Regarding("EgressPolicy", *view.key, policy.uid)
        return await self._statuses.counted(regarding, paths.egresspolicies(*view.key), policy.status, status, now)


def _document(view: EgressView) -> Egress | None:
    try:
        return documents.egress_document(view.policy)
    except ValueError:
        return None


def accepted(document: Egress | None, settings: Settings, ranges: Iterable[Network]) -> Finding:
    """The condition Accepted. `ranges`: the cluster's own. A range that the gateway does not lead to takes nothing from the rest."""
    if document is None:
        return bad(Reason.INVALID, "spec.allowedCIDRs holds what is no range of addresses; write e.g. 203.0.113.0/24")
    refused = endpoints.refused_ranges(document.cidrs, settings, ranges)
    return bad(Reason.RANGE_NOT_PERMITTED, f"spec.allowedCIDRs: {refused}") if refused else good(Reason.ACCEPTED)
