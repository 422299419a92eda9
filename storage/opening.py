"""Open the database of the settings; making one is for `rankloop init`."""

from pathlib import Path

from sqlalchemy import Engine

from storage.engine import build_engine
from storage.errors import Unavailable
from storage.migrate import check_version
from storage.settings import Settings


def open_database(settings: Settings) -> Engine:
    """Return an engine on a database of this version; raise `Unavailable` saying what to do."""
    # Connecting would leave an empty SQLite file behind, and a folder in the wrong place.
    if settings.url.startswith("sqlite:///"):
        file = Path(settings.url.removeprefix("sqlite:///"))
        if not file.exists():
            raise Unavailable(
                f"There is no database at {file.absolute()}{_because(file)}; run "
                "`rankloop init` to make it."
            )
    engine = build_engine(settings.url)
    check_version(engine)
    return engine


def _because(file: Path) -> str:
    if file.is_absolute():
        return ""
    return f" (the URL names {file} within the folder in which a command runs)"
