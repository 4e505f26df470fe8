"""Condition types and their reasons: a closed set, each with the sentence that documents it.

Goes in: nothing. Comes out: `ConditionType`, `Reason` and `REASONS`. The operator sets conditions from it, docs/conditions.md
is made from it, and a test fails where a reason is used that is not here.
"""

from enum import StrEnum
from typing import Final, NamedTuple


class ConditionType(StrEnum):
    """`status.conditions[].type`. Accepted, Ready, Reconciling and Stalled are on every kind."""

    ACCEPTED = "Accepted"
    READY = "Ready"
    RECONCILING = "Reconciling"
    STALLED = "Stalled"
    CREDENTIAL_RESOLVED = "CredentialResolved"
    """GatewayConfig: its default credential."""
    REACHABLE = "Reachable"
    """GatewayConfig: what gateways found when they last dialled the API. Ready does not wait for it."""
    POD_READY = "PodReady"
    CODE_MOUNTED = "CodeMounted"
    """There where the spec has codeMounts."""
    CREDENTIALS_RESOLVED = "CredentialsResolved"
    TOKENS_ISSUED = "TokensIssued"
    EGRESS_CONFINED = "EgressConfined"
    RESTART_REQUIRED = "RestartRequired"
    SUSPENDED = "Suspended"
    """There once it was suspended. While it is True there is no Ready: nothing is awaited."""
    TRUST_ENDING = "TrustEnding"
    """There only when it is True."""
    EXPIRING = "Expiring"
    """Likewise: the time of spec.lifecycle.ttl or idle is nearly over, or over."""


class Reason(StrEnum):
    """`status.conditions[].reason`."""

    ACCEPTED = "Accepted"
    READY = "Ready"
    RESOLVED = "Resolved"
    ISSUED = "Issued"
    CONFINED = "Confined"
    UP_TO_DATE = "UpToDate"
    PROGRESSING = "Progressing"
    WAITING = "Waiting"
    NO_DEFAULT = "NoDefault"
    ENDPOINT_REFUSED = "EndpointRefused"
    CA_BUNDLE_INVALID = "CABundleInvalid"
    INVALID = "Invalid"
    GATEWAY_NOT_FOUND = "GatewayNotFound"
    GATEWAY_NOT_ACCEPTED = "GatewayNotAccepted"
    NAMESPACE_NOT_ALLOWED = "NamespaceNotAllowed"
    NO_CREDENTIAL = "NoCredential"
    SECRET_NOT_FOUND = "SecretNotFound"  # noqa: S105
    KEY_NOT_FOUND = "KeyNotFound"
    KEY_AMBIGUOUS = "KeyAmbiguous"
    SECRET_NOT_GRANTED = "SecretNotGranted"  # noqa: S105
    SECRET_INVALID = "SecretInvalid"  # noqa: S105
    SECRET_DOUBTFUL = "SecretDoubtful"  # noqa: S105
    SECRET_FORBIDDEN = "SecretForbidden"  # noqa: S105
    SECRET_NOT_MOUNTABLE = "SecretNotMountable"  # noqa: S105
    SECRET_GRANTED = "SecretGranted"  # noqa: S105
    SECRET_TOO_LARGE = "SecretTooLarge"  # noqa: S105
    SECRET_CHANGED = "SecretChanged"  # noqa: S105
    NAMESPACE_RESERVED = "NamespaceReserved"
    IMAGE_MISSING = "ImageMissing"
    SIZE_UNKNOWN = "SizeUnknown"
    VOLUME_NOT_FOUND = "VolumeNotFound"
    VOLUME_NOT_MOUNTABLE = "VolumeNotMountable"
    CLAIM_CONFLICT = "ClaimConflict"
    CLAIM_REFUSED = "ClaimRefused"
    CLAIM_LOST = "ClaimLost"
    CLAIM_PENDING = "ClaimPending"
    STORAGE_CLASS_NOT_FOUND = "StorageClassNotFound"
    WORKSPACE_NOT_WRITABLE = "WorkspaceNotWritable"
    WORKSPACE_FULL = "WorkspaceFull"
    WORKSPACE_RETAINED = "WorkspaceRetained"
    WORKSPACE_GROWING = "WorkspaceGrowing"
    WORKSPACE_NOT_GROWING = "WorkspaceNotGrowing"
    EGRESS_POLICY_NOT_FOUND = "EgressPolicyNotFound"
    EGRESS_POLICY_NOT_ACCEPTED = "EgressPolicyNotAccepted"
    RANGE_NOT_PERMITTED = "RangeNotPermitted"
    MOUNTED = "Mounted"
    CLONING = "Cloning"
    CLONE_FAILED = "CloneFailed"
    INSTALL_FAILED = "InstallFailed"
    REPOSITORY_MISMATCH = "RepositoryMismatch"
    POD_REFUSED = "PodRefused"
    POD_PENDING = "PodPending"
    IMAGE_PULL_FAILED = "ImagePullFailed"
    START_FAILED = "StartFailed"
    POD_NOT_READY = "PodNotReady"
    NODE_LOST = "NodeLost"
    POD_STUCK = "PodStuck"
    POD_FAILED = "PodFailed"
    POD_SUCCEEDED = "PodSucceeded"
    COMMAND_ENDED = "CommandEnded"
    LAUNCHING = "Launching"
    LAUNCH_FAILED = "LaunchFailed"
    FOREIGN_POLICY = "ForeignPolicy"
    NOT_ENFORCED = "NotEnforced"
    FOREIGN_IMAGE = "ForeignImage"
    CANNOT_BE_SEEN = "CannotBeSeen"
    TOKEN_REFUSED = "TokenRefused"  # noqa: S105
    SPEC_CHANGED = "SpecChanged"
    CA_RENEWED = "CARenewed"
    CA_EXPIRING = "CAExpiring"
    SYSTEM_NOT_READY = "SystemNotReady"
    SUSPENDED_BY_SPEC = "SuspendedBySpec"
    SUSPENDED_IDLE = "SuspendedIdle"
    SUSPENDING = "Suspending"
    NOT_SUSPENDED = "NotSuspended"
    EXPIRES_SOON = "ExpiresSoon"
    IDLE_SOON = "IdleSoon"
    ACTIVITY_UNKNOWN = "ActivityUnknown"
    DELETION_REFUSED = "DeletionRefused"
    REACHED = "Reached"
    NOT_TRIED = "NotTried"
    NAME_NOT_FOUND = "NameNotFound"
    LOOKUP_FAILED = "LookupFailed"
    ADDRESS_FORBIDDEN = "AddressForbidden"
    CONNECTION_REFUSED = "ConnectionRefused"
    CONNECT_TIMED_OUT = "ConnectTimedOut"
    CERTIFICATE_INVALID = "CertificateInvalid"
    TLS_FAILED = "TlsFailed"
    CONNECTION_LOST = "ConnectionLost"


class Meaning(NamedTuple):
    """One row of docs/conditions.md."""

    types: tuple[ConditionType, ...]
    sentence: str
    advice: str


_C = ConditionType
REASONS: Final[dict[Reason, Meaning]] = {
    Reason.ACCEPTED: Meaning((_C.ACCEPTED,), "The object is valid and the operator works with it.", "Nothing to do."),
    Reason.READY: Meaning((_C.READY, _C.POD_READY), "Everything the object asks for is in place.", "Nothing to do."),
    Reason.RESOLVED: Meaning(
        (_C.CREDENTIAL_RESOLVED, _C.CREDENTIALS_RESOLVED),
        "Every Secret that is referred to exists, is granted to the endpoint's host (or, of spec.secretEnv, mountable), and holds a usable "
        "value.",
        "Nothing to do.",
    ),
    Reason.ISSUED: Meaning(
        (_C.TOKENS_ISSUED,), "Every gateway of the devbox, and its way out, has a token of this pod.", "Nothing to do."
    ),
    Reason.CONFINED: Meaning(
        (_C.EGRESS_CONFINED,),
        "The pod's NetworkPolicies allow the gateway and nothing else, and were seen to work before the agent started.",
        "Nothing to do.",
    ),
    Reason.UP_TO_DATE: Meaning((_C.RESTART_REQUIRED,), "The running pod is what the spec says.", "Nothing to do."),
    Reason.PROGRESSING: Meaning(
        (_C.RECONCILING, _C.READY, _C.STALLED), "The operator is at work, or waits for what will come by itself.", "Wait."
    ),
    Reason.WAITING: Meaning(
        (_C.TOKENS_ISSUED, _C.POD_READY, _C.EGRESS_CONFINED, _C.CODE_MOUNTED),
        "An earlier step has to be done first; the pod stays gated.",
        "See the conditions that are False.",
    ),
    Reason.NO_DEFAULT: Meaning(
        (_C.CREDENTIAL_RESOLVED,),
        "The GatewayConfig has no credential of its own; each devbox brings its Secret.",
        "Nothing to do, or set spec.credential.secretRef.",
    ),
    Reason.ENDPOINT_REFUSED: Meaning(
        (_C.ACCEPTED,),
        "The gateway may not lead to this endpoint: its address is private, the cluster's own, or one that is never "
        "allowed; or its name can only be inside (.svc, .internal, .local).",
        "Name the host or its range in the chart's upstreams.allowedHosts or upstreams.allowedCIDRs.",
    ),
    Reason.CA_BUNDLE_INVALID: Meaning(
        (_C.ACCEPTED,), "spec.tls.caBundle holds a certificate that can't be read.", "Write whole certificates as PEM text."
    ),
    Reason.INVALID: Meaning(
        (_C.ACCEPTED,), "The object was stored before a rule existed that it breaks.", "Change what the message names."
    ),
    Reason.GATEWAY_NOT_FOUND: Meaning(
        (_C.CREDENTIALS_RESOLVED,), "A GatewayConfig that is referred to does not exist.", "Create it, or correct gatewayRef."
    ),
    Reason.GATEWAY_NOT_ACCEPTED: Meaning(
        (_C.CREDENTIALS_RESOLVED,), "A GatewayConfig that is referred to is not Accepted.", "See that object's conditions."
    ),
    Reason.NAMESPACE_NOT_ALLOWED: Meaning(
        (_C.CREDENTIALS_RESOLVED,),
        "The GatewayConfig lives in another namespace, and does not allow this one or does not exist.",
        "Its owner widens spec.allowedNamespaces, or you correct gatewayRef.",
    ),
    Reason.NO_CREDENTIAL: Meaning(
        (_C.CREDENTIALS_RESOLVED,),
        "Neither the devbox nor the GatewayConfig names a Secret.",
        "Set secretRef on the devbox's gateway, or spec.credential on the GatewayConfig.",
    ),
    Reason.SECRET_NOT_FOUND: Meaning(
        (_C.CREDENTIAL_RESOLVED, _C.CREDENTIALS_RESOLVED),
        "The Secret does not exist.",
        "Create it, with its grant, or, for spec.secretEnv, its label.",
    ),
    Reason.KEY_NOT_FOUND: Meaning(
        (_C.CREDENTIAL_RESOLVED, _C.CREDENTIALS_RESOLVED),
        "The Secret has no such key.",
        "Add the key, or correct secretRef.key.",
    ),
    Reason.KEY_AMBIGUOUS: Meaning(
        (_C.CREDENTIAL_RESOLVED, _C.CREDENTIALS_RESOLVED),
        "The Secret has more than one key (or none) and secretRef names none.",
        "Set secretRef.key.",
    ),
    Reason.SECRET_NOT_GRANTED: Meaning(
        (_C.CREDENTIAL_RESOLVED, _C.CREDENTIALS_RESOLVED),
        "The Secret's owner has not granted it to the endpoint's host. What is wrong in a grant (docs/grants.md) the message names.",
        "The owner runs the kubectl annotate line of the message.",
    ),
    Reason.SECRET_INVALID: Meaning(
        (_C.CREDENTIAL_RESOLVED, _C.CREDENTIALS_RESOLVED),
        "The value is empty, not text, too long, or holds what no credential does: a tab, a line break within, blanks around it, a "
        "devbox's token; or it is not user:password where authMechanism.userInSecret asks for that, which counts at once. Else the one "
        "before it stays in use for ten minutes, until the time that the message says; an empty one takes it "
        "away at once. Of spec.secretEnv: it is not text, or holds a NUL.",
        "Store the credential alone; one newline at its end is fine.",
    ),
    Reason.SECRET_DOUBTFUL: Meaning(
        (_C.CREDENTIAL_RESOLVED, _C.CREDENTIALS_RESOLVED),
        "A warning; the condition is True and the value is used. It looks like a mistake of whoever stored it: `Bearer` or `NAME=` in "
        "front, quotation marks, JSON, base64 of another text, a placeholder, a key as it is shown masked, spaces, a typographic dash. Or "
        "an entry of its grant grants nothing.",
        "Look at what the message names, and store the key alone; where the API's keys are like that, nothing.",
    ),
    Reason.SECRET_FORBIDDEN: Meaning(
        (_C.CREDENTIAL_RESOLVED, _C.CREDENTIALS_RESOLVED),
        "The operator may not, or can't, read the Secret. What it read before stays in use for two minutes, until the time that the "
        "message says.",
        "Create the Role and RoleBinding that the message prints (chart value rbac.sourceSecrets: Named).",
    ),
    Reason.SECRET_NOT_MOUNTABLE: Meaning(
        (_C.CREDENTIALS_RESOLVED,),
        "The Secret of a spec.secretEnv is not one that agents may read. A new pod waits; one that runs keeps what it was given.",
        "Use it in spec.gateways, which keep it from the agent; or, where he may read it, its owner runs the line of the message.",
    ),
    Reason.SECRET_GRANTED: Meaning(
        (_C.CREDENTIALS_RESOLVED,),
        "The Secret of a spec.secretEnv carries a grant, so that the gateway alone may have its value, whatever its labels say.",
        "Use it in spec.gateways, or name another Secret.",
    ),
    Reason.SECRET_TOO_LARGE: Meaning(
        (_C.CREDENTIALS_RESOLVED,),
        "A value of spec.secretEnv is longer than 32 KiB, or all of them together are longer than 256 KiB.",
        "Put what is long into the image or a volume.",
    ),
    Reason.SECRET_CHANGED: Meaning(
        (_C.RESTART_REQUIRED,),
        "A Secret of spec.secretEnv holds another value than the running pod was given.",
        "kubectl annotate dbx NAME devbox-gateway.io/restarted-at=$(date +%s) --overwrite",
    ),
    Reason.NAMESPACE_RESERVED: Meaning(
        (_C.ACCEPTED,),
        "The Devbox is in a namespace of the system (kube-…), the release or its credentials, where none is made.",
        "Create it in another namespace.",
    ),
    Reason.IMAGE_MISSING: Meaning(
        (_C.ACCEPTED,),
        "The Devbox names no image, and the chart has no default one. A pod that runs goes on.",
        "Set spec.image; or an administrator sets the chart's devboxes.defaultImage.",
    ),
    Reason.SIZE_UNKNOWN: Meaning(
        (_C.ACCEPTED,),
        "The chart has no size of the name in spec.resourceSize; the message has those that there are. A pod that runs goes on.",
        "Correct it, or write spec.resources; or an administrator adds it to the chart's devboxes.sizes.",
    ),
    Reason.VOLUME_NOT_FOUND: Meaning(
        (_C.ACCEPTED,), "A PersistentVolumeClaim or ConfigMap of spec.volumes does not exist.", "Create it."
    ),
    Reason.VOLUME_NOT_MOUNTABLE: Meaning(
        (_C.ACCEPTED,),
        "Its owner has not allowed devboxes to mount it.",
        "The owner sets the label devbox-gateway.io/mountable=true on it.",
    ),
    Reason.CLAIM_CONFLICT: Meaning(
        (_C.ACCEPTED,),
        "There is a PersistentVolumeClaim of the name that the workspace's has, and nothing says that it is this Devbox's.",
        "Its owner deletes it; or says by the line of the message that it is to be the workspace.",
    ),
    Reason.CLAIM_REFUSED: Meaning(
        (_C.ACCEPTED,),
        "The API server refused the workspace's PersistentVolumeClaim (quota, a policy); the message is its own.",
        "Change what the message names; the operator tries again every 15 s.",
    ),
    Reason.CLAIM_LOST: Meaning(
        (_C.ACCEPTED,),
        "The workspace's PersistentVolumeClaim, or its volume, was there and does not exist any more, or is being deleted. A pod that runs "
        "goes on; no other is made, since an empty workspace would look as if nothing had happened.",
        "Delete the Devbox and create it anew; or put the claim back, as the message says.",
    ),
    Reason.CLAIM_PENDING: Meaning(
        (_C.POD_READY,),
        "The workspace's PersistentVolumeClaim is not bound, so that no node takes the pod. (With volumeBindingMode WaitForFirstConsumer "
        "that is said only once the pod's node is chosen, or where none has room for the volume.)",
        "See kubectl describe pvc: a provisioner that is not there, a full pool, no volume of that size.",
    ),
    Reason.STORAGE_CLASS_NOT_FOUND: Meaning(
        (_C.POD_READY,),
        "The StorageClass of the workspace does not exist, or none is set and the cluster has no default one.",
        "Create it, or make one the default; or delete the Devbox and create it with another spec.workspace.storageClassName.",
    ),
    Reason.WORKSPACE_NOT_WRITABLE: Meaning(
        (_C.POD_READY,),
        "The agent could not write to the workspace: its driver does not give it to the pod's group (a CSIDriver with fsGroupPolicy None, "
        "NFS, hostPath). The agent was not started.",
        "Set spec.fsGroup to a group that may write there, have its owner changed where it is stored, or use another storage class.",
    ),
    Reason.WORKSPACE_FULL: Meaning(
        (_C.POD_READY,),
        "There was no room in the workspace when the pod started. (That is looked at when a pod starts, and not again.) The agent runs.",
        "Delete files in it, or raise spec.workspace.size.",
    ),
    Reason.WORKSPACE_RETAINED: Meaning(
        (),
        "A Devbox was deleted whose workspace outlives it (retain: Retain). The Event names the claim.",
        "Nothing to do; or mount it in another Devbox, or delete it, by the lines of the message.",
    ),
    Reason.WORKSPACE_GROWING: Meaning(
        (_C.ACCEPTED,),
        "The workspace has not yet the size that spec.workspace asks for. The devbox goes on.",
        "Wait; where the message says so, restart the devbox.",
    ),
    Reason.WORKSPACE_NOT_GROWING: Meaning(
        (_C.ACCEPTED,),
        "The workspace keeps the size that it has: its StorageClass does not let claims grow, or the API server refused it (quota).",
        "Change what the message names; or write the size that it has (status.workspace.capacity).",
    ),
    Reason.EGRESS_POLICY_NOT_FOUND: Meaning(
        (_C.ACCEPTED,),
        "The EgressPolicy of spec.egressPolicyRef does not exist. A new pod waits for it; a running one reaches no other host.",
        "Create it, or correct egressPolicyRef.",
    ),
    Reason.EGRESS_POLICY_NOT_ACCEPTED: Meaning(
        (_C.ACCEPTED,), "The EgressPolicy of spec.egressPolicyRef can't be used.", "See that object's conditions."
    ),
    Reason.RANGE_NOT_PERMITTED: Meaning(
        (_C.ACCEPTED,),
        "A range of spec.allowedCIDRs is private or the cluster's own, and not one that the gateway may lead to; the rest of the policy "
        "works.",
        "Name it in the chart's egress.permittedCIDRs, or remove it.",
    ),
    Reason.MOUNTED: Meaning(
        (_C.CODE_MOUNTED,), "Every repository is at its place, and every install command ended well.", "Nothing to do."
    ),
    Reason.CLONING: Meaning(
        (_C.CODE_MOUNTED,),
        "Repositories are being cloned, or install commands run, before the agent starts.",
        "Wait; kubectl logs POD -c devbox-clone, or -c devbox-setup, shows how far it is.",
    ),
    Reason.CLONE_FAILED: Meaning(
        (_C.CODE_MOUNTED,),
        "A repository was not cloned. The message holds the end of what git and the server said, behind `>`. It is tried again, with "
        "growing pauses.",
        "Do what the message says; a correction of the spec takes effect at once.",
    ),
    Reason.INSTALL_FAILED: Meaning(
        (_C.CODE_MOUNTED,),
        "An installCommand ended with an error, or took longer than installTimeoutSeconds. The message holds the end of what it said, "
        "behind `>`. It is tried again, with growing pauses.",
        "Correct the command, or give it more time.",
    ),
    Reason.REPOSITORY_MISMATCH: Meaning(
        (_C.CODE_MOUNTED,),
        "A code mount names a gateway that leads to another host than the repository's. The pod stays gated.",
        "Name a gateway of that host (api.github.com is not github.com), or correct codeMounts[].repository.",
    ),
    Reason.POD_REFUSED: Meaning(
        (_C.POD_READY,),
        "The API server refused the pod (quota, Pod Security, a policy); the message is its own.",
        "Change what the message names; the operator tries again with a growing pause.",
    ),
    Reason.POD_PENDING: Meaning(
        (_C.POD_READY,), "The pod waits for a node, an image or a volume.", "See kubectl describe pod."
    ),
    Reason.IMAGE_PULL_FAILED: Meaning(
        (_C.POD_READY,),
        "An image of the pod does not come; the message begins with the kubelet's words. It is Stalled at once where the name can't be "
        "one, else after two minutes, and tried on.",
        "Correct spec.image, or name the registry's login in spec.imagePullSecrets; either takes effect at once.",
    ),
    Reason.START_FAILED: Meaning(
        (_C.POD_READY,),
        "The container runtime can't start the container: spec.command names what the image does not have or nobody may execute, a mount "
        "or a limit can't be had. It is Stalled at once where it is known not to mend by itself, else after two minutes, and tried on.",
        "Do what the message says; a correction of the spec takes effect at once.",
    ),
    Reason.POD_NOT_READY: Meaning((_C.POD_READY,), "The pod runs, its container is not ready.", "See kubectl logs."),
    Reason.NODE_LOST: Meaning(
        (_C.POD_READY, _C.SUSPENDED),
        "The pod's node does not answer, so that nobody ends the pod. Once the pod is being deleted and had its time, another one is made "
        "a minute later; but not beside one that may still write to a PersistentVolumeClaim that both mount.",
        "Wait; where the message says so, bring the node back, or, once it is certain that it is off, delete its Node object.",
    ),
    Reason.POD_STUCK: Meaning(
        (_C.POD_READY, _C.SUSPENDED),
        "The pod is being deleted, had its time and a minute, and is still there, though its node answers.",
        "See kubectl describe pod: a finalizer, a volume or a process may keep it.",
    ),
    Reason.POD_FAILED: Meaning(
        (_C.POD_READY,), "The pod failed or was evicted; a new one follows with a growing pause.", "See kubectl describe pod."
    ),
    Reason.POD_SUCCEEDED: Meaning(
        (_C.POD_READY,), "The command ended, and restartPolicy says that this is the end.", "Nothing to do."
    ),
    Reason.COMMAND_ENDED: Meaning(
        (_C.POD_READY,),
        "The container ends within 10 s of its start, again and again; the message has its exit code.",
        "With exit code 0: set spec.command to something that stays, e.g. [sleep, infinity]. Else look at what it said (the kubectl logs "
        "line of the message).",
    ),
    Reason.LAUNCHING: Meaning((_C.POD_READY,), "The devbox's launch commands run; its command follows.", "Wait."),
    Reason.LAUNCH_FAILED: Meaning(
        (_C.POD_READY,),
        "One of spec.launchCommands, which the message names, ended with an error, so that the command did not begin; or the image has no "
        "sh. What follows is restartPolicy's to say: those that ended well are not run again in the same pod.",
        "Look at what it said (the kubectl logs line of the message), and correct it; an image without sh takes none.",
    ),
    Reason.FOREIGN_POLICY: Meaning(
        (_C.EGRESS_CONFINED,),
        "A NetworkPolicy that is not ours selects the pod, and policies add up. Meanwhile the gateway serves the devbox nothing "
        "and a new pod waits (chart value egress.foreignPolicies: Refuse).",
        "Delete it, or name it in the chart's egress.trustedPolicies.",
    ),
    Reason.NOT_ENFORCED: Meaning(
        (_C.EGRESS_CONFINED,),
        "Over IPv4 or IPv6 the pod reached a port that no NetworkPolicy allows it (the cluster's CNI enforces none there); or nobody can "
        "see it, since the pod has an address of a family that the gateway's Service has none of, or addresses on a second network "
        "device. The agent was not started.",
        "What the message says: a CNI that enforces NetworkPolicy, service.ipFamilyPolicy, or no such addresses in pods; or accept that "
        "devboxes reach everything: egress.requireEnforcement=false.",
    ),
    Reason.FOREIGN_IMAGE: Meaning(
        (_C.EGRESS_CONFINED,),
        "devbox-init of the pod is not of the release's image, so that what it says of the pod's confinement does not count. A pod that is "
        "still gated stays so.",
        "Name the repository in the chart's image.mirrors where a registry mirror's webhook puts it there; else delete the pod.",
    ),
    Reason.CANNOT_BE_SEEN: Meaning(
        (_C.EGRESS_CONFINED,),
        "Nobody can see whether devboxes are confined: the gateway's canary is closed for everybody, or no gateway could be reached for "
        "three minutes. No new agent starts; those that run go on.",
        "An administrator opens port 8479 of the gateway's pods where the message says, for devboxes' pods and the operator's; or accepts "
        "that devboxes may reach everything: egress.requireEnforcement=false.",
    ),
    Reason.TOKEN_REFUSED: Meaning(
        (_C.TOKENS_ISSUED,), "The API server did not issue a token; the message is its own.", "Change what the message names."
    ),
    Reason.SPEC_CHANGED: Meaning(
        (_C.RESTART_REQUIRED,),
        "The spec says something that a running pod can't take up.",
        "kubectl annotate dbx NAME devbox-gateway.io/restarted-at=$(date +%s) --overwrite",
    ),
    Reason.CA_RENEWED: Meaning(
        (_C.RESTART_REQUIRED,),
        "The gateway's certificate authority was renewed after the pod was made, and the certificate that its processes have read ends "
        "within a year.",
        "Restart the devbox before the day that the message names.",
    ),
    Reason.CA_EXPIRING: Meaning(
        (_C.TRUST_ENDING,),
        "The gateway's certificate authority ends in less than a year, 90 or 30 days; then no devbox trusts the gateway any more.",
        "An administrator runs the command of the message (docs/install.md, The certificate authority).",
    ),
    Reason.SYSTEM_NOT_READY: Meaning(
        (_C.READY, _C.RECONCILING, _C.STALLED),
        "The gateway's Service or certificate is not there yet.",
        "Wait for the installation to finish; see the operator's log if it does not.",
    ),
    Reason.SUSPENDED_BY_SPEC: Meaning(
        (_C.SUSPENDED,),
        "spec.suspend is true, and the devbox has no pod, no token and no mirrored credential. There is no Ready meanwhile.",
        "kubectl devbox resume NAME, or take spec.suspend away.",
    ),
    Reason.SUSPENDED_IDLE: Meaning(
        (_C.SUSPENDED,),
        "Nobody worked in the devbox for the time of spec.lifecycle.idle.after. It has no pod, no token and no mirrored credential, and no "
        "Ready meanwhile.",
        "kubectl devbox resume NAME, or the annotation of the message.",
    ),
    Reason.SUSPENDING: Meaning(
        (_C.SUSPENDED,),
        "The devbox is to be suspended, and the pod has its terminationGracePeriodSeconds to end.",
        "Wait.",
    ),
    Reason.NOT_SUSPENDED: Meaning(
        (_C.SUSPENDED,),
        "The devbox was suspended and is no more; or its command ended as restartPolicy asks, so that there is nothing to suspend.",
        "Nothing to do.",
    ),
    Reason.EXPIRES_SOON: Meaning(
        (_C.EXPIRING,),
        "The devbox is deleted, with what is in it, within five minutes (or half of spec.lifecycle.ttl, where that is less): at "
        "status.expiresAt.",
        "Nothing to do; or kubectl devbox keep-alive NAME, or a longer spec.lifecycle.ttl.",
    ),
    Reason.IDLE_SOON: Meaning(
        (_C.EXPIRING,),
        "Nobody has worked in the devbox for a while, and it is suspended or deleted (spec.lifecycle.idle) within five minutes, or half of "
        "idle.after, where that is less.",
        "Nothing to do; or use it, or kubectl devbox keep-alive NAME.",
    ),
    Reason.ACTIVITY_UNKNOWN: Meaning(
        (_C.EXPIRING,),
        "By all that is known nobody works in the devbox (spec.lifecycle.idle), but a gateway does not say whether it was in use. After "
        "five minutes without a word it counts for nothing.",
        "Wait; where it happens again and again, see the operator's log (activity_not_told).",
    ),
    Reason.DELETION_REFUSED: Meaning(
        (_C.EXPIRING,),
        "The time of spec.lifecycle.ttl or idle is over, and the API server does not let the operator delete the Devbox (a policy, a "
        "webhook, a missing right); the message is its own. Until it does, the devbox goes on.",
        "Change what the message names; the operator tries again with a growing pause, of five minutes at most. Or delete the Devbox.",
    ),
    Reason.REACHED: Meaning(
        (_C.REACHABLE,),
        "The last dial, of whoever called last, led to a connection; over https with a certificate that is good. That says nothing of the "
        "credential.",
        "Nothing to do.",
    ),
    Reason.NOT_TRIED: Meaning(
        (_C.REACHABLE,),
        "Nobody has called since the endpoint was written, so nothing is known of it.",
        "Nothing to do; or have the gateway try: kubectl devbox gateway probe NAME.",
    ),
    Reason.NAME_NOT_FOUND: Meaning(
        (_C.REACHABLE,), "DNS says that there is no such name, or none with an address.", "Correct the host in spec.endpoint."
    ),
    Reason.LOOKUP_FAILED: Meaning(
        (_C.REACHABLE,), "The cluster's DNS gave no answer about the name.", "See that name's servers, and the cluster's DNS."
    ),
    Reason.ADDRESS_FORBIDDEN: Meaning(
        (_C.REACHABLE,),
        "The name leads to an address where the gateway does not lead: a private one, the cluster's own, or one that is never allowed.",
        "Correct the host; or an administrator names it in the chart's upstreams.allowedHosts or allowedCIDRs.",
    ),
    Reason.CONNECTION_REFUSED: Meaning(
        (_C.REACHABLE,),
        "The host is there, and nobody listens on the port.",
        "Correct the port in spec.endpoint, or start the API.",
    ),
    Reason.CONNECT_TIMED_OUT: Meaning(
        (_C.REACHABLE,),
        "Nobody answered at the address, or there is no route to it.",
        "See whether the API is up, and whether a firewall lets the gateway's pods through.",
    ),
    Reason.CERTIFICATE_INVALID: Meaning(
        (_C.REACHABLE,),
        "The API's certificate is for another name, has ended, or is of an authority that is not trusted; the message says which.",
        "Correct the host, renew the certificate, or name its authority in spec.tls.caBundle.",
    ),
    Reason.TLS_FAILED: Meaning(
        (_C.REACHABLE,),
        "What answers there speaks no TLS, or none that goes together with the gateway's (TLS 1.2 or newer).",
        "Correct the port or the scheme; http:// takes spec.allowInsecure.",
    ),
    Reason.CONNECTION_LOST: Meaning(
        (_C.REACHABLE,),
        "The connection was closed before a request could be sent.",
        "See the API, and what stands in front of it.",
    ),
}
