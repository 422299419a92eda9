"""Open the database of the settings (making one is for `rankloop init`), and bear its absence."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from sqlalchemy import Engine
from sqlalchemy.exc import InterfaceError, OperationalError, TimeoutError

from storage.engine import build_engine
from storage.errors import Unavailable
from storage.migrate import check_version
from storage.settings import Settings

Answer = TypeVar("Answer")

#: seconds before the second and the third attempt: a restarted database is often back by then
PAUSES = (0.1, 0.4)
_LOST = (OperationalError, InterfaceError, TimeoutError)


def retried(act: Callable[[], Answer]) -> Answer:
    """Do something that may be done twice, again where the connection to the database was cut.

    Raises `Unavailable` where the last attempt fails, too.
    """
    for pause in PAUSES:
        try:
            return act()
        except _LOST:
            time.sleep(pause)
    try:
        return act()
    except _LOST as error:
        raise Unavailable(
            "The database does not answer; nothing is lost, try again in a moment."
        ) from error


def open_database(settings: Settings) -> Engine:
    """Return an engine on a database of this version; raise `Unavailable` saying what to do."""
    # Connecting would leave an empty SQLite file behind, and a folder in the wrong place.
    if settings.url.startswith("sqlite:///"):
        file = Path(settings.url.removeprefix("sqlite:///"))
        if not file.exists():
            raise Unavailable(f"There is no database at {file}; run `rankloop init` to make it.")
    engine = build_engine(settings.url)
    check_version(engine)
    return engine
