"""What every reconciler works with, in one hand."""

from dataclasses import dataclass

from devbox_operator.kit.queue import WorkQueue
from devbox_operator.kit.writer import Writer
from devbox_operator.seen.index import Index
from devbox_operator.seen.keys import WorkKey
from devbox_operator.settings import Settings
from devbox_operator.watch.activity import ActivityWatch
from devbox_operator.watch.dials import DialWatch
from devbox_operator.watch.mirrors import Watches
from devbox_operator.watch.observe import Observer


@dataclass(frozen=True)
class Tools:
    """Made once, by the leader."""

    observer: Observer
    """Reads what is read live, and snapshots."""
    watches: Watches
    """What is mirrored."""
    index: Index
    """Who refers to whom."""
    writer: Writer
    """Every write."""
    settings: Settings
    queue: WorkQueue[WorkKey]
    """Whom to look at next."""
    activity: ActivityWatch
    """When devboxes were last in use."""
    dials: DialWatch
    """What gateways found at their last dials."""
