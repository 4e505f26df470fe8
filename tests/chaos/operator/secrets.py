"""What becomes of a key whose Secret can't be had any more, or holds what can be no credential; and what is told of Secrets that nobody
granted.

Goes in: a stage. Comes out: rows. Operator and gateway are processes, with times scaled by the settings; the API behind them says which key
it was shown.
"""

import json
from datetime import UTC, datetime
from time import monotonic as now
from typing import Any, Final

from tests.chaos.client import for_good
from tests.chaos.report import Row, timed
from tests.chaos.world import eventually
from tests.support.fleet import GATEWAYS
from tests.support.release import CREDENTIALS

from devbox_api import names
from devbox_common.kube import Object
from devbox_operator.kit import paths

from .proxy import Fault
from .stage import Replica, Stage
from .traffic import Agent, Traffic, traffic

FORBIDDEN: Final = 25.0
INVALID: Final = 8.0
KEEPING: Final = {"forbiddenSeconds": FORBIDDEN, "invalidSeconds": INVALID}
LATE: Final = 5.0
"""Beyond the bound: a look at the queue, a write, a watch event."""
SECRET_KEYS: Final = ("internal-billing-eu", "prod-master")


async def taken_back(stage: Stage, long: bool) -> list[Row]:
    """The right to read a Secret goes, and with nobody looking the grant and the Secret do, too. The operator is killed in between."""
    bound = 120.0 if long else FORBIDDEN
    keeping = {} if long else {"keeping": KEEPING}
    replica = await stage.alone(**keeping)
    space = await stage.namespace()
    await stage.create(space)
    assert await stage.converged(space) is not None
    async with traffic(stage) as cars:
        agent = await cars.agent(space)
        assert (await cars.answers(agent)).fine
        began = now()
        _refuse(replica, space)
        replica.proxy.cut_watches()
        await stage.patch(
            paths.secrets(space, "anthropic"), {"metadata": {"annotations": {names.ALLOWED_HOSTS_ANNOTATION: None}}}
        )
        await stage.api.request("DELETE", paths.secrets(space, "anthropic"))
        await eventually(lambda: _condition(stage, space, "still in use, until"), 20)
        told = await _message(stage, space)
        until = _until(told)
        replica = await _restart(stage, space, keeping)
        gone = await _refused(cars, agent, bound + 2 * LATE)
        took = None if gone is None else gone - began
        late = (datetime.now(UTC) - until).total_seconds()

        async def over() -> bool:
            said = await _message(stage, space)
            return "SecretForbidden" in said and "still in use" not in said

        await eventually(over, 10)
    return [
        _row("a right to read a Secret is taken away, then its grant, and it is deleted; the operator is killed on the way",
             f"the key goes out no more ≤{bound + LATE:g} s after", took, bound + LATE),
        Row("the same: the condition", "SecretForbidden, with the time until which it is kept; that time is kept to",
            f"{until:%H:%M:%S}, gone {late:.1f} s after",
            "SecretForbidden" in told and -1 < late < LATE),
    ]  # fmt: skip


async def restarted(stage: Stage, long: bool) -> list[Row]:
    """An API server that refuses everything for a moment: nothing is lost, and nothing is written for it."""
    replica = await stage.alone(keeping=KEEPING)
    space = await stage.namespace()
    await stage.create(space)
    assert await stage.converged(space) is not None
    async with traffic(stage) as cars:
        agent = await cars.agent(space)
        assert (await cars.answers(agent)).fine
        before = await _credential(stage, space)
        _refuse(replica, space)
        replica.proxy.cut_watches()
        began, failed = now(), 0
        while now() - began < 3:
            failed += not (await cars.answers(agent)).fine
        replica.proxy.fault = Fault()

        async def seen() -> bool:
            await stage.patch(paths.secrets(space, "anthropic"), {"stringData": {"key": "sk-after"}})
            return (await cars.answers(agent)).fine and cars.shown[-1] == "sk-after"

        untouched = before == await _credential(stage, space)
        await eventually(seen, 20)
        # Longer than a moment, and shorter than the bound.
        _refuse(replica, space)
        replica.proxy.cut_watches()
        await eventually(lambda: _condition(stage, space, "still in use, until"), 20)
        replica.proxy.fault = Fault()
        healed = now()
        await eventually(lambda: _healed(stage, space), 20)
        failed += not (await cars.answers(agent)).fine
    return [
        Row("Secrets refused for 3 s", "0 failed, nothing written", f"{failed} failed, {untouched}", not failed and untouched),
        _late("refused for longer, then not", "Ready, and nothing is counted any more", now() - healed, 20),
    ]  # fmt: skip


async def rotated(stage: Stage, long: bool) -> list[Row]:
    """A rotation to a value that can be no credential: told at once, the one before goes on for a while; then a good one; an empty one."""
    await stage.alone(keeping=KEEPING)
    space = await stage.namespace()
    await stage.create(space)
    assert await stage.converged(space) is not None
    rows = []
    async with traffic(stage) as cars:
        agent = await cars.agent(space)
        assert (await cars.answers(agent)).fine
        for bad in ("sk-new\t", "sk\tnew", "two\nlines", " sk-new", "sk-new\x7f"):
            await stage.patch(paths.secrets(space, "anthropic"), {"stringData": {"key": bad}})
            began = now()
            await eventually(lambda: _condition(stage, space, "SecretInvalid", "still in use, until"), 10)
            told = now() - began
            fine = (await cars.answers(agent)).fine and cars.shown[-1] == "sk-one"
            what = f"a rotation to {bad!r}"
            rows.append(timed(what, "told ≤5 s; the key before goes on", f"{told:.1f} s; {fine}", told <= LATE, fine))
            if bad.startswith("sk-new\x7f"):
                gone = await _refused(cars, agent, INVALID + LATE)
                took = None if gone is None else gone - began
                rows.append(_row(what, f"the key before goes out no more ≤{INVALID + LATE:g} s after", took, INVALID + LATE))
            good = "sk-two" if bad.startswith("sk-new\x7f") else "sk-one"
            await stage.patch(paths.secrets(space, "anthropic"), {"stringData": {"key": good}})
            await eventually(lambda: _healed(stage, space), 10)
            back = now()
            await eventually(lambda: _shows(cars, agent, good), 10)  # noqa: B023 (awaited here)
            rows.append(_late(f"{what}, then a good one", "goes out ≤5 s after", now() - back, LATE))
        await stage.patch(paths.secrets(space, "anthropic"), {"stringData": {"key": ""}})
        began = now()
        gone = await _refused(cars, agent, LATE)
        rows.append(_row("the value emptied", "nothing goes out ≤5 s after", None if gone is None else gone - began, LATE))
        refused = await cars.metric('devbox_gateway_refusals_total{reason="credential_gone"}')
        log = stage.replicas[-1].operator.log.read_text(errors="replace")
        shown = [
            word for word in ("sk-new", "two\\nlines", "sk-two") if word in log or word in json.dumps(await _told(stage, space))
        ]
        rows.append(Row("all of it", "no value in logs, status and Events", str(shown), not shown and refused > 0))
    return rows


async def withheld(stage: Stage, long: bool) -> list[Row]:
    """Secrets that nobody granted, named by a Devbox's author: no key of theirs shows anywhere."""
    await stage.alone()
    space, other = await stage.namespace(), await stage.namespace()
    refs = [{"name": "vault"}, {"name": "vault", "key": "nonsense"}, {"name": "vault", "key": SECRET_KEYS[0]}]
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "vault", "namespace": space}}
    await stage.api.request("POST", paths.secrets(space), body={**secret, "stringData": dict.fromkeys(SECRET_KEYS, "x")})
    for number, ref in enumerate(refs):
        gateways = [{"name": GATEWAYS[0], "gatewayRef": {"name": "anthropic"}, "secretRef": ref}]
        await stage.create(space, f"agent-{number}", gateways=gateways)
    shared = {"credential": {"secretRef": {"name": "vault", "key": None}}, "allowedNamespaces": {"from": "All"}}
    await stage.patch(paths.gatewayconfigs(space, "openai"), {"spec": shared})
    far = [{"name": "OPENAI", "gatewayRef": {"name": "openai", "namespace": space}}]
    await stage.create(other, "far", gateways=far)
    for name in ("anthropic", "nobody"):
        hidden = [{"name": "ANTHROPIC", "gatewayRef": {"name": name, "namespace": space}}]
        await stage.create(other, f"hidden-{name}", gateways=hidden)

    async def said(place: str, name: str, reason: str) -> bool:
        box = await stage.get(paths.devboxes(place, name)) or {}
        return any(one["reason"] == reason for one in (box.get("status") or {}).get("conditions", ()))

    for number in range(len(refs)):
        await eventually(lambda: said(space, f"agent-{number}", "SecretNotGranted"), 20)  # noqa: B023 (awaited here)
    await eventually(lambda: said(other, "far", "SecretNotGranted"), 20)
    for name in ("anthropic", "nobody"):
        await eventually(lambda: said(other, f"hidden-{name}", "NamespaceNotAllowed"), 20)  # noqa: B023 (awaited here)
    near, away = json.dumps(await _told(stage, space)), json.dumps(await _told(stage, other))
    log = stage.replicas[-1].operator.log.read_text(errors="replace")
    # (One Devbox names a key by itself, in its spec, which is not looked at.)
    keys = [key for key in SECRET_KEYS if key in near or key in away or key in log]
    config = await stage.get(paths.gatewayconfigs(space, "anthropic")) or {}
    return [
        Row("Secrets that nobody granted, named in three ways", "no key's name in status, Events or log", str(keys), not keys),
        Row("the same, of another namespace", "not even its name", str("vault" in away), "vault" not in away),
        Row("a GatewayConfig that lets no other namespace in", "their Devboxes are not its users",
            str((config.get("status") or {}).get("usedBy")), other not in json.dumps(config.get("status") or {})),
    ]  # fmt: skip


def _refuse(replica: Replica, space: str) -> None:
    """As an API server does that knows no role for the operator there (any more)."""

    def status(path: str) -> int:
        return 403 if f"/namespaces/{space}/secrets?" in path else 0

    replica.proxy.fault = Fault(refuse=lambda call: status(call.path) if call.method == "GET" else 0, refuse_watch=status)


async def _restart(stage: Stage, space: str, change: dict[str, Any]) -> Replica:
    """Another operator, which remembers nothing, and may as little."""
    stage.stop()
    await stage.expire_lease()
    replica = await stage.start(leading=False, **change)
    _refuse(replica, space)
    await eventually(replica.operator.leads, 40)
    return replica


async def _told(stage: Stage, space: str) -> list[Object]:
    """Statuses and Events of a namespace."""
    boxes, _ = await stage.api.list(paths.devboxes(space))
    configs, _ = await stage.api.list(paths.gatewayconfigs(space))
    events, _ = await stage.api.list(paths.of("/apis/events.k8s.io/v1", "events", space))
    return [*(item.get("status") or {} for item in (*boxes, *configs)), *({"note": event.get("note")} for event in events)]


async def _message(stage: Stage, space: str) -> str:
    """Reason and message of CredentialsResolved."""
    box = await stage.get(paths.devboxes(space, "agent")) or {}
    found = {one["type"]: one for one in (box.get("status") or {}).get("conditions", ())}
    condition = found.get("CredentialsResolved") or {}
    return f"{condition.get('reason')}: {condition.get('message', '')}"


async def _condition(stage: Stage, space: str, *words: str) -> bool:
    said = await _message(stage, space)
    return all(word in said for word in words)


async def _healed(stage: Stage, space: str) -> bool:
    credential = await _credential(stage, space)
    return (
        await _condition(stage, space, "Resolved:") and names.KEPT_UNTIL_ANNOTATION not in credential["metadata"]["annotations"]
    )


def _until(message: str) -> datetime:
    return datetime.fromisoformat(message.partition("still in use, until ")[2].split()[0])


async def _credential(stage: Stage, space: str) -> Object:
    found = await stage.get(paths.secrets(CREDENTIALS, names.credential_name(space, "anthropic", "key")))
    return found or {"metadata": {"annotations": {}}}


async def _refused(cars: Traffic, agent: Agent, seconds: float) -> float | None:
    """When it was refused for good, since there is no credential; None if the API is shown it still."""
    begun = now()

    async def nothing_goes_out() -> bool:
        before = len(cars.shown)
        answer = await cars.answers(agent)
        return answer.code in ("credential_gone", "gateway_gone") and len(cars.shown) == before

    took = await for_good(nothing_goes_out, seconds)
    return None if took is None else begun + took


async def _shows(cars: Traffic, agent: Agent, key: str) -> bool:
    return (await cars.answers(agent)).fine and cars.shown[-1] == key


def _late(fault: str, demand: str, took: float, limit: float) -> Row:
    return timed(fault, demand, f"{took:.1f} s", took <= limit)


def _row(fault: str, demand: str, took: float | None, limit: float) -> Row:
    return Row(fault, demand, "not in time" if took is None else f"{took:.1f} s", took is not None and took <= limit)
