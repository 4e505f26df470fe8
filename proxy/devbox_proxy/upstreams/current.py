"""Whether a connection that rests may still serve anybody: its credential, its API's address and its trust are what they were.

Goes in: what is known, a pool key, the address that was dialled. Comes out: yes or no. Pure: pool.py asks twice a second and closes.
A key of yesterday is asked for by nobody; but what was dialled with a grant, an endpoint, roots or a range that are gone is not to
stay open either. An address may be one of yesterday whatever the key is, and what is hardly ever at rest is hardly ever looked at: so
pool.py asks about it before each use as well.
"""

from collections.abc import Callable
from typing import Final

from devbox_proxy.known.credentials import PoolKey
from devbox_proxy.known.facts import Known
from devbox_proxy.known.floor import Floor

ADDRESSES: Final = 8192
"""Of which it is remembered whether they may be reached: whoever answers for a host's name can give it any number."""


class Current:
    """A judge of connections. Between two changes it says the same."""

    def __init__(self, known: Known, floor: Callable[[], Floor | None], reaches: Callable[[str, str], bool]) -> None:
        """`floor`: what nothing leads to, as it is now; `reaches(host, address)`: that host may (still) lead to that address."""
        self._known = known
        self._floor = floor
        self._reaches = reaches
        self._seen: tuple[int, Floor | None] | None = None
        self._state = 0
        self._apis: set[tuple[str, str, str]] = set()
        """UID of a GatewayConfig, origin, roots."""
        self._addresses: dict[tuple[str, str], bool] = {}

    def state(self) -> int:
        """Another number than before: what was judged may be judged otherwise by now. To be asked before `holds`."""
        documents, floor = self._known.documents, self._floor()
        seen = self._seen
        if seen is None or seen[0] != documents or seen[1] is not floor:
            self._seen = documents, floor
            self._state += 1
            self._apis = {(api.uid, api.origin, api.trust) for api in self._known.gateways.values() if api is not None}
            self._addresses = {}
        return self._state

    def holds(self, key: PoolKey, host: str, address: str) -> bool:
        """A request may have this key, and a dial for it would be allowed to come to this address."""
        credential = self._known.credentials.get(key.credential)
        if credential is None or credential.version != key.version:
            return False
        return (key.config, key.origin, key.trust) in self._apis and self.leads(host, address)

    def leads(self, host: str, address: str) -> bool:
        """A dial of this host would be allowed to come to this address, as of the last `state`."""
        reached = self._addresses.get((host, address))
        if reached is None:
            if len(self._addresses) >= ADDRESSES:
                self._addresses = {}
            reached = self._addresses[host, address] = self._reaches(host, address)
        return reached
