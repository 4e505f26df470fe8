"""From a snapshot to what should be: the heart of the operator, pure.

Goes in: a `Snapshot`. Comes out: `DesiredState`: problems that keep the pod gated or unmade, the bindings of its Route, the pod to post,
and the next step of its life.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from devbox_api import names
from devbox_api.conditions import Reason
from devbox_api.judge.shown import command, visible
from devbox_api.route import LACKS_CREDENTIAL, LACKS_GRANT
from devbox_api.variables import DevboxGateway
from devbox_common.kube import Object
from devbox_operator.attach import secretenv
from devbox_operator.devbox import claim, lifecycle, lingering, mounted, mounting, pod
from devbox_operator.documents import credentials, keeping
from devbox_operator.documents.objects import egress_name, gateway_name
from devbox_operator.report.problem import Problem
from devbox_operator.seen.index import Source
from devbox_operator.seen.resources import EgressView, GatewayView
from devbox_operator.seen.snapshot import INVALID, Snapshot
from devbox_operator.settings import Settings


@dataclass(frozen=True)
class WantedBinding:
    """One gateway of the devbox, resolved or not."""

    name: str
    endpoint: str | None
    gateway: str = ""
    """Names of the documents; empty where unresolved."""
    credential: str = ""
    problem: Problem | None = None
    kept: frozenset[tuple[str, str]] = frozenset()
    """Where a Route that leads there goes on leading for a while: gateway and credential, whose Secret is in doubt (keeping.py)."""
    lacks: str = ""
    """Why it is unresolved (devbox_api.route.Binding)."""
    doubt: str = ""
    """What makes the credential look like a mistake, though it is used."""


@dataclass(frozen=True)
class DesiredState:
    """What should be."""

    bindings: tuple[WantedBinding, ...]
    refused: Problem | None
    """Why no pod can be made of this spec at all."""
    missing: tuple[str, ...]
    """Documents that are not in the credentials namespace yet."""
    step: lifecycle.Step
    spec_hash: str
    spec_fields: Mapping[str, str]
    """pod.spec_fields."""
    egress: str | None = None
    """Name of the EgressPolicy's document."""
    secret_env: secretenv.Values = secretenv.NONE
    """What the agent is given of Secrets."""
    egress_problem: Problem | None = None
    """Why there is none, though the spec refers to one: a new pod waits, and one that runs reaches no other host."""
    mount_problem: Problem | None = None
    """Why code can't be mounted as it is asked for: a new pod waits."""

    @property
    def problems(self) -> list[Problem]:
        """What keeps the credentials from being resolved, in the order of spec.gateways and spec.secretEnv."""
        return [*(binding.problem for binding in self.bindings if binding.problem), *self.secret_env.problems]

    @property
    def doubts(self) -> list[str]:
        """Of credentials that are used all the same."""
        return [binding.doubt for binding in self.bindings if binding.doubt]

    @property
    def complete(self) -> bool:
        """The gate may open as far as what is referred to goes."""
        return not self.problems and not self.missing and self.egress_problem is None and self.mount_problem is None


def compile_devbox(snapshot: Snapshot, settings: Settings) -> DesiredState:
    """The whole of it."""
    box = snapshot.devbox.box
    spec_hash = pod.spec_hash(snapshot.devbox, settings, snapshot.system.service_ips)
    bindings = tuple(_bindings(snapshot, settings.release_namespace))
    egress = _egress(snapshot)
    document, problem = (None, egress) if isinstance(egress, Problem) else (egress, None)
    documents = {name for binding in bindings for name in (binding.gateway, binding.credential) if name}
    documents |= {document} if document else set()
    if snapshot.devbox.suspended_by is not None:
        documents = set()  # nobody waits for them
    endings = lingering.endings(snapshot, settings)
    refused = (
        _namespace(snapshot, settings)
        or _image(snapshot, settings)
        or _size(snapshot, settings)
        or _git_image(snapshot, settings)
        or _volumes(snapshot)
        or claim.problem(snapshot)
    )
    return DesiredState(
        bindings=bindings,
        refused=refused,
        missing=tuple(sorted(name for name in documents if name not in snapshot.documents)),
        step=lifecycle.plan(
            snapshot.devbox,
            snapshot.pods,
            spec_hash,
            snapshot.now,
            mounting.digest(box.spec, settings),
            endings=endings,
            possible=refused is None,
        ),
        spec_hash=spec_hash,
        spec_fields=pod.spec_fields(snapshot.devbox, settings, snapshot.system.service_ips),
        egress=document,
        secret_env=secretenv.resolve(box.spec.secret_env, box.namespace, snapshot.secrets, settings.release_namespace),
        egress_problem=problem,
        mount_problem=mounted.mismatch(box.spec, {binding.name: binding.endpoint for binding in bindings}),
    )


def new_pod(snapshot: Snapshot, incarnation: int, settings: Settings) -> Object:
    """The Pod to post."""
    return pod.pod(snapshot.devbox, incarnation, settings, snapshot.system.service_ips)


def _bindings(snapshot: Snapshot, release_namespace: str) -> list[WantedBinding]:
    namespace = snapshot.devbox.box.namespace
    result = []
    for binding in snapshot.devbox.box.spec.gateways:
        gateway = credentials.gateway_for(binding, snapshot)
        if isinstance(gateway, Problem):
            result.append(WantedBinding(binding.name, None, problem=gateway))
            continue
        endpoint = gateway.config.spec.endpoint
        source = credentials.source_for(binding, namespace, gateway)
        if isinstance(source, Problem):
            result.append(WantedBinding(binding.name, endpoint, problem=source, lacks=LACKS_CREDENTIAL))
            continue
        resolved = credentials.resolve(source, snapshot.secrets, gateway.config.spec, release_namespace)
        if isinstance(resolved, Problem):
            result.append(_in_doubt(binding, gateway, source, resolved, snapshot))
        else:
            # (Of another namespace's Secret its owner is told, on the GatewayConfig.)
            own = source.namespace == namespace
            doubt = credentials.doubtful(resolved, gateway.config.spec.auth_mechanism) if own else ""
            wanted = WantedBinding(binding.name, endpoint, gateway_name(gateway.config.uid), resolved.name, doubt=doubt)
            result.append(wanted)
    return result


def _in_doubt(
    binding: DevboxGateway, gateway: GatewayView, source: Source, problem: Problem, snapshot: Snapshot
) -> WantedBinding:
    """A binding whose Secret can't be used now, and what of it is kept."""
    lacks = LACKS_GRANT if problem.reason is Reason.SECRET_NOT_GRANTED else LACKS_CREDENTIAL
    if source.namespace != snapshot.devbox.box.namespace:
        lacks = LACKS_CREDENTIAL
        problem = credentials.concealed(problem, binding, gateway)
    mirrored = snapshot.mirrored.get(source.secret, {})
    document = gateway_name(gateway.config.uid)
    kept = frozenset((document, name) for name in keeping.names_of(source, mirrored)) if problem.keeps else frozenset()
    return WantedBinding(
        binding.name,
        gateway.config.spec.endpoint,
        problem=keeping.told(problem, source, mirrored),
        kept=kept,
        lacks=lacks,
    )


def _egress(snapshot: Snapshot) -> str | Problem | None:
    """The document of the Devbox's EgressPolicy; None if it refers to none."""
    key, found = snapshot.devbox.egress, snapshot.egress
    if key is None:
        return None
    where = f"EgressPolicy {'/'.join(key)}"
    if isinstance(found, EgressView):
        return egress_name(found.policy.uid)
    if found == INVALID:
        return Problem(Reason.EGRESS_POLICY_NOT_ACCEPTED, f"{where} is not accepted; see its conditions")
    return Problem(
        Reason.EGRESS_POLICY_NOT_FOUND,
        f"{where} does not exist; create it, or correct spec.egressPolicyRef. Until then a new pod waits, and one that runs "
        "reaches no host but the gateway",
    )


def _namespace(snapshot: Snapshot, settings: Settings) -> Problem | None:
    namespace = snapshot.devbox.box.namespace
    if not settings.reserved(namespace):
        return None
    return Problem(
        Reason.NAMESPACE_RESERVED,
        f"no devboxes are made in {namespace}: namespaces of the system (kube-…) and of the release hold what no devbox may be near; "
        "create the Devbox in another namespace",
    )


def _image(snapshot: Snapshot, settings: Settings) -> Problem | None:
    if pod.completed(snapshot.devbox.box.spec, settings).image:
        return None
    return Problem(
        Reason.IMAGE_MISSING,
        "spec.image is not set, and this cluster's devbox-gateway has no default image; set spec.image, or an administrator sets the "
        "chart's value devboxes.defaultImage",
    )


def _size(snapshot: Snapshot, settings: Settings) -> Problem | None:
    size, known = snapshot.devbox.box.spec.resource_size, settings.devboxes.sizes
    if size is None or size in known:
        return None
    there = f"known are {', '.join(known)}" if known else "there are none"
    return Problem(
        Reason.SIZE_UNKNOWN,
        f"this cluster's devbox-gateway has no size {visible(size)} (spec.resourceSize); {there}. Correct it, or write spec.resources; an "
        "administrator adds sizes by the chart's value devboxes.sizes",
    )


def _git_image(snapshot: Snapshot, settings: Settings) -> Problem | None:
    if settings.devboxes.git_image or not snapshot.devbox.box.spec.code_mounts:
        return None
    return Problem(
        Reason.IMAGE_MISSING,
        "spec.codeMounts is set, and this cluster's devbox-gateway has no image that clones repositories; an administrator sets the "
        "chart's value devboxes.gitImage",
    )


def _volumes(snapshot: Snapshot) -> Problem | None:
    namespace = snapshot.devbox.box.namespace
    kinds = {"ConfigMap": "configmap", "PersistentVolumeClaim": "pvc"}
    for (kind, name), mountable in sorted(snapshot.volumes.items()):
        if mountable is None:
            return Problem(Reason.VOLUME_NOT_FOUND, f"{kind} {namespace}/{name} of spec.volumes does not exist; create it")
        if not mountable:
            return Problem(
                Reason.VOLUME_NOT_MOUNTABLE,
                f"{kind} {namespace}/{name} is not allowed in devboxes; its owner runs: "
                + command("kubectl", "-n", namespace, "label", kinds[kind], name, f"{names.MOUNTABLE_LABEL}=true"),
            )
    return None
