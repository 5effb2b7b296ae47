"""JSON logs: one line per event on stderr, the same for our own and the libraries' loggers.

Nothing personal reaches a log: values under telling keys are replaced, wherever they stand.
"""

import functools
import logging
import sys
from typing import Any

import msgspec
import structlog
from structlog.typing import EventDict, Processor

from miaosha.domain.visible import plain_json
from miaosha.serving.outlet import Outlet
from miaosha.serving.seldom import Seldom, SeldomRecords
from miaosha.serving.waiting import waiting

REDACTED = "[redacted]"
PERSONAL = frozenset(
    {
        *("password", "secret", "secret_keys", "token", "access_token", "checkout_token"),
        *("authorization", "cookie", "card", "cvc", "number", "answer"),
        *("email", "to", "name", "phone", "address", "delivery"),
    }
)


def redact(_: Any, __: str, event: EventDict) -> EventDict:
    """Replace values of personal keys, also inside nested dicts and lists."""
    for key, value in event.items():
        event[key] = REDACTED if key in PERSONAL else _redacted(value)
    return event


def _redacted(value: Any) -> Any:
    if isinstance(value, dict):
        return redact(None, "", dict(value))
    if isinstance(value, list | tuple):
        return [_redacted(item) for item in value]
    return value


def _json(event: EventDict, **_: Any) -> str:
    """One line, whose strings a terminal cannot obey: `up` shows its children's lines."""
    narrow = not sys.stderr.encoding.lower().startswith("utf")
    return plain_json(msgspec.json.encode(event, enc_hook=str).decode(), ascii_only=narrow)


def _lost(role: str, instance: str, lines: int) -> str:
    """What an outlet says of log lines that it lost: a log line, too."""
    event = {"event": "log_lines_lost", "lines": lines, "level": "warning"}
    return _json({**event, "role": role, "instance": instance}) + "\n"


def configure(role: str, instance: str, level: str) -> None:
    """Send every log line of this process to stderr as JSON with its role and instance. Where
    stderr is an outlet (`outlet.install`), no line can fail or block the caller.

    Args:
        level: debug, info, warning or error.
    """
    seldom = Seldom(waiting)
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
        redact,
    ]
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            shared[0],
            seldom,
            *shared[1:],
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    if isinstance(sys.stderr, Outlet):
        sys.stderr.notice = functools.partial(_lost, role, instance)
    logging.captureWarnings(True)
    handler = logging.StreamHandler(sys.stderr)
    handler.addFilter(SeldomRecords(seldom))
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.JSONRenderer(serializer=_json),
            ],
        )
    )
    logging.basicConfig(handlers=[handler], level=level.upper(), force=True)
    structlog.contextvars.bind_contextvars(role=role, instance=instance)
