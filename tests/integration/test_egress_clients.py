"""What agents install and fetch things with, unchanged, through the forward proxy: it works when the EgressPolicy names the host, and is
refused, in the client's own words, when the name is taken away. The words are docs/egress-clients.md's.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from tests.support import NAMESPACES
from tests.support.egress_clients import CLIENTS, Client
from tests.support.standins import hosts
from tests.support.workspace import Workspace

from devbox_api import names
from devbox_stage.kubectl import Kubectl, Object, Result
from devbox_stage.upstream import Upstream
from devbox_stage.waiting import NotYet, wait_for

each = pytest.mark.parametrize("client", CLIENTS, ids=lambda client: client.name)


@dataclass(frozen=True)
class Box:
    """A devbox of the image tools with an EgressPolicy."""

    home: Workspace
    pod: str

    def run(self, client: Client) -> Result:
        """In an empty folder, with the devbox's own environment."""
        return self.home.exec(self.pod, ["sh", "-ec", f"cd $(mktemp -d); export HOME=$PWD; {client.script}"], check=False)

    def allow(self, *allowed: str) -> None:
        """From now on these hosts and no others; in force when this returns."""
        self.home.apply(policy(*allowed))
        wanted = 0 if hosts.PAGE in allowed else 56

        def attempt() -> None:
            if (code := self.home.exec(self.pod, ["curl", "-sS", f"https://{hosts.PAGE}/"], check=False).code) != wanted:
                raise NotYet(f"curl ends with {code}")

        wait_for(f"the policy allows {allowed}", attempt, seconds=10)


def policy(*allowed: str) -> Object:
    """The EgressPolicy `packages`."""
    spec = {"allowedHostnames": list(allowed)}
    return {"apiVersion": names.API_VERSION, "kind": "EgressPolicy", "metadata": {"name": "packages"}, "spec": spec}


@pytest.fixture(scope="module")
def box(cluster: Kubectl, upstream: Upstream, tools_image: str, registries: str, release: None) -> Iterator[Box]:
    """A Ready one, which may reach every registry."""
    home = Workspace(cluster, upstream)
    home.create()
    try:
        home.apply(policy(*hosts.ALL))
        home.devbox(gateways=[], image=tools_image, egressPolicyRef={"name": "packages"})
        made = Box(home, home.ready())
        made.allow(*hosts.ALL)
        yield made
    finally:
        home.delete()


@pytest.fixture(scope="module")
def confined(box: Box) -> Iterator[Box]:
    """The same after the names were taken away."""
    box.allow("elsewhere.example")
    yield box
    box.allow(*hosts.ALL)


@pytest.fixture(autouse=True)
def told(box: Box, request: pytest.FixtureRequest) -> None:
    """Where to look if it fails."""
    request.node.stash.setdefault(NAMESPACES, []).append(box.home.name)


class TestAllowed:
    """While the policy names the hosts."""

    @each
    def test_a_client_gets_what_it_asks_for(self, box: Box, client: Client) -> None:
        result = box.run(client)
        assert result.code == 0, result.err[-2000:]
        assert hosts.GREETING in result.out

    def test_the_devbox_resolves_no_names(self, box: Box) -> None:
        """So the above went through the proxy."""
        past = box.home.exec(box.pod, ["curl", "-sS", "--noproxy", "*", f"https://{hosts.PAGE}/"], check=False)
        assert past.code == 6, past.err


class TestTakenAway:
    """After the same running devbox's policy lost them."""

    @each
    def test_a_client_says_that_it_was_refused(self, confined: Box, client: Client) -> None:
        result = confined.run(client)
        assert result.code != 0
        assert hosts.GREETING not in result.out
        assert re.search(client.refused, result.out + result.err), (result.out + result.err)[-2000:]
        token = confined.home.sh(confined.pod, 'echo "$HTTPS_PROXY"').partition("gws_")[2].partition("@")[0]
        assert token
        assert token not in result.out + result.err, "the client printed the token"
