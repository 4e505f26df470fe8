"""From references to credentials: does each one exist, is it allowed, granted, usable?

Goes in: a reference and what was observed. Comes out: a `ResolvedCredential`, or a `Problem` whose message says what to do. Pure. No value
of a Secret is ever part of a message.
"""

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass, replace

from devbox_api import names
from devbox_api.conditions import ConditionType, Reason
from devbox_api.gatewayconfig import AuthMechanism, GatewayConfigSpec
from devbox_api.judge import grants, hosts
from devbox_api.judge.doubts import Place, doubts
from devbox_api.judge.keys import Flaw
from devbox_api.judge.namespaces import allows
from devbox_api.judge.shown import command
from devbox_api.variables import DevboxGateway
from devbox_common import credential
from devbox_common.redacted import Redacted
from devbox_operator.documents.endpoints import host_of
from devbox_operator.report.problem import Problem
from devbox_operator.seen import bounds
from devbox_operator.seen.index import Source
from devbox_operator.seen.keys import Key
from devbox_operator.seen.resources import GatewayView
from devbox_operator.seen.secrets import SecretView
from devbox_operator.seen.snapshot import FORBIDDEN, NOT_FOUND, UNREADABLE, Missing, Snapshot


@dataclass(frozen=True)
class ResolvedCredential:
    """A credential that may be used."""

    source: Source
    """With its key filled in."""
    value: Redacted
    grant: str | None = None
    """As its owner wrote it, where the endpoint was looked at."""

    @property
    def name(self) -> str:
        """The object in the credentials namespace."""
        assert self.source.key is not None  # noqa: S101 (filled in by resolve)
        return names.credential_name(self.source.namespace, self.source.name, self.source.key)


def gateway_for(binding: DevboxGateway, snapshot: Snapshot) -> GatewayView | Problem:
    """The GatewayConfig of a binding, if it exists, is accepted, and allows the Devbox's namespace."""
    namespace = snapshot.devbox.box.namespace
    key = (binding.gateway_ref.namespace or namespace, binding.gateway_ref.name)
    where = f"gateway {binding.name}: GatewayConfig {key[0]}/{key[1]}"
    gateway = snapshot.gateways.get(key)
    if gateway is None and key[0] == namespace:
        return Problem(Reason.GATEWAY_NOT_FOUND, f"{where} does not exist; create it, or correct gatewayRef")
    # (Of another namespace: that there is none is told to those alone whom it would allow, so to nobody.)
    if gateway is None or not allows(gateway.config.spec.allowed_namespaces, key[0], namespace, snapshot.labels):
        return Problem(
            Reason.NAMESPACE_NOT_ALLOWED,
            f"{where} does not exist, or does not allow devboxes of namespace {namespace}; its owner widens spec.allowedNamespaces, "
            'e.g. {from: Selector, selector: {matchLabels: {kubernetes.io/metadata.name: "' + namespace + '"}}}',
        )
    for condition in gateway.config.status.conditions:
        if condition.type == ConditionType.ACCEPTED and condition.status == "False":
            return Problem(Reason.GATEWAY_NOT_ACCEPTED, f"{where} is not accepted: {condition.message}")
    return gateway


def source_for(binding: DevboxGateway, namespace: str, gateway: GatewayView) -> Source | Problem:
    """Where the binding's credential is: the Devbox's own Secret, else the GatewayConfig's."""
    if binding.secret_ref is not None:
        return Source(namespace, binding.secret_ref.name, binding.secret_ref.key)
    default = gateway.config.spec.credential
    if default is None:
        return Problem(
            Reason.NO_CREDENTIAL,
            f"gateway {binding.name}: neither the devbox nor GatewayConfig {'/'.join(gateway.key)} names a Secret; "
            "set secretRef on the devbox's gateway, or spec.credential.secretRef on the GatewayConfig",
        )
    return Source(gateway.config.namespace, default.secret_ref.name, default.secret_ref.key)


def resolve(
    source: Source, secrets: Mapping[Key, SecretView | Missing], spec: GatewayConfigSpec, release_namespace: str
) -> ResolvedCredential | Problem:
    """The credential, if the Secret exists, is granted to the endpoint's host, and holds a value that this API can be given.

    The grant comes first: of a Secret that its owner did not give away nothing is told, not even what its keys are called."""
    secret = secrets.get(source.secret, NOT_FOUND)
    if isinstance(secret, str):
        return unreadable(source, secret, release_namespace, f"and grant it ({names.ALLOWED_HOSTS_ANNOTATION})")
    host = host_of(spec.endpoint)
    if secret.grant_too_long:
        return Problem(
            Reason.SECRET_NOT_GRANTED,
            f"Secret {'/'.join(source.secret)}: the annotation {names.ALLOWED_HOSTS_ANNOTATION} has more than {bounds.MOST_GRANT} "
            "characters, and counts as none; its owner shortens it, e.g. by *.example.com for many hosts",
        )
    if not hosts.any_matches(hosts.parse_grant(secret.allowed_hosts), host):
        return Problem(Reason.SECRET_NOT_GRANTED, not_granted(source.secret, secret.allowed_hosts, host, secret.meant))
    resolved = in_secret(source, secret)
    if (
        isinstance(resolved, ResolvedCredential)
        and spec.auth_mechanism.user_in_secret
        and credential.pair(resolved.value) is None
    ):
        # (What was there before is not kept: the same key may be whole for another GatewayConfig.)
        return Problem(
            Reason.SECRET_INVALID,
            f"Secret {'/'.join(source.secret)}, key {resolved.source.key}: the value is not user:password, which the GatewayConfig's "
            "authMechanism.userInSecret asks for; store both with ':' between them, or name the user in authMechanism.username",
        )
    return replace(resolved, grant=secret.allowed_hosts) if isinstance(resolved, ResolvedCredential) else resolved


def doubtful(resolved: ResolvedCredential, auth: AuthMechanism) -> str:
    """What of a credential that is used looks like a mistake: its value, or entries of its grant. Empty: nothing."""
    place = Place(auth.type, auth.key or "", auth.prefix or "", auth.user_in_secret)
    where = f"Secret {'/'.join(resolved.source.secret)}"
    said = []
    if found := doubts(resolved.value.reveal(), place):
        what = "; it ".join(doubt.value for doubt in found)
        said.append(f"{where}, key {resolved.source.key}: the value {what}. It is used as it is")
    if wrong := grants.mistakes(resolved.grant):
        said.append(f"{where}: of its {names.ALLOWED_HOSTS_ANNOTATION} this grants nothing: {'; '.join(wrong)}")
    return ". ".join(said)


def concealed(problem: Problem, binding: DevboxGateway, gateway: GatewayView) -> Problem:
    """The problem as a Devbox of another namespace is told of it: its author may use the GatewayConfig, and see no Secret there."""
    return Problem(
        problem.reason,
        f"gateway {binding.name}: the credential of GatewayConfig {'/'.join(gateway.key)} can't be used; its owner finds out why in that "
        "object's condition CredentialResolved",
        problem.keeps,
    )


def key_in(source: Source, secret: SecretView) -> str | Problem:
    """The key that is meant: the named one, else the only one."""
    where = f"Secret {source.namespace}/{source.name}"
    listed = ", ".join(secret.keys) or "none"
    if source.key is None:
        if len(secret.keys) == 1:
            return secret.keys[0]
        message = f"{where} does not have exactly one key (it has: {listed}); set secretRef.key to the one to use"
        return Problem(Reason.KEY_AMBIGUOUS, message)
    if source.key not in secret.keys:
        message = f"{where} has no key {source.key} (it has: {listed}); add it, or correct secretRef.key"
        return Problem(Reason.KEY_NOT_FOUND, message)
    return source.key


def in_secret(source: Source, secret: SecretView) -> ResolvedCredential | Problem:
    """The credential in a Secret that is granted to somebody, whoever that is."""
    key = key_in(source, secret)
    if isinstance(key, Problem):
        return key
    value = usable(secret.values.get(key, Redacted("")))
    if isinstance(value, Flaw):
        # An empty one is no mistake: its owner took the credential away.
        said = f"Secret {source.namespace}/{source.name}, key {key}: {value.value}"
        return Problem(Reason.SECRET_INVALID, said, keeps=value is not Flaw.EMPTY)
    return ResolvedCredential(Source(source.namespace, source.name, key), value)


def not_granted(secret: Key, grant: str | None, host: str, meant: str = "") -> str:
    """The message with the line that the Secret's owner types; hosts that are granted already stay granted. `meant`: SecretView.meant."""
    namespace, name = secret
    wanted = ",".join(dict.fromkeys((*hosts.parse_grant(grant), host)))
    notes = [f"this grants nothing: {'; '.join(wrong)}"] if (wrong := grants.mistakes(grant)) else []
    notes += [near] if (near := grants.uncovered(grant, host)) else []
    notes += [f"its {meant} grants nothing; that is the annotation {names.ALLOWED_HOSTS_ANNOTATION}"] if meant else []
    said = f" ({'; '.join(notes)})" if notes else ""
    return f"Secret {namespace}/{name} is not granted to {host}{said}; its owner runs: " + command(
        "kubectl", "-n", namespace, "annotate", "secret", name, f"{names.ALLOWED_HOSTS_ANNOTATION}={wanted}", "--overwrite"
    )


def usable(encoded: Redacted) -> Redacted | Flaw:
    """A value as the API has it, in base64: the credential, or what is wrong with it."""
    if len(encoded.reveal()) >= bounds.MOST_VALUE:
        return Flaw.TOO_LONG
    try:
        return credential.judge(base64.b64decode(encoded.reveal()))
    except binascii.Error:
        return Flaw.NOT_TEXT


def unreadable(source: Source, why: Missing, release_namespace: str, then: str) -> Problem:
    """Why there is nothing to look at. `then`: what its owner does once it is there."""
    where = f"Secret {source.namespace}/{source.name}"
    if why == FORBIDDEN:
        return Problem(
            Reason.SECRET_FORBIDDEN,
            f"the operator may not read {where}; its owner runs: {role(source, release_namespace)}",
            keeps=True,
        )
    if why == UNREADABLE:
        return Problem(
            Reason.SECRET_FORBIDDEN,
            f"the API server has not let the operator read {where} for minutes; see the operator's log, watch_failed",
            keeps=True,
        )
    key = f" with the key {source.key}" if source.key else ""
    return Problem(Reason.SECRET_NOT_FOUND, f"{where} does not exist; create it{key} {then}")


def role(source: Source, release_namespace: str) -> str:
    """The two commands that let the operator read that Secret alone."""
    name = f"devbox-operator-{source.name}"
    at = ("kubectl", "-n", source.namespace, "create")
    what = ("--verb=get,list,watch", "--resource=secrets", f"--resource-name={source.name}")
    whose = (f"--role={name}", f"--serviceaccount={release_namespace}:devbox-operator")
    return f"{command(*at, 'role', name, *what)}; {command(*at, 'rolebinding', name, *whose)}"
