"""The containers that mount a devbox's code before its agent starts: one clones, in an image of the release's, one runs install commands,
in the agent's own.

Goes in: a completed spec, the pod's main container, the settings. Comes out: plain containers, in their order, and when they have had their
time. Pure.

`devbox-clone` is given what it needs and nothing of the user's: the workspace, the gateway's certificates, and of the pod's tokens those of
the gateways that mounts name, and the way out. `devbox-setup` is the agent's container with another command.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Final

import orjson

from devbox_api import names
from devbox_api.codemounts import WORKSPACE_PATH
from devbox_api.devbox import DevboxSpec
from devbox_api.judge import mounts
from devbox_common.kube import Object
from devbox_operator.attach import init
from devbox_operator.devbox import workspace
from devbox_operator.devbox.launching import literal
from devbox_operator.seen.pods import PodView
from devbox_operator.settings import Settings

CLONE_SECONDS: Final = 3600
"""How long all clones of a pod may take together, before the pod is replaced."""
GRACE_SECONDS: Final = 60
"""Beyond a deadline: whoever has it is to see to it first."""
SCRIPT: Final = """\
trap 'exit 124' TERM
while [ $# -gt 0 ]; do
  echo "devbox-setup: $1"
  (cd "$3" && exec sh -c "$4") &
  work=$!
  (sleep "$2"; echo "devbox-setup: $1: installCommand has not ended after $2 s (installTimeoutSeconds)"; kill -TERM $$) &
  clock=$!
  wait $work || { status=$?; echo "devbox-setup: $1: installCommand ended with exit code $status"; exit $status; }
  kill $clock
  shift 4
done
"""
"""For any POSIX shell. Four arguments a mount: name, seconds, folder, command. (As process 1 it takes everything along when it ends.)"""


def containers(spec: DevboxSpec, main: Object, secret: str, settings: Settings) -> list[Object]:
    """None without codeMounts. `secret`: the pod's token Secret."""
    if not spec.code_mounts:
        return []
    return [_clone(spec, main, secret, settings), *([_setup(spec, main)] if _installing(spec) else ())]


def _clone(spec: DevboxSpec, main: Object, secret: str, settings: Settings) -> Object:
    host = names.gateway_host(settings.release_namespace)
    needed = {names.PROXY_KEY, *(mount.gateway for mount in spec.code_mounts if mount.gateway)}
    # (As the agent's: the order is that of spec.gateways.)
    environment = [one for one in main["env"] if one["name"] in needed | {"GIT_SSL_CAINFO"} and _own(one, secret)]
    release = init.container(settings)
    return {
        "name": names.CLONE_CONTAINER,
        "image": settings.devboxes.git_image,
        "imagePullPolicy": settings.image.pull_policy,
        "command": [names.CLONE_CONTAINER],
        "env": [
            {"name": names.CLONE_DOCUMENT, "value": document(spec, f"https://{host}")},
            {"name": "NO_PROXY", "value": f"{host},127.0.0.1,localhost"},
            *environment,
        ],
        "securityContext": release["securityContext"],
        "resources": {"requests": {"cpu": "100m", "memory": "128Mi"}, "limits": {"cpu": "2", "memory": "2Gi"}},
        # (Wherever the agent has it: at a path such as /opt it would hide the program that clones.)
        "volumeMounts": [
            *(one for one in main["volumeMounts"] if one["mountPath"] == names.CA_DIRECTORY),
            {"name": workspace.VOLUME, "mountPath": WORKSPACE_PATH},
        ],
    }


def _own(variable: Mapping[str, Any], secret: str) -> bool:
    """A token, or a literal of ours: what the user sets can have none of these names, but for one that is a gateway's."""
    reference = (variable.get("valueFrom") or {}).get("secretKeyRef")
    return reference is None or (reference["name"] == secret and reference["key"] == variable["name"])


def _setup(spec: DevboxSpec, main: Object) -> Object:
    kept: dict[str, Any] = {
        key: main[key]
        for key in ("image", "imagePullPolicy", "env", "securityContext", "resources", "volumeMounts")
        if key in main
    }
    arguments = [word for mount in _installing(spec) for word in mount]
    return {
        "name": names.SETUP_CONTAINER,
        **kept,
        "command": ["sh", "-c", *map(literal, (SCRIPT, names.SETUP_CONTAINER, *arguments))],
        # (The end of its log is what it said last: the image is somebody's, and knows of no termination log.)
        "terminationMessagePolicy": "FallbackToLogsOnError",
    }


def _installing(spec: DevboxSpec) -> list[tuple[str, str, str, str]]:
    """What SCRIPT is told of each mount that has something to install."""
    return [
        (mount.name, str(mount.install_timeout_seconds), f"{workspace.path(spec)}/{mount.place}", mount.install_command)
        for mount in spec.code_mounts
        if mount.install_command is not None
    ]


def document(spec: DevboxSpec, gateway_url: str) -> str:
    """What devbox-clone reads (devbox_clone/document.py)."""
    every = []
    for mount in spec.code_mounts:
        one: dict[str, Any] = {"name": mount.name, "repository": mount.repository, "path": mount.place}
        one |= {key: value for key, value in (("ref", mount.ref), ("depth", mount.depth)) if value is not None}
        one |= {"submodules": mount.submodules, "lfs": mount.lfs}
        if mount.gateway is not None:
            one |= {"binding": mount.gateway, "behind": mounts.behind(mount.repository)}
        every.append(one)
    content = {
        "version": names.CLONE_DOCUMENT_VERSION,
        "workspace": WORKSPACE_PATH,
        "gateway": gateway_url,
        "mounts": every,
    }
    return orjson.dumps(content).decode()


def digest(spec: DevboxSpec, settings: Settings) -> str:
    """Of what comes before the agent and is the release's own: init.digest, and the image that clones."""
    return init.digest(settings, *([settings.devboxes.git_image] if spec.code_mounts else ()))


def overdue(spec: DevboxSpec, pod: PodView) -> datetime | None:
    """When a pod that mounts code has had its time for what it does now; None: it does nothing of that kind."""
    found = pod.mounts
    if found is None or not pod.held or found.since is None:
        return None
    seconds = CLONE_SECONDS if found.at_work == names.CLONE_CONTAINER else _install_seconds(spec)
    return found.since + timedelta(seconds=seconds + GRACE_SECONDS)


def _install_seconds(spec: DevboxSpec) -> int:
    return sum(int(mount[1]) for mount in _installing(spec))
