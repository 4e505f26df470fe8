"""What is done to a pod so that it can use gateways: policy, tokens, Route, token Secret, and then its gate is opened.

Goes in: a gated (or running) pod with the devbox label, its bindings and its EgressPolicy. Comes out: `Attachment`. This module knows
pods, not Devboxes: any pod that carries the label and the gate could be given gateways this way.

The order is what makes it safe to be interrupted anywhere. The Route comes before the token Secret, so that no process ever
holds a token whose digest is not listed; the Route is written with the resourceVersion that was read (or created), so that
digests are never lost to a writer that saw less. The gate opens when policy, Route and token Secret are there, and a live look has
found the namespace's own policy, which holds the pod when its own one is gone (denial.py).
"""

import asyncio
from collections.abc import Mapping, Sequence
from datetime import datetime

import structlog

from devbox_api import names
from devbox_api.conditions import Reason
from devbox_api.route import CONFINED, Binding, DevboxRef, PodRef, Route
from devbox_common.kube import ApiError, Object
from devbox_common.redacted import Redacted
from devbox_operator.attach import network, secretenv, tokens
from devbox_operator.attach.bearer import Bearer
from devbox_operator.attach.denial import Denial
from devbox_operator.attach.listing import Listing, listing
from devbox_operator.attach.wanted import Attachment, AttachmentSpec
from devbox_operator.documents import objects as documents
from devbox_operator.kit import metrics, paths
from devbox_operator.kit.writer import Writer
from devbox_operator.report.problem import Problem
from devbox_operator.seen.namespaced import PolicyView
from devbox_operator.seen.secrets import SecretView, StoredRoute, StoredView
from devbox_operator.settings import Settings

log = structlog.get_logger()


class Attacher:
    """Carries it out."""

    def __init__(self, writer: Writer, settings: Settings, denial: Denial) -> None:
        self._writer, self._settings, self._denial = writer, settings, denial

    async def attach(
        self,
        pod: Bearer,
        owner_uid: str,
        wanted: AttachmentSpec,
        *,
        policies: Sequence[PolicyView],
        route: StoredView | None,
        token_secret: SecretView | None,
        service_account: str,
        now: datetime,
    ) -> Attachment:
        """Do what is still to do. Raises `ApiError`; everything can be done again."""
        try:
            await self._denial.ensure(pod.namespace)
        except ApiError:
            if pod.gated:
                raise
            # (One that runs loses what it may use no more all the same. reconcile.py has tried, too, and tries again.)
        await self._policy(pod, policies)
        if pod.gated and not (wanted.complete and wanted.served):
            return Attachment(confined=True, issued=False, opened=False, expires={}, renew_at=None)
        stored = await self._stored(pod, route)
        try:
            listed = await self._tokens(pod, owner_uid, wanted, stored, service_account=service_account, now=now)
        except ApiError as error:
            if error.transient or error.not_found or error.conflict:
                raise
            problem = Problem(Reason.TOKEN_REFUSED, error.message)
            return Attachment(confined=True, issued=False, opened=not pod.gated, expires={}, renew_at=None, problem=problem)
        await self._token_secret(pod, listed, stored, token_secret, wanted.secret_env)
        try:
            if pod.gated:
                await self._denial.confirm(pod.namespace)
                await self._open(pod)
        except ApiError as error:
            if not error.denied:
                raise
            refused = Problem(Reason.POD_REFUSED, f"the gate of pod {pod.name} can't be opened: {error.message}")
            return Attachment(confined=True, issued=True, opened=False, expires={}, renew_at=None, refused=refused)
        given = stored.secret_env if stored and not pod.gated else ""
        changed = secretenv.changed(pod.uid, given, wanted.secret_env)
        return self._attached(pod, listed, service_account, {binding.name for binding in wanted.bindings}, changed)

    async def _policy(self, pod: Bearer, policies: Sequence[PolicyView]) -> None:
        """The pod's NetworkPolicy, saying what ours says and nothing else."""
        if network.in_place(pod, policies, self._settings.release_namespace):
            return
        path, body = paths.networkpolicies(pod.namespace, pod.name), network.policy(pod, self._settings.release_namespace)
        answer = await self._write_policy(body, there=any(found.name == pod.name for found in policies))
        if answer["spec"] != body["spec"]:
            # Somebody added to it, and an apply leaves what others own.
            log.warning("policy_restored", pod=pod.name, namespace=pod.namespace)
            operations = [{"op": "replace", "path": "/spec", "value": body["spec"]}]
            await self._writer.patch(path, operations, kind="NetworkPolicy")

    async def _write_policy(self, body: Object, *, there: bool) -> Object:
        """A create is half the price of an apply that creates."""
        namespace, name = body["metadata"]["namespace"], body["metadata"]["name"]
        try:
            if not there:
                return await self._writer.create(paths.networkpolicies(namespace), body)
        except ApiError as error:
            if not error.conflict:
                raise  # (A conflict: the mirror has not seen it yet.)
        return await self._writer.apply(paths.networkpolicies(namespace, name), body)

    async def _stored(self, pod: Bearer, found: StoredView | None) -> StoredRoute | None:
        try:
            return documents.stored_route(found) if found else None
        except ValueError:
            # Not readable: the tokens in it are lost, and a running pod has to be restarted. Nobody but us writes there.
            log.error("route_unreadable", pod=pod.name, namespace=pod.namespace)
            path = paths.secrets(self._settings.credentials_namespace, documents.route_name(pod.uid))
            await self._writer.delete(path, kind="Secret")
            return None

    async def _tokens(
        self,
        pod: Bearer,
        owner_uid: str,
        wanted: AttachmentSpec,
        stored: StoredRoute | None,
        *,
        service_account: str,
        now: datetime,
    ) -> Listing:
        """The Route's bindings, with tokens as fresh as they have to be, written."""
        current: dict[str, Binding] = {binding.name: binding for binding in stored.route.bindings} if stored else {}
        before = stored.route.egress if stored else None
        bindings = [binding for binding in wanted.bindings if binding.gateway or binding.name in current]
        due = tokens.due(
            [*(binding.name for binding in bindings), names.EGRESS_NAME],
            {**current, **({names.EGRESS_NAME: before} if before else {})},
            pod=pod.uid,
            service_account=service_account,
            fraction=self._settings.tokens.renew_fraction,
            now=now,
        )
        issued = dict(zip(due, await asyncio.gather(*(self._issue(pod, name) for name in due)), strict=True))
        listed = listing(bindings, wanted.egress_policy, current, before, issued, egress_lacks=wanted.egress_lacks)
        document = Route(
            requires=() if wanted.served else (CONFINED,),
            pod=PodRef(uid=pod.uid, name=pod.name, namespace=pod.namespace),
            devbox=DevboxRef(name=pod.owner_name, uid=owner_uid),
            bindings=listed.bindings,
            egress=listed.egress,
            confined=wanted.served,
        )
        content = tokens.content(self._secret(pod, listed))
        # (What a pod that runs was given is what it was; of one whose Route is lost nobody knows.)
        given = secretenv.record(pod.uid, wanted.secret_env) if pod.gated else stored.secret_env if stored else ""
        if stored is None or (stored.route, stored.tokens_content, stored.secret_env) != (document, content, given):
            await self._write_route(document, stored, content, given)
        return listed

    def _secret(self, pod: Bearer, listed: Listing) -> Object:
        host = names.gateway_host(self._settings.release_namespace)
        return tokens.secret(pod, listed.bindings, listed.egress, host)

    async def _issue(self, pod: Bearer, name: str) -> Redacted:
        path = f"{paths.core('serviceaccounts', pod.namespace, names.AGENT_SERVICE_ACCOUNT)}/token"
        body = tokens.request(pod, names.audience(name), self._settings.tokens.expiration_seconds)
        answer = await self._writer.create(path, body)
        metrics.TOKENS.inc()
        log.info(
            "token_issued", pod=pod.name, namespace=pod.namespace, gateway=name, expires=answer["status"]["expirationTimestamp"]
        )
        return Redacted(answer["status"]["token"])

    async def _write_route(self, document: Route, stored: StoredRoute | None, content: str, given: str) -> None:
        namespace = self._settings.credentials_namespace
        body = documents.route(document, namespace, content, given)
        if stored is None:
            # Not apply: it would take over, and forget the digests of, a Route that appeared since.
            await self._writer.create(paths.secrets(namespace), body)
            return
        body["metadata"]["resourceVersion"] = stored.version
        await self._writer.apply(paths.secrets(namespace, body["metadata"]["name"]), body)

    async def _token_secret(
        self,
        pod: Bearer,
        listed: Listing,
        stored: StoredRoute | None,
        found: SecretView | None,
        secret_env: Mapping[str, Redacted],
    ) -> None:
        body, path = self._secret(pod, listed), paths.secrets(pod.namespace, pod.name)
        wanted = tokens.content(body)
        if found is not None:
            written = found.content == wanted
        else:
            # With Named it can't be read; the Route says that it was written.
            named = self._settings.source_secrets == "Named" and not pod.gated
            written = named and stored is not None and stored.tokens_content == wanted
        if written and not pod.gated:
            return
        there = [] if written else list((await self._writer.apply(path, body)).get("data") or ())
        # A pod that runs keeps what it was given (an apply leaves that alone), and gets it anew where its Secret was lost.
        values = {secretenv.key(name): value.reveal() for name, value in secret_env.items()}
        missing = {key: value for key, value in values.items() if pod.gated or key not in there}
        if missing:
            await self._writer.merge(path, {"data": missing}, kind="Secret")

    async def _open(self, pod: Bearer) -> None:
        index = pod.gates.index(names.SCHEDULING_GATE)
        operations = [
            {"op": "test", "path": "/metadata/uid", "value": pod.uid},
            *_still_ours(pod),
            {"op": "test", "path": f"/spec/schedulingGates/{index}/name", "value": names.SCHEDULING_GATE},
            {"op": "remove", "path": f"/spec/schedulingGates/{index}"},
        ]
        await self._writer.patch(paths.pods(pod.namespace, pod.name), operations, kind="Pod")
        log.info("gate_opened", pod=pod.name, namespace=pod.namespace)

    def _attached(self, pod: Bearer, listed: Listing, account: str, wanted: set[str], changed: tuple[str, ...]) -> Attachment:
        found = {name: tokens.claims(token) for name, token in listed.tokens.items()}
        fraction = self._settings.tokens.renew_fraction
        renewals = [tokens.renewal(token, pod.uid, account, fraction) for token in listed.tokens.values()]
        return Attachment(
            confined=True,
            issued=wanted <= set(found),
            opened=True,
            expires={name: claims.expires for name, claims in found.items() if claims},
            renew_at=min((at for at in renewals if at), default=None),
            changed=changed,
        )


def _still_ours(pod: Bearer) -> list[Object]:
    """What was looked at is what starts: the mirror may be behind."""
    if pod.init is None:
        return []
    return [{"op": "test", "path": f"/spec/initContainers/{pod.init.index}/image", "value": pod.init.image}]
