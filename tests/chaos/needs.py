"""`python -m tests.chaos.needs`: get what the operator's faults run on.

A network of their own, in which they run, leads nowhere: it has to be done before.
"""

import sys
from typing import Final

from tests.support.control_plane import prepare

from devbox_cluster import packages
from devbox_cluster.progress import ClusterError

PROGRAMS: Final = {"faketime": "faketime", "gcc": "gcc"}


def get() -> None:
    """Install and build what is missing. Raises ClusterError."""
    packages.need(PROGRAMS)
    prepare()


if __name__ == "__main__":
    try:
        get()
    except ClusterError as error:
        sys.exit(f"chaos: {error}")
