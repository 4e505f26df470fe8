"""GatewayConfigs: may the gateway lead there, is the default credential there, who uses it; `gateway-<UID>` while a Devbox does."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from devbox_api import names
from devbox_api.conditions import ConditionType, Reason
from devbox_common.kube import Object
from devbox_common.trust import check_ca_bundle
from devbox_operator.configs import reaching
from devbox_operator.configs.reconciler import ConfigReconciler, Verdict
from devbox_operator.documents import credentials, endpoints, keeping
from devbox_operator.documents import objects as documents
from devbox_operator.kit import paths
from devbox_operator.report.authority import ending
from devbox_operator.report.conditions import Finding, Findings, bad, from_doubts, from_problems, good
from devbox_operator.report.problem import Problem
from devbox_operator.seen.index import source_of
from devbox_operator.seen.keys import Key, Kind
from devbox_operator.seen.resources import GatewayView
from devbox_operator.watch.tools import Tools


class GatewayReconciler(ConfigReconciler[GatewayView]):
    """Reconciles GatewayConfigs."""

    def __init__(self, tools: Tools) -> None:
        users = tools.index.users_of_gateway
        super().__init__(
            tools, Kind.GATEWAY, names.GATEWAY_TYPE, at=paths.gatewayconfigs, view=GatewayView.of, users=users
        )  # fmt: skip
        self._dials = tools.dials

    async def _item(self, key: Key) -> Object | None:
        """(A Devbox may refer to a namespace in which the operator has no rights.)"""
        return await self._observer.get(paths.gatewayconfigs(*key), forbidden_is_missing=True)

    def _forget(self, key: Key) -> None:
        self._index.forget_default(key)
        self._dials.forget(key)

    def _judge(self, view: GatewayView) -> Verdict:
        self._index.put_default(view.key, source_of(view))
        config, users, accepted = view.config, self._users(view), self._accepted(view)
        wanted = bool(users) and accepted.status == "True" and not view.deleting
        return Verdict(
            config,
            users,
            accepted,
            documents.gateway(config, self._settings.credentials_namespace) if wanted else None,
            news=(config.uid, config.generation, accepted.status),
        )

    async def _more(self, view: GatewayView) -> Findings:
        return {ConditionType.CREDENTIAL_RESOLVED: await self._credential(view)}

    def _beside(self, view: GatewayView, verdict: Verdict, now: datetime) -> Findings:
        accepted = verdict.accepted.status == "True"
        if accepted and reaching.unanswered(view, self._dials.answered(view.key)):
            self._dials.probe(
                view.key, view.probe_requested_at, documents.gateway_document(view.config).model_dump_json().encode()
            )
        dial = self._dials.of(view.key, view.config.uid, reaching.dialled_by(view.config.spec)) if accepted else None
        found = ending(self._observer.authority, self._settings.release_namespace, now)
        reachable = reaching.reachable(view, dial, accepted=accepted)
        return {ConditionType.REACHABLE: reachable, **({ConditionType.TRUST_ENDING: found} if found else {})}

    def _also(self, view: GatewayView, verdict: Verdict) -> Mapping[str, Any]:
        answered = self._dials.answered(view.key)
        if verdict.accepted.status != "True":
            answered = view.probe_requested_at or None  # nothing leads there, and that is the answer
        return {"probe_requested_at": answered or view.config.status.probe_requested_at}

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
        secrets = {source.secret: await self._watches.sources.read(source.secret)}
        resolved = credentials.resolve(source, secrets, view.config.spec, self._settings.release_namespace)
        if not isinstance(resolved, Problem):
            doubt = credentials.doubtful(resolved, view.config.spec.auth_mechanism)
            return from_doubts([doubt] if doubt else [], good(Reason.RESOLVED))
        return from_problems([keeping.told(resolved, source, self._watches.mirrored(source.secret))], good(Reason.RESOLVED))
