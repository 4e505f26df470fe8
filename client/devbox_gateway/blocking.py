"""The synchronous client: the same calls, each of which returns when it is done. For scripts and notebooks.

Goes in: the classes of the asynchronous one, whose code lives there alone. Comes out: classes whose methods have the same arguments; the
work is done on an event loop in a thread of the client's own, so that it can be used where another loop runs, as in a notebook.
"""

from __future__ import annotations  # in a class with a method `list`, Python 3.14 takes `list[…]` for that method

import os
from types import TracebackType
from typing import Any

from devbox_gateway.client import AsyncDevboxGateway
from devbox_gateway.exec.commands import AsyncCommands
from devbox_gateway.exec.executions import AsyncExecution
from devbox_gateway.exec.files import AsyncFiles
from devbox_gateway.exec.output import AsyncExecutionResult
from devbox_gateway.loops import A, Blocking, Loop, call, find, known, listed, made, made_same
from devbox_gateway.objects.devbox import AsyncDevbox
from devbox_gateway.objects.devboxes import AsyncDevboxes
from devbox_gateway.objects.gateway_configs import AsyncGatewayConfig, AsyncGatewayConfigs, AuthMechanism
from devbox_gateway.objects.network_policies import AsyncNetworkPolicies, AsyncNetworkPolicy
from devbox_gateway.objects.secrets import AsyncSecret, AsyncSecrets
from devbox_gateway.raw import AsyncApi, AsyncResource


class _Named(Blocking[A]):
    _wrapped: Any

    @property
    def id(self) -> str:
        """What it is referred to by."""
        return str(self._wrapped.id)

    @property
    def name(self) -> str:
        """The name that a person gave it."""
        return str(self._wrapped.name)

    @property
    def namespace(self) -> str:
        """Where it is."""
        return str(self._wrapped.namespace)


class GatewayConfig(_Named[AsyncGatewayConfig]):
    """One gateway config."""

    @property
    def endpoint(self) -> str:
        """The API's address."""
        return str(self._wrapped.endpoint)

    @property
    def auth_mechanism(self) -> AuthMechanism:
        """How the API wants its credential."""
        found: AuthMechanism = self._wrapped.auth_mechanism
        return found

    @property
    def description(self) -> str | None:
        """For people."""
        found: str | None = self._wrapped.description
        return found

    @property
    def ungranted(self) -> tuple[str, ...]:
        """Secrets in use that are not granted to the endpoint's host, as the last `update(endpoint=…)` found them."""
        found: tuple[str, ...] = self._wrapped.ungranted
        return found

    def line(self, secret: str) -> str:
        """By which a secret's owner grants it to this endpoint's host, to be pasted."""
        return str(self._wrapped.line(secret))

    get_info = call(AsyncGatewayConfig.get_info)
    update = made_same(AsyncGatewayConfig.update)
    delete = call(AsyncGatewayConfig.delete)


class GatewayConfigs(Blocking[AsyncGatewayConfigs]):
    """All of a namespace."""

    create = made(GatewayConfig, AsyncGatewayConfigs.create)
    list = listed(GatewayConfig, AsyncGatewayConfigs.list)
    from_id = find(GatewayConfig, AsyncGatewayConfigs.from_id)


class Secret(_Named[AsyncSecret]):
    """One secret, without its value."""

    @property
    def allowed_hosts(self) -> list[str]:
        """Towards which hosts the gateway may use it."""
        return list(self._wrapped.allowed_hosts)

    get_info = call(AsyncSecret.get_info)
    update = made_same(AsyncSecret.update)
    grant = made_same(AsyncSecret.grant)
    delete = call(AsyncSecret.delete)


class Secrets(Blocking[AsyncSecrets]):
    """All of a namespace that were made by this client."""

    create = made(Secret, AsyncSecrets.create)
    list = listed(Secret, AsyncSecrets.list)
    from_id = find(Secret, AsyncSecrets.from_id)
    from_name = find(Secret, AsyncSecrets.from_name)
    update = made(Secret, AsyncSecrets.update)
    delete = call(AsyncSecrets.delete)


class NetworkPolicy(_Named[AsyncNetworkPolicy]):
    """One network policy."""

    @property
    def allow_all(self) -> bool:
        """Whether every public host may be reached."""
        return bool(self._wrapped.allow_all)

    @property
    def allowed_hostnames(self) -> list[str]:
        """Hosts."""
        return list(self._wrapped.allowed_hostnames)

    @property
    def allowed_cidrs(self) -> list[str]:
        """Ranges of addresses."""
        return list(self._wrapped.allowed_cidrs)

    get_info = call(AsyncNetworkPolicy.get_info)
    update = made_same(AsyncNetworkPolicy.update)
    delete = call(AsyncNetworkPolicy.delete)


class NetworkPolicies(Blocking[AsyncNetworkPolicies]):
    """All of a namespace."""

    create = made(NetworkPolicy, AsyncNetworkPolicies.create)
    list = listed(NetworkPolicy, AsyncNetworkPolicies.list)
    from_id = find(NetworkPolicy, AsyncNetworkPolicies.from_id)


class ExecutionResult(Blocking[AsyncExecutionResult]):
    """A command that has ended."""

    @property
    def exit_code(self) -> int:
        """As the shell has it: 128 and the signal's number where one ended it."""
        return self._wrapped.exit_code

    @property
    def success(self) -> bool:
        """Exit code 0."""
        return self._wrapped.success

    @property
    def failed(self) -> bool:
        """Another one."""
        return self._wrapped.failed

    @property
    def devbox_id(self) -> str:
        """Where it ran."""
        return self._wrapped.devbox_id

    @property
    def execution_id(self) -> str:
        """Of one in the background."""
        return self._wrapped.execution_id

    stdout = known(AsyncExecutionResult.stdout)
    stderr = known(AsyncExecutionResult.stderr)


class Execution(Blocking[AsyncExecution]):
    """A command in the background."""

    @property
    def execution_id(self) -> str:
        """Its own."""
        return self._wrapped.execution_id

    @property
    def devbox_id(self) -> str:
        """Where it runs."""
        return self._wrapped.devbox_id

    result = made(ExecutionResult, AsyncExecution.result)
    get_state = call(AsyncExecution.get_state)
    send_std_in = call(AsyncExecution.send_std_in)
    close_std_in = call(AsyncExecution.close_std_in)
    kill = call(AsyncExecution.kill)


class Commands(Blocking[AsyncCommands]):
    """Of one devbox."""

    exec = made(ExecutionResult, AsyncCommands.exec)
    exec_async = made(Execution, AsyncCommands.exec_async)
    execution = made(Execution, AsyncCommands.execution)


class Files(Blocking[AsyncFiles]):
    """Of one devbox."""

    read = call(AsyncFiles.read)
    download = call(AsyncFiles.download)
    download_to = call(AsyncFiles.download_to)
    write = call(AsyncFiles.write)
    upload = call(AsyncFiles.upload)
    exists = call(AsyncFiles.exists)
    delete = call(AsyncFiles.delete)
    list = call(AsyncFiles.list)


class Devbox(_Named[AsyncDevbox]):
    """One devbox. `with` shuts it down at the end."""

    def __init__(self, loop: Loop, wrapped: AsyncDevbox) -> None:
        super().__init__(loop, wrapped)
        self.cmd = Commands(loop, wrapped.cmd)
        self.file = self.files = Files(loop, wrapped.file)

    def __enter__(self) -> Devbox:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._loop.run(self._wrapped.__aexit__(kind, error, trace))

    get_info = call(AsyncDevbox.get_info)
    await_running = call(AsyncDevbox.await_running)
    await_suspended = call(AsyncDevbox.await_suspended)
    suspend = call(AsyncDevbox.suspend)
    resume = call(AsyncDevbox.resume)
    resume_async = call(AsyncDevbox.resume_async)
    keep_alive = call(AsyncDevbox.keep_alive)
    restart = call(AsyncDevbox.restart)
    shutdown = call(AsyncDevbox.shutdown)
    delete = call(AsyncDevbox.delete)
    logs = call(AsyncDevbox.logs)


class Devboxes(Blocking[AsyncDevboxes]):
    """All of a namespace."""

    create = made(Devbox, AsyncDevboxes.create)
    create_async = made(Devbox, AsyncDevboxes.create_async)
    list = listed(Devbox, AsyncDevboxes.list)
    from_id = find(Devbox, AsyncDevboxes.from_id)
    from_name = made(Devbox, AsyncDevboxes.from_name)


class Resource(Blocking[AsyncResource]):
    """create, retrieve, list, update, delete of one kind."""

    create = call(AsyncResource.create)
    retrieve = call(AsyncResource.retrieve)
    update = call(AsyncResource.update)
    delete = call(AsyncResource.delete)
    list = call(AsyncResource.list)


class Api:
    """The four resources."""

    def __init__(self, loop: Loop, wrapped: AsyncApi) -> None:
        self.gateway_configs = Resource(loop, wrapped.gateway_configs)
        self.secrets = Resource(loop, wrapped.secrets)
        self.network_policies = Resource(loop, wrapped.network_policies)
        self.devboxes = Resource(loop, wrapped.devboxes)


class DevboxGateway:
    """A cluster with devbox-gateway in it, as `AsyncDevboxGateway` is one. `with`, or `close()`, ends its connections and its thread;
    so does the end of the last object that came from it."""

    def __init__(
        self, *, namespace: str | None = None, context: str | None = None, kubeconfig: str | os.PathLike[str] | None = None
    ) -> None:
        """As there."""
        client = AsyncDevboxGateway(namespace=namespace, context=context, kubeconfig=kubeconfig)
        self._client, self._loop = client, Loop(client.close)
        self.namespace = client.namespace
        self.gateway_configs = self.gateway_config = GatewayConfigs(self._loop, client.gateway_configs)
        self.secrets = self.secret = Secrets(self._loop, client.secrets)
        self.network_policies = self.network_policy = NetworkPolicies(self._loop, client.network_policies)
        self.devboxes = self.devbox = Devboxes(self._loop, client.devboxes)
        self.api = Api(self._loop, client.api)

    def close(self) -> None:
        """End its connections, and its thread. What is under way in other threads is given up."""
        self._loop.end()

    def __enter__(self) -> DevboxGateway:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def __repr__(self) -> str:
        return repr(self._client).removeprefix("Async")
