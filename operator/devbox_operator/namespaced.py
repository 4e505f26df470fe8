"""What all devboxes of a namespace share: the ServiceAccount `devbox-agent` and the CA bundle.

Goes in: a Devbox. Comes out: the ServiceAccount's UID. Both carry one ownerReference per Devbox, so that garbage collection
takes them with the last one. Called by reconcile.py.
"""

from devbox_api import names
from devbox_common.kube import ApiError, Object

from . import paths
from .apply import Writer
from .model import DevboxView, SharedView, content_hash
from .observe import Observer
from .pod import owner_reference


class Shared:
    """Makes them."""

    def __init__(self, observer: Observer, writer: Writer) -> None:
        self._observer, self._writer = observer, writer
        self._hashed: tuple[str, str] = ("", "")

    async def ensure(self, view: DevboxView, bundle: str) -> str:
        """Both exist, belong to this Devbox too, and the bundle is the present one. Returns the ServiceAccount's UID."""
        account = {"apiVersion": "v1", "kind": "ServiceAccount", "automountServiceAccountToken": False}
        uid = await self._ensure(view, "serviceaccounts", names.AGENT_SERVICE_ACCOUNT, account, None)
        if bundle:
            data = {names.CA_BUNDLE_KEY: bundle}
            if self._hashed[0] != bundle:
                self._hashed = (bundle, content_hash(data))
            body = {"apiVersion": "v1", "kind": "ConfigMap", "data": data}
            await self._ensure(view, "configmaps", names.CA_CONFIG_MAP, body, self._hashed[1])
        return uid

    async def _ensure(self, view: DevboxView, plural: str, name: str, body: Object, content: str | None) -> str:
        namespace, owner = view.box.namespace, owner_reference(view.box)
        path = paths.core(plural, namespace, name)
        found = self._observer.shared(body["kind"], namespace, name)
        if found is None:
            try:
                return await self._create(plural, namespace, name, body, owner)
            except ApiError as error:
                if not error.conflict:
                    raise
            # There already: the mirror has not seen it yet, or somebody made it without our label. Its name is ours.
            labels = {names.MANAGED_BY_LABEL: names.MANAGED_BY}
            patch = {**body, "metadata": {"labels": labels, "ownerReferences": [owner]}}
            return str((await self._writer.strategic(path, patch, kind=body["kind"]))["metadata"]["uid"])
        patch = self._patch(found, body, owner, content)
        if patch:
            await self._writer.strategic(
                path, {**patch, "metadata": {**patch.get("metadata", {}), "uid": found.uid}}, kind=body["kind"]
            )
        return found.uid

    async def _create(self, plural: str, namespace: str, name: str, body: Object, owner: Object) -> str:
        labels = {names.MANAGED_BY_LABEL: names.MANAGED_BY}
        metadata = {"name": name, "namespace": namespace, "labels": labels, "ownerReferences": [owner]}
        made = await self._writer.create(paths.core(plural, namespace), {**body, "metadata": metadata})
        return str(made["metadata"]["uid"])

    def _patch(self, found: SharedView, body: Object, owner: Object, content: str | None) -> Object:
        patch: Object = {}
        if owner["uid"] not in found.owners:
            # Merged by uid: the other Devboxes' references stay. (The garbage collector removes those of dead ones.)
            patch["metadata"] = {"ownerReferences": [owner]}
        if content is not None and found.content != content:
            patch["data"] = body["data"]
        return patch
