"""What the API server answers, taken so that no answer costs more memory than it may.

Goes in: responses and streams of events. Comes out: plain dicts, or an `ApiError` whose text is the API server's own message. Who may
write objects may make each of them some MiB large, and the API server counts a page of a list in objects. So whoever asks says how many
bytes may come, longer answers are read a few at a time, and nothing is held here once it was handed out.
"""

import asyncio
import contextlib
from collections.abc import AsyncGenerator
from typing import Any, Final, NamedTuple

import aiohttp
import orjson
from aiohttp import hdrs

Object = dict[str, Any]
"""A Kubernetes object, as the API server speaks it."""

OBJECT_BYTES: Final = 32 << 20
"""Of an answer or an event with one object. The API server takes 3 MiB of JSON, of which it may write each byte as six (`\\u003c`)."""
SMALL_BYTES: Final = 1 << 18
"""Answers up to this are read whenever they come, longer ones a few at a time."""
LARGE: Final = 4
"""Longer answers that are read at a time."""


class ApiError(Exception):
    """The API server said no, or could not be reached (`status` 0).

    `reason` is the machine-readable word of the `Status` object (`NotFound`, `AlreadyExists`, `Conflict`, `Expired`…).
    """

    def __init__(self, status: int, reason: str, message: str, retry_after: float | None = None) -> None:
        super().__init__(f"{status} {reason}: {message}" if status else f"{reason}: {message}")
        self.status = status
        self.reason = reason
        self.message = message
        self.retry_after = retry_after

    @property
    def not_found(self) -> bool:
        """The object is not there. (An API server that does not serve its kind, or not yet, has no `Status` for that, nor has something
        that answers in its place: then nothing is known of the object.)"""
        return self.status == 404 and self.reason == "NotFound"

    @property
    def conflict(self) -> bool:
        """Somebody else was first: it exists already, or its resourceVersion moved on."""
        return self.status == 409

    @property
    def denied(self) -> bool:
        """An admission policy or a webhook said no; RBAC's refusals and what is no valid object are others."""
        return self.status in (403, 422) and (
            "ValidatingAdmissionPolicy" in self.message or "admission webhook" in self.message
        )

    @property
    def transient(self) -> bool:
        """Trying the same again later makes sense."""
        odd = self.status < 400 or (self.status == 404 and not self.not_found)  # (something that is no API server, or not yet)
        return odd or self.status == 429 or self.status >= 500


class TooLargeError(ApiError):
    """An answer has more bytes than it may have, and was not read to its end."""

    def __init__(self, most: int) -> None:
        super().__init__(0, "TooLarge", f"the API server's answer has more than {most} bytes")


class Answer(NamedTuple):
    """What came."""

    content: Object
    size: int
    """Bytes."""


class Reader:
    """Reads answers and events."""

    def __init__(self) -> None:
        self._large = asyncio.Semaphore(LARGE)

    async def answer(self, response: aiohttp.ClientResponse, most: int = OBJECT_BYTES) -> Answer:
        """The JSON object of an answer. Raises `ApiError`, `TooLargeError` where it has more than `most` bytes."""
        raw = bytearray()
        async with contextlib.AsyncExitStack() as turn:
            waits = True
            async for chunk in response.content.iter_any():
                raw += chunk
                if len(raw) > most:
                    response.close()
                    raise TooLargeError(most)
                if waits and len(raw) > SMALL_BYTES:
                    waits = False
                    await turn.enter_async_context(self._large)
            return Answer(decode(response, raw), len(raw))

    async def events(self, content: aiohttp.StreamReader) -> AsyncGenerator[Object]:
        """The events of a watch, one a line. Raises `TooLargeError`."""
        # Own splitting: an event may be longer than the reader's limit for a line.
        rest = bytearray()
        async for chunk in content.iter_any():
            searched = len(rest)
            rest += chunk
            while (end := rest.find(b"\n", searched)) >= 0:
                event = _event(rest, end)
                searched = 0
                if event is not None:
                    yield event
                    del event
            if len(rest) > OBJECT_BYTES:
                raise TooLargeError(OBJECT_BYTES)


def _event(rest: bytearray, end: int) -> Object | None:
    """Takes the first line away."""
    line = bytes(memoryview(rest)[:end])
    del rest[: end + 1]
    return orjson.loads(line) if line else None


def decode(response: aiohttp.ClientResponse, raw: bytes | bytearray) -> Object:
    """The JSON object in an answer. Raises `ApiError`."""
    try:
        answer = orjson.loads(raw) if raw else {}
    except orjson.JSONDecodeError:
        answer = None
    if response.status >= 300:
        status = answer if isinstance(answer, dict) else {}
        raise error_of(response.status, status, response.headers.get(hdrs.RETRY_AFTER))
    if not isinstance(answer, dict):
        raise ApiError(response.status, "BadAnswer", "the API server did not answer with a JSON object")
    return answer


def error_of(status: int, answer: Object, retry_after: str | None = None) -> ApiError:
    """What a `Status` object says."""
    seconds = float(retry_after) if retry_after and retry_after.isascii() and retry_after.isdigit() else None
    return ApiError(status, answer.get("reason") or "Error", answer.get("message") or "no message", seconds)
