"""What all objects share: a reference, and what the cluster was last seen to have there.

Goes in: a `Cluster` (session and home namespace). Comes out: base classes of objects and of the collections that make them.
"""

import asyncio
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from time import monotonic
from typing import Any, ClassVar, Final, Protocol

from devbox_gateway.errors import (
    ConflictError,
    DevboxGatewayError,
    InUseError,
    InvalidError,
    NotFoundError,
    PermissionDeniedError,
)
from devbox_gateway.kube.session import MERGE, Object, Session
from devbox_gateway.naming import DEVBOX, NAME_ANNOTATION, Kind, Reference, annotations, reference

MADE_BY: Final = {"devbox-gateway.io/made-by": "client"}
MANAGER: Final = "devbox-gateway-client"
_USED_BY: Final = re.compile(r"\S+ \S+ is used by ([^;]+);.*", re.DOTALL)
"""What the chart's policy says (charts/devbox-gateway/templates/policies/in-use.yaml)."""
IN_USE_SECONDS: Final = 3.0
"""For how long a deletion is asked for again while every devbox that is named is gone or ending: who refuses it has not heard yet."""
STRICT: Final = {"fieldManager": MANAGER, "fieldValidation": "Strict"}
"""A field that the cluster's chart does not know is refused, not dropped in silence."""


@dataclass(frozen=True)
class Cluster:
    """Whom to ask, and where things are unless another namespace is named."""

    session: Session
    namespace: str
    in_use: dict[str, float] = field(default_factory=dict, compare=False, repr=False)
    """Of each devbox: when it may be said again that it is in use (exec/activity.py)."""


class Resource:
    """One object. Its fields are attributes once it was read: by create, list or get_info()."""

    kind: ClassVar[Kind]
    accept: ClassVar[str] = "application/json"
    """What the API server is asked for."""

    def __init__(self, cluster: Cluster, where: Reference, seen: Object | None = None) -> None:
        self._cluster, self._reference, self._object = cluster, where, seen

    @property
    def id(self) -> str:
        """What it is referred to by, e.g. `gwc_anthropic`."""
        return self._reference.id(self.kind, self._cluster.namespace)

    @property
    def namespace(self) -> str:
        """Where it is."""
        return self._reference.namespace

    @property
    def name(self) -> str:
        """The name that a person gave it."""
        if self._reference.given:
            return self._reference.given
        return given_name(self._seen)

    @property
    def _seen(self) -> Object:
        if self._object is None:
            raise AttributeError(f"{self.id} was not read yet: get_info() reads it")
        return self._object

    @property
    def _spec(self) -> Mapping[str, Any]:
        return self._seen.get("spec") or {}

    @property
    def _status(self) -> Mapping[str, Any]:
        return self._seen.get("status") or {}

    @property
    def _path(self) -> str:
        return self.kind.path(self._reference.namespace, self._reference.name)

    async def _read(self) -> Object:
        self._object = await self._cluster.session.request("GET", self._path, accept=self.accept)
        check_name(self.kind, self._object, self._reference)
        return self._object

    async def _merge(self, change: Object) -> Object:
        self._object = await self._cluster.session.request("PATCH", self._path, STRICT, change, kind=MERGE)
        return self._object

    def __repr__(self) -> str:
        return f"{type(self).__name__}(id={self.id!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Resource) and (self.kind, self._reference.namespace, self._reference.name) == (
            other.kind,
            other._reference.namespace,
            other._reference.name,
        )

    def __hash__(self) -> int:
        return hash((self.kind, self._reference.namespace, self._reference.name))


class Shared(Resource):
    """An object that devboxes refer to, and that can't be deleted while one does."""

    async def delete(self) -> None:
        """Delete it, for good. Raises InUseError while a devbox uses it."""
        started = monotonic()
        while True:
            try:
                await self._cluster.session.request("DELETE", self._path)
            except PermissionDeniedError as error:
                used = _USED_BY.search(str(error))
                if used is None:
                    raise
                users = used[1].split(", ")
                stay = [user for user in users if await self._stays(user)]
                if stay or monotonic() - started > IN_USE_SECONDS:
                    raise InUseError(used[0], stay or users) from None
                await asyncio.sleep(0.2)
            else:
                return

    async def _stays(self, user: str) -> bool:
        """Whether a devbox (namespace/name) is there and not ending; one that may not be looked at is."""
        namespace, _, name = user.partition("/")
        try:
            seen = await self._cluster.session.request("GET", DEVBOX.path(namespace, name))
        except NotFoundError:
            return False
        except PermissionDeniedError:
            return True
        return "deletionTimestamp" not in seen["metadata"]


def given_name(seen: Object) -> str:
    """The person's name of an object: the annotation's, else its own."""
    metadata = seen["metadata"]
    return str((metadata.get("annotations") or {}).get(NAME_ANNOTATION) or metadata["name"])


def check_name(kind: Kind, seen: Object, where: Reference) -> None:
    """That the object of that name is the one that the person means. Raises NotFoundError."""
    if where.given and given_name(seen) != where.given:
        raise NotFoundError(f"there is no {kind.what} {where.given!r} in namespace {where.namespace}")


class HasId(Protocol):
    """An object of the asynchronous client, or of the synchronous one."""

    @property
    def id(self) -> str:
        """What it is referred to by."""


def where_of(kind: Kind, target: "HasId | str", home: str) -> Reference:
    """Of an object (the synchronous client's, too), an id or a name."""
    target = getattr(target, "_wrapped", target)
    if isinstance(target, Resource) and target.kind is kind:
        return target._reference
    return reference(kind, target, home)  # type: ignore[arg-type] # (it refuses what is no text)


def own(kind: Kind, name: str, home: str) -> Reference:
    """Of the name that a new object is to have. Raises InvalidError, for an id too."""
    where = reference(kind, name, home)
    if not where.given:
        raise InvalidError("name", f"{name!r} has the form of an id; choose a name without {kind.prefix!r} at its beginning")
    return where


def where_seen(seen: Object) -> Reference:
    """Of an object that was read."""
    metadata = seen["metadata"]
    return Reference(metadata["namespace"], metadata["name"], given_name(seen))


def text(field: str, value: object) -> str:
    """`value`, which is to be text. Raises InvalidError."""
    if not isinstance(value, str):
        raise InvalidError(field, f"text belongs here, not {type(value).__name__}")
    return value


def manifest(kind: Kind, where: Reference, content: Object, labels: Mapping[str, str] = MADE_BY) -> Object:
    """A new object."""
    noted = annotations(where.name, where.given or where.name)
    metadata: Object = {"name": where.name, "namespace": where.namespace, "labels": dict(labels)}
    if noted:
        metadata["annotations"] = noted
    version = "v1" if kind.base == "/api/v1" else kind.base.removeprefix("/apis/")
    return {"apiVersion": version, "kind": kind.kind, "metadata": metadata, **content}


async def create_or_find(cluster: Cluster, kind: Kind, wanted: Object) -> tuple[Object, bool]:
    """The object, and whether it is new. One of that name that is there already is the caller's to compare."""
    metadata = wanted["metadata"]
    try:
        return await cluster.session.request("POST", kind.path(metadata["namespace"]), STRICT, wanted), True
    except ConflictError:
        return await cluster.session.request("GET", kind.path(metadata["namespace"], metadata["name"])), False


async def create_or_take(cluster: Cluster, kind: Kind, where: Reference, wanted: Object) -> Object:
    """The object, or the one there is, if that is the person's and as `wanted`. Raises ConflictError."""
    there, new = await create_or_find(cluster, kind, wanted)
    if not new:
        if given_name(there) != where.given:
            raise conflict(kind, where, "name")
        if field := first_difference(wanted["spec"], there["spec"]):
            raise conflict(kind, where, field)
    return there


def first_difference(wanted: Mapping[str, Any], there: Mapping[str, Any], path: str = "") -> str:
    """Which field of `wanted` the other has otherwise; empty: none. (What it has besides, defaults among it, is no difference.)"""
    for key, value in wanted.items():
        other, name = there.get(key), f"{path}{key}"
        if isinstance(value, Mapping):
            if found := first_difference(value, other if isinstance(other, Mapping) else {}, f"{name}."):
                return found
        elif isinstance(value, Sequence) and not isinstance(value, str):
            if found := _list_difference(value, other, name):
                return found
        elif value != other:
            return name
    return ""


def _list_difference(wanted: Sequence[Any], there: object, name: str) -> str:
    if not isinstance(there, Sequence) or len(wanted) != len(there):
        return "" if not wanted and not there else name
    for number, (ours, theirs) in enumerate(zip(wanted, there, strict=True)):
        if isinstance(ours, Mapping) and isinstance(theirs, Mapping):
            if found := first_difference(ours, theirs, f"{name}[{number}]."):
                return found
        elif ours != theirs:
            return name
    return ""


def conflict(kind: Kind, where: Reference, field: str) -> DevboxGatewayError:
    """For a name that another object has."""
    name = where.given or where.name
    return ConflictError(
        f"{kind.what} {name!r} exists in namespace {where.namespace} and differs in {field}; "
        f"update it, or choose another name", field
    )  # fmt: skip
