"""What the release needs of itself: the CA, the gateway's certificate, the bundle for devboxes, and the floor.

Goes in: the two Secrets of the release namespace, the addresses of nodes and API server, the cluster's own ranges. Comes out: those
Secrets, `floor` in the credentials namespace, the bundle's text. Called by the queue (CERTIFICATES, FLOOR).
"""

import base64
import binascii
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

import certifi
import structlog

from devbox_api import names
from devbox_common.kube import ApiError, Object
from devbox_common.settings import SettingsError

from . import certificates, documents, paths
from .apiserver import LOOK_SECONDS
from .apply import Writer
from .certificates import Pair
from .index import Index
from .keys import Kind, WorkKey
from .observe import Observer
from .queue import WorkQueue
from .settings import Settings
from .watches import Watches

log = structlog.get_logger()

SYSTEM_ROOTS: Final = Path("/etc/ssl/certs/ca-certificates.crt")
CA_CERTIFICATE, CA_KEY = "ca.crt", "ca.key"
LEAF_CERTIFICATE, LEAF_KEY = "tls.crt", "tls.key"
LONGEST_WAIT: Final = timedelta(hours=12)


class SystemReconciler:
    """Reconciles the release's own objects."""

    def __init__(
        self,
        *,
        observer: Observer,
        watches: Watches,
        index: Index,
        writer: Writer,
        settings: Settings,
        queue: WorkQueue[WorkKey],
        owner: Object | None,
    ) -> None:
        """`owner`: the ownerReference with which the gateway's certificate goes when the release does (the CA stays).

        Raises SettingsError where the extra bundle of the settings can't be read."""
        self._observer, self._watches, self._index = observer, watches, index
        self._writer, self._settings, self._queue = writer, settings, queue
        self._owner = owner
        self._roots = public_roots()
        self._extra = extra_certificates(settings.ca_bundle.extra_file)

    async def certificates(self) -> float | None:
        """The CA (kept for ten years) and the leaf (renewed at two thirds of its life)."""
        now = datetime.now(UTC)
        ca = await self._ca(now)
        release = self._settings.release_namespace
        item = await self._observer.get(paths.secrets(release, names.LEAF_SECRET))
        leaf = _pair(item, LEAF_CERTIFICATE, LEAF_KEY)
        due = certificates.leaf_due(leaf, ca, release, now) if leaf else now
        if leaf is None or due <= now or not self._owned(item):
            if leaf is None or due <= now:
                leaf = certificates.make_leaf(ca, release, self._settings.certificates.leaf_days, now)
            body = self._secret(
                names.LEAF_SECRET,
                "kubernetes.io/tls",
                {LEAF_CERTIFICATE: leaf.certificate, LEAF_KEY: leaf.key, CA_CERTIFICATE: ca.certificate},
            )
            if self._owner:
                body["metadata"]["ownerReferences"] = [self._owner]
            await self._writer.apply(paths.secrets(release, names.LEAF_SECRET), body)
            log.info("certificate_written", secret=names.LEAF_SECRET, days=self._settings.certificates.leaf_days)
            due = certificates.leaf_due(leaf, ca, release, now)
        bundle = certificates.bundle(self._roots, ca.certificate, self._extra)
        if bundle != self._observer.bundle:
            self._observer.bundle = bundle
            for box in sorted(self._index.devboxes):
                self._queue.add(WorkKey(Kind.DEVBOX, *box))
        return min(due - now, LONGEST_WAIT) / timedelta(seconds=1)

    async def floor(self) -> float | None:
        """The addresses that nothing may lead to, and the cluster's own ranges. Conditions of GatewayConfigs and EgressPolicies tell of
        both."""
        namespace, seen = self._settings.credentials_namespace, self._observer
        await seen.api_server.look()
        body = documents.floor(seen.floor(), seen.ranges(), seen.bridges(), namespace)
        if not documents.equal(body, self._watches.stored.objects.get((namespace, names.FLOOR_NAME))):
            await self._writer.apply(paths.secrets(namespace, names.FLOOR_NAME), body)
            for gateway in sorted(self._index.defaults):
                self._queue.add(WorkKey(Kind.GATEWAY, *gateway))
            for policy in self._watches.egresspolicies():
                self._queue.add(WorkKey(Kind.EGRESS, *policy))
        return LOOK_SECONDS

    async def _ca(self, now: datetime) -> Pair:
        path = paths.secrets(self._settings.release_namespace, names.CA_SECRET)
        found = _pair(await self._observer.get(path), CA_CERTIFICATE, CA_KEY)
        if found is not None:
            if certificates.usable_ca(found, now):
                return found
            raise ApiError(
                0,
                "BadCA",
                f"Secret {self._settings.release_namespace}/{names.CA_SECRET} does not hold a CA that can be used; restore it, or "
                "delete it to have a new one made (devboxes then need a restart)",
            )
        made = certificates.make_ca(self._settings.release_namespace, now)
        body = self._secret(names.CA_SECRET, "Opaque", {CA_CERTIFICATE: made.certificate, CA_KEY: made.key})
        # Created, not applied: of two that race, one CA wins, and the loser reads it.
        try:
            await self._writer.create(paths.secrets(self._settings.release_namespace), body)
        except ApiError as error:
            if not error.conflict:
                raise
            return await self._ca(now)
        log.info("ca_created", secret=names.CA_SECRET)
        return made

    def _owned(self, item: Object | None) -> bool:
        owners = (item or {"metadata": {}})["metadata"].get("ownerReferences") or ()
        return self._owner is None or any(owner["uid"] == self._owner["uid"] for owner in owners)

    def _secret(self, name: str, kind: str, data: dict[str, bytes]) -> Object:
        return {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {
                "name": name,
                "namespace": self._settings.release_namespace,
                "labels": {names.MANAGED_BY_LABEL: names.MANAGED_BY},
            },
            "type": kind,
            "data": {field: base64.b64encode(value).decode() for field, value in data.items()},
        }


def _pair(item: Object | None, certificate: str, key: str) -> Pair | None:
    if item is None:
        return None
    data = item.get("data") or {}
    try:
        return Pair(base64.b64decode(data.get(certificate, "")), base64.b64decode(data.get(key, "")))
    except binascii.Error:
        return Pair(b"", b"")


def public_roots() -> str:
    """The system's own list where there is one (an administrator may have added to it), else certifi's."""
    path = SYSTEM_ROOTS if SYSTEM_ROOTS.exists() else Path(certifi.where())
    return path.read_text(encoding="utf-8")


def extra_certificates(path: str) -> str:
    """The file of the setting caBundle.extraFile."""
    if not path:
        return ""
    try:
        text = Path(path).read_text(encoding="utf-8")
    except OSError as error:
        raise SettingsError(f"caBundle.extraFile: {path}: {error.strerror}") from None
    if not certificates.pem_certificates(text):
        raise SettingsError(f"caBundle.extraFile: {path} holds no PEM certificate; check the chart's devboxes.extraCABundle")
    return text
