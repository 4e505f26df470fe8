"""From the arguments of `devboxes.create` to the spec of a Devbox; pure.

Goes in: what the caller gave, and what the names in it were found to be. Comes out: the spec. Whether the cluster's chart knows a field
is the API server's to say (base.STRICT).
"""

import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from devbox_api import names
from devbox_gateway.errors import InvalidError
from devbox_gateway.kube.session import Object

from .base import text

VARIABLE: Final = re.compile(r"[A-Z][A-Z0-9_]*")
ARCHITECTURES: Final = {"x86_64": "amd64", "amd64": "amd64", "arm64": "arm64", "aarch64": "arm64"}
CUSTOM_SIZE: Final = "CUSTOM_SIZE"
"""The size whose amounts are given beside it."""
CUSTOM: Final = {
    "custom_cpu_cores": ("cpu", ""),
    "custom_gb_memory": ("memory", "Gi"),
    "custom_disk_size": ("ephemeral-storage", "Gi"),
}
"""Those amounts: of which resource, in which unit."""
LIVES_SECONDS: Final = (60, 90 * 86_400)
"""The least and the most of spec.lifecycle.ttl, and of idle.after."""
ON_IDLE: Final = {"shutdown": "Delete", "suspend": "Suspend"}
NOT_HERE: Final = {
    "mcp": "an MCP server is an API like any other here: make a gateway config with its address, and name it in gateways",
    "snapshot_id": "a devbox can't be started from a snapshot; build an image, and name it as image",
    "blueprint_id": "there are no blueprints; build an image, and name it as image",
    "blueprint_name": "there are no blueprints; build an image, and name it as image",
    "tunnel": "nothing leads into a devbox from outside; use cmd.exec, or kubectl port-forward with the pod of get_info()",
    "file_mounts": "write files once the devbox is there: devbox.file.write(file_path=…, contents=…)",
}
"""Arguments that users of other products know, and what to do in their place."""

NO_LAUNCH: Final = {
    "available_ports": "nothing leads into a devbox from outside, so that there is no port to open; use cmd.exec, or kubectl port-forward "
    "with the pod of get_info()",
    "required_services": "there are no services beside a devbox; start what it needs by launch_commands, or in its image",
    "provisioning_tier": 'the cluster\'s nodes are what there is; choose among them by spec={"nodeSelector": …, "tolerations": […]}',
}
"""Of `launch_parameters`, likewise."""
NO_LIFECYCLE: Final = {
    "resume_triggers": "no request resumes a suspended devbox; resume() does",
    "lifecycle_hooks": "nothing runs before a devbox is suspended; its command is told to end (TERM), and has "
    'spec={"terminationGracePeriodSeconds": …} for what it does then',
}
"""Of its `lifecycle`."""
NEWER_CHART: Final = {
    "spec.launchCommands": "launch_parameters.launch_commands",
    "spec.resourceSize": "launch_parameters.resource_size_request",
    "spec.lifecycle": "launch_parameters.keep_alive_time_seconds",
    "spec.lifecycle.idle": "launch_parameters.after_idle",
}
"""Fields that an older chart does not have, and which argument they come from."""


@dataclass(frozen=True)
class Binding:
    """One gateway of a devbox, found."""

    variable: str
    config: str
    namespace: str | None
    """None: the devbox's own."""
    secret: str | None
    endpoint: str = ""
    """Of the config."""


def refuse_unknown(given: Mapping[str, Any]) -> None:
    """Raises InvalidError for an argument that no devbox has here."""
    for name, value in given.items():
        if value is None:
            continue
        if name in NOT_HERE:
            raise InvalidError(name, NOT_HERE[name])
        raise InvalidError(name, "devboxes.create knows no such argument")


def spec_of(
    *,
    image: str | None,
    command: Sequence[str] | None,
    entrypoint: str | None,
    bindings: Sequence[Binding],
    environment: Mapping[str, str],
    secret_env: Mapping[str, str],
    code_mounts: Sequence[Object],
    launch: Mapping[str, Any],
    policy: str | None,
    more: Mapping[str, Any],
) -> Object:
    """The whole spec. `more`: fields of the Devbox as docs have them, which count before what is made here."""
    spec: Object = {} if image is None else {"image": text("image", image)}
    spec["command"] = _command(command, entrypoint)
    if entrypoint is not None:
        spec["restartPolicy"] = "Never"
    if bindings:
        spec["gateways"] = [_gateway(binding) for binding in bindings]
    if environment:
        spec["env"] = [
            {"name": str(key), "value": text(f"environment_variables.{key}", value)} for key, value in environment.items()
        ]
    if secret_env:
        spec["secretEnv"] = [{"name": str(key), "secretRef": {"name": name}} for key, name in secret_env.items()]
    if code_mounts:
        spec["codeMounts"] = list(code_mounts)
    if policy is not None:
        spec["egressPolicyRef"] = {"name": policy}
    return {**spec, **_launch(launch), **more}


def check_variables(gateways: Mapping[str, Any]) -> None:
    """That each gateway's name can be a variable's. Raises InvalidError."""
    if not isinstance(gateways, Mapping):
        raise InvalidError("gateways", 'write {"ANTHROPIC": {"gateway": config.id, "secret": "MY_KEY"}}')
    for name, choice in gateways.items():
        if not isinstance(name, str) or not VARIABLE.fullmatch(name):
            raise InvalidError(
                f"gateways.{name}", "write upper-case letters, digits and '_', beginning with a letter, e.g. ANTHROPIC"
            )
        if not isinstance(choice, Mapping) or "gateway" not in choice:
            raise InvalidError(f"gateways.{name}", 'write {"gateway": config.id, "secret": "MY_KEY"}')
        if unknown := set(choice) - {"gateway", "secret"}:
            raise InvalidError(f"gateways.{name}", f"no such field: {', '.join(sorted(map(str, unknown)))}")


def _command(command: Sequence[str] | None, entrypoint: str | None) -> list[str]:
    if command is not None and entrypoint is not None:
        raise InvalidError(
            "entrypoint", "give entrypoint (a line for a shell) or command (a program and its arguments), not both"
        )
    if entrypoint is not None:
        return ["sh", "-c", text("entrypoint", entrypoint)]
    if command is None:
        return list(names.STAY)
    if isinstance(command, str) or not command:
        raise InvalidError("command", 'write a list, e.g. ["python", "agent.py"]')
    return [text("command", part) for part in command]


def _gateway(binding: Binding) -> Object:
    reference = {"name": binding.config, **({} if binding.namespace is None else {"namespace": binding.namespace})}
    gateway: Object = {"name": binding.variable, "gatewayRef": reference}
    if binding.secret is not None:
        gateway["secretRef"] = {"name": binding.secret}
    return gateway


def mapping(field: str, given: object) -> dict[str, Any]:
    """Of what is to be one. Raises InvalidError."""
    if not isinstance(given, Mapping) or not all(isinstance(key, str) for key in given):
        raise InvalidError(field, f"names with values belong here, a dict, not {type(given).__name__}")
    return dict(given)


def _launch(given: Mapping[str, Any]) -> Object:
    """Of `launch_parameters` (network_policy_id is the caller's)."""
    spec: Object = {}
    for name, value in given.items():
        if value is None or name in _ELSEWHERE:
            continue
        if name in NO_LAUNCH:
            raise InvalidError(f"launch_parameters.{name}", NO_LAUNCH[name])
        if name not in _LAUNCH:
            raise InvalidError(f"launch_parameters.{name}", f"not known here; known are {', '.join((*_LAUNCH, *_ELSEWHERE))}")
        try:
            for field, part in _LAUNCH[name](value).items():
                spec[field] = {**spec.get(field, {}), **part} if field == "lifecycle" else part
        except (KeyError, TypeError, ValueError, AttributeError):
            raise InvalidError(f"launch_parameters.{name}", "not of the form that belongs here") from None
    if _has_idle_time(given):
        # (With an idle time there is no other end, as elsewhere.)
        spec["lifecycle"].pop("ttl", None)
    if resources := _custom(given):
        spec["resources"] = resources
    return spec


def _has_idle_time(given: Mapping[str, Any]) -> bool:
    lifecycle = given.get("lifecycle")
    return bool(given.get("after_idle") or (isinstance(lifecycle, Mapping) and lifecycle.get("after_idle")))


def _ttl(value: object) -> Object:
    return {"lifecycle": {"ttl": _lives("launch_parameters.keep_alive_time_seconds", value)}}


def _lives(field: str, value: object) -> str:
    """Of seconds."""
    least, most = LIVES_SECONDS
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        raise InvalidError(field, f"write a whole number of seconds from {least} to {most} (90 days), e.g. 3600")
    return duration(value)


def duration(seconds: int) -> str:
    """As people write it: 24h, 90s."""
    for unit, name in ((3600, "h"), (60, "m")):
        if seconds % unit == 0:
            return f"{seconds // unit}{name}"
    return f"{seconds}s"


_ELSEWHERE: Final = ("network_policy_id", *CUSTOM)


def _size(value: object) -> Object:
    """(Which sizes there are is the chart's to say, and the Devbox's condition Accepted does.)"""
    return {} if value == CUSTOM_SIZE else {"resourceSize": text("launch_parameters.resource_size_request", value)}


def _architecture(value: str) -> Object:
    if value not in ARCHITECTURES:
        raise InvalidError("launch_parameters.architecture", f"write one of {', '.join(ARCHITECTURES)}")
    return {"nodeSelector": {"kubernetes.io/arch": ARCHITECTURES[value]}}


def _launch_commands(value: object) -> Object:
    if isinstance(value, (str, bytes, Mapping)) or not isinstance(value, Iterable):
        raise InvalidError("launch_parameters.launch_commands", 'write a list of lines for a shell, e.g. ["npm ci"]')
    return {"launchCommands": [text("launch_parameters.launch_commands", line) for line in value]}


def _user(value: object) -> Object:
    given = mapping("launch_parameters.user_parameters", value)
    uid = given.pop("uid", None)
    if given:
        raise InvalidError(
            f"launch_parameters.user_parameters.{next(iter(given))}",
            'a devbox\'s user is a number, and is called what its image calls it; write {"uid": 1000} alone',
        )
    if isinstance(uid, bool) or not isinstance(uid, int):
        raise InvalidError("launch_parameters.user_parameters.uid", "write a number, e.g. 1000")
    return {"runAsUser": uid}


def _idle(value: object) -> Object:
    """Of one that nobody works in."""
    where = "launch_parameters.after_idle"
    given = mapping(where, value)
    action, after = given.pop("on_idle", "shutdown"), given.pop("idle_time_seconds", None)
    if given:
        raise InvalidError(f"{where}.{next(iter(given))}", "not known here; known are idle_time_seconds, on_idle")
    if not isinstance(action, str) or action not in ON_IDLE:
        raise InvalidError(f"{where}.on_idle", f"write one of {', '.join(ON_IDLE)}")
    return {"lifecycle": {"idle": {"after": _lives(f"{where}.idle_time_seconds", after), "action": ON_IDLE[action]}}}


def _lifecycle(value: object) -> Object:
    given = {name: part for name, part in mapping("launch_parameters.lifecycle", value).items() if part is not None}
    after_idle = given.pop("after_idle", None)
    for name in given:
        raise InvalidError(f"launch_parameters.lifecycle.{name}", NO_LIFECYCLE.get(name, "not known here; known is after_idle"))
    return _idle(after_idle) if after_idle else {}


_LAUNCH: Final[Mapping[str, Callable[[Any], Object]]] = {
    "launch_commands": _launch_commands,
    "resource_size_request": _size,
    "user_parameters": _user,
    "architecture": _architecture,
    "keep_alive_time_seconds": _ttl,
    "after_idle": _idle,
    "lifecycle": _lifecycle,
}


def _custom(given: Mapping[str, Any]) -> Object:
    """`resources` of a size of one's own; empty: it has none."""
    amounts = {}
    for name, (resource, unit) in CUSTOM.items():
        value = given.get(name)
        if value is None:
            continue
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value < math.inf:
            raise InvalidError(f"launch_parameters.{name}", "write a number above 0, e.g. 2")
        amounts[resource] = f"{value}{unit}"
    size = given.get("resource_size_request")
    if amounts and size not in (None, CUSTOM_SIZE):
        raise InvalidError(
            "launch_parameters.resource_size_request",
            f"{size} is a size of the chart's; for one of your own write {CUSTOM_SIZE}, or leave out {', '.join(CUSTOM)}",
        )
    if size == CUSTOM_SIZE and not amounts:
        raise InvalidError(f"launch_parameters.{next(iter(CUSTOM))}", f"{CUSTOM_SIZE} needs one or more of {', '.join(CUSTOM)}")
    return {"requests": amounts, "limits": amounts} if amounts else {}
