"""One GatewayConfig: is its endpoint allowed, is its default credential usable, who uses it; and its document.

Goes in: a key. Comes out: status, and `gateway-<UID>` in the credentials namespace while a Devbox uses it.
"""

from datetime import UTC, datetime

from pydantic import ValidationError

from devbox_api import names
from devbox_api.conditions import ConditionType, Reason
from devbox_api.gatewayconfig import GatewayConfigStatus
from devbox_common.trust import check_ca_bundle
from devbox_operator.configs.store import Store
from devbox_operator.documents import credentials, endpoints, keeping
from devbox_operator.documents import objects as documents
from devbox_operator.kit import paths
from devbox_operator.kit.queue import WorkQueue
from devbox_operator.kit.writer import Writer
from devbox_operator.report.authority import ending
from devbox_operator.report.conditions import Finding, Regarding, bad, from_problems, good, merge, summarise
from devbox_operator.report.invalid import report_invalid
from devbox_operator.report.problem import Problem
from devbox_operator.report.statuses import MOST_NAMES, StatusWriter
from devbox_operator.seen.index import Index, source_of
from devbox_operator.seen.keys import Kind, WorkKey
from devbox_operator.seen.model import GatewayView, Key
from devbox_operator.settings import Settings
from devbox_operator.watch.mirrors import Watches
from devbox_operator.watch.news import News
from devbox_operator.watch.observe import Observer


class GatewayReconciler:
    """Reconciles GatewayConfigs."""

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
        self._observer, self._watches, self._index = observer, watches, index
        self._writer, self._settings, self._queue = writer, settings, queue
        self._statuses = StatusWriter(writer)
        self._store = Store(watches, writer, settings, names.GATEWAY_TYPE)
        self._news = News(queue)

    async def reconcile(self, key: Key) -> float | None:
        """Bring one GatewayConfig's status and document up to date."""
        item = await self._observer.get(paths.gatewayconfigs(*key), forbidden_is_missing=True)
        if item is None:
            self._index.forget_default(key)
            await self._store.drop(key)
            self._statuses.forget_users(paths.gatewayconfigs(*key))
            self._news.tell(key, None, self._index.users_of_gateway(key))
            self._queue.forget(WorkKey(Kind.GATEWAY, *key))
            return None
        try:
            view = GatewayView.of(item)
        except ValidationError as error:
            await self._store.drop(key)
            self._news.tell(key, None, self._index.users_of_gateway(key))
            await report_invalid(self._writer, "GatewayConfig", paths.gatewayconfigs(*key), item, error)
            return None
        del item  # as in reconcile.py
        self._index.put_default(key, source_of(view))
        config, users, now = view.config, self._users(view), datetime.now(UTC)
        accepted = self._accepted(view)
        await self._document(view, wanted=bool(users) and accepted.status == "True" and not view.deleting)
        findings = {
            ConditionType.ACCEPTED: accepted,
            ConditionType.CREDENTIAL_RESOLVED: await self._credential(view),
        }
        summarise(findings, list(findings), stalled=True)
        if found := ending(self._observer.authority, self._settings.release_namespace, now):
            findings[ConditionType.TRUST_ENDING] = found
        status = GatewayConfigStatus(
            observed_generation=config.generation,
            conditions=merge(config.status.conditions, findings, config.generation, now),
            used_by=tuple("/".join(user) for user in users[:MOST_NAMES]),
            devboxes=len(users),
        )
        regarding = Regarding("GatewayConfig", *key, config.uid)
        later = await self._statuses.counted(regarding, paths.gatewayconfigs(*key), config.status, status, now)
        self._news.tell(key, (config.uid, config.generation, accepted.status), self._index.users_of_gateway(key))
        return later

    def _users(self, view: GatewayView) -> list[Key]:
        """The Devboxes that count as users: where no other namespace is allowed in, its Devboxes hold up no deletion and are not named.
        (What a selector selects would take a look at each of their namespaces.)"""
        users, allowed = self._index.users_of_gateway(view.key), view.config.spec.allowed_namespaces
        shared = allowed is not None and allowed.from_ != "Same"
        return users if shared else [user for user in users if user[0] == view.key[0]]

    def _accepted(self, view: GatewayView) -> Finding:
        host = names.gateway_host(self._settings.release_namespace)
        spec = view.config.spec
        seen = self._observer
        why = endpoints.refusal(spec.endpoint, self._settings, seen.floor(), seen.ranges(), host, bridges=seen.bridges())
        if why is not None:
            return bad(Reason.ENDPOINT_REFUSED, why)
        try:
            if spec.tls and spec.tls.ca_bundle:
                check_ca_bundle(spec.tls.ca_bundle)
        except ValueError as error:
            return bad(Reason.CA_BUNDLE_INVALID, f"spec.tls.caBundle: {error}")
        return good(Reason.ACCEPTED)

    async def _credential(self, view: GatewayView) -> Finding:
        source = source_of(view)
        if source is None:
            return good(Reason.NO_DEFAULT, "each devbox brings its own Secret (secretRef)")
        secrets = {source.secret: await self._watches.secret(source.secret)}
        resolved = credentials.resolve(source, secrets, view.config.spec, self._settings.release_namespace)
        if not isinstance(resolved, Problem):
            return good(Reason.RESOLVED)
        return from_problems([keeping.told(resolved, source, self._watches.mirrored(source.secret))], good(Reason.RESOLVED))

    async def _document(self, view: GatewayView, *, wanted: bool) -> None:
        if wanted:
            await self._store.put(view.key, documents.gateway(view.config, self._settings.credentials_namespace))
        else:
            await self._store.drop(view.key)
