"""Log lines as one JSON object each, with what the work at hand belongs to (request, round)."""

import copy
import json
import logging
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from storage.printable import printable
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
        if _is_whole_line(message):
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


def _is_whole_line(message: str) -> bool:
    if not message.startswith(_START) or "\n" in message or "\r" in message:
        return False
    try:
        return isinstance(json.loads(message), dict)
    except (ValueError, RecursionError):
        return False


class PlainFormatter(logging.Formatter):
    """Write a record as one line for people; what it says cannot begin another or command a screen.

    Lines of a traceback follow it, each set in.
    """

    def __init__(self, plain: str) -> None:
        """Take the form of a line; times are in UTC."""
        super().__init__(plain, datefmt="%Y-%m-%dT%H:%M:%S")
        self.converter = time.gmtime

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        told = copy.copy(record)
        told.msg, told.args = printable(record.getMessage(), keep="\t"), None
        return super().format(told)

    def formatException(self, ei: Any) -> str:
        """Return a traceback, set in."""
        lines = super().formatException(ei).split("\n")
        return "\n".join(f"  {printable(line, keep=chr(9))}" for line in lines)


def build_formatter(settings: Settings, *, plain: str = PLAIN) -> logging.Formatter:
    """Return the formatter that the setting `log_format` asks for; times are in UTC."""
    if settings.log_format == "json":
        return JsonFormatter()
    return PlainFormatter(plain)


def configure_web_logs(settings: Settings) -> None:
    """Send the web process's logs to stderr in one form; as JSON, every request too."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(build_formatter(settings))
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(logging.WARNING)
    if settings.log_format == "json":
        for room in ("ui", "labeling", "storage"):
            logging.getLogger(room).setLevel(logging.INFO)
    # Streamlit gives its loggers handlers of their own; one form is enough.
    for name in ("streamlit", "uvicorn", "uvicorn.error"):
        logging.getLogger(name).handlers = []
        logging.getLogger(name).propagate = True
