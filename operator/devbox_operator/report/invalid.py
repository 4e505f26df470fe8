"""Objects that were stored before a rule existed that they break: a condition says what is wrong.

Asked where the model refuses what the API server has.
"""

from datetime import UTC, datetime
from typing import Final

import structlog
from pydantic import ValidationError

from devbox_api.conditions import ConditionType, Reason
from devbox_api.shared import Condition
from devbox_common.kube import Object
from devbox_operator.kit.encoding import parse_time
from devbox_operator.kit.writer import Writer
from devbox_operator.report.conditions import bad, merge, summarise

MOST_ERRORS: Final = 8
MOST_CHARACTERS: Final = 300
"""Of one of them: keys of maps, which are part of the place, may be long."""

log = structlog.get_logger()


async def report_invalid(writer: Writer, kind: str, path: str, item: Object, error: ValidationError) -> datetime:
    """Set Accepted to False with what the model says (places and rules, not values). Returns since when it is."""
    parts = error.errors(include_input=False, include_url=False, include_context=False)[:MOST_ERRORS]
    message = "; ".join(f"{'.'.join(map(str, part['loc']))}: {part['msg']}"[:MOST_CHARACTERS] for part in parts)
    log.warning("object_invalid", kind=kind, path=path, message=message)
    findings = {ConditionType.ACCEPTED: bad(Reason.INVALID, message)}
    summarise(findings, [ConditionType.ACCEPTED], stalled=True)
    old = [Condition.model_validate(condition) for condition in (item.get("status") or {}).get("conditions") or ()]
    kept = [condition for condition in old if condition.type not in findings]
    generation = item["metadata"].get("generation", 1)
    now = datetime.now(UTC)
    new = [*merge(old, findings, generation, now), *kept]
    if [c.model_dump() for c in new] != [c.model_dump() for c in old]:
        conditions = [c.model_dump(mode="json", by_alias=True, exclude_none=True) for c in new]
        body = {"metadata": {"uid": item["metadata"]["uid"]}, "status": {"conditions": conditions}}
        await writer.merge(f"{path}/status", body, kind=f"{kind}Status")
    accepted = next(condition for condition in new if condition.type == ConditionType.ACCEPTED)
    return parse_time(accepted.last_transition_time) or now
