"""Where a round's steps keep how far they are, and its removal; torch is not needed for either."""

import logging
from pathlib import Path

from storage.blobs import remove_folder
from storage.errors import Unavailable

log = logging.getLogger(__name__)

PROGRESS = "progress"  # the artefact of a round that names the folder


def remove_progress(home: Path, uri: str) -> None:
    """Remove every progress under the folder `uri`; absent is as good.

    What an object store does not let go stays there: the step that it is of has ended.
    """
    try:
        remove_folder(home, uri)
    except Unavailable as error:
        log.warning("Progress that is not needed any more stays: %s", error)
