"""One label a task, made of a snapshot's judgments by its consolidation rule."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow
import pyarrow.parquet

from labeling.datasets.snapshot_rows import CONSOLIDATED_SCHEMA, RowsDigest
from labeling.labeling_sections import ReliabilitySettings

_FILE = "consolidated.parquet"
_ROWS = "judgments.parquet"
_OF_RULES = {
    *("prior_accuracy", "prior_comparisons", "unseen_votes", "score_precision", "gamma_shape"),
}


def write_consolidated(
    folder: Path, *, rule: str, reliability: dict[int, float], settings: ReliabilitySettings
) -> dict[str, Any]:
    """Write the labels beside the judgments, in their tasks' order; return the manifest's part.

    Nothing where the rule is `none`. A lead's decision is its task's label, without uncertainty.
    `settings` are the project's; the manifest keeps what of them the rules go by.
    """
    if rule == "none":
        return {}
    judged = _judged(folder)
    labels = _labels(judged, rule, reliability, settings) if len(judged) else pd.DataFrame()
    rows = list(_in_order(judged, labels))
    digest = RowsDigest(CONSOLIDATED_SCHEMA.names)
    digest.add(rows)
    table = pyarrow.Table.from_pylist(rows, schema=CONSOLIDATED_SCHEMA)
    pyarrow.parquet.write_table(table, folder / _FILE)
    return {
        "consolidated": len(rows),
        "consolidated_sha256": digest.hex,
        "consolidated_by": settings.model_dump(include=_OF_RULES),
    }


def _judged(folder: Path) -> pd.DataFrame:
    columns = ["task_id", "annotator_id", "judgment_id", "ranks", "policy_version"]
    return pyarrow.parquet.read_table(folder / _ROWS, columns=columns).to_pandas()


def _labels(
    judged: pd.DataFrame, rule: str, reliability: dict[int, float], settings: ReliabilitySettings
) -> pd.DataFrame:
    from labeling.consolidation import consolidate

    given = judged[judged["judgment_id"] > 0]
    weights = {int(one): reliability.get(int(one), 1.0) for one in given["annotator_id"].unique()}
    found = consolidate(
        given, rule=rule, weights=weights if reliability else None, settings=settings
    )
    return pd.DataFrame(found).set_index("task_id")


def _in_order(judged: pd.DataFrame, labels: pd.DataFrame) -> Iterator[dict[str, Any]]:
    first = judged.drop_duplicates("task_id")
    sizes = judged.groupby("task_id", sort=False).size()
    found = labels.reindex(columns=["ranks", "uncertainty"]).reindex(first["task_id"])
    columns = (first["task_id"], first["judgment_id"], first["ranks"], sizes)
    merged = zip(*columns, found["ranks"], found["uncertainty"], strict=True)
    for task_id, judgment_id, own, judgments, ranks, uncertainty in merged:
        label: tuple[list[int], float | None]
        if judgment_id == 0:
            label = ([int(rank) for rank in own], 0.0)
        elif isinstance(ranks, list):
            label = (ranks, float(uncertainty))
        else:
            # Where nobody who judged counts for anything, nothing is known: all is tied.
            label = ([1] * len(own), None)
        yield {
            "task_id": int(task_id),
            "ranks": label[0],
            "uncertainty": label[1],
            "judgments": int(judgments),
        }
