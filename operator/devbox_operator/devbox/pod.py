"""The devbox's pod: restricted Pod Security by construction, and an environment that holds tokens in place of keys.

Goes in: a Devbox, its incarnation, the settings, the gateway's addresses. Comes out: a plain Pod with its gate. Pure.
"""

import json
from typing import Any, Final

from devbox_api import names
from devbox_api.devbox import Devbox, DevboxSpec, Resources
from devbox_api.volumes import Volume
from devbox_common.kube import Object
from devbox_operator.attach import init, meshes
from devbox_operator.devbox import environment, launching, mounting, workspace
from devbox_operator.devbox.incarnation import pod_name
from devbox_operator.kit.encoding import content_hash
from devbox_operator.seen.claims import claim_name
from devbox_operator.seen.resources import DevboxView
from devbox_operator.settings import Settings

_HOME_VOLUME: Final = "devbox-gateway-home"
_TOKENS_VOLUME: Final = "devbox-gateway-tokens"
_CA_VOLUME: Final = "devbox-gateway-ca"
GRACE_SECONDS: Final = 4
"""Unless the spec says how long."""
_DEAF: Final = ("sleep", "tail")
"""What devboxes that are worked in by exec run, and which ends by SIGKILL alone where it is process 1."""
_READABLE: Final = 0o440
"""For the owner and fsGroup: the agent's own user."""


def pod(view: DevboxView, incarnation: int, settings: Settings, service_ips: tuple[str, ...]) -> Object:
    """The Pod to post."""
    box, name, release_namespace = view.box, pod_name(view.box, incarnation), settings.release_namespace
    complete = completed(box.spec, settings)
    spec = pod_spec(complete, name, claim_name(box), release_namespace, service_ips)
    first = init.container(settings, workspace.VOLUME if box.spec.workspace else "")
    spec["initContainers"] = [first, *mounting.containers(complete, spec["containers"][0], name, settings)]
    pull = dict.fromkeys((*(secret.name for secret in box.spec.image_pull_secrets), *settings.image.pull_secrets))
    if pull:
        spec["imagePullSecrets"] = [{"name": secret} for secret in pull]
    annotations = {
        **(box.spec.pod_metadata.annotations if box.spec.pod_metadata else {}),
        **meshes.ANNOTATIONS,
        # What `kubectl exec` and `kubectl logs` mean, whatever else is in the pod.
        "kubectl.kubernetes.io/default-container": names.CONTAINER,
        names.INCARNATION_ANNOTATION: str(incarnation),
        names.SPEC_HASH_ANNOTATION: spec_hash(view, settings, service_ips),
        names.SPEC_FIELDS_ANNOTATION: json.dumps(spec_fields(view, settings, service_ips)),
        names.INIT_HASH_ANNOTATION: mounting.digest(box.spec, settings),
    }
    if view.restarted_at:
        annotations[names.RESTARTED_AT_ANNOTATION] = view.restarted_at
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": name,
            "namespace": box.namespace,
            "labels": {
                **(box.spec.pod_metadata.labels if box.spec.pod_metadata else {}),
                **meshes.LABELS,
                names.MANAGED_BY_LABEL: names.MANAGED_BY,
                names.DEVBOX_LABEL: box.name,
            },
            "annotations": annotations,
            "ownerReferences": [{**owner_reference(box), "controller": True}],
        },
        "spec": spec,
    }


def owner_reference(box: Devbox) -> Object:
    """For what has to go with the Devbox."""
    return {"apiVersion": names.API_VERSION, "kind": "Devbox", "name": box.name, "uid": box.uid}


def completed(spec: DevboxSpec, settings: Settings) -> DevboxSpec:
    """The spec with what it leaves to the release. (Without an image of its own nobody knows what the image's command does: one that
    stays takes its place. A release without a default leaves the image empty, as one without the size leaves resources, and the Devbox is
    refused.)"""
    given: dict[str, Any] = {}
    if spec.image is None:
        command = names.STAY if spec.command is None and spec.args is None else spec.command
        given |= {"image": settings.devboxes.default_image, "command": command}
    if (size := settings.devboxes.sizes.get(spec.resource_size or "")) is not None:
        given["resources"] = Resources(requests=size.requests, limits=size.limits)
    return spec.model_copy(update=given) if given else spec


def spec_hash(view: DevboxView, settings: Settings, service_ips: tuple[str, ...]) -> str:
    """Changes exactly when a running pod is not what the spec asks for any more."""
    metadata, claim, code = view.box.spec.pod_metadata, claim_name(view.box), view.box.spec.code_mounts
    complete, release_namespace = completed(view.box.spec, settings), settings.release_namespace
    spec = pod_spec(complete, "", claim, release_namespace, service_ips)
    spec["containers"][0]["env"] = environment.hashed(complete, release_namespace)
    return content_hash(
        {
            "spec": spec,
            "metadata": metadata.model_dump(mode="json") if metadata else None,
            # (Nothing where there is none: the hash is what it was before the field was.)
            **({"codeMounts": [mount.model_dump(mode="json") for mount in code]} if code else {}),
        }
    )


def spec_fields(view: DevboxView, settings: Settings, service_ips: tuple[str, ...]) -> dict[str, str]:
    """What `spec_hash` is made of, by field: a short hash each, so that a restart that is required can be told by its reasons."""
    live = {"gateways", "egress_policy_ref", "image_pull_secrets", "secret_env", "suspend", "lifecycle", "code_mounts"}
    live |= {"launch_commands"}
    fields: dict[str, Any] = view.box.spec.model_dump(mode="json", by_alias=True, exclude=live, exclude_none=True)
    fields["terminationGracePeriodSeconds"] = grace(view.box.spec)
    fields["gateways"] = [one.model_dump(mode="json", include={"name", "aliases"}) for one in view.box.spec.gateways]
    if view.box.spec.secret_env:
        fields["secretEnv"] = [one.name for one in view.box.spec.secret_env]
    if view.box.spec.workspace:
        fields["workspace"] = view.box.spec.workspace.model_dump(mode="json", include={"path", "home"})
    if view.box.spec.code_mounts:
        fields["codeMounts"] = [mount.model_dump(mode="json") for mount in view.box.spec.code_mounts]
    if view.box.spec.image_pull_secrets:
        fields["imagePullSecrets"] = [one.name for one in view.box.spec.image_pull_secrets]
    if view.box.spec.launch_commands:
        fields["launchCommands"] = list(view.box.spec.launch_commands)
    named = {f"spec.{field}": value for field, value in fields.items()} | {"the gateway's address": list(service_ips)}
    if view.box.spec.image is None:
        named["the chart's default image"] = settings.devboxes.default_image
    if (size := settings.devboxes.sizes.get(view.box.spec.resource_size or "")) is not None:
        named["the chart's devboxes.sizes"] = size.model_dump(mode="json")
    return {field: content_hash(value)[:8] for field, value in sorted(named.items())}


def grace(spec: DevboxSpec) -> int:
    """Seconds that the agent has to end. An object that was stored before the CRD asked for 1 may say 0: the API server would drop the
    pod's object at once, and the cluster's network forgets with it whom it confines, while processes still run.

    The kernel keeps signals from a process 1 that does not ask for them. So what never does would only be waited for; and what may, such
    as an interpreter, is not waited for so long that nobody restarts a devbox."""
    if spec.termination_grace_period_seconds is not None:
        return max(1, spec.termination_grace_period_seconds)
    program = spec.command[0].rpartition("/")[2] if spec.command else ""
    return 1 if program in _DEAF else GRACE_SECONDS


def pod_spec(spec: DevboxSpec, name: str, claim: str, release_namespace: str, service_ips: tuple[str, ...]) -> dict[str, Any]:
    """`spec` of the Pod, made of a completed one, but for the release's own init container. `name` is also the token Secret's; `claim`: the
    workspace's."""
    host, work = names.gateway_host(release_namespace), workspace.volume(spec, claim)
    result: dict[str, Any] = {
        "schedulingGates": [{"name": names.SCHEDULING_GATE}],
        "serviceAccountName": names.AGENT_SERVICE_ACCOUNT,
        "automountServiceAccountToken": False,
        # Service links would put the addresses of everything in the namespace into the environment.
        "enableServiceLinks": False,
        "restartPolicy": spec.restart_policy,
        "terminationGracePeriodSeconds": grace(spec),
        # Names resolve at the gateway; its own name is in the hosts file, everything else fails at once. DNS is the classic leak.
        "dnsPolicy": "None",
        "dnsConfig": {"nameservers": ["127.0.0.1"], "options": [{"name": "attempts", "value": "1"}]},
        "hostAliases": [{"ip": ip, "hostnames": [host]} for ip in service_ips],
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": spec.run_as_user,
            "runAsGroup": spec.run_as_user,
            "fsGroup": spec.run_as_user if spec.fs_group is None else spec.fs_group,
            "fsGroupChangePolicy": "OnRootMismatch",
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [_container(spec, name, release_namespace)],
        "volumes": [
            {"name": _HOME_VOLUME, "emptyDir": {}},
            {"name": _TOKENS_VOLUME, "secret": {"secretName": name, "defaultMode": _READABLE}},
            {"name": _CA_VOLUME, "configMap": {"name": names.CA_CONFIG_MAP}},
            *(_volume(volume) for volume in spec.volumes),
            *([work] if work else ()),
            *launching.volume(spec),
        ],
    }
    optional: dict[str, Any] = {
        "nodeSelector": dict(spec.node_selector),
        "tolerations": [t.model_dump(by_alias=True, exclude_none=True) for t in spec.tolerations],
        "runtimeClassName": spec.runtime_class_name,
        "imagePullSecrets": [{"name": secret.name} for secret in spec.image_pull_secrets],
    }
    return result | {key: value for key, value in optional.items() if value}


def _container(spec: DevboxSpec, name: str, release_namespace: str) -> dict[str, Any]:
    work = workspace.mount(spec)
    container: dict[str, Any] = {
        "name": names.CONTAINER,
        "image": spec.image,
        "env": environment.environment(spec, name, release_namespace),
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "runAsNonRoot": True,
            # NET_RAW too, which runtimes grant by default: no spoofed source address.
            "capabilities": {"drop": ["ALL"]},
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "volumeMounts": [
            {"name": _HOME_VOLUME, "mountPath": names.HOME},
            {"name": _TOKENS_VOLUME, "mountPath": names.TOKENS_DIRECTORY, "readOnly": True},
            {"name": _CA_VOLUME, "mountPath": names.CA_DIRECTORY, "readOnly": True},
            *({"name": v.name, "mountPath": v.mount_path, **({"readOnly": True} if v.read_only else {})} for v in spec.volumes),
            *([work] if work else ()),
            *launching.mount(spec),
        ],
    }
    optional = {
        "imagePullPolicy": spec.image_pull_policy,
        "command": list(spec.command) if spec.command is not None else None,
        "args": list(spec.args) if spec.args is not None else None,
        "workingDir": spec.working_dir,
        "resources": spec.resources.model_dump(mode="json", exclude_defaults=True) if spec.resources else None,
    }
    return container | {key: value for key, value in optional.items() if value is not None} | launching.wrapped(spec)


def _volume(volume: Volume) -> dict[str, Any]:
    if volume.persistent_volume_claim is not None:
        claim: dict[str, Any] = {"claimName": volume.persistent_volume_claim.claim_name}
        source = {"persistentVolumeClaim": claim | ({"readOnly": True} if volume.read_only else {})}
    elif volume.config_map is not None:
        source = {"configMap": {"name": volume.config_map.name}}
    else:
        empty = volume.empty_dir.model_dump(mode="json", by_alias=True, exclude_none=True) if volume.empty_dir else {}
        source = {"emptyDir": empty}
    return {"name": volume.name, **source}
