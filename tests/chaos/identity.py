"""Who may call, under pressure: floods of false tokens, pods that go, pods that are not what they should be or are just coming.

Goes in: a gateway, and a cluster that changes. Comes out: rows.
"""

import asyncio
import contextlib
from collections.abc import Mapping
from time import monotonic as now
from typing import Final

from tests.support.kube_api import Devbox, jwt

from devbox_api import names

from .client import Answer, Client, for_good
from .report import Row, p
from .world import World, world

IN_TURN: Final = 20
REMEMBERED_SECONDS: Final = 10.0
"""A no."""
NO_SUCH, REAL_POD = "uid-of-nobody", "uid-agent-0"


async def flood(long: bool) -> list[Row]:
    """Well-formed tokens that nobody issued: for pods that do not exist, and for one that does."""
    count = 50_000 if long else 1_500
    async with world() as stage:
        devbox = stage.devbox()
        await stage.warm(devbox)
        asked = len(stage.cluster.reviews)
        statuses: dict[str, int] = {}
        numbers = iter(range(count))

        async def one() -> None:
            for number in numbers:
                uid = REAL_POD if number % 2 else f"{NO_SUCH}-{number}"
                token = f"gws_{jwt(1_000_000 + number, uid, aud=['devbox-gateway.io/API'])}"
                client = stage.client(devbox, stage.gateway, token)
                answer = await client.request("POST", "/", b"{}")
                client.close()
                statuses[answer.kind] = statuses.get(answer.kind, 0) + 1

        started = now()
        await asyncio.gather(*(one() for _ in range(32)))
        took = now() - started
        reviews = len(stage.cluster.reviews) - asked
        rows = [
            Row(
                f"{count} false tokens, well-formed",
                "0 TokenReviews",
                f"{reviews} TokenReviews; {_counted(statuses)} at {count / took:.0f}/s",
                reviews == 0 and set(statuses) == {"401"},
            )
        ]
        answer = await stage.client(devbox, stage.gateway).request()
        rows.append(Row("the true one, right after it", "200", answer.kind, answer.fine))
        return [*rows, await _in_turn(stage)]


async def _in_turn(stage: World) -> Row:
    """A pod whose tokens are good no more asks with one and the other, as fast as it is answered."""
    box = stage.devbox(1)
    tokens = [stage.token(box), *(stage.bind(box, name) for name in ("SECOND", "THIRD"))]
    stage.cluster.rejected.update(token.removeprefix(names.TOKEN_PREFIX) for token in tokens)
    clients = [stage.client(box, stage.gateway, token) for token in tokens]
    await _settled(stage)
    asked, started, kinds = len(stage.cluster.reviews), now(), set[str]()
    for _ in range(IN_TURN):
        kinds |= {(await client.request()).kind for client in clients}
    reviews, allowed = len(stage.cluster.reviews) - asked, len(tokens) * (1 + int((now() - started) / REMEMBERED_SECONDS))
    return Row(
        f"{IN_TURN} x {len(tokens)} tokens of one pod that the cluster refuses, in turn",
        "refused; each asked about once in 10 s",
        f"{', '.join(sorted(kinds))}; {reviews} TokenReviews",
        kinds == {"401"} and reviews <= allowed,
    )


def _counted(statuses: dict[str, int]) -> str:
    return ", ".join(f"{count} x {kind}" for kind, count in sorted(statuses.items()))


async def revocation(long: bool) -> list[Row]:
    """From a pod's deletion to the first no, and to the end of what is under way."""
    count = 200 if long else 60
    async with world() as stage:
        boxes = [stage.devbox(number) for number in range(count)]
        await stage.known(count)
        took = await asyncio.gather(*(_revoke(stage, box, number / 40) for number, box in enumerate(boxes)))
    slowest, usual = max(took), p(99, took)
    measured = f"p50 {p(50, took) * 1000:.0f} ms, p99 {usual * 1000:.0f} ms, worst {slowest * 1000:.0f} ms"
    return [
        Row(f"{count} pods deleted while they call", "refused: p99 ≤5 s, worst ≤15 s", measured, usual <= 5 and slowest <= 15)
    ]


async def _revoke(stage: World, box: Devbox, delay: float) -> float:
    """Ask on and on; delete the pod; ask on until the answer is no, for good."""
    client = stage.client(box, stage.gateway)
    for _ in range(3):
        assert (await client.request()).fine
    await asyncio.sleep(delay)
    assert (await client.request()).fine
    box.delete()

    async def refused() -> bool:
        answer = await client.request()
        assert answer.fine or (answer.status, answer.code) == (403, "pod_gone"), f"{answer.kind} {answer.code}"
        return not answer.fine

    took = await for_good(refused, 20, every=0.01)
    return 20 if took is None else took


async def states(long: bool) -> list[Row]:
    """Pods that may not call, and pods that may though not everything about them is there yet."""
    async with world() as stage:
        ordinary = stage.devbox()
        await stage.warm(ordinary)
        rows = []
        for number, (name, status, spec, expected) in enumerate(
            (
                ("a finished pod", {"phase": "Succeeded"}, {}, "pod_finished"),
                ("a failed pod", {"phase": "Failed"}, {}, "pod_finished"),
                ("a pod on the host's network", {}, {"hostNetwork": True}, "pod_on_host_network"),
                ("a pod whose init containers run", {"phase": "Pending"}, {}, "200"),
            ),
            1,
        ):
            box = stage.devbox(number)
            box.pod_object(**status)
            if spec:
                _with_spec(box, spec)
            await _settled(stage)
            rows.append(_verdict(name, await stage.client(box, stage.gateway).request(), expected))
        stranger = Client(lambda: stage.gateway.address, "10.204.3.3", stage.token(ordinary), stage.trust)
        rows.append(_verdict("a token from another address", await stranger.request(), "token_elsewhere"))
        stranger.close()
        coming = [await _late(stage, 10 + number, what) for number, what in enumerate(("Route", "address"))]
        return [*rows, *coming]


async def _settled(stage: World) -> None:
    await asyncio.sleep(0.3)  # a watch event is on its way


def _with_spec(box: Devbox, spec: Mapping[str, object]) -> None:
    pod = box.cluster.objects["pods"][box.pod_name]
    metadata = {key: pod["metadata"][key] for key in ("uid", "namespace", "labels")}
    box.cluster.put("pods", box.pod_name, metadata=metadata, spec={**pod["spec"], **spec}, status=pod["status"])


def _verdict(name: str, answer: Answer, expected: str) -> Row:
    said = answer.kind if answer.fine else f"{answer.kind}"
    if not answer.fine and b'"code":"' in answer.body:
        said = answer.body.split(b'"code":"')[1].split(b'"')[0].decode()
    return Row(name, expected, said, said == expected)


async def _late(stage: World, number: int, what: str) -> Row:
    """The first request of a pod comes a second before its `what` does."""
    box = Devbox(stage.cluster, f"agent-{number}", address=f"10.204.0.{2 + number}")
    box.pod_object(**({} if what == "Route" else {"podIPs": []}))
    if what == "Route":
        secret = _hidden_route(stage, box)
    else:
        stage.bind(box)
        secret = None
    await _settled(stage)
    asking = asyncio.create_task(stage.client(box, stage.gateway).request())
    await asyncio.sleep(1)
    early = asking.done()
    if secret is not None:
        stage.cluster.put("secrets", f"route-{box.uid}", **secret)
    else:
        box.pod_object()
    answer = await asking
    measured = f"{answer.kind} after {answer.seconds:.2f} s"
    return Row(
        f"a pod's first request, 1 s before its {what} is mirrored", "waits, then 200", measured, answer.fine and not early
    )


def _hidden_route(stage: World, box: Devbox) -> dict[str, object]:
    """Bind the devbox, and hold its Route back: what is to be put later."""
    held: dict[str, object] = {}
    put = stage.cluster.put

    def hold(kind: str, name: str, **fields: object) -> None:
        if name == f"route-{box.uid}":
            held.update(fields)
        else:
            put(kind, name, **fields)

    with contextlib.ExitStack() as stack:
        stage.cluster.put = hold  # type: ignore[method-assign]
        stack.callback(lambda: setattr(stage.cluster, "put", put))
        stage.bind(box)
    return held
