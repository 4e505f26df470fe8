"""Devboxes that end by themselves (spec.lifecycle.ttl): never early, soon after, whatever is in the way.

Goes in: a stage. Comes out: rows. The least time is a minute. So what needs none to pass goes on with Devboxes that are old by then: to
give one of them a time to live is to have it end at once.
"""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
from time import monotonic as now
from typing import Any, Final

from tests.chaos.report import Row, timed
from tests.chaos.world import eventually
from tests.support.fleet import Place

from devbox_api import names
from devbox_common.kube import ApiError, Object
from devbox_common.mirror import Mirror
from devbox_operator.kit import paths

from .clocks import SKEW, clock, tidy
from .proxy import Call, Fault
from .stage import CONVERGE_SECONDS, Stage

TTL: Final = 60.0
LIVES: Final = {"lifecycle": {"ttl": "60s"}}
LATE_SECONDS: Final = 10.0
CROWD: Final = 60
EVENTS: Final = "/apis/events.k8s.io/v1"
ADMISSION: Final = "/apis/admissionregistration.k8s.io/v1"
KILLS: Final = {"before a call": (1, 2, 4, 6), "after a write": (1, 2, 3)}
"""Numbers of calls, and of writes, for the short form."""
MANY_KILLS: Final = {"before a call": range(1, 13), "after a write": range(1, 7)}


async def lifetimes(stage: Stage, long: bool) -> list[Row]:
    """The whole of it."""
    numbers = MANY_KILLS if long else KILLS
    with tidy():
        await stage.alone(prefix=clock(SKEW), patient=True)
        olds = [await _old(stage) for _ in range(4 + sum(map(len, numbers.values())))]
        rows = await _in_time(stage, olds)
        rows.append(await _behind(stage, olds.pop()))
    await stage.alone(patient=True)
    rows += [await _allowed(stage, olds[0]), await _refused(stage, olds.pop()), await _kept_meanwhile(stage, olds.pop())]
    for side, which in numbers.items():
        rows.append(await _kills(stage, side, [(number, olds.pop()) for number in which]))
    return rows


async def _old(stage: Stage) -> str:
    """A Devbox for later, in a namespace of its own; its workspace goes with it."""
    space = await stage.namespace()
    await stage.create(space, workspace={"size": "1Gi"})
    return space


class Ends:
    """When each Devbox of a namespace was asked for, and seen to be gone."""

    def __init__(self, stage: Stage, space: str) -> None:
        self._stage, self.space = stage, space
        self.asked: dict[str, float] = {}
        """What counts for its time, by name."""
        self.gone: dict[str, float] = {}
        self.last: dict[str, Object] = {}
        """As it was seen last."""
        self._mirror: Mirror[Object] = Mirror(stage.api, paths.devboxes(space), lambda item: item, on_change=self._changed)

    @asynccontextmanager
    async def watching(self) -> AsyncIterator[None]:
        task = asyncio.create_task(self._mirror.run())
        try:
            await self._mirror.synced.wait()
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    def _changed(self, place: Place, _: Object | None, new: Object | None) -> None:
        if new is None:
            self.gone[place[1]] = now()
        else:
            self.last[place[1]] = new

    async def create(self, name: str, **spec: Any) -> None:
        self.asked[name] = now()
        await self._stage.create(self.space, name, **{**LIVES, **spec})

    async def annotate(self, name: str, kept: str) -> None:
        self.asked[name] = now()
        await self._stage.patch(
            paths.devboxes(self.space, name), {"metadata": {"annotations": {names.KEPT_ALIVE_AT_ANNOTATION: kept}}}
        )

    def lived(self, name: str) -> float | None:
        """Seconds, since what counts; None: it is there."""
        return self.gone[name] - self.asked[name] if name in self.gone else None


async def _in_time(stage: Stage, olds: list[str]) -> list[Row]:
    """By an operator whose clock is minutes ahead: by that, each would be over before it was made."""
    (replica,) = stage.replicas
    ends, crowd = Ends(stage, await stage.namespace()), Ends(stage, await stage.namespace())
    async with ends.watching(), crowd.watching():
        for name in ("plain", "unread", "ahead", "kept", "longer", "endless"):
            await ends.create(name)
        await ends.create("asleep", suspend=True)
        await asyncio.gather(*(crowd.create(f"one-{number}", suspend=True) for number in range(CROWD)))
        asked = ends.asked["unread"]
        await ends.annotate("unread", "soon")
        ends.asked["unread"] = asked  # (it does not count)
        await ends.annotate("ahead", "9999-12-31T23:59:59Z")
        await asyncio.sleep(TTL * 0.6 - (now() - ends.asked["plain"]))
        await ends.annotate("kept", datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"))
        await stage.patch(paths.devboxes(ends.space, "longer"), {"spec": {"lifecycle": {"ttl": "24h"}}})
        await stage.patch(paths.devboxes(ends.space, "endless"), {"spec": {"lifecycle": None}})
        deadline = max(ends.asked.values()) + TTL + 2 * LATE_SECONDS
        wanted = {*ends.asked} - {"longer", "endless"}
        with suppress(TimeoutError):
            await eventually(lambda: wanted <= ends.gone.keys() and crowd.asked.keys() <= crowd.gone.keys(), deadline - now())
    rows = [_lived(ends, name, what) for name, what in {
        "plain": "a Devbox of 60 s; the operator's clock is 5 min ahead",
        "unread": "the same, with an annotation that is no time",
        "ahead": "the same, with an annotation of the year 9999: from when that was seen on",
        "kept": "the same, kept alive after 36 s: from then on",
        "asleep": "the same, suspended",
    }.items()]  # fmt: skip
    stay = {"longer", "endless"}
    rows.append(Row("one whose ttl became 24 h, one whose ttl was taken away", "they stay", f"{sorted(stay - ends.gone.keys())}",
                    not stay & ends.gone.keys()))  # fmt: skip
    rows += [_said(ends), await _told(stage, ends.space), _crowd(crowd, replica.proxy.calls)]
    kept = [space for space in olds if await stage.converged(space) is not None]
    rows.append(Row(f"{len(olds)} Devboxes without ttl meanwhile", "as they should be", f"{len(kept)}", kept == olds))
    return rows


def _lived(ends: Ends, name: str, what: str) -> Row:
    lived = ends.lived(name)
    # (A machine that is busy makes it later, never earlier.)
    return timed(what, f"gone after {TTL:g} s, never earlier, ≤{LATE_SECONDS:g} s late",
                 "is there" if lived is None else f"{lived:.2f} s", lived is not None and lived <= TTL + LATE_SECONDS,
                 lived is None or lived >= TTL)  # fmt: skip


def _said(ends: Ends) -> Row:
    """Of each, in its status."""
    wrong = []
    for name in ("plain", "unread", "ahead", "kept", "asleep"):
        item = ends.last[name]
        status = item.get("status") or {}
        made = datetime.fromisoformat(item["metadata"]["creationTimestamp"])
        found = {one["type"]: one for one in status.get("conditions") or ()}
        begins = {"ahead": status.get("keptAlive", {}).get("seenAt"),
                  "kept": item["metadata"].get("annotations", {}).get(names.KEPT_ALIVE_AT_ANNOTATION)}.get(name)  # fmt: skip
        end = (datetime.fromisoformat(begins) if begins else made) + timedelta(seconds=TTL)
        if status.get("expiresAt") != end.strftime("%Y-%m-%dT%H:%M:%SZ"):
            wrong.append(f"{name}: expiresAt {status.get('expiresAt')}, not {end}")
        if (found.get("Expiring") or {}).get("reason") != "ExpiresSoon":
            wrong.append(f"{name}: {found.get('Expiring')}")
        remark = {"unread": "is no time, and does not count", "ahead": "was ahead of the API server's time"}.get(name, "")
        if remark not in (accepted := (found.get("Accepted") or {}).get("message", "")):
            wrong.append(f"{name}: {accepted!r}")
    return Row(
        "what their statuses said", "when each ends, that it is soon, what does not count", f"{wrong or 'so'}", not wrong
    )


async def _told(stage: Stage, space: str) -> Row:
    found = (await stage.api.list(f"{EVENTS}/namespaces/{space}/events"))[0]
    reasons = [(one["type"], one["reason"]) for one in found if one["regarding"]["name"] == "plain"]
    wanted = [("Normal", "ExpiresSoon"), ("Normal", "Expired")]
    return Row("Events of one of them", "ExpiresSoon, Expired", f"{reasons}", all(reasons.count(one) == 1 for one in wanted))


def _crowd(crowd: Ends, calls: list[Call]) -> Row:
    """What has the same time ends in turn: the queue has 32 workers."""
    lived = [seconds for name in crowd.asked if (seconds := crowd.lived(name)) is not None]
    deleted = [call for call in calls if call.method == "DELETE" and f"/{crowd.space}/devboxes/" in call.path]
    early, late = min(lived, default=0.0), max(lived, default=0.0)
    return timed(f"{CROWD} of 60 s, made at once", f"each deleted once, never early, all ≤{LATE_SECONDS * 2:g} s late",
                 f"{len(lived)} after {early:.2f} to {late:.2f} s, by {len(deleted)} calls",
                 late <= TTL + 2 * LATE_SECONDS, len(lived) == CROWD == len(deleted) and early >= TTL)  # fmt: skip


async def _behind(stage: Stage, space: str) -> Row:
    await stage.alone(prefix=clock(-SKEW), patient=True)
    start = now()
    await _end(stage, space)
    took = await stage.gone(space)
    return timed("the operator's clock is 5 min behind: one that is over", f"gone ≤{LATE_SECONDS:g} s",
                 "is there" if took is None else f"{now() - start:.1f} s",
                 took is not None and took <= LATE_SECONDS, took is not None)  # fmt: skip


async def _end(stage: Stage, space: str) -> None:
    """Of one that is older than a minute."""
    await stage.patch(paths.devboxes(space, "agent"), {"spec": LIVES})


async def _allowed(stage: Stage, space: str) -> Row:
    """With the operator's credentials, which Devboxes?"""
    said, path = [], paths.devboxes(space, "agent")
    async with stage.as_operator() as api:
        idle = {"after": "24h", "action": "Suspend"}
        specs: tuple[Object, ...] = (
            {"lifecycle": None},
            {"lifecycle": {}},
            {"lifecycle": {"idle": idle}},
            {"lifecycle": {"idle": {**idle, "action": "Delete"}}},
            {"lifecycle": {"idle": None, "ttl": "24h"}},
        )
        for spec in specs:
            await stage.patch(path, {"spec": spec})
            try:
                await api.request("DELETE", f"{path}?dryRun=All")
                said.append("deleted")
            except ApiError as error:
                said.append("refused" if "the operator may delete Devboxes that have" in error.message else error.message)
        try:
            await api.request("DELETE", f"{paths.devboxes(space)}?dryRun=All")
            said.append("all deleted")
        except ApiError as error:
            said.append(error.reason)
    await stage.patch(path, {"spec": {"lifecycle": None}})
    wanted = ["refused", "refused", "refused", "deleted", "deleted", "Forbidden"]
    return Row("whoever has the operator's account deletes a Devbox without ttl, with an empty lifecycle, with idle that suspends, with "
               "idle that deletes, with a ttl; all at once",
               f"{wanted}", f"{said}", said == wanted)  # fmt: skip


FREEZE: Final = "not while we are counting"


async def _refused(stage: Stage, space: str) -> Row:
    """By somebody's policy, which is taken away later."""
    (replica,) = stage.replicas
    path, name = paths.devboxes(space, "agent"), f"freeze-{space}"
    await _freeze(stage, space, name)
    before = len(replica.proxy.calls)
    await _end(stage, space)

    async def expiring() -> Object:
        box = await stage.get(path) or {}
        found = [one for one in (box.get("status") or {}).get("conditions", ()) if one["type"] == "Expiring"]
        return found[0] if found else {}

    async def refused() -> bool:
        return (await expiring()).get("reason") == "DeletionRefused"

    await eventually(refused, 20)
    words, start = (await expiring())["message"], now()
    await asyncio.sleep(12)
    tries = [call for call in replica.proxy.calls[before:] if call.method == "DELETE" and call.path.partition("?")[0] == path]
    writes = [
        call for call in replica.proxy.calls[before:] if call.method == "PATCH" and call.path.startswith(f"{path}/status")
    ]
    well = await stage.converged(space) is not None
    for kind in ("validatingadmissionpolicybindings", "validatingadmissionpolicies"):
        await stage.api.request("DELETE", f"{ADMISSION}/{kind}/{name}")
    over = now() - start
    gone = await stage.gone(space)
    fine = FREEZE in words and 2 <= len(tries) <= 6 and len(writes) <= 3 and well and gone is not None
    after = "never" if gone is None else f"{gone:.1f} s after that"
    return timed("a policy refuses the deletion, and is taken away",
                 "said in its words; tried ever more seldom; the devbox goes on; then gone ≤ one pause (here 30 s) later",
                 f"{len(tries)} tries and {len(writes)} statuses in {over:.0f} s; gone {after}; "
                 f"{'' if well else 'not as it should be meanwhile; '}{words[:60]}…", gone is not None and gone <= 30, fine)  # fmt: skip


async def _freeze(stage: Stage, space: str, name: str) -> None:
    rules = [{"apiGroups": [names.GROUP], "apiVersions": ["*"], "resources": ["devboxes"], "operations": ["DELETE"]}]
    kind = {"apiVersion": "admissionregistration.k8s.io/v1", "metadata": {"name": name}}
    policy = {**kind, "kind": "ValidatingAdmissionPolicy", "spec": {
        "failurePolicy": "Fail",
        "matchConstraints": {"resourceRules": rules},
        "matchConditions": [{"name": "here", "expression": f"request.namespace == '{space}'"}],
        "validations": [{"expression": "false", "message": FREEZE}],
    }}  # fmt: skip
    binding = {**kind, "kind": "ValidatingAdmissionPolicyBinding", "spec": {"policyName": name, "validationActions": ["Deny"]}}
    stage.release.plane.kubectl(
        "apply", "-f", "-", stdin=json.dumps({"apiVersion": "v1", "kind": "List", "items": [policy, binding]})
    )

    async def at_work() -> bool:
        try:
            await stage.api.request("DELETE", f"{paths.devboxes(space, 'agent')}?dryRun=All")
        except ApiError as error:
            return FREEZE in error.message
        return False

    await eventually(at_work, 20)


async def _kept_meanwhile(stage: Stage, space: str) -> Row:
    """Kept alive after it was decided that it is over, and before the deletion comes to the API server."""
    (replica,) = stage.replicas
    path, held = paths.devboxes(space, "agent"), True

    def holds(asked: str) -> bool:
        deletes = [call for call in replica.proxy.calls if call.method == "DELETE" and call.path.partition("?")[0] == path]
        return held and bool(deletes) and asked.partition("?")[0] == path

    replica.proxy.fault = Fault(hold=holds)
    await _end(stage, space)
    await eventually(lambda: holds(path), 20)
    kept = datetime.now(UTC)
    annotations = {names.KEPT_ALIVE_AT_ANNOTATION: str(int(kept.timestamp()))}
    await stage.patch(path, {"metadata": {"annotations": annotations}})
    held = False

    async def known() -> bool:
        item = await stage.get(path)
        said = (item or {}).get("status", {}).get("expiresAt")
        return item is None or (bool(said) and datetime.fromisoformat(said) >= kept + timedelta(seconds=TTL - 1))

    await eventually(known, 20)
    replica.proxy.fault = Fault()
    answers = [call.status for call in replica.proxy.calls if call.method == "DELETE" and call.path.partition("?")[0] == path]
    there = await stage.get(path) is not None
    await stage.patch(path, {"spec": {"lifecycle": None}})
    whole = await stage.converged(space) is not None
    return Row("kept alive while its deletion is on its way", "409, and it lives on", f"{answers}, {'it lives' if there else 'it is gone'}",
               answers == [409] and there and whole)  # fmt: skip


async def _kills(stage: Stage, side: str, kills: list[tuple[int, str]]) -> Row:
    """The operator ends with one of them under way, and the next one takes over."""
    took, failed = list[float](), list[str]()
    for number, space in kills:
        killed = await _killed(stage, space, side, number)
        await stage.alone(patient=True)
        seconds = await stage.gone(space)
        if seconds is None:
            failed.append(f"{number} ({killed})")
        else:
            took.append(seconds)
    measured = f"{len(took)} of {len(kills)}, the last ≤{max(took, default=0):.1f} s after the next one's start"
    return Row(f"operator killed {side} while a devbox expires", f"100 % gone, and all of theirs, ≤{CONVERGE_SECONDS:g} s",
               f"{measured}{f'; not: {failed}' if failed else ''}", bool(took) and not failed)  # fmt: skip


async def _killed(stage: Stage, space: str, side: str, number: int) -> str:
    """What it was killed at."""
    (replica,) = stage.replicas
    seen, count, before = list[str](), 0, side == "before a call"

    def decide(call: Call) -> bool:
        nonlocal count
        if not seen and "/leases" not in call.path and (before or call.writes):
            count += 1
            if count == number:
                seen.append(f"{call.method} {call.path.partition('?')[0]}")
                replica.operator.kill()
        return bool(seen)

    await eventually(lambda: _quiet(replica.proxy.calls), 20)
    replica.proxy.fault = Fault(before=decide) if before else Fault(after=decide)
    await _end(stage, space)
    await eventually(lambda: bool(seen), 20)
    return seen[0]


async def _quiet(calls: list[Call]) -> bool:
    """Nothing was asked for, for a moment."""
    count = sum("/leases" not in call.path for call in calls)
    await asyncio.sleep(0.7)
    return count == sum("/leases" not in call.path for call in calls)
