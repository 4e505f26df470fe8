"""What all devboxes of a namespace share: the ServiceAccount `devbox-agent` and the CA bundle.

Goes in: a Devbox. Comes out: the ServiceAccount's UID. The ServiceAccount carries one ownerReference per Devbox, and the bundle one
to the ServiceAccount, so that garbage collection takes both with the last Devbox. (The bundle is large: a reference of every Devbox
in it, too, would write all of it anew with each of them.)
"""

import asyncio
import base64
from typing import Final

import structlog

from devbox_api import names
from devbox_common.kube import ApiError, Object
from devbox_operator.attach import truststore
from devbox_operator.devbox.pod import owner_reference
from devbox_operator.kit import paths
from devbox_operator.kit.writer import Writer
from devbox_operator.seen.namespaced import SharedView, bundle_hash
from devbox_operator.seen.resources import DevboxView
from devbox_operator.watch.observe import Observer

log = structlog.get_logger()

TOGETHER_SECONDS: Final = 0.25
"""References that come within this time are one write, of a list that is as long as the namespace has devboxes."""
_OURS: Final = {names.MANAGED_BY_LABEL: names.MANAGED_BY}


class SharedObjects:
    """Makes them."""

    def __init__(self, observer: Observer, writer: Writer) -> None:
        self._observer, self._writer = observer, writer
        self._made: tuple[str, dict[str, str | None], str] = ("", {}, "")
        """Of the last bundle: itself, the other forms of it, and the hash of both."""
        self._owners: dict[str, dict[str, Object]] = {}
        """Namespace to the references that are to be written, by UID: those that come while a write is under way go together."""
        self._writing: dict[str, asyncio.Lock] = {}

    async def ensure(self, view: DevboxView, bundle: str) -> str:
        """Both exist, belong to this Devbox too, and the bundle is the present one. Returns the ServiceAccount's UID."""
        namespace = view.box.namespace
        uid = await self._account(namespace, owner_reference(view.box))
        if bundle:
            await self._bundle(namespace, bundle, uid)
        return uid

    async def _account(self, namespace: str, owner: Object) -> str:
        found = self._observer.shared("ServiceAccount", namespace, names.AGENT_SERVICE_ACCOUNT)
        if found is not None and owner["uid"] in found.owners:
            return found.uid
        waiting = self._owners.setdefault(namespace, {})
        waiting[owner["uid"]] = owner
        lock = self._writing.setdefault(namespace, asyncio.Lock())
        try:
            async with lock:
                found = self._observer.shared("ServiceAccount", namespace, names.AGENT_SERVICE_ACCOUNT)
                if owner["uid"] not in waiting and found is not None:
                    return found.uid  # the one before us wrote it
                if found is not None:
                    await asyncio.sleep(TOGETHER_SECONDS)
                taken = dict(waiting)
                uid = await self._own(namespace, list(taken.values()), found)
                for written in taken:
                    waiting.pop(written, None)
                return uid
        finally:
            waiting.pop(owner["uid"], None)
            if not waiting and not lock.locked():
                self._owners.pop(namespace, None)
                self._writing.pop(namespace, None)

    async def _own(self, namespace: str, owners: list[Object], found: SharedView | None) -> str:
        account = {"apiVersion": "v1", "kind": "ServiceAccount", "automountServiceAccountToken": False}
        metadata = {"labels": _OURS, "ownerReferences": owners}
        name = names.AGENT_SERVICE_ACCOUNT
        if found is None:
            return await self._create("serviceaccounts", namespace, name, {**account, "metadata": metadata})
        # Merged by uid: the other Devboxes' references stay. (The garbage collector removes those of dead ones.)
        body = {"metadata": {"ownerReferences": owners, "uid": found.uid}}
        await self._writer.strategic(paths.core("serviceaccounts", namespace, name), body, kind="ServiceAccount")
        return found.uid

    async def _bundle(self, namespace: str, bundle: str, account: str) -> None:
        data = {names.CA_BUNDLE_KEY: bundle}
        if self._made[0] != bundle:
            self._made = (bundle, *_forms(bundle))
        _, binary, content = self._made
        found = self._observer.shared("ConfigMap", namespace, names.CA_CONFIG_MAP)
        if found is not None and account in found.owners and found.content == content:
            return
        owner = {"apiVersion": "v1", "kind": "ServiceAccount", "name": names.AGENT_SERVICE_ACCOUNT, "uid": account}
        async with self._writing.setdefault(f"{namespace}/bundle", asyncio.Lock()):
            found = self._observer.shared("ConfigMap", namespace, names.CA_CONFIG_MAP)
            if found is None:
                body = {
                    "apiVersion": "v1",
                    "kind": "ConfigMap",
                    "data": data,
                    "binaryData": {key: one for key, one in binary.items() if one},
                }
                metadata = {"labels": _OURS, "ownerReferences": [owner]}
                await self._create("configmaps", namespace, names.CA_CONFIG_MAP, {**body, "metadata": metadata})
            elif account not in found.owners or found.content != content:
                body = {"data": data, "binaryData": binary, "metadata": {"ownerReferences": [owner], "uid": found.uid}}
                path = paths.core("configmaps", namespace, names.CA_CONFIG_MAP)
                await self._writer.strategic(path, body, kind="ConfigMap")

    async def _create(self, plural: str, namespace: str, name: str, body: Object) -> str:
        metadata = {**body["metadata"], "name": name, "namespace": namespace}
        try:
            made = await self._writer.create(paths.core(plural, namespace), {**body, "metadata": metadata})
        except ApiError as error:
            if not error.conflict:
                raise
            # There already: the mirror has not seen it yet, or somebody made it without our label. Its name is ours.
            made = await self._writer.strategic(paths.core(plural, namespace, name), body, kind=body["kind"])
        return str(made["metadata"]["uid"])


def _forms(bundle: str) -> tuple[dict[str, str | None], str]:
    """The other forms of the bundle in base64, None for one that there is not (and that a patch so removes); and the hash of it all."""
    made = truststore.files(bundle)
    binary = {key: base64.b64encode(made[key]).decode() if key in made else None for key in names.TRUST_KEYS}
    if binary[names.TRUSTSTORE_KEY] is None:
        log.warning("truststore_left_out", bytes=len(bundle), most=truststore.MOST_BYTES)
    return binary, bundle_hash({names.CA_BUNDLE_KEY: bundle}, {key: one for key, one in binary.items() if one is not None})
