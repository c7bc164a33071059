"""Structured logs on one stream, JSON or console, through the redactor; libraries' records take the same way."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from random import Random
from typing import Any, Final, Literal, TextIO

import structlog
from structlog.typing import EventDict, Processor

from node.observability.redaction import redact_event

__all__ = ["configure_logging", "current_request_id", "get_logger", "request_scope"]

# Begins somewhere else in each process. The ids only tell requests apart, so none has to come from the system.
_ids: Final = Random()  # noqa: S311
_request_id: ContextVar[str | None] = ContextVar("wattpact_request_id", default=None)
# Their info level tells of every message.
_TALKATIVE: Final = ("aiohttp.access", "amqtt", "transitions", "web3", "sqlalchemy", "asyncio", "alembic")


def current_request_id() -> str | None:
    """The id of the request that this task serves, if any; it also goes into problem+json answers."""
    return _request_id.get()


@contextmanager
def request_scope(request_id: str | None = None) -> Iterator[str]:
    """Everything logged inside carries one request id; a given one is kept, so that processes can be followed."""
    chosen = request_id or f"{_ids.getrandbits(64):016x}"
    mark = _request_id.set(chosen)
    try:
        yield chosen
    finally:
        _request_id.reset(mark)


def _add_request_id(_logger: Any, _method: str, event: EventDict) -> EventDict:
    chosen = _request_id.get()
    if chosen is not None:
        event["request"] = chosen
    return event


def get_logger(name: str) -> structlog.stdlib.BoundLogger:
    """A logger whose first argument is a short, constant event name and whose facts are keywords."""
    logger: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger(name)
    return logger


def configure_logging(
    level: Literal["debug", "info", "warning", "error"] = "info",
    style: Literal["json", "console"] = "console",
    stream: TextIO | None = None,
) -> None:
    """Once per process; calling it again replaces the former setting (the level may change at run time)."""
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        _add_request_id,
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="time"),
        structlog.processors.StackInfoRenderer(),
        structlog.stdlib.ExtraAdder(),
        structlog.processors.format_exc_info,
    ]
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            structlog.stdlib.PositionalArgumentsFormatter(),
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,
    )
    target = sys.stderr if stream is None else stream
    renderer: Processor
    if style == "json":
        renderer = structlog.processors.JSONRenderer(ensure_ascii=False)
    else:
        renderer = structlog.dev.ConsoleRenderer(
            colors=target.isatty(), exception_formatter=structlog.dev.plain_traceback, timestamp_key="time"
        )
    handler = logging.StreamHandler(target)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            # The redactor stands last before rendering: nothing is added behind its back.
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, redact_event, renderer],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    for name in _TALKATIVE:
        logging.getLogger(name).setLevel(max(root.level, logging.WARNING))
