"""Likely label errors: pairs where a confident reward model, not fitted to them, disagrees."""

from pathlib import Path

import numpy as np
import pandas as pd
from sqlmodel import Session

from labeling.model_annotators.out_of_fold import newest_unseen_pairs
from labeling.statistics.clustered_shares import clustered_shares
from labeling.statistics.judgment_columns import JudgmentColumns, judgment_columns

COLUMNS = (
    *("judgment_id", "task_id", "annotator_id", "better", "worse"),
    *("probability", "others_agree", "others"),
)


def unseen_pairs_of(
    session: Session, *, project_id: int, home: Path, columns: JudgmentColumns | None = None
) -> pd.DataFrame:
    """Return the newest round's out-of-fold pairs of judgments that still count.

    Columns: judgment_id, task_id, annotator_id, better and worse (task positions as the annotator
    ranked them), probability σ(Δr) that the reward model gives to that order, and row (of
    `columns`, which are read where they are None).
    """
    held = judgment_columns(session, project_id=project_id) if columns is None else columns
    pairs = newest_unseen_pairs(session, project_id=project_id, home=home)
    wanted = pairs["judgment_id"].to_numpy(dtype=np.int64)
    row = np.searchsorted(held.judgment_id, wanted)
    row = np.minimum(row, max(0, len(held) - 1))
    current = held.judgment_id[row] == wanted if len(held) else np.zeros(len(pairs), dtype=bool)
    found = pairs[current].reset_index(drop=True)
    rows = row[current]
    return found.assign(task_id=held.task_id[rows], annotator_id=held.annotator_id[rows], row=rows)


def label_errors(
    pairs: pd.DataFrame, columns: JudgmentColumns, *, above: float, most: int | None = None
) -> pd.DataFrame:
    """Return the pairs that the reward model contradicts most surely, at most `most` of them.

    `pairs` as `unseen_pairs_of` gives them; `above` is the probability that the model gives to the
    contrary at least. Columns as in `COLUMNS`: others is how many other judgments of the task
    there are, others_agree how many of them order the pair as this one does.
    """
    found = by_doubt(pairs[pairs["probability"] <= 1.0 - above + 1e-12])
    found = found.head(most if most is not None else len(found))
    agree, others = _others(found, columns)
    return found.assign(others_agree=agree, others=others)[list(COLUMNS)]


def by_doubt(pairs: pd.DataFrame) -> pd.DataFrame:
    """Return the pairs by the probability of their label, the least first.

    It is the self-confidence of Northcutt, Jiang and Chuang 2021 (Confident Learning, Journal of
    Artificial Intelligence Research 70, §3.2).
    """
    found = pairs.sort_values(["probability", "judgment_id", "better", "worse"])
    return found.reset_index(drop=True)


def agreement_with_reward_model(pairs: pd.DataFrame) -> pd.DataFrame:
    """Return how often the out-of-fold reward model orders an annotator's pairs as they do.

    Indexed by annotator_id: value, low, high and n of `clustered_shares`, a draw being half.
    """
    chance = pairs["probability"].to_numpy(dtype=float)
    hits = (chance > 0.5) + 0.5 * (chance == 0.5)
    table = pd.DataFrame(
        {"judgment": pairs["judgment_id"], "who": pairs["annotator_id"], "hits": hits, "of": 1}
    )
    sums = table.groupby("judgment").agg({"who": "first", "hits": "sum", "of": "sum"})
    return clustered_shares(sums["hits"], sums["of"], sums["who"].to_numpy(dtype=np.int64))


def _others(found: pd.DataFrame, columns: JudgmentColumns) -> tuple[list[int], list[int]]:
    tasks = np.unique(found["task_id"].to_numpy(dtype=np.int64))
    rows = np.flatnonzero(np.isin(columns.task_id, tasks))
    of_task = {int(task): rows[columns.task_id[rows] == task] for task in tasks}
    agree, others = [], []
    for pair in found.itertuples():
        same = of_task[int(pair.task_id)]
        same = same[columns.judgment_id[same] != pair.judgment_id]
        ranks = columns.ranks[same]
        agree.append(int((ranks[:, int(pair.better)] < ranks[:, int(pair.worse)]).sum()))
        others.append(len(same))
    return agree, others
