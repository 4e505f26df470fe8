"""The periodic look at everything: what a lost event left behind is found here at the latest.

Goes in: lists of all Devboxes, GatewayConfigs, EgressPolicies and pods. Comes out: a fresh index, every key in the queue (spread over the
period, but for the first time), and the deletion of what belongs to nobody.
"""

import contextlib
import random
from collections.abc import AsyncGenerator, Callable, Mapping
from datetime import UTC, datetime
from typing import Final, TypeVar

import structlog
from pydantic import ValidationError

from devbox_api import names
from devbox_common.kube import ApiError, KubeApi, Object
from devbox_operator.attach.denial import Denial
from devbox_operator.documents import objects as documents
from devbox_operator.kit import metrics, paths
from devbox_operator.seen.index import References, references
from devbox_operator.seen.keys import CERTIFICATES, FLOOR, Key, Kind, WorkKey
from devbox_operator.seen.resources import DevboxView, GatewayView
from devbox_operator.watch.tools import Tools

V = TypeVar("V")

_MADE_FROM: Final = {
    names.CREDENTIAL_TYPE: Kind.SOURCE,
    names.GATEWAY_TYPE: Kind.GATEWAY,
    names.EGRESS_TYPE: Kind.EGRESS,
    names.ROUTE_TYPE: Kind.DEVBOX,
}
"""Documents, by what each is made from."""

log = structlog.get_logger()


class Sweeper:
    """Sweeps."""

    def __init__(self, tools: Tools, api: KubeApi, denial: Denial) -> None:
        self._api, self._denial = api, denial
        self._watches, self._index, self._writer = tools.watches, tools.index, tools.writer
        self._settings, self._queue = tools.settings, tools.queue
        self._first = True

    def at_once(self) -> None:
        """The next sweep spreads nothing."""
        self._first = True

    async def sweep(self) -> float | None:
        """All of it. Returns seconds until the next one."""
        gateways, devboxes = dict[Key, GatewayView](), dict[Key, References]()
        self._index.listing()
        async for item in self._listed(paths.gatewayconfigs):
            if (gateway := _parse(GatewayView.light, item)) is not None:
                gateways[gateway.key] = gateway
        inhabited: set[str] = set()
        async for item in self._listed(paths.devboxes):
            inhabited.add(item["metadata"]["namespace"])
            if (box := _parse(DevboxView.of, item)) is not None:
                devboxes[box.key] = references(box, gateways)
        self._index.replace(devboxes, gateways.values())
        metrics.DEVBOXES.set(len(devboxes))
        keys = {WorkKey(Kind.DEVBOX, *key) for key in devboxes} | {WorkKey(Kind.GATEWAY, *key) for key in gateways}
        async for item in self._listed(paths.egresspolicies):  # what they say is for their own reconcile
            keys.add(WorkKey(Kind.EGRESS, item["metadata"]["namespace"], item["metadata"]["name"]))
        keys |= {WorkKey(Kind.SOURCE, *secret) for secret in self._index.secrets()}
        for stored in self._watches.stored.objects.values():
            if stored.type in _MADE_FROM:
                # (The Route of a Devbox that went while nobody worked: its own reconcile finds it gone.)
                keys.add(WorkKey(_MADE_FROM[stored.type], *documents.made_for(stored)))
        pods = await self._pods_and_routes()
        # Pods without a Devbox: its own reconcile ends those that the garbage collector does not.
        keys |= {WorkKey(Kind.DEVBOX, *box) for box in pods}
        await self._denials(inhabited | {namespace for namespace, _ in pods})
        period = self._settings.resync_seconds
        for key in (CERTIFICATES, FLOOR, *sorted(keys)):
            self._queue.add(key, 0.0 if self._first else random.uniform(0.01, period * 0.8))  # noqa: S311 (jitter)
        self._first = False
        self._watches.sources.prune()
        return period * random.uniform(0.9, 1.1)  # noqa: S311 (jitter)

    async def _listed(self, path: Callable[[str], str], params: Mapping[str, str] | None = None) -> AsyncGenerator[Object]:
        """All objects of a kind, none held longer than it is looked at: thousands of them as they come are hundreds of MiB."""
        for scope in self._settings.scopes:
            async with contextlib.aclosing(self._api.pages(path(scope), params)) as pages:
                async for page in pages:
                    for item in page.items:
                        yield item

    async def _pods_and_routes(self) -> set[Key]:
        """Whose pods there are, by namespace and label. Routes whose pod is gone are deleted. (Normally its Devbox's reconcile has done it
        long before.)"""
        # Those that are there before the pods are listed: a Route is made after its pod, and no clock has to say which came first.
        routes = [stored for stored in self._watches.stored.objects.values() if stored.type == names.ROUTE_TYPE]
        live, boxes = set[str](), set[Key]()
        async for item in self._listed(paths.pods, {"labelSelector": names.DEVBOX_LABEL}):
            metadata = item["metadata"]
            live.add(metadata["uid"])
            boxes.add((metadata["namespace"], metadata["labels"][names.DEVBOX_LABEL]))
        for stored in routes:
            if stored.name.removeprefix("route-") in live:
                continue
            path = paths.secrets(self._settings.credentials_namespace, stored.name)
            await self._writer.delete(path, uid=stored.uid, kind="Secret")
            log.info("route_swept", route=stored.name)
        return boxes

    async def _denials(self, inhabited: set[str]) -> None:
        """Every namespace with devboxes has its NetworkPolicy, but where none may be; one without them does not keep it for ever."""
        needed = {namespace for namespace in inhabited if not self._settings.reserved(namespace)}
        marked = {view.namespace for view in self._watches.denials() if view.marked}
        unused = {view.namespace for view in self._watches.denials()} - inhabited
        for namespace in sorted(needed | unused):
            try:
                if namespace in unused:
                    await self._denial.retire(namespace, datetime.now(UTC))
                elif namespace in marked:
                    await self._denial.confirm(namespace)
                else:
                    await self._denial.ensure(namespace)
            except ApiError as error:
                # One namespace (that is being deleted, say) does not keep the sweep from the others; the next one tries again.
                log.warning("denial_not_swept", namespace=namespace, error=str(error))


def _parse(view: Callable[[Object], V], item: Object) -> V | None:
    try:
        return view(item)
    except ValidationError:
        return None  # its own reconcile says what is wrong
