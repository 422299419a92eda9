"""Figures in files of the home, so that a server that starts need not measure what was measured.

A file is believed only where its key fits: the data's fingerprint, the code and what else was
given. It is written whole or not at all, and any trouble with it means measuring anew.
"""

import hashlib
import json
import logging
import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
import pandas as pd
from sqlmodel import Session

import labeling
import storage.tables
from labeling.statistics.data_fingerprint import data_fingerprint
from ui.figures.plain_figures import from_plain, to_plain

#: the folder in the home; judgments lie there, too (`labeling.statistics.judgments_on_disk`)
FOLDER = "judgments"

_log = logging.getLogger(__name__)
_ENDING = ".figures.npz"


@dataclass(frozen=True)
class FiledFigures:
    """Figures of a file, and how many seconds it took to measure them."""

    found: Any
    seconds: float


def load(file: Path, *, key: str) -> FiledFigures | None:
    """Return the figures of a file; None where it has none of this key.

    A file of another key is deleted: it may name people who have been erased since.
    """
    try:
        with file.open("rb") as opened, np.load(opened, allow_pickle=False) as held:
            plain = json.loads(held["plain"].tobytes())
            if plain["key"] == key:
                found = from_plain(plain["figures"], _arrays(held))
                return FiledFigures(found, float(plain["seconds"]))
    except FileNotFoundError:
        return None
    # Whatever a broken file leads to, the figures can be measured.
    except Exception as error:
        _log.warning("%s is of no use, its figures are measured anew: %s", file.name, error)
    _delete(file)
    return None


def save(file: Path, figures: FiledFigures, *, key: str) -> None:
    """Write figures, whole or not at all; where there is no room, go without the file."""
    part = file.with_name(f".{uuid4().hex}{_ENDING}")
    arrays: list[Any] = []
    try:
        found = to_plain(figures.found, arrays)
        plain = json.dumps({"key": key, "seconds": figures.seconds, "figures": found})
        file.parent.mkdir(parents=True, exist_ok=True)
        named = {str(place): array for place, array in enumerate(arrays)}
        np.savez(part, plain=np.frombuffer(plain.encode(), dtype=np.uint8), **named)
        os.replace(part, file)
    except (OSError, TypeError) as error:
        _log.warning("figures are not kept on disk: %s", error)
    finally:
        _delete(part)


def file_of(home: Path, *, project_id: int, name: str) -> Path:
    """Return the file of the figures of a name."""
    return home / FOLDER / f"{project_id}-{name.replace(' ', '-')}{_ENDING}"


def key_of_figures(
    session: Session, *, project_id: int, name: str, given: Mapping[str, object]
) -> str:
    """Return the key of figures measured now by this code; `given` is what else they are made of.

    It is a SHA-256 in hexadecimal.
    """
    parts = (name, sorted(given.items()), data_fingerprint(session, project_id=project_id))
    return hashlib.sha256(repr((*parts, _code())).encode()).hexdigest()


def forget_figures(home: Path) -> None:
    """Delete every file of figures, whose tables name annotators; pages measure them anew."""
    for file in (home / FOLDER).glob(f"*{_ENDING}"):
        _delete(file)


def _arrays(held: Any) -> list[Any]:
    return [held[str(place)] for place in range(len(held.files) - 1)]


def _delete(file: Path) -> None:
    with suppress(OSError):
        file.unlink(missing_ok=True)


@cache
def _code() -> str:
    """Return a digest of the code that measures, and of the libraries that it measures with."""
    digest = hashlib.sha256(f"numpy {np.__version__}, pandas {pd.__version__}".encode())
    rooms = [Path(one) for room in (labeling, storage.tables) for one in room.__path__]
    modules = [file for room in rooms for file in sorted(room.rglob("*.py"))]
    pages = [Path(__file__).with_name(name) for name in ("measures.py", "plain_figures.py")]
    for file in (*modules, *pages):
        with suppress(OSError):
            digest.update(file.read_bytes())
    return digest.hexdigest()
