"""Values of `spec.secretEnv`: which Secrets the agent itself may read, and whether one changed after it was given.

Goes in: the entries, and the Secrets as they were observed. Comes out: values, or a `Problem` for each that can't be had. Pure.

A Secret that a gateway uses stays out of devboxes: whoever wrote a grant on it said that the gateway alone is to have it. And one that says
nothing stays out, too: its owner says aloud, by a label, that agents may read it. An agent is given a value once, when it starts: it stays
in the pod's own token Secret as it was, so that a container that is started again finds the same.
"""

import base64
import binascii
import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

import orjson

from devbox_api import names
from devbox_api.conditions import Reason
from devbox_api.judge.shown import command
from devbox_api.variables import SecretVariable
from devbox_common.redacted import Redacted
from devbox_operator.documents.credentials import key_in, unreadable
from devbox_operator.report.problem import Problem
from devbox_operator.seen import bounds
from devbox_operator.seen.index import Source
from devbox_operator.seen.keys import Key
from devbox_operator.seen.secrets import SecretView
from devbox_operator.seen.snapshot import NOT_FOUND, Missing

_DIGEST: Final = 16
"""Characters: enough to tell one value from the next."""


@dataclass(frozen=True)
class Values:
    """What the entries came to."""

    given: Mapping[str, Redacted]
    """By variable, in base64."""
    problems: tuple[Problem, ...]


NONE: Final = Values({}, ())


def key(variable: str) -> str:
    """Where a variable's value is in the pod's token Secret. (No gateway has a name with '.'.)"""
    return f"{names.SECRET_ENV_PREFIX}{variable}"


def resolve(
    entries: Iterable[SecretVariable], namespace: str, secrets: Mapping[Key, SecretView | Missing], release_namespace: str
) -> Values:
    """Every entry's value, as far as it can be had."""
    given: dict[str, Redacted] = {}
    problems: list[Problem] = []
    for entry in entries:
        source = Source(namespace, entry.secret_ref.name, entry.secret_ref.key)
        found = _value(source, secrets.get(source.secret, NOT_FOUND), release_namespace)
        if isinstance(found, Problem):
            problems.append(Problem(found.reason, f"secretEnv {entry.name}: {found.message}"))
        else:
            given[entry.name] = found
    if sum(len(value) for value in given.values()) > bounds.MOST_ENV_ALL:
        said = f"secretEnv: all values together have more than {bounds.MOST_ENV_ALL * 3 >> 12} KiB; {_INSTEAD}"
        return Values({}, (*problems, Problem(Reason.SECRET_TOO_LARGE, said)))
    return Values(given, tuple(problems))


_INSTEAD: Final = "put what is long into the image or a volume"


def _value(source: Source, secret: SecretView | Missing, release_namespace: str) -> Redacted | Problem:
    """In the order of what may be told: of a Secret that is not for devboxes, nothing but that."""
    where = f"Secret {'/'.join(source.secret)}"
    line = command("kubectl", "-n", source.namespace, "label", "secret", source.name, f"{names.MOUNTABLE_LABEL}=true")
    if isinstance(secret, str):
        return unreadable(source, secret, release_namespace, f"and label it {names.MOUNTABLE_LABEL}=true")
    if secret.granted:
        return Problem(
            Reason.SECRET_GRANTED,
            f"{where} carries a grant ({names.ALLOWED_HOSTS_ANNOTATION}), so the gateway alone may have its value; use it in "
            "spec.gateways, or name another Secret",
        )
    if not secret.mountable:
        return Problem(
            Reason.SECRET_NOT_MOUNTABLE, f"{where} is not for agents to read; where it may be, its owner runs: {line}"
        )
    found = key_in(source, secret)
    if isinstance(found, Problem):
        return found
    return _usable(f"{where}, key {found}", secret.values.get(found, Redacted("")))


def _usable(where: str, encoded: Redacted) -> Redacted | Problem:
    if len(encoded) > bounds.MOST_ENV:
        return Problem(
            Reason.SECRET_TOO_LARGE, f"{where}: the value is longer than {bounds.MOST_ENV * 3 >> 12} KiB; {_INSTEAD}"
        )
    try:
        text = base64.b64decode(encoded.reveal(), validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        return Problem(Reason.SECRET_INVALID, f"{where}: the value is not text (UTF-8), so no variable can hold it")
    if "\0" in text:
        return Problem(Reason.SECRET_INVALID, f"{where}: the value holds a NUL byte, which no variable can hold")
    return encoded


def record(pod_uid: str, values: Mapping[str, Redacted]) -> str:
    """What a pod was given, so that another value can be told from it: a hash for each variable, of this pod alone. Empty: nothing."""
    digests = {name: _digest(pod_uid, name, value) for name, value in sorted(values.items())}
    return orjson.dumps(digests).decode() if digests else ""


def changed(pod_uid: str, recorded: str, values: Mapping[str, Redacted]) -> tuple[str, ...]:
    """Variables whose value is another one than the pod was given."""
    try:
        given = orjson.loads(recorded) if recorded else {}
    except ValueError:
        return ()
    return tuple(
        name for name, value in sorted(values.items()) if name in given and given[name] != _digest(pod_uid, name, value)
    )


def _digest(pod_uid: str, name: str, value: Redacted) -> str:
    return hashlib.sha256(f"{pod_uid}/{name}/{value.reveal()}".encode()).hexdigest()[:_DIGEST]
