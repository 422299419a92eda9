"""The worker's log, plain or JSON, with UTC times: on stdout and in `<home>/logs/worker.log`."""

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from logging.handlers import RotatingFileHandler

from storage.errors import Unavailable
from storage.settings import Settings
from storage.telemetry.logs import build_formatter

LARGEST_FILE = 5_000_000
OLD_FILES = 3


@contextmanager
def worker_log(settings: Settings) -> Iterator[logging.Logger]:
    """Yield the logger for the length of the block; raise `Unavailable` if no file can be made."""
    folder = settings.home / "logs"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file = RotatingFileHandler(
            folder / "worker.log", maxBytes=LARGEST_FILE, backupCount=OLD_FILES, encoding="utf-8"
        )
    except OSError as error:
        raise Unavailable(
            f"The log folder {folder} cannot be written ({error.strerror}); set RANKLOOP_HOME to "
            "a folder that you can write to."
        ) from error
    formatter = build_formatter(settings)
    logger = logging.getLogger("rankloop.worker")
    logger.setLevel(logging.INFO)
    logger.propagate = False
    handlers: list[logging.Handler] = [logging.StreamHandler(sys.stdout), file]
    for handler in handlers:
        handler.setFormatter(formatter)
        logger.addHandler(handler)
    try:
        yield logger
    finally:
        for handler in handlers:
            logger.removeHandler(handler)
        file.close()
