"""Structured logs: one JSON object a line on standard output, the libraries' own messages included.

Called once at start by both commands. Values of type Redacted print as `<redacted>`.
"""

import logging
import sys
from typing import Final, Literal, get_args

import orjson
import structlog

from devbox_api.judge.shown import json_visible

Level = Literal["debug", "info", "warning", "error"]
LEVELS: Final[tuple[Level, ...]] = get_args(Level)


def configure(component: str, level: Level = "info") -> None:
    """Send structlog's and the standard library's messages through one renderer; `component` names who speaks."""
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.ExceptionRenderer(structlog.tracebacks.ExceptionDictTransformer(show_locals=False)),
        _named(component),
    ]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.JSONRenderer(serializer=_dump),
            ],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())


def _named(component: str) -> structlog.typing.Processor:
    def add(_: object, __: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
        event["component"] = component
        return event

    return add


def _dump(value: object, **_: object) -> str:
    # default=str: a Redacted, an exception or a path shows its text, which for a Redacted is `<redacted>`. JSON itself escapes C0 alone;
    # a line is read in terminals, too, and what it says may be somebody else's words.
    return json_visible(orjson.dumps(value, default=str).decode())
