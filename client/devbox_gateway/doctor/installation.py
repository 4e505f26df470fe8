"""Checks of what is installed: definitions, gateway, operator, clocks, rights.

Goes in: `Facts`. Comes out: findings. Pure.
"""

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta, timezone
from typing import Final

from devbox_api.judge.shown import command

from .facts import Facts, Hidden, Object, Right, conditions, name_of
from .report import Finding, Result, Unchecked

KINDS: Final = ("devboxes", "gatewayconfigs", "egresspolicies")
FIELDS: Final = {"GatewayConfig": ("spec.authMechanism.userInSecret",), "Devbox": ("spec.secretEnv",)}
"""What this client writes that the first charts did not know."""
INSTALL: Final = "docs/install.md"
LATE: Final = timedelta(seconds=60)
"""Beyond the time that the operator's Lease is given for."""
UNSEEN: Final = timedelta(seconds=120)
"""After which an operator that works has looked at a Devbox."""
CLOCKS: Final = timedelta(seconds=30)


def definitions(facts: Facts) -> Iterator[Result]:
    """The custom resources are there."""
    if isinstance(facts.kinds, Hidden):
        yield Unchecked("definitions", facts.kinds.because)
        return
    if missing := [kind for kind in KINDS if kind not in facts.kinds]:
        yield Finding(
            "definitions",
            f"the cluster does not know {', '.join(f'{kind}.devbox-gateway.io' for kind in missing)}",
            "devbox-gateway's chart is not installed there, or this is another cluster than is meant: nothing can be made",
            (
                f"see which cluster this is; an administrator installs the chart ({INSTALL})",
                command("kubectl", "cluster-info"),
            ),
        )


def namespace(facts: Facts) -> Iterator[Result]:
    """It is there. (Who may not look at it may look at nothing in it either, which is said of that.)"""
    if facts.space is None:
        yield Finding(
            "namespace",
            f"there is no namespace {facts.namespace}",
            "nothing can be made there, and that nothing is wrong in it says nothing",
            (
                "name another one with -n, or have an administrator make it",
                command("kubectl", "create", "namespace", facts.namespace),
            ),
        )
    elif not isinstance(facts.space, Hidden) and "deletionTimestamp" in facts.space["metadata"]:
        yield Finding(
            "namespace",
            f"namespace {facts.namespace} is being deleted",
            "nothing can be made there, and what is there goes",
            ("use another one, with -n",),
        )


def chart(facts: Facts) -> Iterator[Result]:
    """The definitions know what this client writes."""
    if isinstance(facts.kinds, Hidden) or not facts.kinds:
        return
    if isinstance(facts.fields, Hidden):
        yield Unchecked("chart", facts.fields.because)
        return
    for kind, wanted in FIELDS.items():
        known = facts.fields.get(kind, frozenset())
        if missing := [path for path in wanted if path not in known]:
            yield Finding(
                "chart",
                f"the cluster's {kind} has no {', '.join(missing)}",
                "the chart is older than this client: what needs these fields is refused",
                (
                    f"an administrator upgrades the chart, and its definitions, which Helm does not upgrade by itself ({INSTALL})",
                    "or install the client of the chart's version",
                ),
            )


def gateway(facts: Facts) -> Iterator[Result]:
    """A replica of the gateway is ready."""
    if isinstance(facts.slices, Hidden):
        yield Unchecked("gateway", facts.slices.because)
        return
    endpoints = [each for found in facts.slices for each in found.get("endpoints") or []]
    ready = [each for each in endpoints if (each.get("conditions") or {}).get("ready") is not False]
    if not ready:
        yield Finding(
            "gateway",
            f"no gateway is ready in namespace {facts.release} ({len(endpoints)} not ready)",
            "devboxes get no answer from any API, and no new one starts",
            (
                command("kubectl", "-n", facts.release, "get", "pods", "-l", "app.kubernetes.io/component=gateway"),
                command("kubectl", "-n", facts.release, "logs", "-l", "app.kubernetes.io/component=gateway", "--tail=50"),
            ),
        )


def operator(facts: Facts, now: datetime) -> Iterator[Result]:
    """An operator leads. Where its Lease may not be seen, what it has not looked at tells."""
    unseen = [] if isinstance(facts.devboxes, Hidden) else [each for each in facts.devboxes if _waits(each, now)]
    why = "Devboxes are neither made nor changed, and tokens are not renewed; those that run go on for a while"
    do = (
        command("kubectl", "-n", facts.release, "get", "pods", "-l", "app.kubernetes.io/component=operator"),
        command("kubectl", "-n", facts.release, "logs", "-l", "app.kubernetes.io/component=operator", "--tail=50"),
    )
    if isinstance(facts.lease, Hidden):
        if unseen:
            yield Finding(
                "operator", f"no operator has looked at Devbox {name_of(unseen[0])} for more than two minutes", why, do
            )
        else:
            yield Unchecked("operator", facts.lease.because)
        return
    if facts.lease is None:
        yield Finding(
            "operator", f"no operator has ever led in namespace {facts.release}: there is no Lease devbox-operator", why, do
        )
        return
    spec = facts.lease.get("spec") or {}
    renewed, given = _time(spec.get("renewTime")), timedelta(seconds=int(spec.get("leaseDurationSeconds") or 15))
    if renewed is None or not spec.get("holderIdentity") or now - renewed > given + LATE:
        said = f"since {renewed:%Y-%m-%d %H:%M:%S} UTC" if renewed else "now"
        yield Finding("operator", f"no operator leads in namespace {facts.release} {said}", why, do)
    elif unseen:
        yield Finding(
            "operator", f"the operator has not looked at Devbox {name_of(unseen[0])} for more than two minutes", why, do
        )


def clock(facts: Facts) -> Iterator[Result]:
    """This machine's clock and the API server's."""
    if isinstance(facts.server_time, Hidden) or facts.own_time is None:
        yield Unchecked("clock", facts.server_time.because if isinstance(facts.server_time, Hidden) else "it was not asked")
        return
    off = facts.own_time - facts.server_time
    if abs(off) > CLOCKS:
        where = "ahead of" if off > timedelta() else "behind"
        yield Finding(
            "clock",
            f"this machine's clock is {abs(off).total_seconds():.0f} s {where} the API server's",
            "certificates and tokens are taken for expired, or for not valid yet, and times are shown wrong",
            ("set this machine's clock by a time server; if it is right, an administrator looks at the control plane's",),
        )


def rights(facts: Facts) -> Iterator[Result]:
    """Whoever asks may do what users of devboxes do."""
    if isinstance(facts.lacking, Hidden):
        yield Unchecked("rights", facts.lacking.because)
        return
    lacking = [right for right in facts.lacking if right.needed]
    if lacking:
        yield Finding(
            "rights",
            _may_not(facts, lacking),
            "these commands are refused",
            ("an administrator of the namespace gives the role for it", _binding(facts)),
        )

    elif facts.lacking:
        yield Unchecked("rights", f"{_may_not(facts, facts.lacking)}; a narrow role has it so, and the rest is there")


def _may_not(facts: Facts, lacking: Sequence[Right]) -> str:
    uses = ", ".join(dict.fromkeys(right.use for right in lacking))
    return f"{facts.account or 'you'} may not {uses} in namespace {facts.namespace} ({', '.join(map(_right, lacking))})"


def _right(right: Right) -> str:
    return f"{right.verb} {right.resource}{f'.{right.group}' if right.group else ''}"


def _binding(facts: Facts) -> str:
    account = facts.account or "NAME"
    whose = f"--user={account}"
    if account.startswith("system:serviceaccount:"):
        whose = f"--serviceaccount={account.removeprefix('system:serviceaccount:')}"
    return command("kubectl", "-n", facts.namespace, "create", "rolebinding", "devbox-edit", "--clusterrole=edit", whose)


def _waits(devbox: Object, now: datetime) -> bool:
    """Nobody has looked at it since it was made."""
    made = _time(devbox["metadata"].get("creationTimestamp"))
    return not conditions(devbox) and made is not None and now - made > UNSEEN


def _time(text: object) -> datetime | None:
    try:
        return datetime.fromisoformat(str(text).replace("Z", "+00:00")).astimezone(timezone.utc)
    except ValueError:
        return None
