"""All faults, by the name that `make chaos CASES=…` and the tests use. Each takes `long`, and gives its rows."""

from collections.abc import Callable, Coroutine
from typing import Any, Final

from . import (
    answers,
    costs,
    crowded,
    crowds,
    files,
    identity,
    limits,
    names,
    outage,
    restarts,
    rests,
    rests_ends,
    takeover,
    upstream_faults,
)
from .operator import cases as operator
from .operator import upgrades
from .report import Row

CASES: Final[dict[str, Callable[[bool], Coroutine[Any, Any, list[Row]]]]] = {
    "rolling": restarts.rolling,
    "killed": restarts.killed,
    "replica-killed": takeover.killed,
    "replica-replaced": takeover.rolled,
    "review-faults": takeover.faults,
    "memory": crowds.memory,
    "slow": upstream_faults.slow,
    "resets": upstream_faults.resets,
    "keepalive": upstream_faults.keepalive_race,
    "rests": rests.race,
    "rests-agent": rests.agent,
    "rests-revoked": rests_ends.revoked,
    "rests-crowded": rests_ends.crowded,
    "rests-stopped": rests_ends.stood_still,
    "readers": crowds.readers,
    "canary-crowded": crowded.canary,
    "streams": crowds.idle_streams,
    "vanishing": upstream_faults.vanishing,
    "names": names.names,
    "answers": answers.answers,
    "neighbour": crowds.neighbour,
    "flood": identity.flood,
    "revocation": identity.revocation,
    "states": identity.states,
    "outage-killed": outage.killed,
    "outage-stopped": outage.stopped,
    "limits": limits.per_client,
    "limits-in-all": limits.in_all,
    "sizes": limits.sizes,
    "files": files.files,
    "costs": costs.costs,
    **operator.CASES,
    "upgrade": upgrades.upgrade,
}
ON_A_CONTROL_PLANE: Final = {*operator.CASES, "upgrade"}
ON_ASYNCIO: Final = {"files"}
"""Uvloop can't close a loop whose connections were cut in the midst of a TLS handshake."""
ASK_DNS: Final = {"names", "answers"}
"""Each brings the name server, and there is one address for it in a namespace: never two at a time."""
LONG_ONLY: Final = {"upgrade"}
"""It has a control plane of its own, takes more than a minute, and needs the history back to the first release."""
