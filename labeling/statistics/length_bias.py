"""Length bias: how often the longer of two completions is ranked better."""

from threading import Lock
from weakref import WeakKeyDictionary

import numpy as np
import pandas as pd
from sqlalchemy import Engine, func, select
from sqlmodel import Session, col

from labeling.reliability_models.rankings import as_rankings
from labeling.statistics.clustered_shares import clustered_shares
from labeling.statistics.driver_rows import driver_rows
from labeling.statistics.judgment_columns import JudgmentColumns
from labeling.statistics.stored_judgments import MOST_COMPLETIONS
from storage.tables import Completion, Task, TaskCompletion


def length_bias(columns: JudgmentColumns, lengths: np.ndarray) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return how often the longer completion wins: one row overall, and one each annotator.

    Columns: value, low, high, n (pairs that are ranked strictly and differ in length). Chance is
    one half, but what people like may be longer for good reasons: compare annotators with each
    other. `lengths` is (N, 9), of the completions of each judgment's task.
    """
    hits, of = np.zeros(len(columns)), np.zeros(len(columns))
    for block in as_rankings(columns).blocks:
        first, second = block.pairs
        sizes = lengths[block.row]
        longer = np.sign(sizes[:, first] - sizes[:, second])
        agrees = longer * block.outcomes
        hits[block.row] = (agrees > 0).sum(axis=1)
        of[block.row] = (agrees != 0).sum(axis=1)
    overall = clustered_shares(hits, of, np.zeros(len(columns), dtype=int))
    return overall, clustered_shares(hits, of, columns.annotator_id)


def completion_lengths(session: Session, *, project_id: int, task_id: np.ndarray) -> np.ndarray:
    """Return (N, 9) the characters of each completion, by task position, of the tasks (N,).

    They never change, so a process keeps them and reads those of new tasks only.
    """
    ids, lengths = _lengths(session, project_id)
    place = np.searchsorted(ids, task_id)
    return lengths[np.minimum(place, max(0, len(ids) - 1))]


_Kept = tuple[np.ndarray, np.ndarray]
# One that is gone takes what was kept of its database with it.
_kept: WeakKeyDictionary[Engine, dict[int, _Kept]] = WeakKeyDictionary()
_lock = Lock()
# Transactions commit out of the order of their ids: that many of the newest are looked at again.
_OVERTAKEN = 1000


def _lengths(session: Session, project_id: int) -> _Kept:
    with _lock:
        held = _kept.setdefault(session.get_bind().engine, {})
        empty = np.zeros((0, MOST_COMPLETIONS), dtype=np.int32)
        ids, lengths = held.get(project_id, (np.zeros(0, dtype=np.int64), empty))
        after = int(ids[-1]) - _OVERTAKEN if len(ids) else 0
        new_ids, new = _read(session, project_id, after)
        old = ids <= after
        fresh = np.concatenate([ids[old], new_ids]), np.concatenate([lengths[old], new])
        # What a transaction that writes has seen may never be committed.
        if not session.connection().get_execution_options().get("rankloop_write"):
            held[project_id] = fresh
    return fresh


def _read(session: Session, project_id: int, after: int) -> _Kept:
    statement = (
        select(
            col(TaskCompletion.task_id),
            col(TaskCompletion.position),
            func.length(col(Completion.text)),
        )
        .join(Completion, col(Completion.id) == col(TaskCompletion.completion_id))
        .join(Task, col(Task.id) == col(TaskCompletion.task_id))
        .where(col(Task.project_id) == project_id, col(Task.id) > after)
    )
    batches = [np.array(rows, dtype=np.int64) for rows in driver_rows(session, statement)]
    table = np.concatenate([np.zeros((0, 3), dtype=np.int64), *batches])
    task_id, position, length = table.T
    ids, task = np.unique(task_id, return_inverse=True)
    lengths = np.zeros((len(ids), MOST_COMPLETIONS), dtype=np.int32)
    lengths[task, position] = length
    return ids, lengths
