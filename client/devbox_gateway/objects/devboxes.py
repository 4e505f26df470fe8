"""Devboxes: pods in which agents work, with gateways in place of keys.

One is an object `Devbox` (devboxes.devbox-gateway.io) of a namespace; the role `edit` there is enough for everything here.
"""

from __future__ import annotations  # in a class with a method `list`, Python 3.14 takes `list[…]` for that method

import asyncio
import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any, Final

from devbox_gateway.errors import ConflictError, DevboxGatewayError, InvalidError, NotFoundError
from devbox_gateway.given import seconds as a_time
from devbox_gateway.kube.session import JSON_PATCH, Object
from devbox_gateway.naming import (
    DEVBOX,
    GATEWAY_CONFIG,
    NETWORK_POLICY,
    SECRET,
    Kind,
    Reference,
    check_text,
    devbox_name,
    random_devbox_name,
)
from devbox_gateway.polling import seconds_of

from . import code_mounts as code_mounts_field
from . import devbox_spec, grants, network_policies
from .base import STRICT, Cluster, HasId, given_name, manifest, where_of, where_seen
from .devbox import METADATA, AsyncDevbox
from .secrets import ALLOWED_HOSTS, AsyncSecret, is_own, without_value
from .waiting import WAIT_SECONDS, Callback

TRIES: Final = 3


class AsyncDevboxes:
    """All of a namespace."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster

    async def create(self, /, *, timeout: float = WAIT_SECONDS, polling_config: object = None, progress: Callback | None = None,
                     keep_on_failure: bool = False, **what: Any) -> AsyncDevbox:  # fmt: skip
        """Make one, and wait until it is ready; `what` as for `create_async`.

        One that does not become ready is deleted again, unless `keep_on_failure`. `progress` is called with every change of what it
        waits for.
        """
        seconds = a_time("timeout", seconds_of(timeout, polling_config))
        making = asyncio.ensure_future(self.create_async(**what))
        try:
            devbox = await asyncio.shield(making)
        except asyncio.CancelledError as error:
            # (What is under way is made all the same.)
            with suppress(DevboxGatewayError):
                if not keep_on_failure:
                    await _taken_back(await making, error)
            raise
        try:
            await devbox.await_running(timeout=seconds, progress=progress)
        except BaseException as error:
            if not keep_on_failure:
                await asyncio.shield(_taken_back(devbox, error))
            raise
        return devbox

    async def create_async(
        self,
        /,
        *,
        name: str | None = None,
        unique_name: bool = False,
        image: str | None = None,
        command: Sequence[str] | None = None,
        entrypoint: str | None = None,
        gateways: Mapping[str, Mapping[str, Any]] | None = None,
        secrets: Mapping[str, str | HasId] | None = None,
        code_mounts: Sequence[Mapping[str, Any]] | None = None,
        mounts: Sequence[Mapping[str, Any]] | None = None,
        launch_parameters: Mapping[str, Any] | None = None,
        after_idle: Mapping[str, Any] | None = None,
        environment_variables: Mapping[str, str] | None = None,
        metadata: Mapping[str, str] | None = None,
        spec: Mapping[str, Any] | None = None,
        idempotency_key: str | None = None,
        **others: Any,
    ) -> AsyncDevbox:
        """Make one, without waiting for it.

        name: a label for people; devboxes may share one. unique_name: the object has that very name, ConflictError where one has it
        already. image: the cluster's default unless given. entrypoint: a shell's line that the
        devbox ends with; command: a program and its arguments; without both it stays, to be worked in by `cmd.exec`. gateways:
        {"ANTHROPIC": {"gateway": id, name or object, "secret": id, name or object}}. secrets: {"VARIABLE": id, name or object}, which the
        agent can read: what belongs to an API goes into gateways. code_mounts:
        [{"repo_name": "org/repo", "git_ref": …, "install_command": …}], cloned into /workspace through a gateway that leads
        there, or as the network policy allows. spec: fields of the Devbox as docs/ has them.
        """
        if name is not None:
            check_text(DEVBOX, name)
        if unique_name and devbox_name(name) is None:
            raise InvalidError(
                "name", "with unique_name, write at most 52 lower-case letters, digits and '-', beginning with a letter"
            )
        devbox_spec.refuse_unknown(others)
        devbox_spec.check_variables(gateways or {})
        launch = devbox_spec.mapping("launch_parameters", launch_parameters or {})
        if after_idle is not None:
            launch.setdefault("after_idle", after_idle)
        bindings, patches = await self._bind(gateways or {})
        readable, more_patches = await self._readable(secrets or {}, [path for path, _ in patches], bindings)
        policy, allowed = await self._policy(launch.get("network_policy_id"))
        reach = code_mounts_field.Reach({one.variable: one.endpoint for one in bindings}, policy, allowed)
        content = devbox_spec.spec_of(
            image=image,
            command=command,
            entrypoint=entrypoint,
            bindings=bindings,
            environment=environment_variables or {},
            secret_env=readable,
            code_mounts=code_mounts_field.spec_of(code_mounts_field.found_in(code_mounts, mounts), reach),
            launch=launch,
            policy=policy,
            more=spec or {},
        )
        notes = {} if metadata is None else {METADATA: json.dumps(dict(metadata))}
        await self._dry_run(content, name, notes, unique=unique_name)
        for where, patch in (*patches, *more_patches):
            await self._cluster.session.request(
                "PATCH", where, {"fieldManager": STRICT["fieldManager"]}, patch, kind=JSON_PATCH
            )
        return await self._make(content, name, notes, unique=unique_name)

    async def _bind(
        self, gateways: Mapping[str, Mapping[str, Any]]
    ) -> tuple[list[devbox_spec.Binding], list[tuple[str, list[Any]]]]:
        """What the names lead to, and the grants that are to be made: one for each Secret."""
        home = self._cluster.namespace
        bindings, patches = [], dict[str, list[Any]]()
        for variable, choice in gateways.items():
            config = await self._get(GATEWAY_CONFIG, choice["gateway"], f"gateways.{variable}.gateway")
            namespace = config["metadata"]["namespace"]
            secret, named = None, choice.get("secret") is not None
            if named:
                secret = await self._get(SECRET, choice["secret"], f"gateways.{variable}.secret")
                if secret["metadata"]["namespace"] != home:
                    raise InvalidError(
                        f"gateways.{variable}.secret", f"a devbox uses secrets of its own namespace, {home}, alone"
                    )
            elif default := ((config["spec"].get("credential") or {}).get("secretRef") or {}).get("name"):
                if namespace == home:
                    secret = await self._default(default)
            elif secret is None:
                raise InvalidError(f"gateways.{variable}.secret", "name a secret: this gateway config has none of its own")
            if secret is not None and (patch := grants.grant_for(secret, config, named=named)) is not None:
                patches[SECRET.path(home, secret["metadata"]["name"])] = patch
            bindings.append(
                devbox_spec.Binding(
                    variable,
                    config["metadata"]["name"],
                    None if namespace == home else namespace,
                    secret["metadata"]["name"] if secret is not None and named else None,
                    config["spec"]["endpoint"],
                )
            )
        return bindings, list(patches.items())

    async def _readable(
        self, secrets: Mapping[str, str | HasId], granted: Sequence[str], bindings: Sequence[devbox_spec.Binding]
    ) -> tuple[dict[str, str], list[tuple[str, list[Any]]]]:
        """The Secrets that the agent is to read, by variable, and the labels that are to be put: naming one here is the word for it."""
        if not isinstance(secrets, Mapping):
            raise InvalidError("secrets", 'write {"DATABASE_PASSWORD": "MY_SECRET"}')
        found, patches = dict[str, str](), dict[str, list[Any]]()
        kept = {binding.secret for binding in bindings}
        for variable, target in secrets.items():
            secret = await self._get(SECRET, target, f"secrets.{variable}")
            name, namespace = secret["metadata"]["name"], secret["metadata"]["namespace"]
            if namespace != self._cluster.namespace:
                raise InvalidError(
                    f"secrets.{variable}", f"a devbox uses secrets of its own namespace, {self._cluster.namespace}, alone"
                )
            path = SECRET.path(namespace, name)
            if name in kept or path in granted:
                raise InvalidError(
                    f"secrets.{variable}",
                    "a gateway of this devbox uses that secret, and keeps it from the agent; name it in one of the two",
                )
            if (patch := grants.label_for(secret)) is not None:
                patches[path] = patch
            found[str(variable)] = name
        return found, list(patches.items())

    async def _default(self, name: str) -> Object | None:
        """The Secret of a gateway config, if it is one that this client made and may read, and that nobody has granted yet."""
        try:
            secret = await self._seen(SECRET, Reference(self._cluster.namespace, name))
        except DevboxGatewayError:
            return None
        return secret if is_own(secret) and ALLOWED_HOSTS not in (secret["metadata"].get("annotations") or {}) else None

    async def _get(self, kind: Kind, target: Any, field: str) -> Object:
        where = where_of(kind, target, self._cluster.namespace)
        try:
            seen = await self._seen(kind, where)
        except NotFoundError:
            raise NotFoundError(
                f"{field}: there is no {kind.what} {where.given or where.name!r} in namespace {where.namespace}"
            ) from None
        if where.given and given_name(seen) != where.given:
            raise NotFoundError(f"{field}: there is no {kind.what} {where.given!r} in namespace {where.namespace}")
        return seen

    async def _seen(self, kind: Kind, where: Reference) -> Object:
        """An object; of a Secret all but its value, which nobody here needs, and which an error would carry along."""
        path = kind.path(where.namespace, where.name)
        if kind is SECRET:
            return without_value(await self._cluster.session.request("GET", path, accept=AsyncSecret.accept))
        return await self._cluster.session.request("GET", path)

    async def _policy(self, given: Any) -> tuple[str | None, tuple[str, ...] | None]:
        """The network policy that it refers to: the one given, else the namespace's default, if there is one. And the hosts that it allows;
        None: all."""
        if given is not None:
            seen = await self._get(NETWORK_POLICY, given, "launch_parameters.network_policy_id")
            if seen["metadata"]["namespace"] != self._cluster.namespace:
                raise InvalidError(
                    "launch_parameters.network_policy_id", "a devbox uses network policies of its own namespace alone"
                )
            return str(seen["metadata"]["name"]), _allowed(seen)
        try:
            path = NETWORK_POLICY.path(self._cluster.namespace, network_policies.DEFAULT)
            seen = await self._cluster.session.request("GET", path)
        except NotFoundError:
            return None, ()
        return network_policies.DEFAULT, _allowed(seen)

    async def _dry_run(self, content: Object, name: str | None, notes: Mapping[str, str], *, unique: bool) -> None:
        """Everything that the API server would refuse, before anything is made or granted."""
        chosen = devbox_name(name) if unique else None
        where = Reference(self._cluster.namespace, chosen or random_devbox_name(name), name or "")
        try:
            await self._cluster.session.request(
                "POST", DEVBOX.path(where.namespace), {**STRICT, "dryRun": "All"}, _manifest(where, content, notes)
            )
        except InvalidError as error:
            raise devbox_error(error) from None
        except ConflictError:
            raise _exists(where) from None

    async def _make(self, content: Object, name: str | None, notes: Mapping[str, str], *, unique: bool) -> AsyncDevbox:
        """By its own name where that is free, else by a new one, unless it is to be `unique`."""
        names = [devbox_name(name), *(None for _ in range(0 if unique else TRIES))]
        for number, chosen in enumerate(names, 1):
            if chosen is None and number == 1:
                continue
            where = Reference(self._cluster.namespace, chosen or random_devbox_name(name), name or "")
            try:
                seen = await self._cluster.session.request(
                    "POST", DEVBOX.path(where.namespace), STRICT, _manifest(where, content, notes)
                )
            except ConflictError:
                if unique:
                    raise _exists(where) from None
                if number == len(names):
                    raise
            else:
                return AsyncDevbox(self._cluster, where_seen(seen), seen)
        raise AssertionError("unreachable")

    async def list(self) -> list[AsyncDevbox]:
        """All there are."""
        found = await self._cluster.session.list(DEVBOX.path(self._cluster.namespace))
        return [AsyncDevbox(self._cluster, where_seen(seen), seen) for seen in found]

    def from_id(self, id: str) -> AsyncDevbox:  # noqa: A002 (the name that users know)
        """The one of that id (or of that name in Kubernetes), without asking whether it is there."""
        where = where_of(DEVBOX, id, self._cluster.namespace)
        return AsyncDevbox(self._cluster, Reference(where.namespace, where.name))

    async def from_name(self, name: str) -> AsyncDevbox:
        """The newest devbox that a person called so."""
        found = [devbox for devbox in await self.list() if devbox.name == name]
        if not found:
            raise NotFoundError(f"there is no devbox {name!r} in namespace {self._cluster.namespace}")
        return max(found, key=lambda devbox: devbox._seen["metadata"]["creationTimestamp"])


def _allowed(policy: Object) -> tuple[str, ...] | None:
    spec = policy.get("spec") or {}
    return None if spec.get("allowAll") else tuple(spec.get("allowedHostnames") or ())


def _manifest(where: Reference, content: Object, notes: Mapping[str, str]) -> Object:
    made = manifest(DEVBOX, where, {"spec": content})
    if notes:
        made["metadata"].setdefault("annotations", {}).update(notes)
    return made


def _exists(where: Reference) -> ConflictError:
    return ConflictError(
        f"devbox {where.name!r} exists in namespace {where.namespace}; delete it first, or choose another name", "name"
    )


def devbox_error(error: InvalidError) -> InvalidError:
    """In the words of who called: a chart that is too old is said so."""
    if error.field in devbox_spec.NEWER_CHART:
        return InvalidError(
            devbox_spec.NEWER_CHART[error.field], f"needs a newer chart: the cluster's has no field for it ({error.field})"
        )
    if error.field == "spec.image" and "Required" in error.message:
        return InvalidError("image", "name an image: the cluster's chart is of a version that has no default image")
    return error


async def _taken_back(devbox: AsyncDevbox, error: BaseException) -> None:
    """Delete what a failed create made, and say so."""
    try:
        await devbox.shutdown()
        said = f"devbox {devbox.id} was deleted again; keep_on_failure=True keeps it"
    except NotFoundError:
        return
    except DevboxGatewayError as other:
        said = f"devbox {devbox.id} is left behind: {other}"
    if isinstance(error, DevboxGatewayError) and error.args:
        error.args = (f"{error.args[0]} ({said})", *error.args[1:])
