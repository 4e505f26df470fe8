"""Checks of a namespace's objects: what the operator has found out about them, by its conditions, and what a kubelet says of pods.

Goes in: `Facts`. Comes out: findings. Pure. The operator's message says what is wrong and what to do about it; here stands why it matters.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from devbox_api.judge.shown import command, one_line
from devbox_api.names import DEVBOX_LABEL

from .facts import Facts, Hidden, Object, conditions, name_of
from .report import Finding, Result, Unchecked


@dataclass(frozen=True)
class Kind:
    """One kind of finding."""

    why: str
    do: str
    reasons: tuple[str, ...]
    types: tuple[str, ...] = ()
    """Conditions that tell it; empty: any but the summaries."""
    warns: bool = False
    """The condition is True all the same."""
    commands: bool = False
    """Its messages are the operator's own, with commands that it has quoted. (What an agent, a registry or an API server said may well look
    like advice of ours, and is never told as such.)"""


CONFINEMENT: Final = Kind(
    "agents must not start where they could reach everything, so this devbox waits, or is served nothing",
    "an administrator does what the message says (docs/confinement.md)",
    ("NotEnforced", "CannotBeSeen", "ForeignPolicy", "ForeignImage"),
    ("EgressConfined",),
)
GRANT: Final = Kind(
    "without its owner's grant the gateway uses a Secret nowhere: devboxes wait, or get 403 or 503",
    "the Secret's owner runs the command",
    ("SecretNotGranted",),
    commands=True,
)
CREDENTIAL: Final = Kind(
    "the gateway has no credential to put in: devboxes wait, or get 503",
    "store the credential alone in the Secret, under the key that is referred to",
    ("SecretNotFound", "KeyNotFound", "KeyAmbiguous", "SecretInvalid", "NoCredential", "SecretForbidden"),
    commands=True,
)
DOUBT: Final = Kind(
    "the credential is used as it is, and the API refuses it if this is the mistake that it looks like",
    "store the key alone: kubectl devbox secret rotate NAME",
    ("SecretDoubtful",),
    warns=True,
)
READABLE: Final = Kind(
    "the devbox waits for a Secret that its agent is to read itself (secretEnv)",
    "the Secret's owner decides whether agents may read it; a credential with a grant never is",
    ("SecretNotMountable", "SecretGranted", "SecretTooLarge"),
    commands=True,
)
ENDPOINT: Final = Kind(
    "the gateway does not lead there: requests get 503",
    "correct the GatewayConfig, or have an administrator change what the message names",
    ("EndpointRefused", "CABundleInvalid", "Invalid"),
    ("Accepted",),
)
UNREACHABLE: Final = Kind(
    "the gateway found no way to the API at its last dial: requests get 502, 503 or 504 for as long as that is so",
    "do what the message's reason asks for (docs/conditions.md), and have the gateway try again: kubectl devbox gateway probe NAME",
    (
        *("NameNotFound", "LookupFailed", "AddressForbidden", "ConnectionRefused"),
        *("ConnectTimedOut", "CertificateInvalid", "TlsFailed", "ConnectionLost"),
    ),
    ("Reachable",),
)
REFERENCE: Final = Kind(
    "the devbox waits for what it refers to",
    "create it, or correct the reference",
    (
        *("GatewayNotFound", "GatewayNotAccepted", "NamespaceNotAllowed", "EgressPolicyNotFound", "EgressPolicyNotAccepted"),
        *("VolumeNotFound", "VolumeNotMountable", "NamespaceReserved", "ImageMissing", "SizeUnknown", "RangeNotPermitted"),
    ),
    commands=True,
)
ADMISSION: Final = Kind(
    "the API server refuses the devbox's pod, so it never starts",
    "change what the message names",
    ("PodRefused", "TokenRefused"),
)
PODS: Final = Kind(
    "the agent does not run",
    "do what the message says; what it printed: kubectl devbox logs NAME",
    ("PodFailed", "CommandEnded", "StartFailed", "LaunchFailed", "NodeLost", "PodStuck"),
)
STORAGE: Final = Kind(
    "the devbox waits for the claim of its workspace, or can't write to it",
    "do what the message says (docs/workspace.md)",
    (
        "ClaimConflict",
        "ClaimRefused",
        "ClaimLost",
        "ClaimPending",
        "StorageClassNotFound",
        "WorkspaceNotWritable",
        "WorkspaceFull",
    ),
)
CODE: Final = Kind(
    "the agent waits for its repositories (codeMounts)",
    "do what the message says (docs/codemounts.md)",
    ("CloneFailed", "InstallFailed", "RepositoryMismatch"),
    ("CodeMounted",),
)
EXPIRY: Final = Kind(
    "the devbox's time to live is over, and it is still there, with what it costs",
    "change what the message names, or delete the devbox yourself",
    ("DeletionRefused",),
    ("Expiring",),
)
SYSTEM: Final = Kind(
    "no devbox starts before the gateway's Service and certificate are there",
    "see the operator's log",
    ("SystemNotReady",),
    ("Ready",),
)
QUOTA: Final = re.compile(r"exceeded quota: ([a-z0-9][a-z0-9.-]*)")
_RAISED: Final = ("Expiring",)
"""Conditions that ask for something when they are True."""
_SUMMARIES: Final = ("Ready", "Reconciling", "Stalled")
_COMMAND: Final = re.compile(
    r"(?:its owner runs|An administrator renews it): (kubectl .+?)(?:; what was read before .*)?$", re.MULTILINE
)
"""As the operator quotes it."""
_IMAGE: Final = ("ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull", "RegistryUnavailable")


def told(kind: Kind, name: str, facts: Facts) -> Iterator[Result]:
    """Every object that has a condition of the kind, once for each message."""
    seen: set[str] = set()
    for title, found in (("Devbox", facts.devboxes), ("GatewayConfig", facts.configs), ("EgressPolicy", facts.policies)):
        if isinstance(found, Hidden):
            if title == "Devbox":
                yield Unchecked(name, found.because)
            continue
        for each in found:
            for condition in _bad(each, kind):
                message = str(condition.get("message", ""))
                if message in seen:
                    continue
                seen.add(message)
                yield _finding(kind, name, f"{title} {name_of(each)}", each, condition)


def _bad(seen: Object, kind: Kind) -> list[Mapping[str, Any]]:
    return [
        each
        for each in conditions(seen)
        if (each.get("status") != "True" or each["type"] in _RAISED or kind.warns)
        and each.get("reason") in kind.reasons
        and (each["type"] in kind.types if kind.types else each["type"] not in _SUMMARIES)
    ]


def _finding(kind: Kind, name: str, what: str, seen: Object, condition: Mapping[str, Any]) -> Finding:
    message = str(condition.get("message", ""))
    if quota := QUOTA.search(message):
        return Finding(
            "quota",
            f"{what}: {message}",
            "the namespace's quota leaves no room for the pod, so it never starts",
            (
                "delete what is not needed, or have an administrator raise the quota",
                command("kubectl", "-n", seen["metadata"]["namespace"], "describe", "resourcequota", quota[1]),
            ),
        )
    said = f"{what}: {condition['reason']}: {message}"
    if not kind.commands:
        return Finding(name, one_line(said), kind.why, (kind.do,))
    return Finding(name, said, kind.why, (kind.do, *_COMMAND.findall(message)))


def authority(facts: Facts) -> Iterator[Result]:
    """The end of the gateway's certificate authority is near."""
    every = [each for found in (facts.devboxes, facts.configs) if not isinstance(found, Hidden) for each in found]
    ending = [one for each in every for one in conditions(each) if one["type"] == "TrustEnding" and one["status"] == "True"]
    if ending:
        message = str(ending[0]["message"])
        yield Finding(
            "authority",
            message,
            "after that day no devbox trusts the gateway, and all of them have to be restarted",
            tuple(_COMMAND.findall(message)) or ("an administrator renews it (docs/install.md, The certificate authority)",),
        )
    elif isinstance(facts.devboxes, Hidden) and isinstance(facts.configs, Hidden):
        yield Unchecked("authority", facts.devboxes.because)


def images(facts: Facts) -> Iterator[Result]:
    """Images that can't be pulled."""
    if isinstance(facts.pods, Hidden):
        yield Unchecked("images", facts.pods.because)
        return
    for pod in facts.pods:
        for status in _containers(pod):
            waiting = (status.get("state") or {}).get("waiting") or {}
            if waiting.get("reason") in _IMAGE:
                yield _image(pod, status, str(waiting.get("message") or waiting["reason"]))


def _image(pod: Object, status: Mapping[str, Any], said: str) -> Finding:
    namespace, devbox = pod["metadata"]["namespace"], pod["metadata"]["labels"][DEVBOX_LABEL]
    return Finding(
        "images",
        one_line(f"Devbox {namespace}/{devbox}: image {status.get('image')} can't be pulled: {said}"),
        "the devbox never starts",
        (
            "correct spec.image, or name the registry's credentials in spec.imagePullSecrets",
            command("kubectl", "-n", namespace, "describe", "pod", pod["metadata"]["name"]),
        ),
    )


def _containers(pod: Object) -> Sequence[Mapping[str, Any]]:
    status = pod.get("status") or {}
    return [*(status.get("initContainerStatuses") or []), *(status.get("containerStatuses") or [])]
