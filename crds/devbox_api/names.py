"""Names that more than one part of the project has to agree on.

Goes in: nothing. Comes out: constants and three pure functions.
"""

import hashlib
from typing import Final

GROUP: Final = "devbox-gateway.io"
VERSION: Final = "v1alpha1"
API_VERSION: Final = f"{GROUP}/{VERSION}"

MANAGED_BY_LABEL: Final = "app.kubernetes.io/managed-by"
MANAGED_BY: Final = "devbox-gateway"
MANAGED_SELECTOR: Final = f"{MANAGED_BY_LABEL}={MANAGED_BY}"
DEVBOX_LABEL: Final = f"{GROUP}/devbox"
"""On pods and their children; the value is the Devbox's name."""
DENY_POLICY: Final = "devbox-gateway-deny"
"""The NetworkPolicy of every namespace with devboxes that denies their pods everything. It is owned by nobody, so that it outlives each
pod's own policy, which allows what they may."""
MOUNTABLE_LABEL: Final = f"{GROUP}/mountable"
"""On a PersistentVolumeClaim or ConfigMap (value `true`): its owner lets devboxes mount it. On a Secret: its owner lets agents read it
(spec.secretEnv), unless it carries a grant."""
SECRET_ENV_PREFIX: Final = "secret-env."  # noqa: S105 (of a key)
"""In a pod's token Secret: before the variables of spec.secretEnv. No gateway's name has a '.'."""

ALLOWED_HOSTS_ANNOTATION: Final = f"{GROUP}/allowed-hosts"
RESTARTED_AT_ANNOTATION: Final = f"{GROUP}/restarted-at"
KEPT_ALIVE_AT_ANNOTATION: Final = f"{GROUP}/kept-alive-at"
"""On a Devbox: its time to live (spec.lifecycle.ttl) counts from then, and it was in use then (spec.lifecycle.idle). RFC 3339, or seconds
since 1970."""
ACTIVE_UNTIL_ANNOTATION: Final = f"{GROUP}/active-until"
"""On a Devbox: it is in use until then, at most a day from now, whatever gateways see. RFC 3339, or seconds since 1970."""
RESUMED_AT_ANNOTATION: Final = f"{GROUP}/resumed-at"
"""On a Devbox: whoever sets another value resumes one that is suspended since it was idle."""
ACTIVITY_ANNOTATION: Final = f"{GROUP}/activity"
"""On the operator's Lease: what its next holder has to know of gateways (spec.lifecycle.idle)."""
RENEWED_AT_ANNOTATION: Final = f"{GROUP}/renewed-at"
"""On the CA's Secret: a certificate from before that time is renewed."""
EARLIER_END_ANNOTATION: Final = f"{GROUP}/earlier-end"
"""On the CA's Secret: when the certificate before this one ends, which processes hold that began before it was renewed."""
UNUSED_SINCE_ANNOTATION: Final = f"{GROUP}/unused-since"
"""On a DENY_POLICY: since when its namespace has been seen without devboxes."""
FORCED_DELETION_LABEL: Final = f"{GROUP}/allow-forced-deletion"
"""On a namespace (value `true`), by a cluster administrator: devboxes' pods may be deleted with a grace period of 0."""
FORCE_DELETE_ANNOTATION: Final = f"{GROUP}/force-delete"
INCARNATION_ANNOTATION: Final = f"{GROUP}/incarnation"
SPEC_HASH_ANNOTATION: Final = f"{GROUP}/spec-hash"
SPEC_FIELDS_ANNOTATION: Final = f"{GROUP}/spec-fields"
INIT_HASH_ANNOTATION: Final = f"{GROUP}/init-hash"
"""On pods: changes with the init container, which a pod that has started does not need to take up any more."""
SECRET_ENV_ANNOTATION: Final = f"{GROUP}/secret-env"
"""On a Route: by hashes, which values of spec.secretEnv its pod was given."""
SOURCE_NAMESPACE_ANNOTATION: Final = f"{GROUP}/source-namespace"
SOURCE_NAME_ANNOTATION: Final = f"{GROUP}/source-name"
SOURCE_KEY_ANNOTATION: Final = f"{GROUP}/source-key"
SOURCE_VERSION_ANNOTATION: Final = f"{GROUP}/source-resource-version"
KEPT_UNTIL_ANNOTATION: Final = f"{GROUP}/kept-until"
"""On a mirrored credential that its Secret does not bear out any more: when it goes."""
WORKSPACE_OF_ANNOTATION: Final = f"{GROUP}/workspace-of"
"""On a PersistentVolumeClaim: the UID of the Devbox whose workspace it is. One without it is not touched, whatever its name."""

SCHEDULING_GATE: Final = f"{GROUP}/tokens"
AGENT_SERVICE_ACCOUNT: Final = "devbox-agent"
CONTAINER: Final = "devbox"
HOME: Final = "/home/devbox"
LAUNCH: Final = "devbox-launch"
"""What runs launch commands calls itself so."""
STAY: Final = ("sh", "-c", 'trap "exit 0" TERM INT; while :; do sleep 3600 & wait $!; done')
"""The command of a devbox that is worked in by exec: it does nothing, and ends at once when it is told to."""
INIT_CONTAINER: Final = "devbox-init"
"""The container, and the command of the image: holds the agent back until confinement is seen to work."""
INIT_NOT_ENFORCED: Final = 3
"""Its exit code where the pod is not confined over some address family, or where that can't be seen. Its last words say which."""
INIT_NOT_WRITABLE: Final = 4
"""Its exit code where the agent could not write to its workspace."""
INIT_FULL: Final = "the workspace is full"
"""In its last words, where there is no room in the workspace."""
INIT_CONFINED: Final = "confined"
"""How its last words begin where it saw that the NetworkPolicies work. (It imports nothing of ours, and says so by itself.)"""

CLONE_CONTAINER: Final = "devbox-clone"
"""The container, and the command of its image: clones the repositories of spec.codeMounts."""
CLONE_DOCUMENT: Final = "CODE_MOUNTS"
"""The variable that says which. (The program imports little of ours, and says so by itself: devbox_clone/document.py.)"""
CLONE_DOCUMENT_VERSION: Final = 1
SETUP_CONTAINER: Final = "devbox-setup"
"""The container that runs the install commands of spec.codeMounts, as the agent would."""

TOKEN_PREFIX: Final = "gws_"  # noqa: S105 (what every token begins with)
TOKENS_DIRECTORY: Final = "/run/devbox-gateway/tokens"
CA_DIRECTORY: Final = "/run/devbox-gateway/ca"
INIT_WORKSPACE: Final = "/run/devbox-gateway/workspace"
"""Where devbox-init has the workspace: wherever the agent has it, that is its own affair."""
CA_CONFIG_MAP: Final = "devbox-gateway-ca"
CA_BUNDLE_KEY: Final = "ca-bundle.crt"
CA_SECRET: Final = "devbox-gateway-ca"  # noqa: S105 (the name of a Secret)
LEAF_SECRET: Final = "gateway-tls"  # noqa: S105 (the name of a Secret)
LEASE: Final = "devbox-operator"
FIELD_MANAGER: Final = "devbox-operator"

CA_VARIABLES: Final = (
    "SSL_CERT_FILE",
    "REQUESTS_CA_BUNDLE",
    "CURL_CA_BUNDLE",
    "NODE_EXTRA_CA_CERTS",
    "GIT_SSL_CAINFO",
    "CARGO_HTTP_CAINFO",
)
"""What the SDKs' HTTP stacks read to find extra roots: Python ssl and Go, requests, curl, Node, git, cargo."""

MORE_CA_VARIABLES: Final = (
    "AWS_CA_BUNDLE",
    "BUNDLE_SSL_CA_CERT",
    "CLOUDSDK_CORE_CUSTOM_CA_CERTS_FILE",
    "CODEX_CA_CERTIFICATE",
    "COMPOSER_CAFILE",
    "DENO_CERT",
    "GRPC_DEFAULT_SSL_ROOTS_FILE_PATH",
    "HEX_CACERTS_PATH",
    "HTTPLIB2_CA_CERTS",
    "JULIA_SSL_CA_ROOTS_PATH",
    "NIX_SSL_CERT_FILE",
    "PERL_LWP_SSL_CA_FILE",
    "PIP_CERT",
    "WEBSOCKET_CLIENT_CA_BUNDLE",
)
"""What tools read that find extra roots by a name of their own, for what is done with their APIs or by the way out. spec.env may set them
otherwise."""
WGET_VARIABLE: Final = "SYSTEM_WGETRC"
"""In the place of /etc/wgetrc: wget knows no variable for roots alone."""
PHP_VARIABLE: Final = "PHP_INI_SCAN_DIR"
"""Where PHP looks for more of its settings: its curl knows no variable for roots."""
TRUSTSTORE_KEY: Final = "truststore.p12"
JAVA_KEY: Final = "java-options"
WGET_KEY: Final = "wgetrc"
PHP_KEY: Final = "devbox-gateway.ini"
TRUST_KEYS: Final = (TRUSTSTORE_KEY, JAVA_KEY, WGET_KEY, PHP_KEY)
"""Beside the bundle, as bytes (binaryData): an operator of a version that knows the bundle alone compares the ConfigMap's texts."""

PROXY_VARIABLES: Final = ("HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy")
"""Hold the forward proxy's address, with the token in it. Plain http is refused there, with words that say why: without the
variable a client would find out no more than that the name does not resolve."""
NO_PROXY_VARIABLES: Final = ("NO_PROXY", "no_proxy")
ADDRESSES_VARIABLE: Final = "DEVBOX_POD_IPS"
"""The pod's own addresses, with commas between them: NO_PROXY is made with it."""
NODE_PROXY_VARIABLE: Final = "NODE_USE_ENV_PROXY"
PROXY_USER: Final = "devbox"
"""In the forward proxy's URL, before the token: the gateway takes any."""
PROXY_KEY: Final = PROXY_VARIABLES[0]
"""In the token Secret."""

CLUSTER_VARIABLES: Final = (
    *("KUBERNETES_SERVICE_HOST", "KUBERNETES_SERVICE_PORT", "KUBERNETES_SERVICE_PORT_HTTPS", "KUBERNETES_PORT"),
    *(f"KUBERNETES_PORT_443_TCP{part}" for part in ("", "_ADDR", "_PORT", "_PROTO")),
)
"""What the kubelet tells every container of the API server, which devboxes can't reach."""

SERVICE: Final = "gateway"
SERVICE_PORT: Final = 443
"""Of the data port, in the Service: what `https://` means."""
DATA_PORT: Final = 8443
EGRESS_PORT: Final = 3128
CANARY_PORT: Final = 8479
ADMIN_PORT: Final = 8080
ACTIVITY_PORT: Final = 8480
"""Where the operator asks each gateway process when devboxes were last active."""
ACTIVITY: Final = "activity"
"""That port's name in the Service and its EndpointSlices. The operator's token for it has the audience `audience(ACTIVITY)`: no gateway is
called so, since their names are upper case."""
ACTIVITY_PATH: Final = "/v1/activity"
DIALS_PATH: Final = "/v1/dials"
"""On the same port: what was found at the last dials, by GatewayConfig."""
PROBE_PATH: Final = "/v1/probe"
"""On the same port: dial now, and shake hands."""
PROBE_REQUESTED_ANNOTATION: Final = f"{GROUP}/probe-requested-at"
"""On a GatewayConfig: each new value has the gateway dial its endpoint once, without a credential."""

ROUTE_TYPE: Final = f"{GROUP}/route"
ROUTE_KEY: Final = "route.json"
GATEWAY_TYPE: Final = f"{GROUP}/gateway"
GATEWAY_KEY: Final = "gateway.json"
CREDENTIAL_TYPE: Final = f"{GROUP}/credential"
CREDENTIAL_KEY: Final = "value"
EGRESS_TYPE: Final = f"{GROUP}/egress"
EGRESS_KEY: Final = "egress.json"
EGRESS_NAME: Final = "egress"
"""The forward proxy's token, beside the names of gateways, which are upper case: its audience is `devbox-gateway.io/egress`."""
FLOOR_TYPE: Final = f"{GROUP}/floor"
FLOOR_NAME: Final = "floor"
FLOOR_KEY: Final = "floor.json"
TOKENS_TYPE: Final = f"{GROUP}/tokens"


def audience(name: str) -> str:
    """The token audience of the gateway called `name` in a devbox (`ANTHROPIC` gives `devbox-gateway.io/ANTHROPIC`)."""
    return f"{GROUP}/{name}"


def gateway_host(release_namespace: str) -> str:
    """The one DNS name of the gateway: in `$NAME_URL`, in the certificate and in the pods' hosts file."""
    return f"{SERVICE}.{release_namespace}.svc"


def credential_name(namespace: str, name: str, key: str) -> str:
    """The mirrored credential's object name: one per source Secret key, however many devboxes use it."""
    return f"credential-{hashlib.sha256(f'{namespace}/{name}/{key}'.encode()).hexdigest()[:32]}"


def token_digest(jwt: str) -> str:
    """Lower-case hex SHA-256 of a token without its `gws_`: what a Route may hold and a devbox may know."""
    return hashlib.sha256(jwt.encode("ascii", "replace")).hexdigest()
