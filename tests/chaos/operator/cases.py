"""The operator's faults by name, each on a control plane of its own."""

import sys
from collections.abc import Callable, Coroutine, Mapping
from typing import Any, Final

from tests.chaos.report import Row
from tests.support.release import installed

from . import (
    addresses,
    blind,
    changes,
    clocks,
    deletion_orders,
    faults,
    floor,
    idle,
    kills,
    leaf_renewal,
    lifetimes,
    manual_edits,
    nodes,
    orphans,
    pace,
    pauses,
    pod_failures,
    replicas,
    secrets,
    storm,
    suspensions,
    tokens,
    two_api_servers,
    two_operators,
    uninstall,
    unwatched,
)
from .stage import Stage, stage

Case = Callable[[Stage, bool], Coroutine[Any, Any, list[Row]]]
STAGED: Final[dict[str, Case]] = {
    "operator-kills": kills.kills,
    "operator-manual-edits": manual_edits.manual_edits,
    "operator-killed": replicas.killed,
    "operator-ended": replicas.ended,
    "operator-stopped": replicas.stopped,
    "operator-unheard": replicas.unheard,
    "operator-errors": faults.errors,
    "operator-refused": faults.refused,
    "operator-expired": faults.expired,
    "operator-silent": faults.silent,
    "gateway-silent": unwatched.silent,
    "gateway-blind": blind.blind,
    "two-operators": two_operators.two_operators,
    "clocks": clocks.clocks,
    "pauses": pauses.pauses,
    "addresses": addresses.addresses,
    "operator-floor": floor.floor,
    "operator-lost": faults.lost,
    "operator-absent": faults.absent,
    "operator-storm": storm.storm,
    "operator-tokens": tokens.life,
    "operator-deletion-orders": deletion_orders.deletion_orders,
    "operator-orphans": orphans.orphans,
    "operator-leaf-renewal": leaf_renewal.leaf_renewal,
    "operator-changes": changes.changes,
    "operator-lifetimes": lifetimes.lifetimes,
    "operator-idle": idle.idle,
    "operator-pod-failures": pod_failures.pod_failures,
    "operator-suspended": suspensions.suspensions,
    "secret-forbidden": secrets.taken_back,
    "secret-refused-for-a-moment": secrets.restarted,
    "secret-invalid": secrets.rotated,
    "secret-not-granted": secrets.withheld,
    "operator-uninstalled": uninstall.uninstall,
    "operator-pace": pace.pace,
    "two-api-servers": two_api_servers.two_api_servers,
}
LONG_ONLY: Final = {"operator-silent", "gateway-silent", "operator-storm", "operator-pace", "operator-idle"}
"""A silence is noticed after 70 s, and nobody is idle in less than a minute: no tests of seconds. (test_idle.py has Devboxes that were
idle for long.) The storm's own proxy, an aiohttp server on uvloop, can meet a descriptor that is closed already when it cuts connections,
and leaves its loop unfit to close: not among others in one process. Hundreds of Devboxes at the collector's own pace take minutes."""

LOG_CHARACTERS: Final = 4000
"""Of each operator, where a case could not be run to its end."""


def alone(case: Case, flags: Mapping[str, Mapping[str, str]] | None = None) -> Callable[[bool], Coroutine[Any, Any, list[Row]]]:
    """With a control plane for itself."""

    async def run(long: bool) -> list[Row]:
        with installed(flags) as release:
            try:
                async with stage(release) as made:
                    return await case(made, long)
            except BaseException:
                for operator in release.operators:
                    end = operator.log.read_text(errors="replace")[-LOG_CHARACTERS:]
                    print(f"the end of {operator.log.name}:\n{end}", file=sys.stderr)  # noqa: T201 (with the traceback)
                raise

    return run


CASES: Final = {
    **{name: alone(case) for name, case in STAGED.items()},
    "operator-node-lost": alone(nodes.lost, nodes.FLAGS),
}
