"""Log lines as one JSON object each, with what the work at hand belongs to (request, round)."""

import json
import logging
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from storage.settings import Settings

PLAIN = "%(asctime)sZ %(message)s"
_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
_START = '{"time":'  # of a line that a process of ours has formatted already
_context: ContextVar[dict[str, Any] | None] = ContextVar("rankloop_log_context", default=None)


@contextmanager
def log_context(**fields: Any) -> Iterator[None]:
    """Add fields to every JSON log line of this thread or task until the end of the block."""
    token = _context.set({**(_context.get() or {}), **fields})
    try:
        yield
    finally:
        _context.reset(token)


class JsonFormatter(logging.Formatter):
    """Write a record as one line of JSON: time, level, logger, message, and its fields.

    What a child process has written as JSON already is passed on as it is.
    """

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        message = record.getMessage()
        if message.startswith(_START) and message.endswith("}"):
            return message
        at = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
        line: dict[str, Any] = {
            "time": f"{at}.{int(record.msecs):03d}Z",
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": message,
            **(_context.get() or {}),
        }
        line |= {name: value for name, value in vars(record).items() if name not in _STANDARD}
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        # ASCII alone: a line separator or control character in a message cannot begin a line.
        return json.dumps(line, default=str)


def build_formatter(settings: Settings, *, plain: str = PLAIN) -> logging.Formatter:
    """Return the formatter that the setting `log_format` asks for; times are in UTC."""
    if settings.log_format == "json":
        return JsonFormatter()
    formatter = logging.Formatter(plain, datefmt="%Y-%m-%dT%H:%M:%S")
    formatter.converter = time.gmtime
    return formatter


def configure_web_logs(settings: Settings) -> None:
    """Send the web process's logs to stderr as JSON; plain logs are left as Python has them."""
    if settings.log_format != "json":
        return
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter())
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(logging.WARNING)
    for room in ("ui", "labeling", "storage"):
        logging.getLogger(room).setLevel(logging.INFO)
    # Streamlit gives its loggers handlers of their own; one form is enough.
    for name in ("streamlit", "uvicorn", "uvicorn.error"):
        logging.getLogger(name).handlers = []
        logging.getLogger(name).propagate = True
