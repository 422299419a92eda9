"""The folder (`RANKLOOP_HOME`) that holds the database, checkpoints and snapshots."""

from pathlib import Path
from tempfile import TemporaryFile

from storage.errors import Unavailable


def prepare_home(home: Path) -> Path:
    """Make the folder if it is absent and return it; raise `Unavailable` if it takes no files."""
    try:
        home.mkdir(parents=True, exist_ok=True)
        with TemporaryFile(dir=home):
            pass
    except OSError as error:
        raise Unavailable(
            f"The folder {home} cannot be written to ({error.strerror}); set RANKLOOP_HOME to a "
            "folder that you can write to."
        ) from error
    return home
