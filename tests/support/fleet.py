"""Many Devboxes in a control plane of the test's own: made, watched, counted, taken away.

Goes in: an administrator's client. Comes out: namespaces with two GatewayConfigs and their Secrets, Devboxes that use both, and when
each one's pod was ungated. `leftovers` says what should not be there any more.
"""

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine, Iterable
from time import monotonic as now
from typing import Any, Final

from devbox_api import names
from devbox_common.kube import ApiError, KubeApi, Object
from devbox_common.mirror import Mirror
from devbox_operator.kit import paths

from .release import CREDENTIALS

GATEWAYS: Final = ("ANTHROPIC", "OPENAI")
HOSTS: Final = {"ANTHROPIC": "api.anthropic.com", "OPENAI": "api.openai.com"}
Place = tuple[str, str]
"""(namespace, name)."""


GRACE_SECONDS: Final = 1
"""That Devboxes' pods have, unless a test says otherwise: all of them take all of it (fake_kubelet.py)."""


def devbox(namespace: str, name: str, **spec: Any) -> Object:
    """A Devbox with two gateways."""
    gateways = [{"name": gateway, "gatewayRef": {"name": gateway.lower()}} for gateway in GATEWAYS]
    return {
        "apiVersion": names.API_VERSION,
        "kind": "Devbox",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {
            "image": "localhost/agent",
            "command": ["sleep", "infinity"],
            "gateways": gateways,
            "terminationGracePeriodSeconds": GRACE_SECONDS,
            **spec,
        },
    }


def source_secret(namespace: str, gateway: str, value: str = "sk-one") -> Object:
    """The Secret behind a GatewayConfig, granted to its host."""
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {
            "name": gateway.lower(),
            "namespace": namespace,
            "annotations": {names.ALLOWED_HOSTS_ANNOTATION: HOSTS[gateway]},
        },
        "stringData": {"key": value},
    }


def gatewayconfig(namespace: str, gateway: str) -> Object:
    """A GatewayConfig with a default credential."""
    return {
        "apiVersion": names.API_VERSION,
        "kind": "GatewayConfig",
        "metadata": {"name": gateway.lower(), "namespace": namespace},
        "spec": {
            "endpoint": f"https://{HOSTS[gateway]}",
            "authMechanism": {"type": "Bearer"},
            "credential": {"secretRef": {"name": gateway.lower(), "key": "key"}},
        },
    }


async def make_namespace(api: KubeApi, namespace: str) -> None:
    """A namespace with two Secrets and two GatewayConfigs."""
    body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}}
    await api.request("POST", paths.core("namespaces"), body=body)
    await fill_namespace(api, namespace)


async def fill_namespace(api: KubeApi, namespace: str) -> None:
    """The same, for a namespace that is there."""
    for gateway in GATEWAYS:
        await api.request("POST", paths.secrets(namespace), body=source_secret(namespace, gateway))
        await api.request("POST", paths.gatewayconfigs(namespace), body=gatewayconfig(namespace, gateway))


class Fleet:
    """Devboxes, and when what happened to them."""

    def __init__(self, api: KubeApi) -> None:
        self.api = api
        self.made: dict[Place, float] = {}
        """When the API server had answered the create."""
        self.opened: dict[Place, float] = {}
        """When the first ungated pod was seen."""
        self.pods: dict[Place, Counter[str]] = {}
        """Devbox to the pods that were ever seen, by name."""
        self._mirror: Mirror[Object] = Mirror(
            api, paths.pods(), lambda item: item, label_selector=names.DEVBOX_LABEL, on_change=self._pod
        )

    @contextlib.asynccontextmanager
    async def watching(self) -> AsyncIterator[None]:
        """While pods are watched."""
        task = asyncio.create_task(self._mirror.run())
        try:
            await self._mirror.synced.wait()
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    def _pod(self, _: Place, old: Object | None, new: Object | None) -> None:
        if new is None:
            return
        place = (new["metadata"]["namespace"], new["metadata"]["labels"][names.DEVBOX_LABEL])
        if old is None:
            self.pods.setdefault(place, Counter())[new["metadata"]["name"]] += 1
        if not new["spec"].get("schedulingGates"):
            self.opened.setdefault(place, now())

    async def create(self, place: Place, **spec: Any) -> None:
        """One Devbox. (An API server that is being restarted is asked again.)"""
        body = devbox(*place, **spec)
        await self._insist(lambda: self.api.request("POST", paths.devboxes(place[0]), body=body), lambda error: error.conflict)
        self.made[place] = now()

    async def delete(self, place: Place) -> None:
        """One Devbox; its traces in this object, too."""
        await self._insist(lambda: self.api.request("DELETE", paths.devboxes(*place)), lambda error: error.not_found)
        for record in (self.made, self.opened, self.pods):
            record.pop(place, None)

    async def _insist(self, request: Callable[[], Coroutine[Any, Any, Any]], done: Callable[[ApiError], bool]) -> None:
        while True:
            try:
                await request()
            except ApiError as error:
                if done(error):
                    return
                if not error.transient and error.status != 403:
                    raise
                await asyncio.sleep(0.3)
            else:
                return

    async def at(self, rate: float, places: Iterable[Place], action: Callable[[Place], Coroutine[Any, Any, None]]) -> None:
        """Do it to all of them, so many a second."""
        start = now()
        async with asyncio.TaskGroup() as tasks:
            for number, place in enumerate(places):
                await asyncio.sleep(start + number / rate - now())
                tasks.create_task(action(place))

    def waits(self) -> list[float]:
        """Seconds from the create's answer to the open gate."""
        return [self.opened[place] - made for place, made in self.made.items() if place in self.opened]

    def pending(self) -> list[Place]:
        """Those whose pod is not ungated."""
        return [place for place in self.made if place not in self.opened]

    def duplicates(self) -> list[Place]:
        """Those for which more than one pod was ever seen."""
        return [place for place, pods in self.pods.items() if sum(pods.values()) > 1]


async def leftovers(api: KubeApi, *, of_namespace: str | None = None) -> dict[str, int]:
    """Objects of ours, by kind, where no Devbox is any more. Empty: nothing leaked."""
    return {kind: count async for kind, count in _left(api, of_namespace)}


async def nothing_left(api: KubeApi, *, of_namespace: str) -> bool:
    """There are none. (Who waits for that has to ask often, and seldom for more than the first kind.)"""
    async with contextlib.aclosing(_left(api, of_namespace)) as found:
        return await anext(found, None) is None


async def _left(api: KubeApi, of_namespace: str | None) -> AsyncGenerator[tuple[str, int], None]:
    scope = of_namespace or ""
    managed = {"labelSelector": names.MANAGED_SELECTOR}
    kinds = {
        "Pod": (paths.pods(scope), {"labelSelector": names.DEVBOX_LABEL}),
        "NetworkPolicy": (paths.networkpolicies(scope), managed | {"labelSelector": names.DEVBOX_LABEL}),
        "token Secret": (
            paths.secrets(scope),
            {"labelSelector": names.DEVBOX_LABEL, "fieldSelector": f"type={names.TOKENS_TYPE}"},
        ),
        "ServiceAccount": (paths.core("serviceaccounts", scope), managed | {"fieldSelector": "metadata.name=devbox-agent"}),
        "claim": (paths.core("persistentvolumeclaims", scope), managed | {"labelSelector": names.DEVBOX_LABEL}),
        "CA bundle": (paths.core("configmaps", scope), managed | {"fieldSelector": f"metadata.name={names.CA_CONFIG_MAP}"}),
    }
    for kind, (path, query) in kinds.items():
        if count := len((await api.list(path, query))[0]):
            yield kind, count
    found: dict[str, int] = {}
    stored = (await api.list(paths.secrets(CREDENTIALS)))[0]
    for item in stored:
        kind, metadata = item.get("type", ""), item["metadata"]
        source = (metadata.get("annotations") or {}).get(names.SOURCE_NAMESPACE_ANNOTATION)
        home = source or (metadata.get("labels") or {}).get(f"{names.GROUP}/namespace")
        if kind != names.FLOOR_TYPE and (of_namespace is None or home == of_namespace):
            found[kind] = found.get(kind, 0) + 1
    for pair in found.items():
        yield pair
