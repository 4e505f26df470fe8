"""What kopf does for us: it watches, and each event puts a key into the queue. Nothing else.

Only `@kopf.on.event`: kopf's other handlers would put finalizers and annotations onto users' objects. (`posting` and peering are
off for the same reason.) Truth is read anew by each reconcile; an event that is lost is made up for by the sweep.
"""

import os
from collections.abc import Callable
from typing import Any

import kopf

from devbox_api import names
from devbox_operator.seen.keys import Key, Kind, WorkKey
from devbox_operator.settings import Settings

Add = Callable[[WorkKey], None]


class _NoDiffs(kopf.DiffBaseStorage):
    """Kopf works out of every event what changed since handlers last succeeded, of which we have none: most of an event's price."""

    def build(self, **_: Any) -> kopf.BodyEssence:
        return kopf.BodyEssence({})

    def fetch(self, **_: Any) -> kopf.BodyEssence | None:
        return None

    def store(self, **_: Any) -> None:
        return None


def registry(
    add: Add, namespace_changed: Callable[[str, bool], None], ours: Callable[[Key, str], bool]
) -> kopf.OperatorRegistry:
    """The four handlers. `namespace_changed(name, ending)`: labels decide about allowedNamespaces, and nothing can be made in a
    namespace that is being deleted; `ours(Devbox, resourceVersion)`: the event is that of our own write of its status."""
    handlers = kopf.OperatorRegistry()
    group, version = names.GROUP, names.VERSION

    @kopf.on.login(registry=handlers)
    def login(**kwargs: Any) -> kopf.ConnectionInfo | None:
        if os.environ.get("KUBERNETES_SERVICE_HOST"):
            return kopf.login_with_service_account(**kwargs)
        return kopf.login_with_kubeconfig(**kwargs)

    @kopf.on.event(group, version, "devboxes", registry=handlers)
    async def devbox(namespace: str | None, name: str | None, meta: Any, **_: Any) -> None:
        key = (namespace or "", name or "")
        if not ours(key, str(meta.get("resourceVersion", ""))):
            add(WorkKey(Kind.DEVBOX, *key))

    @kopf.on.event(group, version, "gatewayconfigs", registry=handlers)
    async def gatewayconfig(namespace: str | None, name: str | None, **_: Any) -> None:
        add(WorkKey(Kind.GATEWAY, namespace or "", name or ""))

    @kopf.on.event(group, version, "egresspolicies", registry=handlers)
    async def egresspolicy(namespace: str | None, name: str | None, **_: Any) -> None:
        add(WorkKey(Kind.EGRESS, namespace or "", name or ""))

    @kopf.on.event("", "v1", "namespaces", registry=handlers)
    async def namespace_event(name: str | None, event: Any, meta: Any, **_: Any) -> None:
        namespace_changed(name or "", event["type"] != "DELETED" and "deletionTimestamp" in meta)

    return handlers


def operator_settings(_: Settings) -> kopf.OperatorSettings:
    """Kopf's settings: quiet and alone. (Its lists and watches are kopfsource.py's.)"""
    settings = kopf.OperatorSettings()
    settings.posting.enabled = False
    settings.peering.standalone = True
    # CustomResourceDefinitions and namespaces are not scanned for: that would need more rights.
    settings.scanning.disabled = True
    settings.persistence.diffbase_storage = _NoDiffs()
    settings.networking.enforce_retry_after = True
    settings.networking.connect_timeout = 10
    return settings
