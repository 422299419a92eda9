"""What tells two snapshots apart: what was asked, by which code, and which rows came of it."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow
import pyarrow.parquet

from labeling.datasets.freezing import CONSOLIDATED, ROWS, hashes_of
from labeling.keys import key_of
from storage import blobs
from storage.errors import Unavailable
from storage.tables import Snapshot

_KEY = ["task_id", "judgment_id"]


@dataclass(frozen=True)
class SnapshotDiff:
    """Say what the second snapshot has otherwise than the first.

    `query` and `code_version` hold (first, second) of what differs; `added`, `removed` and
    `changed` one row a judgment: task_id, judgment_id (0: a lead's decision), annotator_id.
    `excluded` is by how much more rows the second leaves out, by reason. `labels_changed` counts
    tasks whose consolidated ranks differ, None where either has none.
    """

    first: int
    second: int
    same: bool
    query: dict[str, tuple[Any, Any]]
    code_version: tuple[str, str] | None
    added: pd.DataFrame
    removed: pd.DataFrame
    changed: pd.DataFrame
    excluded: dict[str, int]
    labels_changed: int | None
    demonstrations: tuple[int, int]


def diff_snapshots(first: Snapshot, second: Snapshot, *, home: Path) -> SnapshotDiff:
    """Compare two snapshots; raise `Unavailable` where files are missing or not as written."""
    old, new = _rows(first, home), _rows(second, home)
    both = old.merge(new, on=_KEY, how="outer", suffixes=("_old", "_new"), indicator=True)
    side = both["_merge"]
    changed = (side == "both") & (both["ranks_old"] != both["ranks_new"])
    versions = (_of(first, "code_version"), _of(second, "code_version"))
    return SnapshotDiff(
        first=key_of(first),
        second=key_of(second),
        same=hashes_of(first.manifest) == hashes_of(second.manifest),
        query=_otherwise(first.query, second.query),
        code_version=None if versions[0] == versions[1] else versions,
        added=_named(both[side == "right_only"], "annotator_id_new"),
        removed=_named(both[side == "left_only"], "annotator_id_old"),
        changed=_named(both[changed], "annotator_id_new"),
        excluded=_difference(
            first.manifest.get("excluded", {}), second.manifest.get("excluded", {})
        ),
        labels_changed=_labels_changed(first, second, home),
        demonstrations=(
            int(first.manifest.get("demonstrations", 0)),
            int(second.manifest.get("demonstrations", 0)),
        ),
    )


def _of(snapshot: Snapshot, name: str) -> str:
    return str(snapshot.manifest.get(name, ""))


def _rows(snapshot: Snapshot, home: Path) -> pd.DataFrame:
    blobs.checked_path(home, snapshot.uri)
    found = _table(snapshot, home, ROWS, [*_KEY, "annotator_id", "ranks"])
    found["ranks"] = [tuple(ranks) for ranks in found["ranks"]]
    return found


def _table(snapshot: Snapshot, home: Path, name: str, columns: list[str]) -> pd.DataFrame:
    path = blobs.local_path(home, snapshot.uri) / name
    try:
        return pyarrow.parquet.read_table(path, columns=columns).to_pandas()
    except (OSError, pyarrow.ArrowException) as error:
        raise Unavailable(
            f"The file {snapshot.uri}/{name} cannot be read ({error}); restore it from a backup."
        ) from error


def _otherwise(first: dict[str, Any], second: dict[str, Any]) -> dict[str, tuple[Any, Any]]:
    names = sorted({*first, *second})
    return {
        name: (first.get(name), second.get(name))
        for name in names
        if first.get(name) != second.get(name)
    }


def _named(rows: pd.DataFrame, annotator: str) -> pd.DataFrame:
    found = rows[[*_KEY, annotator]].rename(columns={annotator: "annotator_id"})
    return found.astype("int64").reset_index(drop=True)


def _difference(first: dict[str, int], second: dict[str, int]) -> dict[str, int]:
    names = sorted({*first, *second})
    more = {name: second.get(name, 0) - first.get(name, 0) for name in names}
    return {name: number for name, number in more.items() if number}


def _labels_changed(first: Snapshot, second: Snapshot, home: Path) -> int | None:
    if any("consolidated_sha256" not in each.manifest for each in (first, second)):
        return None
    columns = ["task_id", "ranks"]
    old, new = (_table(each, home, CONSOLIDATED, columns) for each in (first, second))
    both = old.merge(new, on="task_id", suffixes=("_old", "_new"))
    pairs = zip(both["ranks_old"], both["ranks_new"], strict=True)
    return sum(list(one) != list(other) for one, other in pairs)
