"""Server-sent events at a steady pace.

Goes in: the frames of a stream. Comes out: a chunked response whose frames leave one by one, `pace` seconds apart, so that
whoever reads at the far end can tell delivery as it comes from delivery in a lump.
"""

import asyncio
import json
from collections.abc import Iterable, Mapping
from typing import Any

from aiohttp import web


def named(event: str, data: Mapping[str, Any]) -> bytes:
    """A frame with an `event:` line."""
    return f"event: {event}\ndata: {json.dumps(data)}\n\n".encode()


def unnamed(data: Mapping[str, Any] | str) -> bytes:
    """A frame without one."""
    return f"data: {data if isinstance(data, str) else json.dumps(data)}\n\n".encode()


async def stream(
    request: web.Request, frames: Iterable[bytes], *, pace: float, headers: Mapping[str, str]
) -> web.StreamResponse:
    """Send `frames`; each is on the wire before the next is made."""
    response = web.StreamResponse(
        headers={"Content-Type": "text/event-stream; charset=utf-8", "Cache-Control": "no-cache", **headers}
    )
    await response.prepare(request)
    for index, frame in enumerate(frames):
        if index:
            await asyncio.sleep(pace)
        await response.write(frame)
    await response.write_eof()
    return response


def words(text: str) -> list[str]:
    """`text` in the pieces in which a model would hand it out: each word with the space before it."""
    first, *rest = text.split(" ")
    return [first, *(f" {word}" for word in rest)]


def count_tokens(value: object) -> int:
    """A stable, plausible number of tokens for a request body: one for every four characters."""
    return max(1, len(json.dumps(value)) // 4)
