"""Read a snapshot's files, and check that they hold the rows that its manifest names."""

from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow
import pyarrow.parquet

from labeling.datasets.freezing import CONSOLIDATED, DEMONSTRATIONS, ROWS
from labeling.datasets.snapshot_rows import (
    CONSOLIDATED_SCHEMA,
    DEMONSTRATION_SCHEMA,
    FIRST_COLUMNS,
    RowsDigest,
)
from storage import blobs
from storage.errors import NotFound, Unavailable


def read_snapshot(uri: str, home: Path) -> pd.DataFrame:
    """Return a snapshot's rows, one a judgment, oldest first.

    Columns as in `SCHEMA` (an old snapshot has `FIRST_COLUMNS` alone): `judgment_id` is 0 where a
    lead decided, `messages` is JSON text, `ranks`, `completion_ids`, `completions` and
    `finish_reasons` are lists by task position. Raises `Unavailable` naming the file that is
    missing, unreadable or not the one that was written.
    """
    uri = blobs.at_hand(home, uri)
    manifest = blobs.verify(home, uri)
    columns = tuple(manifest.get("columns", FIRST_COLUMNS))
    rows = _read(home, f"{uri}/{ROWS}", columns, manifest.get("rows_sha256"))
    return rows.sort_values(["created_at", "judgment_id"], kind="stable", ignore_index=True)


def read_consolidated(uri: str, home: Path) -> pd.DataFrame:
    """Return one row a task: task_id, ranks, uncertainty and judgments (how many it is made of).

    Raises `NotFound` where the snapshot has no consolidation rule, `Unavailable`.
    """
    uri = blobs.at_hand(home, uri)
    manifest = blobs.verify(home, uri)
    if "consolidated_sha256" not in manifest:
        raise NotFound(f"The snapshot {uri} has no consolidated labels; create one with a rule.")
    file = f"{uri}/{CONSOLIDATED}"
    return _read(home, file, CONSOLIDATED_SCHEMA.names, manifest["consolidated_sha256"])


def read_demonstrations(uri: str, home: Path) -> pd.DataFrame:
    """Return a snapshot's demonstrations, oldest first; none for a snapshot from before them.

    Columns as in `DEMONSTRATION_SCHEMA`: `messages` is JSON text. Raises `Unavailable` as
    `read_snapshot` does.
    """
    uri = blobs.at_hand(home, uri)
    manifest = blobs.verify(home, uri)
    if "demonstrations_sha256" not in manifest:
        return pd.DataFrame({name: [] for name in DEMONSTRATION_SCHEMA.names})
    file = f"{uri}/{DEMONSTRATIONS}"
    return _read(home, file, DEMONSTRATION_SCHEMA.names, manifest["demonstrations_sha256"])


def _read(home: Path, file: str, columns: tuple[str, ...], digest: str | None) -> pd.DataFrame:
    folder, _, name = file.rpartition("/")
    found: dict[str, list[Any]] = {column: [] for column in columns}
    hashed = RowsDigest(columns)
    try:
        with pyarrow.parquet.ParquetFile(blobs.local_path(home, folder) / name) as parquet:
            for batch in parquet.iter_batches(columns=list(columns)):
                rows = batch.to_pylist()
                hashed.add(rows)
                for column, values in found.items():
                    values.extend(row[column] for row in rows)
    except (OSError, pyarrow.ArrowException, KeyError) as error:
        raise Unavailable(
            f"The file {file} cannot be read ({error}); restore it from a backup."
        ) from error
    if hashed.hex != digest:
        raise Unavailable(
            f"The rows of {file} are not those that its manifest names; restore both from a backup."
        )
    return pd.DataFrame(found)
