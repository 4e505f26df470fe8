"""Replicas of the operator, each behind its own proxy, on one control plane; and a namespace with Devboxes.

Goes in: a release in a control plane. Comes out: a `Stage`. `settled` is the question that every case ends with: is what should be
there there, once, and nothing else?
"""

import asyncio
import base64
import contextlib
import json
import uuid
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from time import monotonic as now
from typing import Any, Final

from tests.chaos.world import eventually
from tests.support.fleet import GATEWAYS, devbox, leftovers, make_namespace, nothing_left
from tests.support.release import CREDENTIALS, LEASE, NAMESPACE, Operator, Release

from devbox_api import names
from devbox_common.access import Access
from devbox_common.kube import MERGE_PATCH, ApiError, KubeApi, Object
from devbox_common.redacted import Redacted
from devbox_operator.kit import paths

from .proxy import Proxy

START_SECONDS: Final = 40.0
CONVERGE_SECONDS: Final = 60.0
PATIENT_SECONDS: Final = 60.0


class Replica:
    """One operator and its proxy."""

    def __init__(self, operator: Operator, proxy: Proxy) -> None:
        self.operator, self.proxy = operator, proxy


class Stage:
    """What a case has."""

    def __init__(self, release: Release, api: KubeApi, node: KubeApi) -> None:
        """`node`: who may say that a pod's processes are gone."""
        self.release, self.api, self.node = release, api, node
        self.replicas: list[Replica] = []
        self.guarded = True
        """Its operator holds pods by today's policies (the first release's has others)."""
        self._stack = contextlib.AsyncExitStack()

    async def start(
        self,
        *,
        leading: bool = True,
        lease: str = names.LEASE,
        prefix: Sequence[str] = (),
        prepare: Callable[[Proxy], None] = lambda _: None,
        patient: bool = False,
        **change: Any,
    ) -> Replica:
        """One more replica; `leading`: wait until it is at work; `lease`: what its Lease is called; `prefix`: see Release.operator;
        `prepare`: what is done to its proxy before; `patient`: a machine that is busy does not end it, since elections are not what is
        tested."""
        if patient:
            change["lease"] = {"durationSeconds": PATIENT_SECONDS}
        proxy = await self._stack.enter_async_context(Proxy(self.release.plane, lease))
        prepare(proxy)
        replica = Replica(self.release.operator(proxy.url, prefix=prefix, **change), proxy)
        self.replicas.append(replica)
        if leading:
            try:
                await eventually(replica.operator.leads, START_SECONDS)
            except TimeoutError:
                end = replica.operator.log.read_text(errors="replace")[-3000:]
                raise AssertionError(
                    f"the operator is not at work after {START_SECONDS:g} s; the end of its log:\n{end}"
                ) from None
        return replica

    async def alone(self, **change: Any) -> Replica:
        """The only replica, at work."""
        self.stop()
        await self.expire_lease()
        return await self.start(**change)

    def stop(self) -> None:
        """Kill all replicas."""
        for replica in self.replicas:
            if replica.operator.alive:
                replica.operator.kill()
        self.replicas.clear()

    async def expire_lease(self) -> None:
        """As if the time of a holder that was killed had passed."""
        with contextlib.suppress(ApiError):
            await self.api.request("DELETE", LEASE)

    async def close(self) -> None:
        """Everything ends."""
        self.stop()
        await self._stack.aclose()

    @contextlib.asynccontextmanager
    async def as_operator(self) -> AsyncIterator[KubeApi]:
        """A client with the operator's own rights: one that has gone mad, or whoever has its credentials."""

        async def authorization() -> Redacted:
            return Redacted(f"Bearer {self.release.token}")

        async with KubeApi(Access(self.release.plane.url, self.release.plane.trust(), authorization)) as api:
            yield api

    @contextlib.asynccontextmanager
    async def as_collector(self) -> AsyncIterator[KubeApi]:
        """A client of the garbage collector's name, with all rights: what no admission policy of the chart may hold back."""
        account, home = "generic-garbage-collector", "kube-system"
        self.release.plane.kubectl("apply", "-f", "-", stdin=json.dumps(_all_rights(account, home)))
        path = f"{paths.core('serviceaccounts', home, account)}/token"
        body = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {"expirationSeconds": 3600}}
        token = (await self.api.request("POST", path, body=body))["status"]["token"]

        async def authorization() -> Redacted:
            return Redacted(f"Bearer {token}")

        async with KubeApi(Access(self.release.plane.url, self.release.plane.trust(), authorization)) as api:
            yield api

    async def namespace(self) -> str:
        """A new one, with GatewayConfigs and Secrets."""
        name = f"chaos-{uuid.uuid4().hex[:8]}"
        await make_namespace(self.api, name)
        return name

    async def create(self, namespace: str, name: str = "agent", **spec: Any) -> None:
        """A Devbox with two gateways."""
        await self.api.request("POST", paths.devboxes(namespace), body=devbox(namespace, name, **spec))

    async def collector_is_ready(self, space: str = "") -> None:
        """The garbage collector of a control plane that has just begun learns of Devboxes within half a minute. (An operator works.)"""
        space = space or await self.namespace()
        await self.create(space)
        assert await self.converged(space) is not None, await self.problems(space)
        await self.api.request("DELETE", paths.devboxes(space, "agent"))
        assert await self.gone(space) is not None

    async def patch(self, path: str, body: Object) -> None:
        """As a merge patch."""
        await self.api.request("PATCH", path, body=body, content_type=MERGE_PATCH)

    async def get(self, path: str) -> Object | None:
        """An object, or None."""
        try:
            return await self.api.request("GET", path)
        except ApiError as error:
            if error.not_found:
                return None
            raise

    async def pods(self, namespace: str) -> list[Object]:
        """The devbox pods of a namespace."""
        return (await self.api.list(paths.pods(namespace), {"labelSelector": names.DEVBOX_LABEL}))[0]

    async def problems(self, namespace: str, name: str = "agent") -> list[str]:
        """What is not as it should be of a Devbox whose gate should be open. Empty: it has converged."""
        return [problem async for problem in self._problems(namespace, name)]

    async def _problems(self, namespace: str, name: str) -> AsyncGenerator[str, None]:
        """One after the other: who waits for the end of them asks for no more than the first."""
        pods = await self.pods(namespace)
        box = await self.get(paths.devboxes(namespace, name))
        if box is None or len(pods) != 1:
            yield f"{len(pods)} pods"
            return
        pod = pods[0]
        if pod["spec"].get("schedulingGates"):
            yield "gated"
        metadata, status = pod["metadata"], box.get("status") or {}
        if status.get("podUID") != metadata["uid"]:
            yield "status.podUID"
        if status.get("observedGeneration") != box["metadata"]["generation"]:
            yield "observedGeneration"
        if box["metadata"].get("finalizers"):
            yield "finalizer"
        for problem in await self.unconfined(namespace, pod) if self.guarded else ():
            yield problem
        for problem in await self._tokens(namespace, metadata["name"], metadata["uid"], set(box_gateways(box))):
            yield problem
        for problem in await self._workspace(box) if box["spec"].get("workspace") else ():
            yield problem
        listed = await leftovers(self.api, of_namespace=namespace)
        expected = {"Pod": 1, "NetworkPolicy": 1, "token Secret": 1, "ServiceAccount": 1, "CA bundle": 1, names.ROUTE_TYPE: 1}
        expected |= {names.GATEWAY_TYPE: len(box_gateways(box)), names.CREDENTIAL_TYPE: len(box_gateways(box))}
        expected |= {"claim": 1} if box["spec"].get("workspace") else {}
        if listed != expected:
            yield f"objects: {listed}"

    async def unconfined(self, namespace: str, pod: Object) -> list[str]:
        """What is missing of what holds a pod: two policies, and what they say, in words of the test's own."""
        name, uid = pod["metadata"]["name"], pod["metadata"]["uid"]
        own = await self.get(paths.networkpolicies(namespace, name))
        deny = await self.get(paths.networkpolicies(namespace, names.DENY_POLICY))
        found = []
        if own is None or own["spec"] != _allows_the_gateway_alone(pod["metadata"]["labels"][names.DEVBOX_LABEL]):
            found.append("no NetworkPolicy" if own is None else "the NetworkPolicy says something else")
        elif [owner["uid"] for owner in own["metadata"].get("ownerReferences", ())] != [uid]:
            found.append("the NetworkPolicy is another pod's")
        if deny is None or deny["spec"] != ALLOWS_NOTHING or deny["metadata"].get("ownerReferences"):
            found.append("nothing denies the namespace's devboxes everything")
        return found

    async def _tokens(self, namespace: str, pod: str, uid: str, wanted: set[str]) -> list[str]:
        """Every token in the Secret is listed in the Route."""
        secret = await self.get(paths.secrets(namespace, pod))
        route = await self.get(paths.secrets(CREDENTIALS, f"route-{uid}"))
        if secret is None or route is None:
            return ["no token Secret" if secret is None else "no Route"]
        try:
            content = json.loads(base64.b64decode(route["data"][names.ROUTE_KEY]))
        except ValueError:
            return ["the Route can't be read"]
        bindings = {binding["name"]: binding for binding in content["bindings"]}
        found = [] if set(bindings) == wanted else [f"bindings {sorted(bindings)}"]
        for name in wanted & set(bindings):
            token = base64.b64decode(secret["data"].get(name, "")).decode().removeprefix(names.TOKEN_PREFIX)
            if names.token_digest(token) not in bindings[name]["digests"]:
                found.append(f"the token of {name} is not listed")
        return found

    async def _workspace(self, box: Object) -> list[str]:
        """The only claim is as its Devbox says."""
        namespace, wanted = box["metadata"]["namespace"], box["spec"]["workspace"]
        claims = (await self.api.list(paths.core("persistentvolumeclaims", namespace)))[0]
        if len(claims) != 1:
            return [f"{len(claims)} claims"]
        metadata, spec, shown = claims[0]["metadata"], claims[0]["spec"], box["status"].get("workspace") or {}
        size, owned = spec["resources"]["requests"]["storage"], bool(metadata.get("ownerReferences"))
        found = [] if size == shown.get("size") == wanted["size"] else [f"size {size}, shown {shown.get('size')}"]
        if (owned, shown.get("retain")) != (wanted["retain"] == "Delete", wanted["retain"]):
            found.append(f"owned: {owned}, shown {shown.get('retain')}")
        return found

    async def holds(self, namespace: str, secret: str, value: str) -> bool:
        """The mirrored credential of a Secret's key `key` has the value."""
        item = await self.get(paths.secrets(CREDENTIALS, names.credential_name(namespace, secret, "key")))
        return item is not None and base64.b64decode(item["data"][names.CREDENTIAL_KEY]).decode() == value

    async def converged(self, namespace: str, name: str = "agent", seconds: float = CONVERGE_SECONDS) -> float | None:
        """Seconds until all is as it should be; None if it is not in time."""
        start = now()
        while now() - start < seconds:
            async with contextlib.aclosing(self._problems(namespace, name)) as problems:
                if await anext(problems, None) is None:
                    return now() - start
            await asyncio.sleep(0.1)
        return None

    async def gone(self, namespace: str, seconds: float = CONVERGE_SECONDS) -> float | None:
        """Seconds until nothing of ours is left of a namespace without Devboxes; None if something is."""
        start = now()
        while now() - start < seconds:
            if await nothing_left(self.api, of_namespace=namespace):
                return now() - start
            await asyncio.sleep(0.1)
        return None


def _all_rights(account: str, namespace: str) -> Object:
    subject = {"kind": "ServiceAccount", "name": account, "namespace": namespace}
    role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"}
    items = [
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": account, "namespace": namespace}},
        {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "ClusterRoleBinding",
            "metadata": {"name": f"all-rights-{account}"},
            "roleRef": role,
            "subjects": [subject],
        },
    ]
    return {"apiVersion": "v1", "kind": "List", "items": items}


ALLOWS_NOTHING: Final = {
    "podSelector": {"matchExpressions": [{"key": "devbox-gateway.io/devbox", "operator": "Exists"}]},
    "policyTypes": ["Ingress", "Egress"],
}


def _allows_the_gateway_alone(devbox: str) -> Object:
    gateway = {"app.kubernetes.io/component": "gateway", "app.kubernetes.io/name": "devbox-gateway"}
    home = {"kubernetes.io/metadata.name": NAMESPACE}
    to = {"namespaceSelector": {"matchLabels": home}, "podSelector": {"matchLabels": gateway}}
    ports = [{"protocol": "TCP", "port": port} for port in (8443, 3128)]
    return {
        "podSelector": {"matchLabels": {"devbox-gateway.io/devbox": devbox}},
        "policyTypes": ["Ingress", "Egress"],
        "egress": [{"to": [to], "ports": ports}],
    }


def box_gateways(box: Object) -> list[str]:
    """The NAMEs of its spec."""
    return [gateway["name"] for gateway in box["spec"].get("gateways") or ()]


ALL: Final = list(GATEWAYS)


@contextlib.asynccontextmanager
async def stage(release: Release) -> AsyncIterator[Stage]:
    """On a release that is there."""
    await release.authorise()
    async with release.plane.admin() as api, release.plane.node() as node:
        result = Stage(release, api, node)
        try:
            yield result
        finally:
            await result.close()
