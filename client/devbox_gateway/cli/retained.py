"""Where the files of a deleted devbox's workspace stay, if they do, and how they are deleted.

Goes in: the Devbox as it was seen last. Comes out: a sentence, with a line to paste.
"""

from collections.abc import Mapping
from typing import Any

from devbox_api.judge.shown import command

from .plain import cell


def kept_by(seen: Mapping[str, Any]) -> str | None:
    """Of a Devbox that was deleted, as it was seen last: where its workspace's files stay; None: nowhere."""
    work = (seen.get("status") or {}).get("workspace") or {}
    if work.get("retain") != "Retain":
        return None
    name, namespace = str(work.get("claimName", "")), str(seen["metadata"]["namespace"])
    devbox = cell(seen["metadata"]["name"])
    size = cell(work.get("capacity") or work.get("size") or "")
    return (
        f"the files of devbox {devbox} stay in PersistentVolumeClaim {cell(name)} ({size}); to delete them, for good: "
        + command("kubectl", "-n", namespace, "delete", "pvc", name)
    )
