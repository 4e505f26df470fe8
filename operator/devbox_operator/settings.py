"""The operator's settings: the YAML file that the chart's ConfigMap `devbox-operator` holds.

Goes in: the file. Comes out: `Settings`, frozen and checked. Called once, by __main__.
"""

from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from devbox_api import names
from devbox_common.addresses import nat64_prefix
from devbox_common.settings import SettingsModel


def _network(value: object) -> object:
    if not isinstance(value, str):
        return value
    try:
        return ip_network(value)
    except ValueError:
        raise ValueError(f"{value!r} is not a range of addresses; write e.g. 10.20.0.0/16, with no host bits set") from None


def _nat64(value: object) -> object:
    return nat64_prefix(value) if isinstance(value, str) else value


Network = Annotated[IPv4Network | IPv6Network, BeforeValidator(_network)]
Nat64Prefix = Annotated[IPv6Network, BeforeValidator(_nat64)]


class Tokens(SettingsModel):
    """How long the pods' tokens live."""

    expiration_seconds: int = Field(default=2592000, ge=600, le=2**32)
    """Asked for; the cluster may give less."""
    renew_fraction: float = Field(default=0.8, gt=0.1, lt=0.95)


class Certificates(SettingsModel):
    """The gateway's certificate."""

    leaf_days: int = Field(default=90, ge=1, le=397)


class Upstreams(SettingsModel):
    """Which private addresses an endpoint may have. The gateway enforces it; the operator shows it as a condition."""

    allowed_cidrs: tuple[Network, ...] = Field(default=(), alias="allowedCIDRs")
    allowed_hosts: tuple[str, ...] = ()
    address_overrides: dict[str, str] = Field(default={})


class FloorSettings(SettingsModel):
    """What nothing may lead to, besides what is found. The gateway enforces it; the operator shows it as a condition."""

    extra_cidrs: tuple[Network, ...] = Field(default=(), alias="extraCIDRs")


class CaBundle(SettingsModel):
    """What devboxes trust besides the public roots and the operator's CA."""

    extra_file: str = ""


def repository(image: str) -> str:
    """An image's reference without tag and digest."""
    name = image.partition("@")[0]
    path, colon, tag = name.rpartition(":")
    return path if colon and "/" not in tag else name


class Image(SettingsModel):
    """The project's own image: `devbox-init` of every devbox pod comes from it."""

    reference: str = Field(min_length=1)
    pull_policy: Literal["Always", "IfNotPresent", "Never"] = "IfNotPresent"
    pull_secrets: tuple[str, ...] = ()
    """Names of Secrets that have to exist in the devboxes' namespaces."""
    mirrors: tuple[str, ...] = ()
    """Repositories whose images a webhook may put in this one's place."""

    def admits(self, image: str) -> bool:
        """The image is of this repository or a mirror of it, whatever its tag or digest: that of another version is honest, too."""
        return repository(image) in {repository(self.reference), *self.mirrors}


Amounts = dict[str, str | int]
"""Of a resource, as in a container: {cpu: 500m, memory: 1Gi}."""


class Size(SettingsModel):
    """What a container of it is promised, and has at most."""

    requests: Amounts = Field(default={})
    limits: Amounts = Field(default={})


class Devboxes(SettingsModel):
    """What a Devbox has that says nothing else, and what it may refer to."""

    default_image: str = Field(default="", pattern=r"^\S*$")
    """Empty: none, and one without an image is not accepted."""
    git_image: str = Field(default="", pattern=r"^\S*$")
    """What clones repositories (images/git). Empty: none, and a Devbox with spec.codeMounts is not accepted."""
    sizes: dict[str, Size] = Field(default={})
    """What spec.resourceSize may name."""


class EgressSettings(SettingsModel):
    """What is done about ways around the gateway."""

    foreign_policies: Literal["Refuse", "Warn"] = "Refuse"
    """Refuse: a devbox is served nothing while somebody else's NetworkPolicy allows its pod something. Warn: a condition alone."""
    trusted_policies: tuple[str, ...] = ()
    """Names of NetworkPolicies, in whatever namespace, that are ignored."""
    require_enforcement: bool = True
    """An agent starts only where NetworkPolicies are seen to work."""
    enforcement_seconds: float = Field(default=30, ge=1, le=600)
    """How long a CNI may take to put a new pod's policies in force."""
    permitted_cidrs: tuple[Network, ...] = Field(default=(), alias="permittedCIDRs")
    """Private ranges that an EgressPolicy's allowedCIDRs may name. The gateway enforces it; the operator shows it."""


class Keeping(SettingsModel):
    """How long what a Secret held stays in use though it can't be had any more (keeping.py), and a pod in its place that nobody ends."""

    forbidden_seconds: float = Field(default=120, ge=1, le=120)
    """The API server refuses to show it."""
    invalid_seconds: float = Field(default=600, ge=1, le=600)
    """What it holds now can be no credential."""
    stale_seconds: float = Field(default=300, ge=1, le=300)
    """The API server has no answer: counted as a refusal from then on."""
    lost_node_seconds: float = Field(default=60, ge=1, le=3600)
    """A pod on a node that does not answer, beyond the time that it was given to end: then the next one is made (lingering.py)."""


class Activity(SettingsModel):
    """Asking the gateways when devboxes were last active."""

    token_file: Path = Path("/run/devbox-gateway/activity/token")
    """What the operator says who it is by: a token of its own for their activity port alone, which the kubelet renews."""


class Lease(SettingsModel):
    """Which of the replicas works."""

    duration_seconds: float = Field(default=10, ge=2)
    renew_seconds: float = Field(default=2, ge=0.5)


class Settings(SettingsModel):
    """Everything."""

    release_namespace: str = Field(min_length=1)
    credentials_namespace: str = Field(min_length=1)
    service_name: Literal["gateway"] = names.SERVICE
    """The name is part of every devbox's environment and of the certificate (`names.gateway_host`)."""
    watch_namespaces: tuple[str, ...] = ()
    """Empty: all."""
    cluster_cidrs: tuple[Network, ...] = Field(default=(), alias="clusterCIDRs")
    """Ranges of pods and Services, besides those that Nodes and ServiceCIDRs say. They reach the gateway with the floor document."""
    floor: FloorSettings = FloorSettings()
    nat64_prefixes: tuple[Nat64Prefix, ...] = ()
    """Of NAT64 in this network, besides 64:ff9b::/96."""
    tokens: Tokens = Tokens()
    certificates: Certificates = Certificates()
    upstreams: Upstreams = Upstreams()
    ca_bundle: CaBundle = CaBundle()
    source_secrets: Literal["All", "Named"] = "All"
    image: Image
    devboxes: Devboxes = Devboxes()
    egress: EgressSettings = EgressSettings()
    activity: Activity = Activity()
    lease: Lease = Lease()
    keeping: Keeping = Keeping()
    admin_port: int = Field(default=names.ADMIN_PORT, ge=0, le=65535)
    resync_seconds: float = Field(default=300, ge=10)
    workers: int = Field(default=32, ge=1, le=256)

    @property
    def scopes(self) -> tuple[str, ...]:
        """The namespaces to list and watch in; the empty string is the whole cluster."""
        return self.watch_namespaces or ("",)

    def reserved(self, namespace: str) -> bool:
        """The system's, or the release's own: nothing is made there. The chart's admission policies hold the operator to the same."""
        return namespace.startswith("kube-") or namespace in (self.release_namespace, self.credentials_namespace)
