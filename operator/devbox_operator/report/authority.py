"""What people are told of the CA's end: conditions of whoever rests on it, a line in the log.

Goes in: the CA as it is trusted, a pod, the time. Comes out: findings, or None. Pure.
"""

from datetime import datetime, timedelta
from typing import Final

from devbox_api import names
from devbox_api.conditions import Reason
from devbox_api.judge.shown import command
from devbox_operator.report.conditions import Finding, good
from devbox_operator.seen.pods import PodView
from devbox_operator.seen.snapshot import Authority

WARNINGS: Final = ((timedelta(days=30), "30 days"), (timedelta(days=90), "90 days"), (timedelta(days=365), "a year"))
"""How long before the CA's end there is another word."""


def warning(end: datetime, now: datetime) -> str | None:
    """How near the CA's end is, for people: it changes three times. None while it is far."""
    return next((stage for time, stage in WARNINGS if end - now <= time), None)


def ending(authority: Authority | None, release_namespace: str, now: datetime) -> Finding | None:
    """The condition TrustEnding; None while the end is far."""
    stage = authority and warning(authority.end, now)
    if not authority or not stage:
        return None
    return good(
        Reason.CA_EXPIRING,
        f"the certificate authority of the gateway ends on {authority.end:%Y-%m-%d}, in less than {stage}; from then on no devbox trusts "
        f"the gateway. An administrator renews it: {renewing(release_namespace)}",
    )


def renewing(release_namespace: str) -> str:
    """The command."""
    annotate = command("kubectl", "-n", release_namespace, "annotate", "secret", names.CA_SECRET)
    return f'{annotate} {names.RENEWED_AT_ANNOTATION}="$(date -u +%FT%TZ)" --overwrite'


def outlived(authority: Authority | None, pod: PodView, now: datetime) -> datetime | None:
    """When the certificate ends that the pod's processes read at their start, if that is near and a restart gives them another one."""
    if authority is None or authority.earlier_end is None or pod.created >= authority.made:
        return None
    return authority.earlier_end if warning(authority.earlier_end, now) else None
