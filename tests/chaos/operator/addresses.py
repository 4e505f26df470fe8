"""Addresses that go from pod to pod, as in a small pod network (C22): who has one may be nobody but who has it now.

Goes in: a stage. Comes out: rows. The operator makes two Devboxes, of two namespaces with credentials of their own, and is stopped. Then
pods like theirs come and go on the 30 addresses of a /27, made with the operator's rights: real pods, tokens and Routes on a real API
server. Each pod calls with its own token, then with that of the pod that had the address before, whose Route is still there, and then with
that of a pod that lives elsewhere. Pods end in four ways; in three of them the object stays, its address in it.
"""

import asyncio
import base64
import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import orjson
from tests.chaos.api import Ask, plain
from tests.chaos.client import Answer
from tests.chaos.report import Row
from tests.chaos.world import eventually
from tests.support.control_plane import NODE
from tests.support.fake_kubelet import ended, gone, running
from tests.support.release import CREDENTIALS

from devbox_api import names
from devbox_api.route import PodRef, Route
from devbox_common.kube import JSON_PATCH, KubeApi, Object
from devbox_operator.documents import objects as documents
from devbox_operator.kit import paths

from .stage import Stage
from .traffic import Agent, Traffic, credential, traffic

NAME: Final = "ANTHROPIC"
ADDRESSES: Final = [f"10.204.7.{number}" for number in range(1, 31)]
WAYS: Final = ("removed", "asked to go", "failed", "succeeded")
LIFE: Final = "x-life"
START_SECONDS: Final = 1.0
"""No agent calls sooner after its Route was written: a kubelet has to learn of the pod, and devbox-init looks three times."""


@dataclass(frozen=True)
class Team:
    """A namespace, and what pods of its Devbox look like."""

    namespace: str
    key: str
    like: str
    """The name of the pod that they are copied from."""
    pod: Object
    route: Route


@dataclass(frozen=True)
class Life:
    """A pod that runs."""

    number: int
    team: Team
    name: str
    uid: str
    token: str


class Crowd:
    """All addresses, and what came of the calls from them."""

    def __init__(self, stage: Stage, cars: Traffic, operator: KubeApi, teams: list[Team]) -> None:
        self._stage, self._cars, self._operator, self._teams = stage, cars, operator, teams
        self._living: dict[str, Life] = {}
        self.shown: dict[str, str] = {}
        """Life to the credential that the API was shown for it."""
        self.cycles = 0
        self.wrong: list[str] = []
        self.refused: Counter[str] = Counter()
        """Of the pods' own tokens: there should be none."""
        self.said: Counter[str] = Counter()
        """To the tokens of others."""

    async def record(self, ask: Ask) -> None:
        """What the API does."""
        self.shown[ask.headers[LIFE]] = credential(ask)
        await plain(ask)

    async def use(self, address: str, numbers: Iterator[int]) -> None:
        """One pod after the other on an address, for as long as there are numbers."""
        before: Life | None = None
        for number in numbers:
            life = self._living[address] = await self._make(number, address)
            await self._own(life, address)
            if before is not None:
                await self._foreign(before, life, address, "the pod before")
                await self._remove(before)
            elsewhere = next((one for place, one in self._living.items() if place != address), None)
            if elsewhere is not None:
                await self._foreign(elsewhere, life, address, "a pod elsewhere")
            del self._living[address]
            await self._end(life, WAYS[number % len(WAYS)])
            before = life
            self.cycles += 1

    async def _make(self, number: int, address: str) -> Life:
        """As the operator, the scheduler and a kubelet would."""
        team = self._teams[number % len(self._teams)]
        namespace, name = team.namespace, f"agent-{number:010x}"
        body = json.loads(json.dumps(team.pod).replace(team.like, name))  # (its token Secret has the name, too)
        uid = (await self._operator.request("POST", paths.pods(namespace), body=body))["metadata"]["uid"]
        opened = [{"op": "remove", "path": "/spec/schedulingGates"}]
        await self._operator.request("PATCH", paths.pods(namespace, name), body=opened, content_type=JSON_PATCH)
        target = {"apiVersion": "v1", "kind": "Node", "name": NODE}
        binding = {"apiVersion": "v1", "kind": "Binding", "metadata": {"name": name}, "target": target}
        await self._stage.api.request("POST", f"{paths.pods(namespace, name)}/binding", body=binding)
        token = await self._token(namespace, name, uid)
        binding_of = team.route.bindings[0].model_copy(update={"token": token, "digests": (names.token_digest(token),)})
        pod = PodRef(uid=uid, name=name, namespace=namespace)
        document = team.route.model_copy(update={"pod": pod, "bindings": (binding_of,), "egress": None})
        await self._operator.request("POST", paths.secrets(CREDENTIALS), body=documents.route(document, CREDENTIALS, ""))
        life = Life(number, team, name, uid, f"{names.TOKEN_PREFIX}{token}")
        await self._status(life, **running(address))
        await asyncio.sleep(START_SECONDS)
        return life

    async def _token(self, namespace: str, name: str, uid: str) -> str:
        spec = {
            "audiences": [names.audience(NAME)],
            "expirationSeconds": 3600,
            "boundObjectRef": {"apiVersion": "v1", "kind": "Pod", "name": name, "uid": uid},
        }
        path = f"{paths.core('serviceaccounts', namespace, names.AGENT_SERVICE_ACCOUNT)}/token"
        body = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": spec}
        return str((await self._operator.request("POST", path, body=body))["status"]["token"])

    async def _status(self, life: Life, **status: Any) -> None:
        await self._stage.patch(f"{paths.pods(life.team.namespace, life.name)}/status", {"status": status})

    async def _ask(self, token: str, address: str, life: Life) -> Answer:
        client = self._cars.client_at(address, token)
        try:
            return await client.request(x_life=str(life.number))
        finally:
            client.close()

    async def _own(self, life: Life, address: str) -> None:
        answer = await self._ask(life.token, address, life)
        if not answer.fine:
            self.refused[f"{answer.kind} {_code(answer)}"] += 1
        elif self.shown.pop(str(life.number)) != life.team.key:
            self.wrong.append(f"life {life.number}: another namespace's credential went out")

    async def _foreign(self, owner: Life, life: Life, address: str, whose: str) -> None:
        answer = await self._ask(owner.token, address, life)
        self.said[f"{answer.kind} {_code(answer)}"] += 1
        if answer.status not in (401, 403):
            self.wrong.append(f"life {life.number}: the token of {whose} got {answer.kind}")
        self.shown.pop(str(life.number), None)

    async def _end(self, life: Life, way: str) -> None:
        path = paths.pods(life.team.namespace, life.name)
        if way == "removed":
            await gone(self._stage.node, life.team.namespace, life.name, life.uid)
        elif way == "asked to go":
            await self._stage.api.request("DELETE", path)
        else:
            await self._status(life, **ended("Failed" if way == "failed" else "Succeeded"))

    async def _remove(self, life: Life) -> None:
        """The object, if it is still there, and the Route."""
        if life.number % len(WAYS):
            await gone(self._stage.node, life.team.namespace, life.name, life.uid)
        await self._operator.request("DELETE", paths.secrets(CREDENTIALS, documents.route_name(life.uid)))


def _code(answer: Answer) -> str:
    """The gateway's word for why; empty where there is none."""
    return str(orjson.loads(answer.body)["error"]["code"]) if answer.status >= 400 and answer.body else ""


async def addresses(stage: Stage, long: bool) -> list[Row]:
    """All of them at once."""
    cycles = 10_000 if long else 120
    await stage.alone()
    async with traffic(stage) as cars:
        teams = []
        for number in range(2):
            space, key = await stage.namespace(), f"sk-of-team-{number}"
            await stage.patch(paths.secrets(space, NAME.lower()), {"stringData": {"key": key}})
            await stage.create(space)
            agent = await cars.agent(space)
            await eventually(lambda: stage.holds(space, NAME.lower(), key), 20)  # noqa: B023 (awaited here)
            teams.append(await _team(stage, agent, key))
        stage.stop()
        cars.kubelet.idle = True
        async with stage.as_operator() as operator:
            crowd = Crowd(stage, cars, operator, teams)
            cars.api.ways["/"] = crowd.record
            numbers = iter(range(cycles))
            await asyncio.gather(*(crowd.use(address, numbers) for address in ADDRESSES))
    said = ", ".join(f"{count} x {kind}" for kind, count in sorted(crowd.said.items()))
    tried = sum(crowd.said.values())
    wrong = f"{len(crowd.wrong)}{': ' if crowd.wrong else ''}{'; '.join(crowd.wrong[:3])}"
    refused = ", ".join(f"{count} x {kind}" for kind, count in crowd.refused.items())
    return [
        Row(f"C22 {crowd.cycles} pods on {len(ADDRESSES)} addresses: tokens of pods that had it before, or live elsewhere",
"0 accepted", f"{wrong}; {said}", crowd.cycles == cycles and not crowd.wrong and tried >= cycles - len(ADDRESSES)),
        Row("C22 the same: the pods' own tokens", "0 refused, each with its own namespace's credential", refused or "0", not crowd.refused),
    ]  # fmt: skip


async def _team(stage: Stage, agent: Agent, key: str) -> Team:
    """From what the operator has made."""
    item = await stage.get(paths.secrets(CREDENTIALS, documents.route_name(agent.uid)))
    assert item is not None
    route = Route.model_validate_json(base64.b64decode(item["data"][names.ROUTE_KEY]))
    kept = [binding for binding in route.bindings if binding.name == NAME]
    spec = {name: value for name, value in agent.pod["spec"].items() if name != "nodeName"}
    spec["schedulingGates"] = [{"name": names.SCHEDULING_GATE}]
    metadata = {key: agent.pod["metadata"][key] for key in ("name", "namespace", "labels", "ownerReferences")}
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}
    return Team(agent.namespace, key, agent.name, pod, route.model_copy(update={"bindings": tuple(kept)}))
