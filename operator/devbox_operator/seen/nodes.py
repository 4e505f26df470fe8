"""A Node, as far as it counts: where it is (floor.py), and whether its kubelet is heard.

Goes in: Nodes, as the API server speaks them. Comes out: `NodeView`. Pure.

A kubelet says every ten seconds that it is there. Where it does not for a while, the node's controller makes the condition Ready Unknown,
and gives pods up after the time that they tolerate that; but their objects stay until the node says that their processes are gone.
"""

from datetime import datetime
from typing import NamedTuple

from devbox_common.kube import Object
from devbox_operator.kit.encoding import parse_time
from devbox_operator.seen import floor


class NodeView(NamedTuple):
    """A Node."""

    place: floor.NodePlace
    silent_since: datetime | None
    """Its kubelet is not heard, or says that it can't do its work; None: it is fine, or nobody has said anything yet."""


def node(item: Object) -> NodeView:
    """From the API's object."""
    conditions = (item.get("status") or {}).get("conditions") or ()
    ready = next((one for one in conditions if one.get("type") == "Ready"), {"status": "True"})
    since = parse_time(ready.get("lastTransitionTime")) or parse_time((item.get("metadata") or {}).get("creationTimestamp"))
    return NodeView(floor.node(item), None if ready.get("status") == "True" else since)
