"""The condition Reachable of a GatewayConfig: what was found at the last dial to its API. Pure.

Goes in: the object as it is, and the last dial that is known. Comes out: a finding. It is another one where the outcome is: the same
outcome keeps the words that it has, whoever calls how often. Ready does not wait for it: an API that is down is no mistake in the object.
"""

from devbox_api.conditions import ConditionType, Reason
from devbox_api.gatewayconfig import GatewayConfigSpec
from devbox_api.judge.endpoints import dialled, parse_endpoint, trust_of
from devbox_operator.kit.encoding import format_time
from devbox_operator.report.conditions import Finding, bad, good, unknown
from devbox_operator.seen.dials import Dial
from devbox_operator.seen.resources import GatewayView

NOBODY = "nobody has called it yet; to have a gateway try: kubectl devbox gateway probe NAME"
NOWHERE = "no gateway leads there while this is not Accepted"


def dialled_by(spec: GatewayConfigSpec) -> str:
    """What its dials are about, as gateways say it; empty for what no gateway can read."""
    try:
        return dialled(parse_endpoint(spec.endpoint), trust_of((spec.tls and spec.tls.ca_bundle) or ""))
    except ValueError:
        return ""


def unanswered(view: GatewayView, answered: str | None) -> bool:
    """Somebody asked for a probe."""
    return view.probe_requested_at not in ("", view.config.status.probe_requested_at, answered)


def reachable(view: GatewayView, dial: Dial | None, *, accepted: bool) -> Finding:
    """The condition."""
    config = view.config
    before = next((one for one in config.status.conditions if one.type == ConditionType.REACHABLE), None)
    if not accepted:
        return unknown(Reason.NOT_TRIED, NOWHERE)
    kept = before if before is not None and before.observed_generation == config.generation else None
    if dial is None:
        if kept is None or kept.reason not in set(Reason):
            return unknown(Reason.NOT_TRIED, NOBODY)
        return Finding(kept.status, Reason(kept.reason), kept.message)  # as an operator before this one found it
    origin = parse_endpoint(config.spec.endpoint).origin
    what = f"{origin} {dial.words or 'was reached'}, "
    if kept is not None and kept.reason == dial.found and kept.message.startswith(what):
        return Finding(kept.status, dial.found, kept.message)
    said = f"{what}as a gateway first found at {format_time(dial.since)}"
    return good(dial.found, said) if dial.found == Reason.REACHED else bad(dial.found, said)
