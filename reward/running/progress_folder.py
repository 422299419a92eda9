"""Where a round's steps keep how far they are, and its removal; torch is not needed for either."""

import shutil
from pathlib import Path

from storage.blobs import local_path

PROGRESS = "progress"  # the artefact of a round that names the folder


def remove_progress(home: Path, uri: str) -> None:
    """Remove every progress under the folder `uri`; absent is as good."""
    shutil.rmtree(local_path(home, uri), ignore_errors=True)
