"""Whom a change of what is mirrored wakes.

Goes in: the object as it was and as it is; the index; the pods that are mirrored. Comes out: keys for the queue. What was our own doing
wakes nobody but those who wait for it; a change that nobody goes by wakes nobody.
"""

from collections.abc import Callable, Iterable

from devbox_api import names
from devbox_operator.attach import network
from devbox_operator.documents import objects as documents
from devbox_operator.seen.claims import ClaimView
from devbox_operator.seen.index import Index
from devbox_operator.seen.keys import FLOOR, Key, Kind, WorkKey
from devbox_operator.seen.namespaced import PolicyView, SharedView
from devbox_operator.seen.nodes import NodeView
from devbox_operator.seen.pods import PodView
from devbox_operator.seen.resources import EgressView, GatewayView
from devbox_operator.seen.secrets import SecretView, StoredView
from devbox_operator.seen.snapshot import Missing


class Wake:
    """The rules, one for each kind of object. (`old` or `new` is None where the object came or went.)"""

    def __init__(
        self, index: Index, add: Callable[..., None], pods: Callable[[], Iterable[PodView]], release_namespace: str
    ) -> None:
        """`add(key, seconds)`: into the queue; `pods()`: all that are mirrored."""
        self._index, self._add, self._pods, self._release_namespace = index, add, pods, release_namespace
        self._configs = {
            names.GATEWAY_TYPE: (Kind.GATEWAY, index.users_of_gateway),
            names.EGRESS_TYPE: (Kind.EGRESS, index.users_of_egress),
        }
        """Documents that are made of what Devboxes use, and who does."""

    def devboxes(self, boxes: Iterable[Key]) -> None:
        """Devboxes, by their keys."""
        for box in boxes:
            self._add(WorkKey(Kind.DEVBOX, *box))

    def secret(self, key: Key, old: SecretView | None, new: SecretView | None) -> None:
        """A Secret of a namespace where one is referred to."""
        shown = new or old
        if shown is not None and shown.type == names.TOKENS_TYPE:
            # (What we wrote ourselves is no news; one that somebody deleted or changed is.)
            if old is not None:
                box = (key[0], shown.name.rpartition("-")[0])  # it has the pod's name
                if box in self._index.devboxes:
                    self._add(WorkKey(Kind.DEVBOX, *box))
            return
        self.source(key)

    def source(self, key: Key) -> None:
        """A source Secret is not what it was."""
        boxes, gateways = self._index.users_of_secret(key), self._index.gateways_of_secret(key)
        if boxes or gateways:
            self._add(WorkKey(Kind.SOURCE, *key))
        self.devboxes(boxes)
        for gateway in gateways:
            self._add(WorkKey(Kind.GATEWAY, *gateway))

    def sources(self, keys: Iterable[Key], after: float) -> None:
        """What was made from these Secrets is to be looked at then."""
        for key in keys:
            self._add(WorkKey(Kind.SOURCE, *key), after)

    def stored(self, key: Key, old: StoredView | None, new: StoredView | None) -> None:
        """Somebody deleted or edited a document, or one appeared that a Devbox waits for."""
        view = new or old
        if view is None:
            return
        if view.type == names.ROUTE_TYPE:
            # (One that goes with its Devbox costs one look and no write.)
            devbox = documents.devbox_of(view)
            if old is not None and devbox in self._index.devboxes:
                self._add(WorkKey(Kind.DEVBOX, *devbox))
        if view.type == names.FLOOR_TYPE and old is not None:
            self._add(FLOOR)
        # (What appeared is our own doing, and only those who wait for it want to know; what was changed or deleted is not.)
        if view.type == names.CREDENTIAL_TYPE:
            secret = documents.source_of(view)
            if old is not None:
                self._add(WorkKey(Kind.SOURCE, *secret))
            if old is None or new is None or _kept_until(old) != _kept_until(new):
                self.devboxes(self._index.users_of_secret(secret))
                for gateway in self._index.gateways_of_secret(secret) if old is not None else ():
                    self._add(WorkKey(Kind.GATEWAY, *gateway))
        if view.type in self._configs:
            kind, users = self._configs[view.type]
            made_from = documents.source_of(view)
            self.devboxes(users(made_from)) if old is None else self._add(WorkKey(kind, *made_from))

    def pod(self, key: Key, old: PodView | None, new: PodView | None) -> None:
        """A pod with the devbox label."""
        self.devboxes(sorted({(key[0], pod.devbox) for pod in (old, new) if pod is not None}))

    def node(self, key: Key, old: NodeView | None, new: NodeView | None) -> None:
        """A node: where it is, and whether its kubelet is heard."""
        if (old and old.place) != (new and new.place):
            self._add(FLOOR)
        if old is not None and (new is None or old.silent_since != new.silent_since):
            # Who waits for an end there.
            self.devboxes(sorted({(pod.namespace, pod.devbox) for pod in self._pods() if pod.node == key[1]}))

    def gateway(self, key: Key, old: GatewayView | None, new: GatewayView | None) -> None:
        """A GatewayConfig. (Its status says how many use it, which is no news for them.)"""
        if (old and old.facts) != (new and new.facts):
            self.devboxes(self._index.users_of_gateway(key))

    def egress(self, key: Key, old: EgressView | Missing | None, new: EgressView | Missing | None) -> None:
        """What a policy says is in its document; another one of that name has another."""
        if _policy_uid(old) != _policy_uid(new):
            self.devboxes(self._index.users_of_egress(key))

    def policy(self, key: Key, old: PolicyView | None, new: PolicyView | None) -> None:
        """A NetworkPolicy."""
        if key[1] == names.DENY_POLICY:
            if new is None or not new.intact:
                # Pods without a Devbox, too, which nothing else would look at.
                owners = {(key[0], pod.devbox) for pod in self._pods() if pod.namespace == key[0]}
                self.devboxes(sorted({*self._index.devboxes_in(key[0]), *owners}))
            return
        devbox = network.owner_of(new or old, self._release_namespace)
        if not devbox or (new and old and not network.owner_of(old, self._release_namespace)):
            # Somebody else's may select any pod of the namespace.
            self.devboxes(self._index.devboxes_in(key[0]))
        elif old is not None:
            self.devboxes([(key[0], devbox)])

    def shared(self, key: Key, old: SharedView | None, new: SharedView | None) -> None:
        """What a namespace's devboxes share: what went has to come back. (What was added is our own doing.)"""
        if key[1] in (names.AGENT_SERVICE_ACCOUNT, names.CA_CONFIG_MAP) and (
            new is None or (old is not None and (old.uid, old.content) != (new.uid, new.content))
        ):
            self.devboxes(self._index.devboxes_in(key[0]))

    def claim(self, key: Key, old: ClaimView | None, new: ClaimView | None) -> None:
        """The claim of a workspace."""
        self.devboxes(sorted({(key[0], claim.devbox) for claim in (old, new) if claim is not None}))

    def volume(self, kind: str) -> Callable[[Key, object, object], None]:
        """ConfigMaps or claims that may be mounted."""

        def changed(key: Key, _: object, __: object) -> None:
            self.devboxes(self._index.users_of_volume(key[0], kind, key[1]))

        return changed

    def service(self, *_: object) -> None:
        """The gateway's Service: where all devboxes find it."""
        self._add(FLOOR)
        self.devboxes(sorted(self._index.devboxes))


def _kept_until(view: StoredView) -> str | None:
    return view.annotations.get(names.KEPT_UNTIL_ANNOTATION)


def _policy_uid(found: EgressView | Missing | None) -> str | None:
    return found.policy.uid if isinstance(found, EgressView) else found
