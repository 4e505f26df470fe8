"""What is found of where the API server is. (tests/chaos/operator/floor.py asks a real one.)"""

import asyncio
from typing import Any

import pytest

from devbox_common.kube import ApiError
from devbox_operator.seen import apiserver
from devbox_operator.seen.apiserver import KEPT_SECONDS, LOOK_SECONDS, ApiServer

KUBECONFIG = "clusters: [{cluster: {server: 'https://10.0.0.100:6443'}, name: ''}]"
ANSWERS: dict[str, Any] = {
    "/api": {"serverAddressByClientCIDRs": [{"clientCIDR": "0.0.0.0/0", "serverAddress": "[2001:DB8::6]:6443"}]},
    "/.well-known/openid-configuration": {
        "issuer": "https://issuer.example",
        "jwks_uri": "https://203.0.113.6:443/openid/v1/jwks",
    },
    "/api/v1/namespaces/kube-public/configmaps/cluster-info": {"data": {"kubeconfig": KUBECONFIG}},
}


class World:
    """An API server, names and a clock."""

    def __init__(self, base: str = "https://10.96.0.1:443") -> None:
        self.base = base
        self.answers: dict[str, Any] = dict(ANSWERS)
        self.names: dict[str, list[str]] = {}
        self.time = 1000.0
        self.asked = 0
        self.server = ApiServer(self, self.resolve, lambda: self.time)  # type: ignore[arg-type]

    async def request(self, method: str, path: str) -> Any:
        self.asked += 1
        assert method == "GET"
        if path not in self.answers:
            raise ApiError(403, "Forbidden", "no")
        return self.answers[path]

    async def resolve(self, host: str) -> list[str]:
        if host not in self.names:
            raise OSError("no such name")
        return self.names[host]

    async def look(self, after: float = LOOK_SECONDS) -> set[str]:
        self.time += after
        await self.server.look()
        return set(self.server.addresses)


async def test_every_address_that_the_api_server_is_known_by_counts() -> None:
    assert await World().look() == {"10.96.0.1", "2001:db8::6", "203.0.113.6", "10.0.0.100"}


async def test_what_is_not_ours_to_see_or_not_what_it_should_be_takes_nothing_from_the_rest() -> None:
    world = World()
    world.answers |= {
        "/api": {"serverAddressByClientCIDRs": None},
        "/api/v1/namespaces/kube-public/configmaps/cluster-info": {"data": {"kubeconfig": "{"}},
    }
    assert await world.look() == {"10.96.0.1", "203.0.113.6"}
    alone = World("https://[fd00::1]:6443")
    alone.answers.clear()
    assert await alone.look() == {"fd00::1"}


async def test_keys_on_another_host_are_no_api_server() -> None:
    world = World()
    world.answers["/.well-known/openid-configuration"] = {"jwks_uri": "https://203.0.113.80/v1/projects/p/jwks"}
    assert "203.0.113.80" not in await world.look()


async def test_a_name_is_followed_and_what_it_led_to_counts_for_an_hour() -> None:
    world = World("https://k8s.corp.example:6443")
    world.answers.clear()
    world.names["k8s.corp.example"] = ["198.51.100.1", "fd00:0::7"]
    assert await world.look() == {"198.51.100.1", "fd00::7"}
    world.names["k8s.corp.example"] = ["198.51.100.2"]
    assert await world.look(LOOK_SECONDS - 1) == {"198.51.100.1", "fd00::7"}, "it is asked once a minute"
    assert await world.look(1) == {"198.51.100.1", "198.51.100.2", "fd00::7"}
    del world.names["k8s.corp.example"]
    assert await world.look(KEPT_SECONDS - 2) == {"198.51.100.2"}
    assert await world.look(LOOK_SECONDS) == set()


async def test_a_name_whose_server_is_silent_holds_nothing_up_for_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(apiserver, "WAIT_SECONDS", 0.05)
    world = World("https://silent.example")

    async def resolve(_: str) -> list[str]:
        await asyncio.sleep(60)
        return []

    world.server = ApiServer(world, resolve, lambda: world.time)  # type: ignore[arg-type]
    async with asyncio.timeout(5):
        assert await world.look() == {"2001:db8::6", "203.0.113.6", "10.0.0.100"}
