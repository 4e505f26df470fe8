"""What the release needs of itself: the CA, the gateway's certificate, the bundle for devboxes, and the floor.

Goes in: the two Secrets of the release namespace, the addresses of nodes and API server, the cluster's own ranges. Comes out: those
Secrets, `floor` in the credentials namespace, the bundle's text.
"""

import base64
import binascii
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

import certifi
import structlog

from devbox_api import names
from devbox_common.kube import ApiError, Object
from devbox_common.settings import SettingsError
from devbox_operator.attach.truststore import pem_certificates
from devbox_operator.documents import objects as documents
from devbox_operator.kit import metrics, paths
from devbox_operator.kit.encoding import format_time, parse_time
from devbox_operator.release import certificates
from devbox_operator.release.certificates import Pair
from devbox_operator.report.authority import renewing, warning
from devbox_operator.seen.apiserver import LOOK_SECONDS
from devbox_operator.seen.keys import Kind, WorkKey
from devbox_operator.seen.snapshot import Authority
from devbox_operator.watch.tools import Tools

log = structlog.get_logger()

SYSTEM_ROOTS: Final = Path("/etc/ssl/certs/ca-certificates.crt")
CA_CERTIFICATE, CA_KEY = "ca.crt", "ca.key"
LEAF_CERTIFICATE, LEAF_KEY = "tls.crt", "tls.key"
LONGEST_WAIT: Final = timedelta(hours=12)


class SystemReconciler:
    """Reconciles the release's own objects."""

    def __init__(self, tools: Tools, *, owner: Object | None, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        """`owner`: the ownerReference with which the gateway's certificate goes when the release does (the CA stays); `now`: the clock.

        Raises SettingsError where the extra bundle of the settings can't be read."""
        self._observer, self._watches, self._index = tools.observer, tools.watches, tools.index
        self._writer, self._settings, self._queue = tools.writer, tools.settings, tools.queue
        self._owner, self._now = owner, now
        self._warned: str | None = None
        self._roots = public_roots()
        self._extra = extra_certificates(tools.settings.ca_bundle.extra_file)

    async def certificates(self) -> float | None:
        """The CA (kept until somebody has it renewed) and the leaf (renewed at two thirds of its life)."""
        now = self._now()
        ca, again = await self._ca(now)
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
        self._tell(leaf, now)
        self._observer.gateway_authority = ca.certificate.decode()
        bundle = certificates.bundle(self._roots, ca.certificate, self._extra)
        if bundle != self._observer.bundle:
            self._observer.bundle = bundle
            for box in sorted(self._index.devboxes):
                self._queue.add(WorkKey(Kind.DEVBOX, *box))
        return min(due - now, again, LONGEST_WAIT) / timedelta(seconds=1)

    def _tell(self, leaf: Pair, now: datetime) -> None:
        """How long both live on: for Prometheus, and in the log when the CA's end has come nearer. (Conditions look by themselves.)"""
        authority, (_, leaf_end) = self._observer.authority, certificates.lifetime(leaf)
        metrics.CERTIFICATE_END.labels("gateway").set(leaf_end.timestamp())
        if authority is None:
            return
        metrics.CERTIFICATE_END.labels("ca").set(authority.end.timestamp())
        stage = warning(authority.end, now)
        if stage and stage != self._warned:
            renew = renewing(self._settings.release_namespace)
            log.warning("ca_ends", secret=names.CA_SECRET, end=format_time(authority.end), within=stage, renew=renew)
        self._warned = stage

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

    async def _ca(self, now: datetime) -> tuple[Pair, timedelta]:
        """The CA, and when to look at it again."""
        release = self._settings.release_namespace
        item = await self._observer.get(paths.secrets(release, names.CA_SECRET))
        found = _pair(item, CA_CERTIFICATE, CA_KEY)
        if item is None or found is None:
            found = certificates.make_ca(release, now)
            body = self._secret(names.CA_SECRET, "Opaque", {CA_CERTIFICATE: found.certificate, CA_KEY: found.key})
            # Created, not applied: of two that race, one CA wins, and the loser reads it.
            try:
                item = await self._writer.create(paths.secrets(release), body)
            except ApiError as error:
                if not error.conflict:
                    raise
                return await self._ca(now)
            log.info("ca_created", secret=names.CA_SECRET)
        elif not certificates.usable_ca(found, now):
            raise ApiError(
                0,
                "BadCA",
                f"Secret {release}/{names.CA_SECRET} does not hold a CA that can be used; restore it, or delete it to have a new one made "
                "(devboxes then need a restart)",
            )
        annotations = item["metadata"].get("annotations") or {}
        earlier = _moment(annotations.get(names.EARLIER_END_ANNOTATION))
        wish = _moment(annotations.get(names.RENEWED_AT_ANNOTATION))
        made, end = certificates.lifetime(found)
        if wish is not None and made < wish <= now:
            found, earlier = await self._replaced(item, certificates.renewed_ca(found, release, now), end), end
        elif narrowed := certificates.narrowed_ca(found, release):
            found = await self._replaced(item, narrowed, earlier)
        self._observer.authority = Authority(*certificates.lifetime(found), earlier)
        return found, wish - now if wish is not None and wish > now else LONGEST_WAIT

    async def _replaced(self, item: Object, ca: Pair, earlier_end: datetime | None) -> Pair:
        """Another certificate of the same CA, in this very Secret."""
        body = self._secret(names.CA_SECRET, item["type"], {CA_CERTIFICATE: ca.certificate, CA_KEY: ca.key})
        body["metadata"] |= {key: item["metadata"][key] for key in ("uid", "resourceVersion")}
        if earlier_end is not None:
            body["metadata"]["annotations"] = {names.EARLIER_END_ANNOTATION: format_time(earlier_end)}
        await self._writer.apply(paths.secrets(self._settings.release_namespace, names.CA_SECRET), body)
        log.info("ca_certificate_written", secret=names.CA_SECRET, end=format_time(certificates.lifetime(ca)[1]))
        return ca

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


def _moment(text: str | None) -> datetime | None:
    """Of an annotation; None if it is none."""
    try:
        return parse_time(text)
    except ValueError:
        log.warning("annotation_unreadable", secret=names.CA_SECRET, expected="a time such as 2036-01-31T12:00:00Z")
        return None


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
    if not pem_certificates(text):
        raise SettingsError(f"caBundle.extraFile: {path} holds no PEM certificate; check the chart's devboxes.extraCABundle")
    return text
