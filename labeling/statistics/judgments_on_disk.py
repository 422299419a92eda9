"""A project's judgments in one Arrow file, so that a process that starts need not read them all.

The file holds what `stored_judgments` reads: numbers, no text of anybody. It is never believed
without a look: its rows must be in the database as they are in the file.
"""

import json
import logging
import os
from contextlib import suppress
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
import numpy.typing as npt
import pyarrow
import pyarrow.ipc
from sqlalchemy import func, select
from sqlmodel import Session, col

from labeling.statistics.stored_judgments import (
    MOST_COMPLETIONS,
    Arrays,
    StoredJudgments,
    read_judgments,
)
from storage.tables import Judgment

_log = logging.getLogger(__name__)

# To be counted up whenever `StoredJudgments` changes in what it holds or means.
_LAYOUT = "1"
# Rows of the file that are compared with the database: the newest, and some of everywhere. Two
# histories that have their newest judgments in common, to the microsecond, have all in common.
_NEWEST = 1000
_SAMPLE = 1000

_KINDS = ("arrays", "likert", "checks")


def load(session: Session, folder: Path, *, project_id: int) -> StoredJudgments | None:
    """Return what the project's file holds, if the database holds the same up to its last row."""
    try:
        found = _read(_path(folder, project_id))
    except FileNotFoundError:
        return None
    except (OSError, pyarrow.ArrowException, KeyError, ValueError) as error:
        _log.warning("a file of judgments is written anew: %s", error)
        return None
    if not len(found) or not _holds(session, found, project_id):
        return None
    return found


def save(folder: Path, stored: StoredJudgments, *, project_id: int) -> None:
    """Write the project's file, whole or not at all; where there is no room, go without one."""
    path = _path(folder, project_id)
    part = path.with_name(f".{path.name}.{uuid4().hex}")
    table = _table(stored)
    options = pyarrow.ipc.IpcWriteOptions(compression="lz4")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with pyarrow.ipc.new_file(part, table.schema, options=options) as writer:
            writer.write_table(table)
        os.replace(part, path)
    except OSError as error:
        _log.warning("judgments are not kept on disk: %s", error)
    finally:
        with suppress(OSError):
            part.unlink(missing_ok=True)


def _path(folder: Path, project_id: int) -> Path:
    return folder / f"judgments-{project_id}.arrow"


def _table(stored: StoredJudgments) -> pyarrow.Table:
    columns = {
        json.dumps([kind, name]): _column(values)
        for kind, some in zip(_KINDS, stored.parts(), strict=True)
        for name, values in some.items()
    }
    return pyarrow.table(columns).replace_schema_metadata({"layout": _LAYOUT})


def _column(values: npt.NDArray[Any]) -> pyarrow.Array:
    if values.ndim == 1:
        return pyarrow.array(values)
    return pyarrow.FixedSizeListArray.from_arrays(pyarrow.array(values.ravel()), MOST_COMPLETIONS)


def _read(path: Path) -> StoredJudgments:
    """Return the file's arrays; raise `ValueError` where it is of another layout."""
    with pyarrow.OSFile(str(path)) as file, pyarrow.ipc.open_file(file) as opened:
        if (opened.schema.metadata or {}).get(b"layout") != _LAYOUT.encode():
            raise ValueError(f"{path.name} has another layout")
        table = opened.read_all()
    parts: dict[str, Arrays] = {kind: {} for kind in _KINDS}
    for label, column in zip(table.column_names, table.columns, strict=True):
        kind, name = json.loads(label)
        parts[kind][name] = _values(column.combine_chunks())
    return StoredJudgments(*(parts[kind] for kind in _KINDS))


def _values(column: pyarrow.Array) -> npt.NDArray[Any]:
    if pyarrow.types.is_fixed_size_list(column.type):
        return column.flatten().to_numpy().reshape(-1, MOST_COMPLETIONS)
    found: npt.NDArray[Any] = column.to_numpy(zero_copy_only=False)
    return found


def _holds(session: Session, found: StoredJudgments, project_id: int) -> bool:
    """Say whether the rows are those of the database up to the last of them."""
    ids = found.arrays["judgment_id"]
    statement = select(func.count()).select_from(Judgment)
    there = session.execute(
        statement.where(col(Judgment.project_id) == project_id, col(Judgment.id) <= int(ids[-1]))
    ).scalar_one()
    if there != len(found):
        return False
    spread = np.linspace(0, len(ids) - 1, min(_SAMPLE, len(ids))).astype(np.int64)
    newest = np.arange(max(0, len(ids) - _NEWEST), len(ids))
    rows = np.union1d(spread, newest)
    stored = read_judgments(session, project_id=project_id, ids=ids[rows].tolist())
    return _same(found.taken(rows), stored)


def _same(some: StoredJudgments, others: StoredJudgments) -> bool:
    """Say whether two tell the same; a criterion that nobody of them answered may be missing."""
    if len(some) != len(others):
        return False
    for mine, theirs, none in zip(some.parts(), others.parts(), (None, 0, -1), strict=True):
        for name in mine.keys() | theirs.keys():
            nothing = np.full((len(some), MOST_COMPLETIONS), none)
            one, other = mine.get(name, nothing), theirs.get(name, nothing)
            if not np.array_equal(one, other, equal_nan=one.dtype.kind == "f"):
                return False
    return True
