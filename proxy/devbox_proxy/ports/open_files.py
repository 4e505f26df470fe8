"""File descriptors: how many each part of the gateway may have, so that clients can never take those that others' requests need.

Goes in: the process's limit and the settings. Comes out: the limits that hold, those of the settings or less, and a share for everything
that opens files. Pure.

A connection of a client counts two: its own and the one that its request, or its tunnel, opens towards an API. So whoever is let in can be
served. What is left is nobody's but the gateway's: for the API server, names, certificates, and what is being closed.
"""

from collections.abc import Mapping
from typing import Final, NamedTuple

from devbox_common import adminport
from devbox_proxy.kit.limiter import MOST, START
from devbox_proxy.kit.lookups import THREADS
from devbox_proxy.ports import activity
from devbox_proxy.settings import EgressSettings, Limits
from devbox_proxy.upstreams.resting import KEPT

LEAST: Final = 512
"""A gateway with fewer is of no use."""
OWN: Final = 64
"""Listening sockets, pipes, the event loop's, certificates, figures of memory."""
FOR_A_LOOKUP: Final = 2
"""Sockets: resolv.conf(5) may name a second server, which is asked when the first says nothing."""
SPARE: Final = 64
"""Connections to the forward proxy beyond the tunnels that there may be: they are told so."""
OF_ALL: Final = 4
"""A devbox has this part of a port at most, where the limit of open files makes the port's limit smaller than the settings."""
CANARY: Final = 256
"""Clients that are told so at a time."""
BRIEF: Final = adminport.CONNECTIONS + 2 * activity.BOUNDS.connections
"""Clients of the admin port, and of the activity port, each of which may cost a TokenReview."""
ATTEMPTS: Final = 512
"""Connections that are tried beside others."""


class Shares(NamedTuple):
    """File descriptors, by what for."""

    limit: int
    connections: int
    """Of clients, on the data port; as many towards APIs."""
    tunnels: int
    """Likewise, on the forward proxy's."""
    spare: int
    """Connections there beyond these."""
    connections_per_devbox: int
    tunnels_per_devbox: int
    kept: int
    """Idle connections to APIs."""
    attempts: int
    """Connections that are tried beside a first one, where a host has several addresses."""
    lookups: int
    """Threads that ask for names, of each of the two kinds."""
    canary: int
    questions: int
    """TokenReviews at a time."""
    lowered: Mapping[str, tuple[int, int]]
    """Settings that are more than there is room for, by name: what they say, and what holds."""

    @property
    def sockets(self) -> int:
        """Places on the forward proxy's port."""
        return self.tunnels + self.spare

    def limits(self, settings: Limits) -> Limits:
        """What holds on the data port."""
        return settings.model_copy(
            update={
                "connections": self.connections,
                "connections_per_devbox": self.connections_per_devbox,
                "requests": min(settings.requests, self.connections),
                "requests_per_devbox": min(settings.requests_per_devbox, self.connections_per_devbox),
            }
        )

    def egress(self, settings: EgressSettings) -> EgressSettings:
        """And on the forward proxy's."""
        return settings.model_copy(update={"tunnels": self.tunnels, "tunnels_per_devbox": self.tunnels_per_devbox})


def shares(limit: int, limits: Limits, egress: EgressSettings, namespaces: int) -> Shares:
    """`limit`: the process's; `namespaces`: so many are watched by themselves. Raises ValueError where it is too low to serve anybody."""
    if limit < LEAST:
        raise ValueError(
            f"the limit of open files is {limit}, and the gateway needs {LEAST} at least; raise it where the container runtime sets it, "
            "such as LimitNOFILE= of containerd.service, and restart the pod"
        )
    lookups = min(THREADS, limit // 64)
    attempts = min(ATTEMPTS, limit // 16)
    canary = min(CANARY, limit // 32)
    closing = min(1024, limit // 32)
    questions = max(START, min(MOST, limit // 64))
    cluster = questions + 8 + 2 * namespaces
    reserve = OWN + cluster + 2 * lookups * FOR_A_LOOKUP + attempts + BRIEF + canary + closing + SPARE
    rest = limit - reserve
    kept = min(KEPT, rest // 8)
    pairs = (rest - kept) // 2
    if pairs < 2:
        raise ValueError(
            f"the limit of open files is {limit}, of which {reserve} are needed besides those for devboxes ({namespaces} watchNamespaces); "
            "raise it where the container runtime sets it, such as LimitNOFILE= of containerd.service, and restart the pod"
        )
    wanted = limits.connections + egress.tunnels
    connections, tunnels = limits.connections, egress.tunnels
    if wanted > pairs:
        tunnels = min(egress.tunnels, max(1, pairs * egress.tunnels // wanted))
        connections = min(limits.connections, pairs - tunnels)
    found = {
        "limits.connections": (limits.connections, connections),
        "limits.connectionsPerDevbox": (
            limits.connections_per_devbox,
            _part(limits.connections, connections, limits.connections_per_devbox),
        ),
        "egress.tunnels": (egress.tunnels, tunnels),
        "egress.tunnelsPerDevbox": (egress.tunnels_per_devbox, _part(egress.tunnels, tunnels, egress.tunnels_per_devbox)),
    }
    return Shares(
        limit=limit,
        connections=connections,
        tunnels=tunnels,
        spare=SPARE,
        connections_per_devbox=found["limits.connectionsPerDevbox"][1],
        tunnels_per_devbox=found["egress.tunnelsPerDevbox"][1],
        kept=kept,
        attempts=attempts,
        lookups=lookups,
        canary=canary,
        questions=questions,
        lowered={name: both for name, both in found.items() if both[1] < both[0]},
    )


def _part(said: int, holds: int, per_devbox: int) -> int:
    """Of one devbox: what the settings say, unless all of them have less than that."""
    return per_devbox if holds >= said else min(per_devbox, max(1, holds // OF_ALL))


def needed(limits: Limits, egress: EgressSettings, namespaces: int) -> int:
    """The limit from which the settings hold as they are."""
    low, high = LEAST, 1 << 40
    while low < high:
        middle = (low + high) // 2
        if _fits(middle, limits, egress, namespaces):
            high = middle
        else:
            low = middle + 1
    return low


def _fits(limit: int, limits: Limits, egress: EgressSettings, namespaces: int) -> bool:
    try:
        return not shares(limit, limits, egress, namespaces).lowered
    except ValueError:
        return False
