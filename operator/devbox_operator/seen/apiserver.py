"""Where the API server can be reached besides its own Service and EndpointSlice: the virtual address of a control plane, the public
endpoint of a managed one, a load balancer.

Goes in: what the API server says of itself to everybody, and how the operator itself reaches it. Comes out: addresses, for the floor;
names are resolved, and followed.

What a cluster does not tell (a second public endpoint, say) nobody can find: the chart's floor.extraCIDRs has it.
"""

import asyncio
import contextlib
import socket
import time
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, Final
from urllib.parse import urlsplit

import structlog
import yaml

from devbox_common.kube import ApiError, KubeApi
from devbox_common.stuck_lookups import StuckLookups
from devbox_operator.kit import paths
from devbox_operator.seen import floor

log = structlog.get_logger()

LOOK_SECONDS: Final = 60.0
"""A name's addresses may change that often."""
WAIT_SECONDS: Final = 5.0
"""For all of it: what the floor document says else does not wait longer."""
KEPT_SECONDS: Final = 3600.0
"""An address that was not seen again counts for so long: names of load balancers lead to some of theirs in turns."""
Resolve = Callable[[str], Awaitable[Iterable[str]]]


async def resolve(host: str) -> list[str]:
    """As the operator's own connections do. Raises OSError."""
    infos = await asyncio.get_running_loop().getaddrinfo(host, None, type=socket.SOCK_STREAM)
    return [str(info[4][0]) for info in infos]


class ApiServer:
    """The API server's addresses, as far as they can be found."""

    def __init__(self, api: KubeApi, resolve: Resolve = resolve, now: Callable[[], float] = time.monotonic) -> None:
        self._api, self._resolve, self._now = api, resolve, now
        self._seen: dict[str, float] = {}
        """By address: when it was seen last."""
        self._looked = -LOOK_SECONDS
        self._stuck = StuckLookups()

    @property
    def addresses(self) -> frozenset[str]:
        """Those that count now."""
        oldest = self._now() - KEPT_SECONDS
        return frozenset(address for address, seen in self._seen.items() if seen > oldest)

    async def look(self) -> None:
        """Ask again, if it is time. What can't be asked, or has no answer, is left out."""
        if self._now() - self._looked < LOOK_SECONDS:
            return
        self._looked = self._now()
        # Lookups of the last time that still wait have threads that everything else needs; and this can't wait for one.
        self._stuck.look()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(WAIT_SECONDS), asyncio.TaskGroup() as tasks:
                for source in (self._own, self._advertised, self._keys, self._cluster_info):
                    tasks.create_task(self._take(source))
        kept = self.addresses
        self._seen = {address: seen for address, seen in self._seen.items() if address in kept}

    async def _take(self, source: Callable[[], Awaitable[Iterable[str]]]) -> None:
        try:
            hosts = await source()
        except (
            ApiError,
            yaml.YAMLError,
            AttributeError,
            KeyError,
            TypeError,
            ValueError,
        ):  # not there, not ours to see, not what it should be
            return
        for host in hosts:
            address = floor.written(host)
            try:
                found = [address] if address else map(floor.written, await self._resolve(host))
            except (OSError, UnicodeError):
                continue
            self._seen |= dict.fromkeys((each for each in found if each), self._now())

    async def _own(self) -> list[str]:
        """Where the operator itself asks."""
        return _host(self._api.base)

    async def _advertised(self) -> list[str]:
        """What the API server tells clients of where it is (its --external-hostname or --advertise-address)."""
        answer = await self._api.request("GET", "/api")
        entries: Any = answer["serverAddressByClientCIDRs"]
        return [host for entry in entries for host in _host(f"//{entry['serverAddress']}")]

    async def _keys(self) -> list[str]:
        """Where it says that its keys for service accounts are, if that is itself. (Clouds also name a host of theirs, which may be one of
        many services that share their addresses.)"""
        answer = await self._api.request("GET", "/.well-known/openid-configuration")
        url = str(answer["jwks_uri"])
        return _host(url) if urlsplit(url).path == "/openid/v1/jwks" else []

    async def _cluster_info(self) -> list[str]:
        """Where kubeadm tells new nodes to go: the control plane's virtual address or name."""
        answer = await self._api.request("GET", paths.core("configmaps", "kube-public", "cluster-info"))
        kubeconfig: Any = yaml.safe_load(answer["data"]["kubeconfig"])
        return [host for cluster in kubeconfig["clusters"] for host in _host(str(cluster["cluster"]["server"]))]


def _host(url: str) -> list[str]:
    host = urlsplit(url).hostname
    return [host] if host else []
