"""Whether a connection that rests may still serve anybody."""

from collections import Counter
from collections.abc import Callable

import pytest

from devbox_api.judge.policies import networks
from devbox_api.route import Auth, GatewayDocument
from devbox_common.ranges import Ranges
from devbox_common.redacted import Redacted
from devbox_proxy.known.apis import compile_gateway
from devbox_proxy.known.credentials import Credential
from devbox_proxy.known.facts import Known
from devbox_proxy.known.floor import Floor
from devbox_proxy.upstreams.current import ADDRESSES, Current
from devbox_proxy.upstreams.dial_check import Resolver, UpstreamReach

HOST, ADDRESS, INSIDE = "api.example", "93.184.216.34", "10.1.0.7"


class Facts:
    """One API, one credential, the floor."""

    def __init__(self, reach: UpstreamReach | None = None) -> None:
        self.known = Known()
        self.floor: Floor | None = Floor()
        self.resolver = Resolver(reach or UpstreamReach(), lambda: self.floor)
        self.current = Current(self.known, lambda: self.floor, self.resolver.reaches)
        self.document()
        self.credential()

    def document(self, endpoint: str = f"https://{HOST}", uid: str = "uid-1", **changed: object) -> None:
        document = GatewayDocument(name="g", namespace="n", uid=uid, endpoint=endpoint, auth=Auth(type="Bearer"))
        self.known.gateways["gateway-1"] = compile_gateway(document.model_copy(update=changed))
        self.known.documents += 1

    def credential(self, version: str = "1") -> None:
        self.known.credentials["credential-1"] = Credential("credential-1", version, Redacted("sk-1"), (HOST,))
        self.known.documents += 1

    def holds(self, address: str = ADDRESS) -> bool:
        self.current.state()
        return self.current.holds(self.key, HOST, address)

    def dialled(self) -> None:
        """With what is known now."""
        api = self.known.gateways["gateway-1"]
        assert api is not None
        self.key = self.known.credentials["credential-1"].at(api).pool_of("team-a")


def no_gateway(facts: Facts) -> None:
    del facts.known.gateways["gateway-1"]
    facts.known.documents += 1


def unreadable(facts: Facts) -> None:
    facts.known.gateways["gateway-1"] = None
    facts.known.documents += 1


def no_credential(facts: Facts) -> None:
    del facts.known.credentials["credential-1"]


def in_the_cluster(facts: Facts) -> None:
    facts.floor = Floor(ranges=Ranges.of(networks((f"{ADDRESS}/32",))))


def closed(facts: Facts) -> None:
    facts.floor = Floor(closed=Ranges.of(networks((f"{ADDRESS}/32",))))


def lost(facts: Facts) -> None:
    facts.floor = None


@pytest.mark.parametrize(
    "change",
    [
        no_gateway,
        unreadable,
        no_credential,
        in_the_cluster,
        closed,
        lost,
        lambda facts: facts.credential("2"),
        lambda facts: facts.document("https://api.example:8443"),
        lambda facts: facts.document("https://other.example"),
        lambda facts: facts.document("http://api.example"),
        lambda facts: facts.document(uid="uid-2"),
    ],
)
def test_what_it_was_dialled_with_is_gone(change: Callable[[Facts], None]) -> None:
    facts = Facts()
    facts.dialled()
    before = facts.current.state()
    assert facts.holds()
    change(facts)
    assert not facts.holds()
    assert change is no_credential or facts.current.state() != before


def test_what_changes_no_connection_closes_none() -> None:
    facts = Facts()
    facts.dialled()
    state = facts.current.state()
    assert facts.current.state() == state, "nothing has changed"
    facts.document(max_request_body=7)
    assert facts.current.state() == state + 1
    assert facts.holds()
    facts.floor = Floor(ranges=Ranges.of(networks(("10.0.0.0/8",))))
    assert facts.holds()


def test_an_address_that_the_administrator_allowed() -> None:
    for reach in (UpstreamReach(allowed_hosts=(HOST,)), UpstreamReach(overrides=((HOST, INSIDE, None),))):
        facts = Facts(reach)
        facts.dialled()
        assert facts.holds(INSIDE)
        facts.floor = Floor(addresses=frozenset({INSIDE}))
        assert not facts.holds(INSIDE), "nothing lifts the floor"
    assert not Facts().resolver.reaches(HOST, INSIDE)


def test_a_host_with_any_number_of_addresses_takes_no_memory_for_each() -> None:
    asked = Counter[str]()
    current = Current(Known(), Floor, lambda host, address: bool(asked.update([address])) or address != INSIDE)
    for number in range(3 * ADDRESSES):
        assert current.leads(HOST, f"2001:db8::{number:x}")
        assert current.leads(HOST, ADDRESS)
        assert not current.leads(HOST, INSIDE)
    assert asked[ADDRESS] == asked[INSIDE] == 4
