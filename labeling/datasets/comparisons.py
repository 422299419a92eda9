"""Comparisons: every strict pair of every current ranking, as chosen and rejected."""

import numpy as np
import pandas as pd
from sqlmodel import Session

from labeling.datasets.judged import judged_tasks, pair_rows
from storage.tables import Split

_OF_JUDGMENT = (
    "judgment_id",
    "task_id",
    "prompt_id",
    "split",
    "messages",
    "policy_version",
    "round",
    "annotator_id",
    "annotator_kind",
    "created_at",
)


def comparisons(
    session: Session, *, project_id: int, split: Split | None = None, include_models: bool = False
) -> pd.DataFrame:
    """Return one row a chosen/rejected pair of the rankings that may be used; ties make none.

    Columns: judgment_id, task_id, prompt_id, split, messages, policy_version, round, annotator_id,
    annotator_kind (person, simulated or model), created_at, chosen_id, rejected_id, chosen,
    rejected (texts), chosen_rank, rejected_rank.
    """
    judged = judged_tasks(session, project_id=project_id, include_models=include_models)
    if split is not None:
        judged = judged[judged["split"] == split.value].reset_index(drop=True)
    return comparisons_of(judged)


def comparisons_of(judged: pd.DataFrame) -> pd.DataFrame:
    """Return the chosen/rejected pairs of rows as `judged_tasks` or a snapshot gives them."""
    pairs = pair_rows(judged)
    strict = pairs[pairs["outcome"] != 0]
    better = np.where(strict["outcome"] > 0, strict["i"], strict["j"])
    worse = np.where(strict["outcome"] > 0, strict["j"], strict["i"])
    kept = [name for name in _OF_JUDGMENT if name in judged.columns]
    rows = strict["row"].to_numpy()
    found = judged[kept].iloc[rows].reset_index(drop=True)
    for name, column in (("id", "completion_ids"), ("", "completions"), ("rank", "ranks")):
        lists = judged[column].to_numpy()
        for side, positions in (("chosen", better), ("rejected", worse)):
            label = f"{side}_{name}" if name else side
            values = [lists[row][at] for row, at in zip(rows, positions, strict=True)]
            found[label] = pd.Series(values, dtype=object if not name else "int64")
    return found
