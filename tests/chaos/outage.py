"""The API server goes away and comes back (C3, as far as the gateway goes), with times scaled by the settings.

Goes in: devboxes that the gateway knows (warm) and ones that it has never reviewed (cold); a forwarder in the API server's place that
refuses connections, as for a process that was killed, or holds them silently, as for one that was stopped. Comes out: rows.
"""

import asyncio
from collections import Counter
from time import monotonic as now
from typing import Final

from tests.support.kube_api import Devbox

from .client import Answer, Client, load
from .report import Row, ms, timed
from .world import READY_SECONDS, World, eventually, world

COLD: Final = 20
AGAIN: Final = 20
"""Devboxes that ask on and on for their first answer after the return."""
NOTICED: Final = 3.0
"""Seconds after which the gateway knows by itself that nobody answers: two failed probes, a second apart (presence.py)."""
RATE: Final = 50
"""Requests a second of the devboxes that are known."""


async def killed(long: bool) -> list[Row]:
    """Its process is gone: connections are refused."""
    return await _away("killed", long)


async def stopped(long: bool) -> list[Row]:
    """Its process was stopped: connections are taken, and nothing comes."""
    return await _away("stopped", long)


async def _away(how: str, long: bool) -> list[Row]:
    # What was verified is asked about again in the last 10 % of a review's life: only of a long one are that the seconds of notice.
    review, stale = ((60.0, 90.0) if how == "stopped" else (12.0, 60.0)) if long else (3.0, 6.0)
    warm = 500 if long else 200
    identity = {"reviewSeconds": review, "notLiveSeconds": review, "outageSeconds": stale, "spareReviewsPerSecond": 0}
    async with world(identity=identity) as stage:
        boxes = [stage.devbox(number) for number in range(warm + COLD)]
        await stage.known(len(boxes))
        callers = [stage.client(box, stage.gateway) for box in boxes[:warm]]

        async def settled() -> bool:
            # (What was verified earlier would grow old before anybody can know that nobody answers.)
            await asyncio.sleep(review)
            began, answers = now(), await asyncio.gather(*(client.request() for client in callers))
            return all(answer.fine for answer in answers) and now() - began < review / 2

        # (So many at once, none of whom was asked about before: on a machine with other work some are told to come again, and when the
        # last one is known the first ones may not be any more.)
        await eventually(settled, READY_SECONDS + 2 * review)
        # (The window counts from when a watch was last open: one that is just being opened anew was closed before.)
        await eventually(lambda: _live(stage), READY_SECONDS)
        gone = now()
        stage.kube.cut() if how == "killed" else stage.kube.freeze()
        tally, colds = await asyncio.gather(load(RATE, stale - 0.5, callers, Client.request), _colds(stage, boxes[warm:], gone))
        rows = [_cold_row(how, colds)]
        if how == "killed" or long:
            first = min((began - gone for began, _ in tally.errors), default=None)
            measured = f"{tally.kinds} in {len(tally.errors) + len(tally.seconds)}" + (
                f", from {first:.1f} s on" if first else ""
            )
            demand = f"0 failures for the stale window ({stale:g} s here)"
            rows.insert(0, Row(f"API server {how}: {warm} known devboxes, {RATE} rps", demand, measured, not tally.errors))
        noticed = gone + NOTICED
        await asyncio.sleep(max(0.0, noticed + stale + 2 - now()))
        after = Counter([(await client.request()).kind for client in callers[:20]])
        rows.append(Row(f"API server {how}: the window is over", "503", str(dict(after)), set(after) == {"503"}))
        return rows + await _back(stage, boxes[:warm], how)


async def _live(stage: World) -> bool:
    return all([await stage.gateway.metric(f'devbox_gateway_watch_live{{watch="{watch}"}}') for watch in ("routes", "pods")])


async def _once(stage: World, box: Devbox) -> Answer:
    client = stage.client(box, stage.gateway)
    answer = await client.request()
    client.close()
    return answer


async def _colds(stage: World, boxes: list[Devbox], gone: float) -> list[Answer]:
    """One asks at once, before anybody can know; the others come when it is to be known, whoever has asked till then."""

    async def later() -> list[Answer]:
        await asyncio.sleep(max(0.0, gone + NOTICED - now()))
        return [await _once(stage, box) for box in boxes[1:]]

    first, others = await asyncio.gather(_once(stage, boxes[0]), later())
    return [first, *others]


def _cold_row(how: str, answers: list[Answer]) -> Row:
    refused = [answer for answer in answers if answer.status == 503 and "retry-after" in answer.headers]
    later = max(answer.seconds for answer in answers[1:])
    measured = (
        f"{len(refused)} of {len(answers)}; one at once after {ms(answers[0].seconds)}, from {NOTICED:g} s on ≤{ms(later)}"
    )
    # 100 ms of the gateway's; the TLS handshake and a machine that others use come on top, so this is no sharp line.
    in_time = later <= 0.5 and answers[0].seconds <= NOTICED + 0.5
    demand = f"503 with Retry-After; ≤100 ms from {NOTICED:g} s on"
    return timed(f"API server {how}: unknown devboxes", demand, measured, in_time, len(refused) == len(answers))


async def _back(stage: World, boxes: list[Devbox], how: str) -> list[Row]:
    """All ask again and again; when does each get its answer, and what does the API server get in its first second?"""
    stage.cluster.reviews.clear()
    await stage.kube.restore()
    returned = now()
    counts: list[int] = []

    async def count() -> None:
        await eventually(lambda: stage.cluster.reviews, 30, every=0.005)
        await asyncio.sleep(1)
        counts.append(len(stage.cluster.reviews))

    async def again(box: Devbox) -> float:
        while now() - returned < 30:
            if (await _once(stage, box)).fine:
                break
            await asyncio.sleep(0.5)
        return now() - returned

    counting = asyncio.create_task(count())
    took = await asyncio.gather(*(again(box) for box in boxes[:AGAIN]))
    await counting
    return [
        timed(
            f"API server {how}: back", "recovered ≤10 s", f"{AGAIN} devboxes, the last after {max(took):.1f} s", max(took) <= 10
        ),
        Row(
            f"API server {how}: its first second, {len(boxes)} devboxes",
            "≤50 TokenReviews",
            f"{counts[0]}; {len(stage.cluster.reviews)} until all were served",
            counts[0] <= 50,
        ),
    ]
